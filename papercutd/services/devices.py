"""People at devices: logging in, their held jobs, releasing them. The same at both servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from papercutd.domain.job import fold_user_name
from papercutd.environment import Environment
from papercutd.errors import InvalidValue, NotFound, Rejected
from papercutd.identity.verifiers import Verifiers
from papercutd.services.attempts import Attempts, LockedOut
from papercutd.services.held_jobs import HeldJobs, Listed
from papercutd.services.lockouts import Lockouts
from papercutd.storage.interfaces import IJobStore
from papercutd.storage.people.people import Device, Login
from papercutd.storage.values import Chargeable, Purse
from protocols.provider import messages as provider

_log = Logger()
#: Failed attempts of one user, or at one device, within the window that lock it out.
USER_ATTEMPTS_MAX = 5
DEVICE_ATTEMPTS_MAX = 20
#: Of one user within a day, successes in between or not: from here on each locks out.
USER_DAY_MAX = 20
#: Log-ins under way at one device: it has one panel, and a few of it cannot fill the queue
#: in which everybody's passwords and PINs wait.
DEVICE_AT_ONCE_MAX = 2
#: People logged in at one device.
VISITS_MAX = 16


class DeviceServer(Protocol):
    """What the service needs of its server."""

    held: HeldJobs
    lockouts: Lockouts

    @property
    def state(self) -> str: ...

    async def takes_passwords(self, user: int) -> bool:
        """Whether a password of ``user`` counts here now; a cut site may take none."""
        ...

    async def link_card(self, user: int, number: str) -> str:
        """``linked``, ``claimed`` or ``already``; raises as the store does."""
        ...


@attrs.frozen
class Credentials:
    """What was shown at a device."""

    method: str
    card: str = attrs.field(default="", repr=False)
    pin: str = attrs.field(default="", repr=False)
    user_name: str = ""
    password: str = attrs.field(default="", repr=False)


@attrs.define(eq=False)
class Visit:
    """One person at one device."""

    id: str
    device: Device
    person: Login
    #: Told when we end it: its id and why.
    ended: Callable[[str, str], None]
    timer: IDelayedCall | None = None
    #: The job of this visit's runs, and how many there were.
    job: str = ""
    runs: int = 0
    #: How the person proved who they are.
    method: str = ""
    #: What they should hear.
    notices: list[str] = attrs.field(factory=list)
    #: Shared accounts whose PIN was given.
    opened: set[int] = attrs.field(factory=set)


class Devices:
    """Log-ins of all devices connected to this server."""

    def __init__(
        self, env: Environment, store: IJobStore, server: DeviceServer, verifiers: Verifiers
    ) -> None:
        self._env = env
        self._store = store
        self._server = server
        self._verifiers = verifiers
        self._visits: dict[str, Visit] = {}
        self._by_user = Attempts(env, USER_ATTEMPTS_MAX, day_max=USER_DAY_MAX)
        self._by_device = Attempts(env, DEVICE_ATTEMPTS_MAX, DEVICE_AT_ONCE_MAX)
        server.lockouts.on_unlocked = self._forget

    async def login(
        self, device: Device, shown: Credentials, ended: Callable[[str, str], None]
    ) -> tuple[Visit, Purse]:
        """A new visit; ``ended(id, reason)`` is called when we end it.

        Raises LockedOut or Rejected (``bad-credentials``, ``closed``, ``not-allowed``, ``busy``).
        The same answer for an unknown user, card, password and PIN.
        """
        if shown.method not in device.logins:
            raise Rejected("not-allowed")
        person = await self.prove(shown, self._by_device, device.name)
        if person.disabled:
            raise Rejected("closed")
        # Only who knows the password learns that it does not count here now.
        if shown.method == "password" and not await self._server.takes_passwords(person.user):
            raise Rejected("not-allowed")
        purse = await self._store.purse(person.account)
        notices = await self._store.notices(person.user)
        if sum(v.device.name == device.name for v in self._visits.values()) >= VISITS_MAX:
            raise Rejected("busy")
        visit = Visit(self._env.new_id(), device, person, ended, job=self._env.new_id())
        visit.method, visit.notices = shown.method, notices
        self._visits[visit.id] = visit
        self._touch(visit)
        return visit, purse

    def logout(self, visit: str, device: Device) -> None:
        """Nothing happens where it has ended already; another device's is not touched."""
        found = self._visits.get(visit)
        if found is not None and found.device.name == device.name:
            self._end(found)

    def left(self, device: str) -> None:
        """The device is gone: nobody is logged in at it."""
        for visit in [v for v in self._visits.values() if v.device.name == device]:
            self._end(visit)

    def visit(self, visit: str, device: Device) -> Visit:
        """The visit, which goes on; raises Rejected ``no-login``."""
        found = self._visits.get(visit)
        if found is None or found.device.name != device.name:
            raise Rejected("no-login")
        self._touch(found)
        return found

    def active(self, visit: str) -> None:
        """Something goes on in the visit, if it has not ended."""
        found = self._visits.get(visit)
        if found is not None:
            self._touch(found)

    async def purse(self, visit: Visit) -> Purse:
        """What this person has, as of now."""
        return await self._store.purse(visit.person.account)

    async def accounts(
        self, visit: Visit, find: str, pin: str, after: str, count_max: int
    ) -> list[tuple[Chargeable, Purse]]:
        """Shared accounts that this person may charge, by name.

        With ``pin`` the one of that PIN alone, which may be chosen in this visit from then on; a
        PIN that finds none counts as a failed log-in. Raises LockedOut, Rejected ``busy``.
        """
        user = visit.person.user
        if pin:
            by_device, name = self._by_device, visit.device.name
            found = await self.account_by_pin(visit.person, pin, by_device, name)
            visit.opened.update(one.id for one in found)
        else:
            found = await self._store.shared_accounts(user, find, after, count_max)
        return [(one, await self._store.purse(one.id)) for one in found]

    async def check_choice(self, visit: Visit, account: int | None) -> None:
        """Raises Rejected ``bad-credentials`` for an account whose PIN was not given."""
        if account is None or account in visit.opened:
            return
        if await self.needs_pin(visit.person, account):
            raise Rejected("bad-credentials")

    async def needs_pin(self, person: Login, account: int) -> bool:
        """Whether this person chooses the account by its PIN alone.

        Not one that they may not charge: that is told by what becomes of the job.
        """
        chosen = await self._store.chargeable(person.user, account)
        return chosen is not None and chosen.needs_pin

    async def account_by_pin(
        self, person: Login, pin: str, by_place: Attempts, place: str, account: int | None = None
    ) -> list[Chargeable]:
        """The account of that PIN, if this person may charge it; with ``account`` only that one.

        A PIN that finds none is a failed log-in, of the person and at ``place``, at devices and
        elsewhere. Raises LockedOut, Rejected ``busy``.
        """
        left_s = self._server.lockouts.left_s({person.user, *person.users})
        if left_s > 0:
            raise LockedOut(left_s)
        name = _user_key(person.name)
        with by_place.trying(place), self._by_user.trying(name):
            try:
                found = await self._store.account_by_pin(person.user, pin)
            except InvalidValue:
                found = []
            if account is not None:
                found = [one for one in found if one.id == account]
            if not found:
                by_place.failed(place)
                failures = self._by_user.failed(name)
                if failures:
                    await self._server.lockouts.lock_out(person.user, failures)
            return found

    async def link(self, visit: Visit, card: str) -> str:
        """Link a card to who is logged in by password: ``linked``, ``claimed`` or ``already``.

        Raises Rejected ``not-allowed``, ``card-taken``, ``bad-fields`` or ``unavailable``.
        """
        if "link" not in visit.device.functions or visit.method != "password":
            raise Rejected("not-allowed")
        with self._by_device.trying(visit.device.name):
            try:
                return await self._server.link_card(visit.person.user, card)
            except InvalidValue:
                raise Rejected("bad-fields") from None
            except Rejected as rejected:
                if rejected.code == "card-taken":
                    # Nobody finds out by trying which cards there are.
                    self._by_device.failed(visit.device.name)
                raise

    # Who is locked out.

    def locked_users(self) -> list[tuple[str, float]]:
        """(name, seconds left), names as they are looked up; of users there are only."""
        here = self._by_user.locked_out()
        found = [(key.removeprefix(_USER), s) for key, s in here if key.startswith(_USER)]
        longest: dict[str, float] = {}
        for name, left_s in (*found, *self._server.lockouts.listed()):
            name = fold_user_name(name)
            longest[name] = max(left_s, longest.get(name, 0.0))
        return list(longest.items())

    def locked_devices(self) -> list[tuple[str, float]]:
        """(name, seconds left)."""
        return self._by_device.locked_out()

    async def unlock_user(self, name: str) -> bool:
        """End lockouts, at the application server everywhere; whether there was one here.

        Raises NotFound.
        """
        person = await self._store.login_by_name(name)
        if person is None:
            raise NotFound("user", name)
        was_locked = self._server.lockouts.left_s({person.user, *person.users}) > 0
        await self._server.lockouts.unlock(person.user)
        return self._forget(person.name) or was_locked

    def _forget(self, name: str) -> bool:
        return self._by_user.unlock(_user_key(name))

    async def unlock_device(self, name: str) -> bool:
        """As ``unlock_user``."""
        if await self._store.device(name) is None:
            raise NotFound("device", name)
        return self._by_device.unlock(name)

    # Held jobs.

    def jobs(self, visit: Visit) -> list[Listed]:
        """Jobs of this person that can be printed at this device, oldest first."""
        found = [
            listed
            for listed in self._server.held.list()
            if listed.provider == visit.device.provider and self._is_theirs(visit, listed.job)
        ]
        return sorted(found, key=lambda listed: (listed.job.held_at, listed.job.job))

    async def release(
        self,
        visit: Visit,
        release: str,
        job: str,
        copies: int | None,
        duplex: bool | None,
        account: int | None = None,
        invoice: bool | None = None,
    ) -> provider.Released:
        """Print a held job here.

        Raises Rejected ``not-yours``, ``unreachable`` or ``timeout``, or as ``check_choice`` does.
        """
        await self.check_choice(visit, account)
        listed = self._listed(visit, job, release)
        if listed is None:
            return provider.Released(release, job, "unknown-job", visit.device.printer)
        return await self._server.held.release(
            *(release, listed, visit.device.printer, copies, duplex, account), invoice=invoice
        )

    async def discard(self, visit: Visit, release: str, job: str) -> provider.Released:
        """Delete a held job; raises as ``release`` does."""
        listed = self._listed(visit, job, release)
        if listed is None:
            return provider.Released(release, job, "unknown-job", visit.device.printer)
        return await self._server.held.discard(release, listed)

    def _listed(self, visit: Visit, job: str, release: str) -> Listed | None:
        listed = self._server.held.find(job, release)
        if listed is not None and not self._is_theirs(visit, listed.job):
            raise Rejected("not-yours")
        return listed

    def _is_theirs(self, visit: Visit, job: provider.HeldJob) -> bool:
        return is_theirs(visit.person, job)

    # Who it is.

    async def prove(self, shown: Credentials, by_place: Attempts, place: str) -> Login:
        """Who proved to be whom; a failure is counted, of the person and at ``place``.

        Raises LockedOut or Rejected. At devices and elsewhere: a guess counts everywhere.
        """
        with by_place.trying(place):
            return await self._known(shown, by_place, place)

    async def _known(self, shown: Credentials, by_place: Attempts, place: str) -> Login:
        person = await self._find(shown)
        if person is not None:
            left_s = self._server.lockouts.left_s({person.user, *person.users})
            if left_s > 0:
                raise LockedOut(left_s)
        # Whoever is not known is counted by what was shown, not to be told apart.
        name = _user_key(person.name) if person is not None else f"shown {_asked(shown)}"
        with self._by_user.trying(name):
            if person is not None and await self._is_proved(person, shown):
                self._by_user.succeeded(name)
                return person
            if person is None and shown.method != "card":
                # As long as it takes for somebody known.
                await self._verifiers.matches("", shown.password or shown.pin)
            failures = self._by_user.failed(name)
            by_place.failed(place)
            if failures and person is not None:
                # Durable before the answer: a restart lets nobody guess on.
                await self._server.lockouts.lock_out(person.user, failures)
            raise Rejected("bad-credentials")

    async def _find(self, shown: Credentials) -> Login | None:
        if shown.method == "password":
            return await self._store.login_by_name(shown.user_name)
        try:
            return await self._store.login_by_card(shown.card)
        except InvalidValue:
            return None

    async def _is_proved(self, person: Login, shown: Credentials) -> bool:
        if shown.method == "card":
            return True
        if shown.method == "card-pin":
            return await self._verifiers.matches(person.pin_verifier, shown.pin)
        return await self._verifiers.matches(person.verifier, shown.password)

    def _touch(self, visit: Visit) -> None:
        if visit.timer is not None and visit.timer.active():
            visit.timer.cancel()

        def idle() -> None:
            self._end(visit)
            visit.ended(visit.id, "idle")

        visit.timer = self._env.clock.callLater(visit.device.idle_s, idle)

    def _end(self, visit: Visit) -> None:
        self._visits.pop(visit.id, None)
        if visit.timer is not None and visit.timer.active():
            visit.timer.cancel()


def is_theirs(person: Login, job: provider.HeldJob) -> bool:
    """Whether a held job is this person's."""
    if job.user is not None:
        return job.user == person.user or job.user in person.users
    name = fold_user_name(job.user_name)
    return name == fold_user_name(person.name) or name in person.names


#: Begins the name under which a known user's failures are counted.
_USER = "user "


def _user_key(name: str) -> str:
    return _USER + fold_user_name(name)


def _asked(shown: Credentials) -> str:
    return fold_user_name(shown.user_name) if shown.method == "password" else shown.card[:64]
