"""A site finds the newest change that it shares with an application server that was restored."""

from __future__ import annotations

from papercutd.domain.lost_edit import PLACES_MAX
from papercutd.services import wire
from papercutd.storage.interfaces import ISiteStore
from protocols.codes import Code
from protocols.endpoint import Session
from protocols.errors import Refusal
from protocols.site import messages as site

#: Each round leaves one place in PLACES_MAX; a replica keeps fewer than this takes.
ROUNDS_MAX = 4


async def find_shared(session: Session, store: ISiteStore) -> int | None:
    """The number of that change, 0 where none is known; None: the server cannot say.

    Histories share all up to one place, and nothing after it: the gap around it is narrowed.
    """
    if session.version < site.Shared.SINCE:
        return None
    above, below = 0, None
    for _ in range(ROUNDS_MAX):
        places = await store.places(above, below, PLACES_MAX)
        if not places:
            break
        try:
            answer = await session.call(site.Shared([wire.mark_sent(place) for place in places]))
        except Refusal as refusal:
            if refusal.code is not Code.UNKNOWN_VERB:
                raise
            return None
        above = max((p.number for p in places if p.number <= answer.number), default=above)
        below = min((p.number for p in places if p.number > answer.number), default=below)
    return above
