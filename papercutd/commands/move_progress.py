"""How far a move is, for somebody who looks on: a line every two seconds, and none before."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

import attrs

#: Between two lines; what takes less says nothing.
TELL_S = 2.0


@attrs.define
class Progress:
    """Where it is. The lines come from a thread of their own: a statement that takes minutes
    keeps this one.
    """

    stages: int
    as_json: bool = False
    out: TextIO = attrs.field(factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    #: Of each stage that is over.
    took_s: dict[str, float] = attrs.field(factory=dict)
    _number: int = 0
    _doing: str = ""
    _what: str = ""
    _done: int = 0
    _of: int = 0
    _began: float = 0.0
    _over: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def stage(self, doing: str, of: int = 0) -> None:
        """The next of the stages; ``of``: rows that it has to do, where they are known."""
        self.end()
        self._number += 1
        self._doing, self._what, self._done, self._of = doing, "", 0, of
        self._began = self.clock()

    def end(self) -> None:
        """The stage under way is over."""
        if self._doing:
            self.took_s[self._doing] = round(self.clock() - self._began, 1)
            self._doing = ""

    def at(self, what: str) -> None:
        """What of the stage is being done now, such as a table."""
        self._what = what

    def add(self, rows: int) -> None:
        self._done += rows

    def told(self) -> dict[str, object]:
        """All that is known."""
        took_s = self.clock() - self._began
        found: dict[str, object] = {
            "stage": self._number,
            "of_stages": self.stages,
            "doing": self._doing,
            "took_s": round(took_s, 1),
        }
        if self._what:
            found["what"] = self._what
        if self._of:
            rate = self._done / max(took_s, 0.001)
            found |= {
                "rows": self._done,
                "of_rows": self._of,
                "percent": min(100 * self._done // self._of, 100),
                "rows_a_second": round(rate),
            }
            if self._done:
                found["left_s"] = round(max(self._of - self._done, 0) / rate)
        return found

    def line(self) -> str:
        told = self.told()
        if self.as_json:
            return json.dumps(told)
        line = f"{told['stage']} of {told['of_stages']}, {told['doing']}"
        if "what" in told:
            line += f" {told['what']}"
        if "rows" not in told:
            return f"{line}: {told['took_s']:.0f} s so far"
        line += f": {told['rows']} of {told['of_rows']} rows, {told['percent']} %"
        line += f", {told['rows_a_second']} rows/s"
        return line + (f", {told['left_s']} s left" if "left_s" in told else "")

    def __enter__(self) -> Progress:
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self._thread.start()
        return self

    def _tell(self) -> None:
        while not self._over.wait(TELL_S):
            if self._doing:
                print(self.line(), file=self.out, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
