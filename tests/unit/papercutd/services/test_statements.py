"""Signed statements and heads, shown again to the server that made them."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.signed import as_printed
from papercutd.errors import InvalidValue
from papercutd.identity.signing import Signer
from papercutd.services.statements import HEADS_MAX, SETTLE_EVERY_S, Statements
from tests.contract.test_statement import StatementContract as _Outage
from tests.support.certificates import make_authority
from tests.support.engines import ENGINES
from tests.support.stores import WALL_S


class StatementsTests(SynchronousTestCase):
    engine = ENGINES[0]

    def setUp(self) -> None:
        _Outage.setUp(self)  # type: ignore[arg-type]
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        env = self.turner.environment()
        signer = Signer(env, make_authority(WALL_S), self.directory / "signing")
        self.heads = self.directory / "heads"
        self.statements = Statements(env, self.centre.store, signer, self.heads)

    def outage(self) -> None:
        _Outage.cut(self)  # type: ignore[arg-type]
        _Outage.print_at_site(self)  # type: ignore[arg-type]
        _Outage.heal(self)  # type: ignore[arg-type]
        _Outage.forward(self)  # type: ignore[arg-type]

    def call(self, name: str, **arguments: Any) -> Any:
        return self.turner.run(self.statements.all()[name](arguments, lambda figures: None))

    def verify(self, document: Any) -> Any:
        return self.call("verify.signed", text=as_printed(document))

    def test_genuine_and_the_books_agree(self) -> None:
        self.outage()
        stated = self.call("statement")
        self.assertEqual(stated["state"], "closed")
        found = self.verify(stated)
        told = {"ok": True, "genuine": True, "books_agree": True, "problems": []}
        self.assertEqual(found, told)
        # Later outages, other names and another policy change nothing of that.
        store = self.centre.store
        self.turner.result(store.rename_user("anna", "bertha"))
        self.turner.result(store.set_site("north", {"policy": "closed"}))
        self.outage()
        self.assertEqual(self.verify(stated), told)
        self.assertEqual(self.verify(self.call("head")), told)

    def test_a_site_that_was_taken_away(self) -> None:
        """Its outage closed when it was; what comes later is not part of it."""
        _Outage.cut(self)  # type: ignore[arg-type]
        self.turner.result(self.centre.store.remove_site("north"))
        stated = self.call("statement")
        self.assertEqual(stated["state"], "closed")
        self.centre.user("bert")
        self.assertEqual(self.verify(stated)["problems"], [])

    def test_changed_documents(self) -> None:
        self.outage()
        stated = self.call("statement")
        self.assertFalse(self.verify({**stated, "jobs": 2})["genuine"])
        self.assertFalse(self.verify({**self.call("head"), "at": 1.0})["genuine"])

    def test_changed_books(self) -> None:
        self.outage()
        stated = self.call("statement")
        self.centre.query("UPDATE charge SET user_name = 'bert'")
        found = self.verify(stated)
        self.assertEqual(found["problems"], ["the books say otherwise: by user"])
        self.assertTrue(found["genuine"])

    def test_a_lost_history(self) -> None:
        """The books were put back to before it."""
        self.outage()
        stated = self.call("statement")
        number = stated["position"]["number"]
        self.centre.query("DELETE FROM change_log WHERE number >= ?", number)
        (problem,) = self.verify(stated)["problems"]
        self.assertIn("is not in the books", problem)

    def test_bad_input(self) -> None:
        for text in ("", "{}", "[]", "nonsense", '{"kind": "head"}', "[" * 100_000):
            with self.assertRaises(InvalidValue):
                self.call("verify.signed", text=text)
        whole = self.call("head")
        for name, value in (("position", []), ("installation", 1), ("kind", "x")):
            with self.assertRaises(InvalidValue):
                self.verify({**whole, name: value})
        for count in (0, 501):
            with self.assertRaises(InvalidValue):
                self.call("outages", count=count)

    def test_it_closes_and_signs_by_itself(self) -> None:
        self.statements.start()
        self.turner.settle()
        self.outage()
        self.turner.clock.advance(SETTLE_EVERY_S)
        self.turner.settle()
        self.assertEqual(self.centre.query("SELECT signature <> '' FROM outage"), [(1,)])
        self.statements.stop()

    def test_a_head_every_day(self) -> None:
        """One file each, genuine, and not more of them than so many."""
        self.statements.start()
        self.turner.settle()
        (first,) = self.heads.iterdir()
        self.assertTrue(self.verify(json.loads(first.read_text()))["ok"])
        for number in range(HEADS_MAX + 5):
            (self.heads / f"head-1999-{number:05}.json").write_text("{}")
        self.turner.clock.pump([SETTLE_EVERY_S] * 3)
        self.turner.settle()
        self.assertEqual(len(list(self.heads.glob("head-2*"))), 1)
        self.turner.clock.advance(86_400)
        self.turner.settle()
        names = sorted(path.name for path in self.heads.iterdir())
        self.assertEqual(len(names), HEADS_MAX)
        self.assertEqual(sum(name.startswith("head-2") for name in names), 2)
        self.statements.stop()
