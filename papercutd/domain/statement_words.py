"""What the kinds of listed facts are called, and how each conflict among them was settled."""

from __future__ import annotations

import attrs


@attrs.frozen
class Kind:
    """One kind of fact in a statement."""

    title: str
    #: How it was settled.
    settled: str
    #: Two sides said different things, or one of them lost its memory.
    is_conflict: bool = False


KINDS = {
    "forced": Kind("posted without funds behind it", "posted: it had been printed"),
    "assumed": Kind("outcome at the printer unknown", "charged as analysed"),
    "uncollected": Kind("user not known", "booked to uncollected until it is assigned"),
    "parked": Kind("records that could not be applied", "kept beside the books, not applied"),
    "unseen": Kind("askers away for seven days", "their reservations ended"),
    "lost-voided": Kind("reservations of lost journals", "given back by an administrator"),
    "granted-again": Kind(
        "allowances that the application server had forgotten",
        "booked again from the site's own totals",
        is_conflict=True,
    ),
    "applied-later": Kind("parked records that could be applied later", "applied, once each"),
    "card-claimed-twice": Kind(
        "cards that two people linked at cut sites",
        "neither stands, both were told",
        is_conflict=True,
    ),
    "card-refused": Kind(
        "cards linked at a site that were another's", "they stay the other's", is_conflict=True
    ),
    "voucher-conflict": Kind(
        "vouchers that two people redeemed",
        "the first one's at the application server stands, the other's was taken back",
        is_conflict=True,
    ),
    "voucher-twice": Kind(
        "vouchers that one user redeemed twice", "credited once", is_conflict=True
    ),
    "voucher-expired": Kind(
        "vouchers redeemed at a site after their end", "taken back", is_conflict=True
    ),
    "voucher-cancelled": Kind(
        "vouchers redeemed at a site that an administrator had cancelled",
        "taken back",
        is_conflict=True,
    ),
    "voucher-unknown": Kind(
        "vouchers redeemed at a site of which the application server has none",
        "not credited: a restore may have lost the batch",
        is_conflict=True,
    ),
    "alarm-replica-age": Kind("sites cut for longer than their policy likes", "nothing stopped"),
    "alarm-site-total": Kind("sites that spent more than their policy likes", "nothing stopped"),
    "drill-asked": Kind(
        "asked at the application server after all, in a drill",
        "the application server's answer was taken",
    ),
    "drill-ended": Kind("drills that ended", "the journal was forwarded"),
    "count-set-aside": Kind(
        "printer counted far more than was analysed", "charged as analysed", is_conflict=True
    ),
    "unknown-users-many": Kind(
        "hours in which more unknown people printed than are made users",
        "their jobs were held",
    ),
    "beyond-reservation": Kind(
        "more pages than were reserved", "all of them charged", is_conflict=True
    ),
    "repeated-complete": Kind(
        "reported again with other pages", "the first report stands", is_conflict=True
    ),
    "price-difference": Kind(
        "site and application server got another price",
        "the site's stands: the user was told it",
        is_conflict=True,
    ),
    "stream-replaced": Kind(
        "a site's journal was lost, restored or cloned",
        "its old stream is frozen; providers sent what they retained",
        is_conflict=True,
    ),
    "restored": Kind(
        "the application server was restored",
        "a new timeline began; everybody offered again what they retained",
        is_conflict=True,
    ),
    "lost-edit": Kind(
        "edits that a restore has lost and a site had followed",
        "not made again: `papercutd lost-edits list` compares them with what is",
        is_conflict=True,
    ),
    # Not listed one by one but counted from the books.
    "superseded": Kind(
        "answers that came after another was taken",
        "given back: they cost nothing",
        is_conflict=True,
    ),
    "decided-twice": Kind(
        "keys for which two servers had reserved",
        "charged once, the other reservation voided",
        is_conflict=True,
    ),
}


def words_of(kind: str) -> Kind:
    """Of a kind that this release does not know, its own name."""
    return KINDS.get(kind, Kind(kind.replace("-", " "), "listed"))
