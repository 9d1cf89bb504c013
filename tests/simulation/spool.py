"""Documents of a simulated print server: facts, no files."""

from __future__ import annotations

import attrs

from papercutd.domain.document import Document


@attrs.frozen
class SpooledDocument:
    """A document as it lies in the spool, and what an analyser would find in it."""

    path: str
    document: Document
    size: int
    #: Hexadecimal, as the digest of a real file.
    digest: str


class SimSpool:
    """The spool directory of one node: survives its crashes, lost with its disk."""

    def __init__(self) -> None:
        self._documents: dict[str, SpooledDocument] = {}

    def add(self, spooled: SpooledDocument) -> None:
        """A document is there, whole: as after rename and fsync."""
        self._documents[spooled.path] = spooled

    def get(self, path: str) -> SpooledDocument | None:
        return self._documents.get(path)

    def remove(self, path: str) -> None:
        self._documents.pop(path, None)

    def paths(self) -> list[str]:
        return sorted(self._documents)

    def save(self) -> dict[str, SpooledDocument]:
        return dict(self._documents)

    def restore(self, saved: dict[str, SpooledDocument]) -> None:
        self._documents = dict(saved)


class SimAnalyser:
    """Stands in for the provider's DocumentAnalyser: reads the facts in the spool."""

    def __init__(self, spool: SimSpool) -> None:
        self._spool = spool

    async def analyse(
        self, path: str, format: str, copies: int, duplex: bool, user_name: str = ""
    ) -> Document:
        """The document's facts; ``analysed`` is False where there are none."""
        spooled = self._spool.get(path)
        if spooled is None:
            return Document((), copies, duplex, format, analysed=False)
        return attrs.evolve(spooled.document, copies=copies, duplex=duplex, format=format)
