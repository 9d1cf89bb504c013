"""Whose printer and whose job: what owners may ask for and sites may speak for.

A job's owner is a print provider, or the device at which a run goes on. ``schema`` is
empty for the application server's database, ``replica.`` at a site.
"""

from __future__ import annotations

from papercutd.domain.job import Request, device_owner, is_run, is_submit
from papercutd.errors import Rejected
from papercutd.storage.engine import Connection


def check_step(owner: str, step: str) -> None:
    """Raise Rejected ``bad-fields`` unless devices name runs, and print providers none.

    A run is reserved in part, and charged for as many pages as were counted; a print job
    never.
    """
    if is_run(step) != (device_owner(owner) is not None):
        raise Rejected("bad-fields")


def check_printer(connection: Connection, schema: str, request: Request, site: str | None) -> bool:
    """Whether the job is to wait at its printer for its person.

    Raises Rejected ``unknown-printer``, or ``not-yours`` where the printer is not the
    owner's; with ``site`` also where the owner does not stand there.
    """
    device = device_owner(request.provider)
    check_step(request.provider, request.step)
    found = connection.execute(
        f"SELECT provider.name, site.name, release <> 'immediate' FROM {schema}printer AS printer"
        f" JOIN {schema}provider AS provider ON provider.id = printer.provider"
        f" LEFT JOIN {schema}site AS site ON site.id = provider.site"
        " WHERE printer.id = ? AND printer.removed = 0",
        (request.printer,),
    ).fetchone()
    if found is None:
        raise Rejected("unknown-printer")
    owner, stands_at, waits = found
    if device is not None:
        found = connection.execute(
            f"SELECT device.printer, site.name FROM {schema}device AS device"
            f" LEFT JOIN {schema}site AS site ON site.id = device.site"
            " WHERE device.name = ? AND device.removed = 0",
            (device,),
        ).fetchone()
        owner, stands_at = (request.provider, found[1]) if found is not None else ("", None)
        if found is not None and found[0] != request.printer:
            raise Rejected("not-yours")
    if owner != request.provider or (site is not None and stands_at != site):
        raise Rejected("not-yours")
    return bool(waits) and is_submit(request.step)


def check_spoken_for(connection: Connection, site: str, owner: str) -> None:
    """Raise Rejected ``not-yours`` unless ``owner`` stands or stood at ``site``.

    What a site journalled of an owner still comes in after the owner was moved away.
    """
    device = device_owner(owner)
    kind, name = ("provider", owner) if device is None else ("device", device)
    found = connection.execute(
        f"SELECT 1 FROM {kind} AS owner JOIN site ON site.id = owner.site"
        " WHERE owner.name = ?1 AND site.name = ?2 UNION ALL"
        " SELECT 1 FROM stood JOIN site ON site.id = stood.site"
        " WHERE stood.owner = ?3 AND site.name = ?2 LIMIT 1",
        (name, site, f"{kind}:{name}"),
    ).fetchone()
    if found is None:
        raise Rejected("not-yours")


def site_of_owner(connection: Connection, owner: str) -> int | None:
    """The id of the site at which a print provider or device stands; None: at none."""
    device = device_owner(owner)
    kind, name = ("provider", owner) if device is None else ("device", device)
    found = connection.execute(f"SELECT site FROM {kind} WHERE name = ?", (name,)).fetchone()
    return None if found is None else found[0]


def note_stood(connection: Connection, kind: str, id: int) -> None:
    """A ``provider`` or ``device`` is about to be moved: remember where it stood."""
    connection.execute(
        f"INSERT INTO stood SELECT '{kind}:' || name, site FROM {kind}"
        " WHERE id = ? AND site IS NOT NULL ON CONFLICT DO NOTHING",
        (id,),
    )
