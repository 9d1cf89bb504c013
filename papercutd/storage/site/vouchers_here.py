"""Vouchers that people redeem at this site: credit here until the replica knows better.

A redemption counts from its record on until the replica has come past it: then the application
server has decided, and its word is in the replica. Design 4.11: usable under the cap only.
"""

from __future__ import annotations

import attrs

from papercutd.domain.decision import Policy
from papercutd.domain.purses import MAIN_NAME
from papercutd.domain.voucher import (
    NoVoucher,
    UnknownSerial,
    check_worth,
    hash_serial,
    show_day,
    told_of,
)
from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.engine import Connection
from papercutd.storage.people.people import find_user, has_expired
from papercutd.storage.replication.records import VOUCHER, Record, VoucherShown, encode_record
from papercutd.storage.site import replica
from papercutd.storage.site.overlay import Overlay, merged_accounts, replicated_mark
from papercutd.storage.site.site_journal import append_body

#: What is known here of a redemption: nothing yet, or what the application server decided.
PROVISIONAL, CREDITED, TAKEN_BACK = "provisional", "credited", "taken-back"


@attrs.frozen
class RedeemedHere:
    """A voucher that was redeemed just now, for the time being."""

    batch: str
    place: int
    amount_e4: int
    account: int
    #: What the purse that it fills is called.
    purse: str
    #: Its record: acknowledged, the application server has decided.
    number: int


def redeem_here(
    connection: Connection, id: str, serial: str, name: str, dated_s: float, wall_s: float
) -> RedeemedHere:
    """Journal that the user called ``name`` redeemed it; ``dated_s``: by which it expires.

    Raises NotFound, UnknownSerial, InvalidValue.
    """
    user = find_user(connection, "replica.", name)
    person = connection.execute(
        "SELECT account, disabled, expires_at FROM replica.user WHERE id = ?", (user,)
    ).fetchone()
    if user is None or person is None:
        raise NotFound("user", name)
    account, disabled, expires_at = person
    if disabled or has_expired(expires_at, dated_s):
        raise InvalidValue("name", "is of an account that is closed")
    hash = hash_serial(serial)
    told = told_of(hash)
    found = connection.execute(
        "SELECT batch, place, amount_e4, redeemed_at, cancelled_at, expires_at, COALESCE((SELECT"
        f" name FROM replica.purse_kind AS k WHERE k.id = voucher.purse), '{MAIN_NAME}')"
        " FROM replica.voucher WHERE hash = ?",
        (told,),
    ).fetchone()
    if found is None:
        raise UnknownSerial("voucher with that serial at this site", "")
    batch, place, amount_e4, redeemed_at, cancelled_at, ends_at, purse = found
    before = connection.execute("SELECT at FROM voucher_here WHERE hash = ?", (told,)).fetchone()
    if before is not None:
        words = f"was redeemed here before, on {show_day(before[0])}"
        raise NoVoucher("serial", words, "redeemed")
    check_worth(redeemed_at, cancelled_at, ends_at, dated_s)
    position = replica.read_position(connection)
    shown = VoucherShown(hash, user, amount_e4, dated_s)
    place_known = "" if position is None else position.text
    record = Record(VOUCHER, id, place_known, wall_s, voucher=shown)
    number = append_body(connection, encode_record(record), wall_s)
    connection.execute(
        "INSERT INTO voucher_here (id, hash, user, amount_e4, number, at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (id, told, user, amount_e4, number, wall_s),
    )
    return RedeemedHere(batch, place, amount_e4, account, purse, number)


def read_state(connection: Connection, id: str) -> str:
    """What the replica says of a redemption of this site."""
    found = connection.execute(
        "SELECT number, EXISTS (SELECT 1 FROM replica.notice WHERE notice.id = voucher_here.id)"
        " FROM voucher_here WHERE id = ?",
        (id,),
    ).fetchone()
    if found is None or found[0] > replicated_mark(connection):
        return PROVISIONAL
    return TAKEN_BACK if found[1] else CREDITED


def provisional_e4(connection: Connection, account: int) -> int:
    """What vouchers redeemed here give to the owners of ``account``, until it is decided.

    One of which the replica says that it was redeemed elsewhere, or cancelled, gives nothing.
    """
    mine = merged_accounts(connection, account)
    places = ", ".join("?" * len(mine))
    (sum_e4,) = connection.execute(
        "SELECT COALESCE(SUM(amount_e4), 0) FROM voucher_here WHERE number > ? AND user IN"
        f" (SELECT user FROM replica.account WHERE id IN ({places}) AND kind = 'personal')"
        " AND hash NOT IN (SELECT hash FROM replica.voucher WHERE redeemed_at IS NOT NULL"
        " OR cancelled_at IS NOT NULL)",
        (replicated_mark(connection), *mine),
    ).fetchone()
    return int(sum_e4)


def with_vouchers(
    connection: Connection, overlay: Overlay, account: int, policy: Policy
) -> Overlay:
    """The overlay that a cut site of ``policy`` decides by: what is unsettled stays capped."""
    if policy is not Policy.CAPPED:
        return overlay
    given_e4 = provisional_e4(connection, account)
    if not given_e4:
        return overlay
    funds = attrs.evolve(overlay.funds, credits_e4=overlay.funds.credits_e4 + given_e4)
    return attrs.evolve(overlay, funds=funds)
