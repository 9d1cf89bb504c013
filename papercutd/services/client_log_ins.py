"""Who logs in with a client: by password as at a device, or by a token given for one."""

from __future__ import annotations

from typing import Protocol

import attrs

from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.identity.client_tokens import Tokens, mark_of
from papercutd.services.attempts import Attempts, LockedOut
from papercutd.services.devices import Credentials, Devices
from papercutd.services.lockouts import Lockouts
from papercutd.storage.interfaces import IJobStore
from papercutd.storage.people.client_epochs import epoch_name
from papercutd.storage.people.people import Login
from papercutd.storage.values import Chargeable

#: Failed attempts of one address within a quarter of an hour: many people share one.
ADDRESS_ATTEMPTS_MAX = 100
#: Attempts of one address that are not answered yet.
ADDRESS_AT_ONCE_MAX = 16


class LogInServer(Protocol):
    """What the service needs of its server."""

    devices: Devices
    lockouts: Lockouts

    async def takes_passwords(self, user: int) -> bool: ...


@attrs.frozen
class LoggedIn:
    """Somebody who proved who they are, and what logs them in again."""

    person: Login
    #: What the token, and the session, is bound to.
    mark: str
    token: str = attrs.field(default="", repr=False)
    token_ends_at: float = 0.0


class ClientLogIns:
    """Proves who is at a client."""

    def __init__(
        self, env: Environment, store: IJobStore, server: LogInServer, tokens: Tokens
    ) -> None:
        self._store = store
        self._server = server
        self.tokens = tokens
        self._by_address = Attempts(env, ADDRESS_ATTEMPTS_MAX, ADDRESS_AT_ONCE_MAX)

    async def log_in(self, name: str, password: str, token: str, address: str) -> LoggedIn:
        """Raises LockedOut or Rejected, as Devices.login does.

        A token that does not count is ``bad-credentials``, as a password is.
        """
        if token:
            with self._by_address.trying(address):
                found = await self._by_token(name, token, address)
        else:
            found = await self._by_password(name, password, address)
        if found.person.disabled:
            raise Rejected("closed")
        # Only who proved who they are learns that it does not count here now.
        if not await self._server.takes_passwords(found.person.user):
            raise Rejected("not-allowed")
        return found

    async def needs_pin(self, person: Login, account: int) -> bool:
        """See Devices.needs_pin."""
        return await self._server.devices.needs_pin(person, account)

    async def account_by_pin(
        self, person: Login, pin: str, address: str, account: int | None = None
    ) -> list[Chargeable]:
        """See Devices.account_by_pin."""
        devices = self._server.devices
        return await devices.account_by_pin(person, pin, self._by_address, address, account)

    async def mark(self, person: Login) -> str:
        """What tokens and sessions of ``person`` are bound to, as it is now."""
        epoch = await self._store.secret(epoch_name(person.user))
        return mark_of(person.verifier, epoch or "")

    async def still(self, before: LoggedIn) -> Login | None:
        """The person as they are now; None: they would have to log in anew."""
        person = await self._store.login_by_name(before.person.name)
        if person is None or before.person.user not in {person.user, *person.users}:
            return None
        if person.user != before.person.user:
            # Merged into another meanwhile: what was proved is not that one's password.
            return None
        return None if person.disabled or await self.mark(person) != before.mark else person

    async def _by_password(self, name: str, password: str, address: str) -> LoggedIn:
        shown = Credentials("password", user_name=name, password=password)
        person = await self._server.devices.prove(shown, self._by_address, address)
        mark = await self.mark(person)
        token, ends_at = self.tokens.give(person.user, mark)
        return LoggedIn(person, mark, token, ends_at)

    async def _by_token(self, name: str, text: str, address: str) -> LoggedIn:
        try:
            token = self.tokens.read(text)
            person = await self._store.login_by_name(name)
            if person is None or token.user != person.user:
                raise Rejected("bad-credentials")
            left_s = self._server.lockouts.left_s({person.user, *person.users})
            if left_s > 0:
                raise LockedOut(left_s)
            if not token.mark or token.mark != await self.mark(person):
                raise Rejected("bad-credentials")
        except Rejected:
            self._by_address.failed(address)
            raise
        return LoggedIn(person, token.mark)
