"""What a generated connection says: whole jobs, questions alone, copies, journals of sites."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import attrs

from papercutd.domain.chain import CHAIN_START, next_chain

DOCUMENT = b'{"groups":[{"paper":"A4","pages":1}]}'
#: Records of one JOURNAL.
BATCH = 25
#: Sites of a herd come back within these seconds.
COME_BACK_S = 3.0


@attrs.define
class Slot:
    """One piece of work at a time; each begins when the one before is done."""

    again: bool = True
    #: Which of its requests comes next.
    step: int = 0
    job: bytes = b""
    kept: Any = None


def new_id() -> bytes:
    """A UUIDv7, as askers mint them."""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 7 << 76
    return str(uuid.UUID(int=number & ~(0x3 << 62) | 2 << 62)).encode()


class Talk:
    """One connection's part."""

    role: ClassVar[str] = "provider"
    server: tuple[str, str] = ("application", "application")
    #: What one piece of work counts for.
    worth = 1

    def __init__(self, folder: Path, number: int, plan: dict[str, Any]) -> None:
        self.name = folder.name
        self.folder = folder
        self.journal = new_id().decode()
        self._users = [b"load%d" % user for user in range(plan["users"])]
        self._rng = random.Random(number)

    def greetings(self) -> Iterator[bytes]:
        hello = {"versions": [1], "role": self.role, "name": self.name, "journal": self.journal}
        yield b"HELLO " + json.dumps({**hello, "mark": {"number": 0, "chain": "00" * 32}}).encode()

    def is_answer(self, rest: bytes) -> bool:
        return rest.startswith(b"OK ")

    def begin(self, slot: Slot) -> bytes:
        """The first request of a piece of work."""
        raise NotImplementedError

    def go_on(self, slot: Slot, body: bytes) -> bytes | None:
        """What follows on an answer; None: it is done."""
        return None


class Questions(Talk):
    """AUTHORIZE and no more."""

    def __init__(self, folder: Path, number: int, plan: dict[str, Any]) -> None:
        super().__init__(folder, number, plan)
        self._printer = (folder / "printer").read_bytes()

    def begin(self, slot: Slot) -> bytes:
        slot.job = new_id()
        slot.kept = self._rng.choice(self._users)
        return b"AUTHORIZE {%b}" % self._fields(slot)

    def _fields(self, slot: Slot) -> bytes:
        return b'"job":"%b","step":"submit-1","printer":%b,"user_name":"%b","document":%b' % (
            *(slot.job, self._printer, slot.kept, DOCUMENT),
        )


class Jobs(Questions):
    """AUTHORIZE, then COMPLETE with its answer."""

    def go_on(self, slot: Slot, body: bytes) -> bytes | None:
        if slot.step > 1:
            return None
        return b'COMPLETE {%b,"decision":%b,"pages":null}' % (self._fields(slot), body)


class Echoes(Questions):
    """The same line as a question, to who sends it back."""

    def greetings(self) -> Iterator[bytes]:
        return iter(())

    def is_answer(self, rest: bytes) -> bool:
        return rest.startswith(b"AUTHORIZE ")


class Visits(Talk):
    """Somebody logs in with a card at a device, copies two pages and leaves."""

    role = "device"

    def __init__(self, folder: Path, number: int, plan: dict[str, Any]) -> None:
        super().__init__(folder, number, plan)
        self._card = plan["card"]

    def greetings(self) -> Iterator[bytes]:
        yield from super().greetings()
        yield b'OPEN {"page":0,"last":true,"runs":[]}'

    def begin(self, slot: Slot) -> bytes:
        return b'LOGIN {"method":"card","card":"%b"}' % self._card.encode()

    def go_on(self, slot: Slot, body: bytes) -> bytes | None:
        found = json.loads(body)
        if slot.step == 1:
            slot.kept = found["login"]
            asked = {"login": slot.kept, "function": "copy", "pages": 2}
            return b"RUN " + json.dumps(asked).encode()
        if slot.step == 2:
            return b"FINISH " + json.dumps({"grant": found["grant"], "pages": 2}).encode()
        if slot.step == 3:
            return b"LOGOUT " + json.dumps({"login": slot.kept}).encode()
        return None


class Journals(Talk):
    """A site forwards refusals that it journalled while it was cut, batch after batch."""

    role = "site"
    worth = BATCH

    def __init__(self, folder: Path, number: int, plan: dict[str, Any]) -> None:
        super().__init__(folder, number, plan)
        self._provider = (folder / "provider").read_text()
        self._printer = int((folder / "printer").read_text())
        self._number, self._chain = 0, CHAIN_START
        self._waiting: list[Slot] = []
        self._people = itertools.cycle(range(plan["users"]))

    def begin(self, slot: Slot) -> bytes:
        records = [self._record() for _ in range(BATCH)]
        batch = {"stream": self.journal, "after": self._number, "chain": self._chain}
        for record in records:
            self._chain = next_chain(self._chain, record.encode())
        self._number += BATCH
        return b"JOURNAL " + json.dumps({**batch, "records": records}).encode()

    def _record(self) -> str:
        document = {"groups": [{"paper": "A4", "pages": 1, "colour": 0}]}
        line = {"what": "A4 grey", "quantity": 1, "unit_e4": 500}
        job = new_id().decode()
        # As the server made them: behind the accounts that are its own.
        person = next(self._people)
        whose = {"user": person + 1, "account": person + 4}
        decision = {
            **{"verdict": "allow", "reason": "", "decider": self.journal, **whose},
            **{"printer": self._printer, "price_version": 1, "lines": [line]},
        }
        done = {
            **{"job": job, "step": "submit-1", "provider": self._provider},
            **{"printer": self._printer, "user_name": f"load{person}", "document": document},
            **{"decision": decision, "pages": None},
        }
        told = {"kind": "completed", "key": f"{job}/submit-1", "position": "", "at": time.time()}
        return json.dumps({**told, "completion": done})


KINDS = {
    "authorize": Questions,
    "jobs": Jobs,
    "echo": Echoes,
    "visits": Visits,
    "journals": Journals,
}
