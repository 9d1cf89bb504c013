"""Users from a file: checked whole, applied in pieces, the same again changes nothing."""

from __future__ import annotations

import os
import tempfile

import msgspec
from twisted.internet.defer import Deferred, fail

from papercutd.domain.import_formats import ImportedUser
from papercutd.errors import InvalidValue, NotFound, Rejected
from papercutd.services.import_operations import ImportOperations
from papercutd.storage.engine import DatabaseFailed
from papercutd.storage.people.imports import PIECE_LINES, ImportSettings, WaitingLine
from papercutd.storage.people.people import CARD_KEY
from tests.contract.test_people import PeopleBase
from tests.support.engines import on_every_engine


class PlainVerifiers:
    """Proves without costing anything."""

    async def make(self, secret):
        return f"v:{secret}"

    async def matches(self, verifier, secret):
        return verifier == f"v:{secret}"


class ImportContract(PeopleBase):
    def setUp(self) -> None:
        super().setUp()
        self.call("ensure_secret", CARD_KEY, f"{1:064x}")
        self.people = self.centre.store.people
        self.operations = ImportOperations(
            self.centre.store, self.turner.environment(7), PlainVerifiers()
        )

    def run_operation(self, name, **given):
        operation = self.operations.all()[name]
        return self.turner.result(Deferred.fromCoroutine(operation(given, lambda figures: None)))

    def load(self, *lines, data=None, **given):
        """What an import of these lines says."""
        data = "".join(f"{line}\n" for line in lines).encode() if data is None else data
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return self.run_operation("user.import-file", path=file.name, **given)

    def figures(self, found):
        return [found[name] for name in ("ok", "added", "changed", "same")]

    def reasons(self, found):
        return {one["line"]: one["reason"] for one in found["rejected"]}

    def left(self):
        return self.centre.query("SELECT * FROM import_run")

    WHOLE = (
        "Ben\t12.50\tN\tBen B\tb@x.org\tPhysics\tR 1\t04A1\t1234\tnote\t04A2\to@x.org\tbb\t/home/b"
    )

    def test_all_columns_and_the_same_again(self) -> None:
        found = self.load(self.WHOLE, "eva" + "\t" * 13)
        self.assertEqual(self.figures(found), [True, 2, 0, 0])
        ben = self.call("user", "ben")
        self.assertEqual((ben["balance_e4"], ben["restricted"]), (125_000, 0))
        self.assertEqual((ben["department"], ben["alias"]), ("Physics", "bb"))
        login = self.call("login_by_card", "04 a2")
        self.assertEqual((login.name, login.pin_verifier), ("Ben", "v:1234"))
        self.assertEqual(self.call("user", "eva")["restricted"], 1)
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        number = self.head().number
        self.assertEqual(self.figures(self.load(self.WHOLE, "eva" + "\t" * 13)), [True, 0, 0, 2])
        self.assertEqual(self.head().number, number)
        self.assertEqual(self.left(), [])

    def test_who_is_there_is_changed_where_the_file_says_so(self) -> None:
        found = self.load("ANNA\t7\tN\t\ta@x.org")
        self.assertEqual(self.figures(found), [True, 0, 1, 0])
        anna = self.call("user", "anna")
        self.assertEqual(
            (anna["name"], anna["balance_e4"], anna["email"]), ("anna", 70_000, "a@x.org")
        )
        self.load("anna\t9", keep_balances=True)
        self.assertEqual(self.balance_e4(), 70_000)

    def test_balances_of_one_purse(self) -> None:
        self.turner.result(self.centre.store.purses.add("quota", None, True, True))
        self.turner.result(self.centre.store.new_users.set_rule(None, {"credit_e4": 5_000}))
        of_quota = {"purse": "quota"}
        lines = ("anna\t2.50", "ben\t1.00", "eva\t0")
        self.assertEqual(self.figures(self.load(*lines, **of_quota)), [True, 2, 1, 0])
        self.assertEqual(self.figures(self.load(*lines, **of_quota)), [True, 0, 0, 3])

        def purses(name):
            return {one["name"]: one["balance_e4"] for one in self.call("user", name)["purses"]}

        self.assertEqual(purses("anna"), {"quota": 25_000, "cash": 100_000})
        # A new user's rule is of the main purse.
        self.assertEqual(purses("ben"), {"quota": 10_000, "cash": 5_000})
        self.assertEqual(self.balance_e4("eva"), 5_000)
        self.assertEqual(self.call("verify"), [])
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        for purse, expected in (("quota", "1.00"), ("cash", "0.50"), ("", "1.50")):
            found = self.run_operation("user.export", purse=purse)["lines"]
            self.assertEqual(found[1].split("\t")[1], expected, purse)
            # The same again changes nothing.
            self.assertEqual(self.figures(self.load(*found, purse=purse)), [True, 0, 0, 3])
        self.load("anna\t-1.00", purse="cash")
        self.assertEqual(purses("anna"), {"quota": 25_000, "cash": -10_000})
        self.load("anna\t2.00")
        self.assertEqual(purses("anna"), {"quota": 25_000, "cash": -5_000})
        found = self.load("anna\t-1.00", "new\t-1", **of_quota)
        self.assertEqual(list(self.reasons(found)), [1, 2])
        self.assertIn("below zero", self.reasons(found)[1])
        with self.assertRaises(NotFound):
            self.load("anna\t1", purse="nothing")
        with self.assertRaises(InvalidValue):
            self.load("anna\t1", format="cards", **of_quota)
        self.assertEqual(self.call("verify"), [])

    def test_nothing_is_half_imported(self) -> None:
        bad = ("ben\t1", "eva\t1,50", "kim\t2")
        before = self.head()
        found = self.load(*bad)
        self.assertEqual(self.figures(found), [False, 0, 0, 0])
        self.assertIn("comma", self.reasons(found)[2])
        self.assertEqual(self.head(), before)
        self.assertEqual(self.left(), [])
        self.assertEqual(self.figures(self.load(*bad, skip_rejected=True)), [True, 2, 0, 0])

    def test_a_rehearsal(self) -> None:
        before = self.head()
        found = self.load("ben\t1", "anna\t2", "eva", check=True)
        self.assertEqual(found["ok"], False)
        found = self.load("ben\t1", "anna\t2", check=True)
        self.assertEqual((self.figures(found), found["changed_nothing"]), ([True, 1, 1, 0], True))
        self.assertEqual(self.head(), before)

    def test_what_stands_against_a_line(self) -> None:
        for name in ("ben", "eva", "kim"):
            self.centre.user(name, 0)
        self.call("add_card", "anna", "99")
        self.call("merge_users", "ben", "anna")
        self.call("delete_user", "eva")
        self.call("rename_user", "kim", "tim")
        tabs = "\t" * 6
        found = self.load(
            *(f"ben{tabs}\t", f"eva{tabs}\t", f"kim{tabs}\t", f"new{tabs}\t99", f"anna{tabs}\t99")
        )
        reasons = self.reasons(found)
        for line, words in enumerate(
            ("merged into 'anna'", "was deleted", "former name of 'tim'", "linked to 'anna'"), 1
        ):
            self.assertIn(words, reasons[line])
        self.assertEqual(reasons[5], "card: is that of line 4 too")
        found = self.load("ben", "kim", now=True)
        self.assertEqual(self.figures(found), [True, 2, 0, 0])
        self.assertNotEqual(self.call("user", "ben")["name"], "anna")

    def test_cards_alone(self) -> None:
        found = self.load("anna\t77\t1234", "nobody\t78\t", format="cards")
        self.assertEqual(self.reasons(found), {2: "there is no user 'nobody'"})
        self.load("anna\t77\t1234", "anna\t78\t", format="cards")
        self.assertEqual(self.call("login_by_card", "78").name, "anna")

    def test_passwords(self) -> None:
        line = "guest\tsecret\t3.00\tY\tA Guest\t\t\t\t\t\t\t\t"
        self.assertEqual(self.figures(self.load(line, format="internal-users")), [True, 1, 0, 0])
        self.assertEqual(self.call("login_by_name", "guest").verifier, "v:secret")
        again = self.load(line, format="internal-users")
        self.assertEqual(self.figures(again), [True, 0, 0, 1])
        self.operations._verifiers = None
        found = self.load(line, format="internal-users")
        self.assertIn("running server", self.reasons(found)[1])

    def test_cards_before_there_is_a_key(self) -> None:
        self.centre.query("DELETE FROM secret RETURNING name")
        with self.assertRaisesRegex(InvalidValue, "started a first time"):
            self.load("anna\t77\t", format="cards")
        self.assertEqual(self.left(), [])

    def test_names_in_another_form_are_the_same_user(self) -> None:
        self.centre.user("José", 0)
        found = self.load("JOSE\N{COMBINING ACUTE ACCENT}\t5")
        self.assertEqual(self.figures(found), [True, 0, 1, 0])

    def test_encodings(self) -> None:
        with self.assertRaisesRegex(InvalidValue, r"line 2 is not in utf-8 .*--encoding latin-1"):
            self.load(data=b"ben\nj\xf6rg\n")
        self.load(data=b"j\xf6rg\n", encoding="latin-1")
        self.assertEqual(self.call("user", "jörg")["name"], "jörg")
        found = self.load(data="eva\r\nkim\r\n".encode("utf-16"))
        self.assertEqual((found["encoding"], found["added"]), ("utf-16", 2))
        found = self.load(data=b"\xef\xbb\xbftim")
        self.assertEqual(found["warnings"], ["the last line has no end: is the file whole?"])
        self.assertEqual(self.call("user", "tim")["name"], "tim")
        for nothing in (b"", b"\n\n"):
            found = self.load(data=nothing)
            self.assertEqual(found["warnings"], ["the file holds no line with a user"])
        self.assertEqual(self.left(), [])

    def test_what_was_begun_is_finished_after_a_start(self) -> None:
        lines = self.turner.result(self.people.plan_import([], ImportSettings()))
        self.assertEqual(lines, [])
        applied = self.people.apply_import
        pieces = []

        def breaking(id, count_max):
            pieces.append(id)
            if len(pieces) == 2:
                raise RuntimeError("the machine is gone")
            return applied(id, count_max)

        self.people.apply_import = breaking
        with self.assertRaises(RuntimeError):
            self.load(*(f"user{number:03}\t1" for number in range(150)))
        self.people.apply_import = applied
        self.assertEqual(len(self.call("users_after", "user")), PIECE_LINES)
        settings = ImportSettings()
        self.turner.result(self.people.begin_import("unfinished", "users", settings))
        self.turner.result(Deferred.fromCoroutine(self.operations.resume()))
        self.assertEqual(len(self.call("users_after", "user")), 150)
        self.assertEqual(self.left(), [])
        self.assertEqual(self.centre.query("SELECT * FROM import_row"), [])

    def test_a_line_that_spoils_its_piece_is_named(self) -> None:
        """Somebody takes the name between the check and the piece: looked at again."""
        begun = self.people.begin_applying

        def meanwhile(id):
            self.centre.user("ben", 0)
            self.call("delete_user", "ben")
            return begun(id)

        self.people.begin_applying = meanwhile
        found = self.load("ben\t5", "eva\t5")
        self.assertEqual(self.figures(found), [True, 1, 0, 0])
        self.assertIn("was deleted", self.reasons(found)[1])

    def test_a_line_that_the_database_refuses_is_named_alone(self) -> None:
        """Its piece is undone, and each of its lines tried by itself; those behind are a piece."""
        apply, tried = self.people.apply_import, []

        def refusing(id, count_max):
            tried.append(count_max)
            left = PIECE_LINES + 50 - len(self.call("users_after", "user"))
            if count_max > 1 and left > 50:
                return fail(DatabaseFailed("a line of these"))
            if tried.count(1) == 3:
                return fail(DatabaseFailed("this line"))
            return apply(id, count_max)

        self.people.apply_import = refusing
        found = self.load(*(f"user{number:03}\t1" for number in range(PIECE_LINES + 50)))
        self.assertEqual(self.reasons(found), {3: "this line"})
        self.assertEqual(found["added"], PIECE_LINES + 49)
        self.assertEqual(tried.count(1), PIECE_LINES + 1)
        self.assertEqual(self.left(), [])
        self.assertEqual(self.centre.query("SELECT * FROM import_row"), [])

    def test_lines_that_an_older_release_left(self) -> None:
        """It had a row for each."""
        self.turner.result(self.people.begin_import("old", "users", ImportSettings()))
        rows = [WaitingLine(ImportedUser(line, f"user{line}")) for line in (1, 2, 3)]
        for row in rows:
            values = ("old", row.user.line, msgspec.json.encode(row).decode())
            self.centre.query("INSERT INTO import_row VALUES (?, ?, ?)", *values)
        self.turner.result(self.people.begin_applying("old"))
        self.assertEqual(self.turner.result(self.people.skip_line("old")), 1)
        self.turner.result(Deferred.fromCoroutine(self.operations.resume()))
        self.assertEqual(len(self.call("users_after", "user")), 2)
        self.assertEqual(self.left(), [])

    def test_an_export_changes_nothing_when_it_is_imported(self) -> None:
        self.load(self.WHOLE, "eva\t-3.5\tY" + "\t" * 11)
        for format in ("users", "internal-users"):
            page = self.run_operation("user.export", format=format)
            self.assertIsNone(page["after"])
            self.assertEqual(len(page["lines"]), 3)
            found = self.load(*page["lines"], format=format)
            self.assertEqual(self.figures(found), [True, 0, 0, 3])

    def test_what_cannot_be(self) -> None:
        for bad in ({"format": "xml"}, {"encoding": "ebcdic"}):
            with self.assertRaises(InvalidValue):
                self.load("ben", **bad)
        with self.assertRaises(InvalidValue):
            self.run_operation("user.import-file", path=os.path.join("/", "nowhere", "at all"))
        self.operations._is_busy = True
        with self.assertRaises(Rejected):
            self.load("ben")


on_every_engine(globals())
