"""Which versions of the wire the others speak, in the words that status and health have for it."""

from __future__ import annotations

from typing import Any, Protocol

from papercutd.services.sessions import Sessions
from protocols.codes import Code
from protocols.errors import Refusal
from protocols.handshake import VERSIONS, advise, shown_versions

#: Peers of one list in status.
LISTED_MAX = 100


class Linked(Protocol):
    """What this needs of a Link."""

    @property
    def refusal(self) -> Refusal | None: ...


def told_versions(refusal: Refusal | None) -> list[int] | None:
    """The versions of a server that speaks none of ours; None: it refused for something else."""
    if refusal is None or refusal.code is not Code.VERSION:
        return None
    spoken = refusal.fields.get("spoken")
    return shown_versions(spoken) if isinstance(spoken, list) else []


def refused_by(link: Linked, server: str) -> list[str]:
    """What to do about ``server``, which speaks no version of ours; empty: nothing."""
    found = told_versions(link.refusal)
    return [] if found is None else [advise(server, found)]


def versions_status(*registries: Sessions, refused: list[str] | None = None) -> dict[str, Any]:
    """For ``status``: what we speak, who speaks something older, and who was refused for it."""
    older = [
        {
            "name": identity,
            "speaks": session.version,
            "software": "" if session.hello is None else session.hello.software,
        }
        for registry in registries
        for identity, session in registry.all()
        if session.version < max(VERSIONS)
    ]
    return {
        "speaks": list(VERSIONS),
        "older_peers": sorted(older, key=lambda one: str(one["name"]))[:LISTED_MAX],
        "refused_versions": [*(refused or []), *_refused(registries)],
    }


def versions_check(*registries: Sessions, refused: list[str] | None = None) -> dict[str, Any]:
    """For health: nobody is kept out for what it speaks."""
    found = [*(refused or []), *_refused(registries)]
    return {"name": "versions", "ok": not found, "detail": "; ".join(found)}


def _refused(registries: tuple[Sessions, ...]) -> list[str]:
    found = sorted(one for registry in registries for one in registry.unspoken.items())
    return [
        advise(identity.replace(":", " "), unspoken.offered)
        + (f" (its release is {unspoken.software})" if unspoken.software else "")
        for identity, unspoken in found[:LISTED_MAX]
    ]
