"""What the documents of a CUPS job are: its originals, or else what filters make of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.domain.document import Document, PageGroup
from papercutd.environment import Environment
from papercutd.provider.analysis.analyser import READABLE, DocumentAnalyser
from papercutd.provider.analysis.formats import guess_format
from papercutd.provider.analysis.layout import Layout
from papercutd.provider.cups.following import Following
from papercutd.provider.cups.options import layout_of, parse_options
from papercutd.provider.cups.patient_cups import PatientCups
from papercutd.provider.cups.server import CupsRefused, CupsServer, Queue
from papercutd.provider.journal import Job
from papercutd.provider.printing import Canceled

_log = Logger()
#: Seconds between two looks at one job that is waited for.
LOOK_S = 5.0
#: Seconds for which filters may make what the backend is asked to show.
STREAM_S = 300.0
#: How often a backend is asked to show it.
STREAM_ASKED_MAX = 3
BLOCK = 1 << 20
DOCUMENTS_MAX = 1_000


@attrs.frozen
class Begun:
    """What is known of a job as soon as CUPS has said all of it."""

    layout: Layout
    options: dict[str, str]
    #: How many sheets stand before the documents, and after them; None: CUPS does not say.
    sheets: tuple[int, int] | None
    #: The numbers of the documents at CUPS, the sheets apart.
    numbers: range
    #: What document 1 is; None: a sheet, or CUPS does not give it.
    first: Document | None


class Documents:
    """Has the documents of jobs analysed; they lie in ``folder`` while they are looked into."""

    def __init__(
        self,
        env: Environment,
        cups: CupsServer,
        patient: PatientCups,
        analyser: DocumentAnalyser,
        folder: Path,
        size_max: int,
        fetched: Callable[[], None],
    ) -> None:
        """``fetched`` is called when a job's documents are about to be looked into."""
        self._env = env
        self._cups = cups
        self._patient = patient
        self._analyser = analyser
        self._folder = folder
        self._document_max_bytes = size_max
        self._fetched = fetched

    def clear(self) -> None:
        """Make the folder, without what a process before left in it."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for left in self._folder.iterdir():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def begin(self, following: Following) -> None:
        """Ask CUPS all that is to be known, and look into it; ``analyse`` takes it up."""
        following.begun = Deferred.fromCoroutine(self._begin(following.job))

    def give_up(self, following: Following) -> None:
        """Nobody will have the job analysed."""
        begun, following.begun = following.begun, None
        if begun is not None:
            begun.addErrback(lambda failure: None)
            begun.cancel()

    async def _begin(self, job: Job) -> Begun:
        # A backend waits for it. Most jobs have one document and no sheets: their first is it.
        asking_queue = Deferred.fromCoroutine(self._queue(job))
        looking = Deferred.fromCoroutine(self._look(job))
        fetching = Deferred.fromCoroutine(self._fetch(job, 1))
        try:
            sheets, numbers = await looking
            layout, options = _layout(job, await asking_queue)
            format = await fetching
            self._env.clock.callLater(0, self._fetched)
            first = None
            if format is not None and numbers.start == 1:
                first = await self._analyse_document(job, 1, format, layout, options)
            return Begun(layout, options, sheets, numbers, first)
        finally:
            for asked in (asking_queue, looking, fetching):
                asked.addErrback(lambda failure: None)
                asked.cancel()
            self._path(job, 1).unlink(missing_ok=True)

    async def _queue(self, job: Job) -> Queue | None:
        assert job.spooled is not None
        name = job.spooled.queue
        try:
            return await self._patient.insist(lambda: self._cups.queue(name))
        except CupsRefused as error:
            _log.warn("{error}", error=str(error))
            return None

    async def analyse(self, following: Following) -> Document:
        """What the job is, its options applied; raises Canceled when it is gone."""
        if following.begun is None:
            self.begin(following)
        assert following.begun is not None
        try:
            begun: Begun = await following.begun
        finally:
            following.begun = None
        if begun.sheets is not None:
            following.sheets = begun.sheets
        job, layout = following.job, begun.layout
        assert job.spooled is not None
        documents = []
        for number in begun.numbers:
            found = begun.first if number == 1 else await self._further(job, number, begun)
            if found is not None and not found.analysed:
                # Where no filter runs, the printer is given what could not be read just now.
                if found.format in READABLE and not job.spooled.is_filtered:
                    return found
            if found is None or not found.analysed:
                return await self._analyse_stream(following, layout)
            documents.append(found)
        return _together(documents, layout, job.format)

    async def _further(self, job: Job, number: int, begun: Begun) -> Document | None:
        """One document of several, or after a sheet; None: CUPS does not give it."""
        format = await self._fetch(job, number)
        if format is None:
            return None
        return await self._analyse_document(job, number, format, begun.layout, begun.options)

    async def _analyse_stream(self, following: Following, layout: Layout) -> Document:
        """Of what filters make for the printer: the document itself says nothing to us.

        The options are applied in it, but for copies that the backend makes.
        """
        job = following.job
        assert job.spooled is not None
        makes_copies = job.spooled.uri.startswith("ipp") or not job.spooled.is_filtered
        applied = Layout(layout.copies if makes_copies else 1, layout.duplex)
        give_up_at = self._env.now() + STREAM_S
        asked = 0
        while self._env.now() < give_up_at and asked <= STREAM_ASKED_MAX:
            if following.final is not None:
                raise Canceled
            backend = following.backend
            stream = None if backend is None else backend.take_stream()
            if stream is not None:
                return await self._look_into_stream(following, stream, applied)
            if backend is not None:
                following.backend = None
                asked += 1
                backend.ask_stream()
                continue
            found = await self._patient.look(job)
            if found is None or found.is_final:
                raise Canceled
            if found.is_held_by_backend:
                await self._patient.release(found.number)
            if following.backend is None:
                await following.sleep(self._env.clock, LOOK_S)
        return Document((), layout.copies, layout.duplex, job.format, analysed=False)

    async def _look_into_stream(
        self, following: Following, stream: int, layout: Layout
    ) -> Document:
        job = following.job
        path = self._folder / f"{job.job}-stream"
        try:
            with open(path, "wb") as file:
                at = 0
                # Its offset is the backend's too: it is read without moving it.
                while block := os.pread(stream, BLOCK, at):
                    file.write(block)
                    at += len(block)
                    await deferLater(self._env.clock, 0, lambda: None)
            format = guess_format(os.pread(stream, 1024, 0))
            found = await self._analyser.look_into(
                str(path), format, layout, user_name=job.user_name
            )
            return without_sheets(found, sum(following.sheets or ()))
        except OSError as error:
            _log.warn("what job {job} prints cannot be had: {error}", job=job.job, error=str(error))
            return Document((), layout.copies, layout.duplex, job.format, analysed=False)
        finally:
            os.close(stream)
            path.unlink(missing_ok=True)

    async def _look(self, job: Job) -> tuple[tuple[int, int] | None, range]:
        """The sheets of a job (None: not known), and the numbers of its documents at CUPS."""
        try:
            found = await self._patient.look(job)
        except CupsRefused:
            return None, range(1, 2)
        if found is None or found.is_final:
            raise Canceled
        before, after = found.sheets
        count = min(max(found.documents - before - after, 1), DOCUMENTS_MAX)
        return found.sheets, range(before + 1, before + 1 + count)

    async def sheets(self, job: Job) -> tuple[int, int]:
        """How many sheets CUPS prints before the documents of a job, and after them."""
        try:
            found = await self._patient.look(job)
        except CupsRefused:
            return 0, 0
        return (0, 0) if found is None else found.sheets

    def _path(self, job: Job, number: int) -> Path:
        return self._folder / f"{job.job}-{number}"

    async def _analyse_document(
        self, job: Job, number: int, format: str, layout: Layout, options: Mapping[str, str]
    ) -> Document:
        """One document of the job, which lies in the folder and is gone afterwards."""
        path = self._path(job, number)
        try:
            return await self._analyser.look_into(str(path), format, layout, options, job.user_name)
        finally:
            path.unlink(missing_ok=True)

    async def _fetch(self, job: Job, number: int) -> str | None:
        """Have a document, as its client sent it, in the folder; its format.

        None: CUPS does not give it.
        """
        path = self._path(job, number)
        try:
            with open(path, "w+b") as file:
                format = await self._copy(job, number, file)
                file.seek(0)
                guessed = guess_format(file.read(1024))
            return format if guessed == "application/octet-stream" else guessed
        except (CupsRefused, OSError) as error:
            _log.warn(
                "the document of job {job} cannot be had: {error}", job=job.job, error=str(error)
            )
            path.unlink(missing_ok=True)
            return None
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    async def _copy(self, job: Job, document: int, file: BinaryIO) -> str:
        assert job.spooled is not None
        number = job.spooled.number

        async def copy() -> str:
            file.seek(0)
            file.truncate()
            return await self._cups.document(number, document, file, self._document_max_bytes)

        return await self._patient.insist(copy)


def _layout(job: Job, queue: Queue | None) -> tuple[Layout, dict[str, str]]:
    """How the job is to be printed, and its options."""
    assert job.spooled is not None
    options = {**parse_options(job.spooled.options), "copies": str(job.copies)}
    layout = layout_of(options, queue, job.spooled.is_filtered)
    if layout.paper:
        # Of a text it depends on the paper how many pages it has.
        options["PageSize"] = layout.paper
    return layout, options


def without_sheets(document: Document, sheets: int) -> Document:
    """A stream for the printer less the grey pages of the sheets in it."""
    groups = []
    for group in document.groups:
        taken = min(sheets, group.pages - group.colour)
        sheets -= taken
        if group.pages > taken:
            groups.append(attrs.evolve(group, pages=group.pages - taken))
    return attrs.evolve(document, groups=tuple(groups)) if groups else document


def _together(documents: Sequence[Document], layout: Layout, format: str) -> Document:
    """The documents of one job as one."""
    if len(documents) == 1:
        return documents[0]
    groups: dict[str, list[int]] = {}
    for document in documents:
        for group in document.groups:
            sum_ = groups.setdefault(group.paper, [0, 0])
            sum_[0] += group.pages
            sum_[1] += group.colour
    return Document(
        tuple(PageGroup(paper, pages, colour) for paper, (pages, colour) in groups.items()),
        layout.copies,
        layout.duplex,
        format,
    )
