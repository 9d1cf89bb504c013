"""Shared accounts from a file: all or nothing, each rejected line named; and by operations."""

from __future__ import annotations

import tempfile
from typing import Any

from twisted.internet.defer import Deferred

from papercutd.errors import InvalidValue
from papercutd.services.import_operations import ImportOperations
from papercutd.services.shared_account_operations import SharedAccountOperations
from papercutd.storage.people.people import CARD_KEY
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Centre, Turner


class Base:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        store = self.centre.store
        self.turner.result(store.ensure_secret(CARD_KEY, "0" * 64))
        for name in ("anna", "berta"):
            self.centre.user(name)
        self.turner.result(store.rules.add_group("staff"))
        imports = ImportOperations(store, self.turner.environment(), None)
        self.imports = imports
        self.operations = SharedAccountOperations(store, imports).all()

    def do(self, word: str, /, **given: Any) -> Any:
        operation = self.operations[f"account.{word}"]
        return self.turner.result(Deferred.fromCoroutine(operation(given, lambda figures: None)))

    def load(self, *lines: str, data: bytes | None = None, **given: Any) -> Any:
        data = "".join(f"{line}\n" for line in lines).encode() if data is None else data
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return self.do("import", path=file.name, **given)

    def figures(self, found: Any) -> list[Any]:
        return [found[name] for name in ("ok", "added", "changed", "same")]

    def names(self) -> list[str]:
        return [row["name"] for row in self.do("list")]

    FILE = (
        "\tPhysics\tY\t1234\t100.00\tY\t[All Users]\t\tALWAYS_INVOICE\tCOMMENT_REQUIRED\tnote",
        "Physics\tLaser\tY\t\t0\tN\tanna|berta\tstaff\tNEVER_INVOICE\tNO_COMMENT\t",
        "Physics\\Laser\tDiode\tN\t77\t\t\t\t\t\t\t",
        "Law\t\tY\t\t-5\tN\t\t\t\t\t",
    )


class SharedImportContract(Base):
    def test_all_columns_the_same_again_and_exported(self) -> None:
        self.assertEqual(self.figures(self.load(*self.FILE, check=True)), [True, 4, 0, 0])
        self.assertEqual(self.names(), [])
        self.assertEqual(self.figures(self.load(*self.FILE)), [True, 4, 0, 0])
        self.assertEqual(
            self.names(), ["Law", "Physics", "Physics\\Laser", "Physics\\Laser\\Diode"]
        )
        laser = self.do("show", name="Physics\\Laser")
        self.assertEqual(
            [laser[k] for k in ("users", "groups", "invoice", "comment", "restricted", "has_pin")],
            [["anna", "berta"], ["staff"], "never", "none", 0, False],
        )
        diode = self.do("show", name="Physics\\Laser\\Diode")
        self.assertEqual(
            [diode[k] for k in ("disabled", "has_pin", "access_by", "balance")],
            ["for good", True, "Physics\\Laser", "0.00"],
        )
        self.assertEqual(self.do("show", name="Law")["balance"], "-5.00")
        self.assertEqual(self.figures(self.load(*self.FILE)), [True, 0, 0, 4])
        page = self.do("export")
        self.assertEqual(self.figures(self.load(*page["lines"])), [True, 0, 0, 4])
        self.assertIsNone(page["after"])
        changed = self.load(
            "\tPhysics\tY\t\t120.50\t\t\tstaff\t\t\t",
            "Law\t\t\t\t7\t\t\t\t\t\t",
            keep_balances=True,
        )
        self.assertEqual(self.figures(changed), [True, 0, 1, 1])
        self.assertEqual(self.do("show", name="Physics")["groups"], ["staff"])
        self.assertEqual(self.centre.query("SELECT * FROM import_run"), [])
        self.assertEqual(self.centre.query("SELECT * FROM import_row"), [])
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])


class ImportRulesContract(Base):
    """What no engine does otherwise."""

    once = True

    def test_accounts_that_are_missing_are_disabled(self) -> None:
        self.load(*self.FILE)
        self.do("add", name="Old")
        self.do("close", name="Old")
        whole = ("Physics\tLaser\tY\t\t\t\t\t\t\t\t", "\tNew" + "\t" * 9)
        before = self.turner.result(self.centre.store.head())
        found = self.load(*whole, close_missing=True, check=True)
        # One above an account that is named is there, what is disabled or closed is not missing.
        self.assertEqual(found["missing"], {"count": 1, "names": ["Law"]})
        self.assertEqual(self.figures(found), [True, 1, 1, 1])
        self.assertEqual(self.turner.result(self.centre.store.head()), before)
        found = self.load(*whole, close_missing=True)
        self.assertEqual(self.figures(found), [True, 1, 1, 1])
        self.assertEqual(self.do("show", name="Law")["disabled"], "for good")
        self.assertEqual(self.do("show", name="Physics")["disabled"], "no")
        self.assertEqual(self.load(*whole, close_missing=True)["missing"]["count"], 0)
        # A line that names it again says whether it is enabled.
        self.load("\tLaw\tY" + "\t" * 8)
        self.assertEqual(self.do("show", name="Law")["disabled"], "no")

    def test_nothing_is_missing_where_a_line_is_not_read(self) -> None:
        self.load(*self.FILE)
        for lines, given in (
            (("\tNew" + "\t" * 9,), {"skip_rejected": True}),
            ((), {}),
        ):
            with self.assertRaises(InvalidValue):
                self.load(*lines, close_missing=True, **given)
        found = self.load("half a line", close_missing=True)
        self.assertEqual((found["ok"], found["missing"]["count"]), (False, 0))
        self.assertEqual(self.do("show", name="Law")["disabled"], "no")
        self.assertIn("no line with an account", self.load("", check=True)["warnings"][-1])

    def test_bad_lines_are_named_and_nothing_is_taken(self) -> None:
        self.do("add", name="Old", pin="9")
        self.do("close", name="Old")
        self.do("add", name="Taken", pin="55")
        tabs = "\t" * 8
        bad = {
            f"\tA\\b\tY{tabs}": "backslash",
            f"Nowhere\tA\tY{tabs}": "neither there nor in a line before",
            f"\tA\tperhaps{tabs}": "is Y or N",
            f"\tGood\tY{tabs}": "",
            f"\tGOOD\tY{tabs}": "is that of line 4 too",
            "\tB\tY\t55" + "\t" * 7: "pin: is that of 'Taken' already",
            "\tC\tY\t1\t1,5" + "\t" * 6: "comma",
            "\tD\tY\t\t\t\tnobody" + "\t" * 4: "nobody",
            "\tE\tY\t\t\t\t\tnogroup" + "\t" * 3: "nogroup",
            "\tF\tY\t\t\t\t\t\tSOMETIMES\t\t": "invoice option",
            "\tG\tY": "has 3 columns, the format has 11",
            "H,,Y": "holds commas and no tab",
            f"\tOld\tY{tabs}": "closed account",
            "\tI\tY\t\t\t\t[All Users]|anna\t\t\t\t": "not both",
            "x" * 70_000: "longer than",
        }
        found = self.load(*bad)
        reasons = {one["line"]: one["reason"] for one in found["rejected"]}
        for line, words in enumerate(bad.values(), 1):
            if words:
                self.assertIn(words, reasons.pop(line))
        self.assertEqual((reasons, self.figures(found)), ({}, [False, 0, 0, 0]))
        self.assertEqual(self.names(), ["Old", "Taken"])
        found = self.load(*bad, skip_rejected=True)
        self.assertEqual((found["added"], self.names()), (1, ["Good", "Old", "Taken"]))

    def test_encodings_and_half_a_line(self) -> None:
        line = "\tÄrzte\tY" + "\t" * 8
        with self.assertRaisesRegex(InvalidValue, "latin-1"):
            self.load(data=f"{line}\n".encode("latin-1"))
        found = self.load(data=b"\xef\xbb\xbf" + line.encode())
        self.assertEqual((found["added"], len(found["warnings"])), (1, 1))
        self.assertEqual(self.names(), ["Ärzte"])

    def test_an_interruption_is_finished_at_the_next_start(self) -> None:
        people, shared = self.centre.store.people, self.centre.store.shared
        apply = people.apply_import
        count = []

        def once(id: str, count_max: int = 2) -> Any:
            count.append(id)
            if len(count) > 1:
                raise SystemExit
            return apply(id, 2)

        self.patch(people, "apply_import", once)
        with self.assertRaises(SystemExit):
            self.load(*self.FILE)
        self.assertEqual(len(self.turner.result(shared.page())), 2)
        self.patch(people, "apply_import", apply)
        self.turner.run(self.imports.resume())
        self.assertEqual(len(self.turner.result(shared.page())), 4)
        self.assertEqual(self.centre.query("SELECT * FROM import_run"), [])

    def test_by_operations(self) -> None:
        self.do("add", name="Physics", balance="20.00", pin="1", markup="12.5")
        added = self.do("add", name="Laser", parent="Physics", access="everybody")
        self.assertEqual(added["name"], "Physics\\Laser")
        shown = self.do(
            "set",
            name="Physics",
            **{"restricted": False, "overdraft": "5", "disabled_until": "2027-01-31"},
        )
        words = ("markup", "disabled", "restricted", "overdraft_e4", "balance", "has_pin")
        self.assertEqual(
            [shown[word] for word in words],
            ["12.5 %", "until 2027-01-31", 0, 50_000, "20.00", True],
        )
        self.assertEqual(self.do("set", name="Physics", disabled_until="no")["disabled"], "no")
        self.do("set", name="Physics", disabled_until="forever")
        changed = self.do("access-add", name="Physics", users=["anna"], groups=["staff"])
        self.assertEqual((changed["changed"], changed["users"]), (2, ["anna"]))
        changed = self.do("access-remove", name="Physics", users=["anna"])
        self.assertEqual((changed["changed"], changed["groups"]), (1, ["staff"]))
        self.assertEqual(
            self.do("rename", name="Physics", new_name="Optics"),
            {"name": "Optics", "was": "Physics"},
        )
        self.do("add", name="Law")
        self.assertEqual(self.do("adjust", name="Law", amount="-1.5")["balance"], "-1.50")
        self.assertEqual(self.do("move", name="Optics\\Laser", parent="Law")["name"], "Law\\Laser")
        self.assertEqual(self.do("close", name="Law"), {"name": "Law", "closed": 2})
        self.assertEqual(self.do("reopen", name="Law")["closed"], 0)
        self.assertEqual(len(self.do("list", below="Law")), 2)
        for operation, given in (
            ("set", {"name": "Law"}),
            ("set", {"name": "Law", "disabled_until": "tomorrow"}),
            ("set", {"name": "Law", "restricted": "yes"}),
            ("set", {"name": "Law", "markup": "1e9"}),
            ("access-add", {"name": "Law"}),
            ("add", {"name": "a\\b\\"}),
        ):
            with self.assertRaises(InvalidValue):
                self.do(operation, **given)


on_every_engine(globals())
