"""Edits that a restore has lost: told by the sites that had followed them, listed, nothing else."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import attrs

from papercutd.domain.chain import Position
from papercutd.domain.job import SessionRef
from papercutd.domain.lost_edit import EDITS_MAX, Edit, Lost
from papercutd.domain.policy import Rule
from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.replication.records import LOST_EDITS, Record, decode_record, encode_record
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import PRICES, Branch, Centre, Turner, completion, job_id, request


class Case:
    """``lost`` goes on after the backup; ``centre`` is what the backup was put back as.

    Both were made by the same operations at the same time, so their histories are the same
    as far as the backup.
    """

    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.lost, self.centre = (self.make_centre() for _ in range(2))
        self.assertEqual(self.head(self.lost), self.head(self.centre))
        self.branch = self.make_branch("north")

    def make_centre(self) -> Centre:
        centre = Centre(self.turner, self.engine)
        self.result(centre.store.ensure_secret("card-key", "5a" * 32))
        for name in ("anna", "ben"):
            centre.user(name)
        self.result(centre.store.shared.add("physics", 0))
        self.result(centre.store.add_card("ben", "4711"))
        self.result(centre.store.rules.add_group("students"))
        self.result(centre.store.rules.change_group("students", add=["ben"]))
        return centre

    def make_branch(self, name: str) -> Branch:
        branch = Branch(self.turner, name, engine=self.engine)
        self.load(branch, self.lost)
        return branch

    def load(self, branch: Branch, centre: Centre, shared: int | None = None) -> None:
        image = self.result(centre.store.snapshot())
        self.result(branch.store.begin_snapshot())
        for index, chunk in enumerate(image.chunks):
            self.result(branch.store.load_chunk("s", index, json.loads(chunk)))
        self.turner.run(branch.store.finish_snapshot(image.position, 2, shared))

    def result(self, deferred: Any) -> Any:
        return self.turner.result(deferred)

    def head(self, centre: Centre) -> Position:
        return self.result(centre.store.head())

    def edit(self, *names: str, centre: Centre | None = None) -> None:
        """What administrators do, by their words."""
        store = (centre or self.lost).store
        for name in names:
            self.result(
                {
                    "top-up": lambda: store.adjust("anna", 50_000, "paid in"),
                    "fine": lambda: store.adjust("anna", -30_000, "a fine"),
                    "price": lambda: store.add_prices(PRICES),
                    "carl": lambda: store.add_user("carl", balance_e4=7_000),
                    "rename": lambda: store.rename_user("anna", "anne"),
                    "delete": lambda: store.delete_user("ben"),
                    "password": lambda: store.set_verifier("anna", "password", "argon2-secret"),
                    "card": lambda: store.add_card("anna", "8899"),
                    "no card": lambda: store.remove_card("4711"),
                    "leave": lambda: store.rules.change_group("students", remove=["ben"]),
                    "rule": lambda: store.rules.change_rules(set=[Rule("cap", "e4:5000", group=1)]),
                    "cap": lambda: store.set_site("south", {"cap_user_e4": 1_000}),
                    "release": lambda: store.set_release("lp1", "secure", "", 3_600),
                    "printer": lambda: store.add_printer(
                        "lp3", "p1", "socket://127.0.0.1:9", "hold"
                    ),
                    "unmade": lambda: store.set_site("south", {"cap_user_e4": -1}),
                }[name]()
            )

    def reconnect(self, branch: Branch) -> SessionRef:
        """The site comes to the restored server and takes its snapshot, as services/uplink.py."""
        store, centre = branch.store, self.centre.store
        identity = self.result(store.identity())
        welcome = self.result(
            centre.begin_site(
                branch.name, branch.stream, identity.mark, identity.position, "software"
            )
        )
        session = SessionRef("site", branch.name, branch.stream, welcome.session)
        if welcome.resume:
            branch.follow(self.centre)
            return session
        self.load(branch, self.centre, self.shared(branch))
        while branch.forward(self.centre, session):
            pass
        return session

    def shared(self, branch: Branch) -> int:
        places = self.result(branch.store.places(0, None, 1_000))
        return self.result(self.centre.store.newest_shared(places))

    def lose(self, *names: str) -> list[dict[str, Any]]:
        """Those edits are made after the backup, followed, and lost."""
        self.edit(*names)
        self.branch.follow(self.lost)
        self.reconnect(self.branch)
        return self.listed()

    def listed(self, **which: Any) -> list[dict[str, Any]]:
        return self.result(self.centre.store.lost_edits(**which))

    def titles(self, **which: Any) -> list[tuple[str, str]]:
        return [(edit["table"], edit["name"]) for edit in self.listed(**which)]


class LostEditContract(Case):
    def tearDown(self) -> None:
        for store in (self.centre.store, self.branch.store):
            self.assertEqual(self.result(store.verify()), [])
        self.assertEqual(self.result(self.centre.store.parked()), [])

    def test_nothing_was_edited(self) -> None:
        """What was printed is offered again, and is no edit."""
        p1 = self.lost.provider()
        asked = request(5, 2)
        decision = self.result(self.lost.store.authorize(p1, asked))
        self.result(self.lost.store.complete(p1, completion(asked, decision, 2)))
        self.assertEqual(self.lose(), [])
        self.assertEqual(self.head(self.centre).timeline, 2)

    def test_who_is_not_ahead_tells_nothing(self) -> None:
        self.edit("top-up", "price")
        self.reconnect(self.branch)
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.head(self.centre).timeline, 1)

    def test_money(self) -> None:
        found = self.lose("top-up", "fine")
        self.assertEqual([(e["table"], e["name"]) for e in found], [("adjusted", "anna")] * 2)
        told = {(e["was"]["amount_e4"], e["was"]["reason"]) for e in found}
        self.assertEqual(told, {(50_000, "paid in"), (-30_000, "a fine")})
        self.assertEqual({e["sites"] for e in found}, {"north"})
        self.assertEqual({e["made_at"] for e in found}, {1_800_000_000.0})
        # Nothing of it is booked.
        self.assertEqual(self.centre.account()["credits_e4"], 100_000)

    def test_a_price(self) -> None:
        (found,) = self.lose("price")
        self.assertEqual(
            (found["table"], found["name"], found["now"]), ("price", "version 2", None)
        )
        self.assertIn('"A4"', found["was"]["body"])

    def test_people(self) -> None:
        """A user made then, with account and opening balance; one renamed, one deleted."""
        found = {(e["table"], e["name"]): e for e in self.lose("carl", "rename", "delete")}
        self.assertEqual(
            set(found),
            {
                *(("user", "carl"), ("account", "carl"), ("adjusted", "carl")),
                *(("user", "anne"), ("user", "ben")),
            },
        )
        self.assertIsNone(found["user", "carl"]["now"])
        self.assertEqual(found["user", "anne"]["was"], {"name": "anne"})
        self.assertEqual(found["user", "anne"]["now"], {"name": "anna"})
        self.assertEqual(found["user", "ben"]["was"], {"disabled": 1})
        self.assertEqual(found["user", "ben"]["now"], {"disabled": 0})

    def test_secrets_are_named_and_not_told(self) -> None:
        found = {e["table"]: e for e in self.lose("password", "card")}
        self.assertEqual(found["user"]["hidden"], ["verifier"])
        self.assertEqual(found["user"]["was"], {})
        self.assertEqual((found["card"]["name"], found["card"]["key"]), ("anna", ""))
        hashes = [row[0] for row in self.lost.query("SELECT hash FROM card")]
        for text in (json.dumps(self.listed(every=True)), json.dumps(self.details())):
            for secret in ("argon2-secret", *hashes):
                self.assertNotIn(secret, text)
        bodies = [row[0] for row in self.branch.query("SELECT body FROM journal")]
        self.assertNotIn("argon2-secret", "".join(bodies))

    def details(self) -> list[tuple[str, ...]]:
        return self.centre.query(
            "SELECT detail, who, key FROM listed WHERE kind = 'lost-edit' ORDER BY id"
        )

    def test_what_was_taken_away(self) -> None:
        found = {e["table"]: e for e in self.lose("no card", "leave")}
        self.assertEqual(set(found), {"card", "group_member"})
        self.assertEqual(found["card"]["name"], "ben")
        self.assertEqual((found["card"]["was"], found["card"]["now"]), (None, {"user": 2}))
        self.assertEqual(found["group_member"]["name"], "students: ben")

    def test_sites_printers_and_rules(self) -> None:
        found = {(e["table"], e["name"]): e for e in self.lose("cap", "release", "printer", "rule")}
        self.assertEqual(
            set(found),
            {
                *(("site", "south"), ("printer", "lp1"), ("printer", "lp3")),
                ("site_policy", "cap for students"),
            },
        )
        self.assertEqual(found["site", "south"]["was"], {"cap_user_e4": 1_000})
        self.assertEqual(found["site", "south"]["now"], {"cap_user_e4": -1})
        self.assertEqual(found["printer", "lp1"]["was"], {"held_max_s": 3_600, "release": "secure"})

    def test_what_was_unmade_before_is_no_edit(self) -> None:
        self.assertEqual(self.lose("cap", "unmade"), [])

    def test_what_is_made_again_leaves_the_list(self) -> None:
        self.lose("rename", "cap")
        self.edit("rename", centre=self.centre)
        self.assertEqual(self.titles(), [("site", "south")])
        again = {e["name"]: e["again"] for e in self.listed(every=True)}
        self.assertEqual(again, {"anne": True, "south": False})
        self.assertEqual(self.result(self.centre.store.counts())["lost_edits"], 1)

    def test_two_sites_tell_it_once(self) -> None:
        south = self.make_branch("south")
        self.edit("top-up", "rename")
        south.follow(self.lost)
        self.edit("cap")
        self.branch.follow(self.lost)
        for branch in (self.branch, south):
            self.reconnect(branch)
        told = {(e["table"], e["sites"]) for e in self.listed()}
        self.assertEqual(
            told,
            {("adjusted", "north, south"), ("user", "north, south"), ("site", "north")},
        )
        self.assertEqual(len(self.details()), 3)
        self.assertEqual(len(self.listed(site="south")), 2)

    def test_restored_silently_and_gone_on_with(self) -> None:
        """It made changes of its own before anybody showed it what it had lost."""
        self.edit("top-up", "rename")
        self.branch.follow(self.lost)
        self.edit("cap", "price", "price", centre=self.centre)
        self.assertEqual(self.head(self.centre).timeline, 1)
        self.reconnect(self.branch)
        self.assertEqual(self.head(self.centre).timeline, 2)
        self.assertEqual(self.titles(), [("adjusted", "anne"), ("user", "anne")])

    def test_a_snapshot_taken_in_what_was_lost(self) -> None:
        """Row by row nobody told of it: the whole of it is compared, and credits by their sum."""
        self.edit("top-up", "rename", "carl")
        late = self.make_branch("south")
        self.edit("top-up")
        late.follow(self.lost)
        self.reconnect(late)
        found = {(e["table"], e["name"]): e for e in self.listed()}
        self.assertEqual(
            set(found),
            {
                *(("user", "anne"), ("user", "carl"), ("account", "carl")),
                *(("adjusted", "anne"), ("account", "anne")),
            },
        )
        # 50,000 that nobody told of; the other 50,000 is told by itself.
        self.assertEqual(found["account", "anne"]["was"], {"credits_e4": 200_000})
        self.assertEqual(found["account", "anne"]["now"], {"credits_e4": 100_000})
        self.assertEqual(found["adjusted", "anne"]["was"]["amount_e4"], 50_000)

    def test_a_replica_that_an_older_release_made(self) -> None:
        """It does not know by which changes its rows came: all of it is compared."""
        self.edit("top-up", "rename")
        self.branch.follow(self.lost)
        for change in (
            "position SET first = NULL, first_chain = ''",
            "applied SET chain = ''",
            "seal SET number = 0",
        ):
            self.branch.query(f"UPDATE replica.{change}")
        self.branch.query("DELETE FROM replica.adjusted")
        self.reconnect(self.branch)
        self.assertEqual(self.titles(), [("account", "anne"), ("user", "anne")])

    def test_a_charge_that_was_assigned(self) -> None:
        """It is nobody's again, and that somebody paid it is listed."""
        p1 = self.lost.provider()
        told = completion(request(7, 2, user="stranger"), None, 2)
        self.result(self.lost.store.complete(p1, told))
        self.result(self.lost.store.assign(told.key, "anna"))
        (found,) = self.lose()
        self.assertEqual((found["table"], found["name"]), ("adjusted", "anna"))
        self.assertEqual(found["was"]["amount_e4"], -1_000)
        self.assertEqual(found["was"]["reason"], "assigned to anna")

    def test_the_same_record_again(self) -> None:
        """A site that takes a new stream tells it again: nothing is listed twice, or comes back."""
        self.lose("top-up", "rename")
        ids = [e["id"] for e in self.listed()]
        forget = self.centre.store.forget_lost_edits
        self.assertEqual(self.result(forget([ids[0][:8]])), 1)
        self.result(self.branch.store.take_new_stream(job_id(0xF00D)))
        self.branch.stream = job_id(0xF00D)
        self.reconnect(self.branch)
        while self.branch.forward(self.centre, self.reconnect(self.branch)):
            pass
        self.assertEqual([e["id"] for e in self.listed()], ids[1:])
        self.assertEqual(len(self.details()), 2)

    def test_forgetting(self) -> None:
        ids = [e["id"] for e in self.lose("top-up", "rename", "cap")]
        forget = self.centre.store.forget_lost_edits
        for wrong in (["nowhere"], [""], [ids[0], "x"]):
            with self.assertRaises(NotFound):
                self.result(forget(wrong))
        self.assertEqual(len(self.listed()), 3)
        self.assertEqual(self.result(forget(ids[:1])), 1)
        with self.assertRaises(NotFound):
            self.result(forget(ids[:1]))
        self.assertEqual([e["id"] for e in self.listed()], ids[1:])
        self.assertEqual(len(self.listed(every=True)), 3)
        self.assertEqual(self.result(forget(None)), 2)
        self.assertEqual(self.result(self.centre.store.counts())["lost_edits"], 0)

    def test_more_than_are_told(self) -> None:
        users = [{"name": f"pupil{number:03}"} for number in range(EDITS_MAX)]
        self.result(self.lost.store.import_users(users))
        self.edit("price")
        self.branch.follow(self.lost)
        self.reconnect(self.branch)
        found = self.listed()
        self.assertEqual(len(found), EDITS_MAX)
        # What everybody's jobs cost is told before the people.
        self.assertIn("price", {e["table"] for e in found})
        self.assertEqual(self.result(self.centre.store.lost_edits_more()), EDITS_MAX + 1)
        self.assertEqual(self.result(self.centre.store.counts())["lost_edits"], 2 * EDITS_MAX + 1)
        for (body,) in self.branch.query("SELECT body FROM journal"):
            self.assertLess(2 * len(body), 65_536 - 1_024)

    def test_a_damaged_replica_tells_what_can_be_read(self) -> None:
        self.edit("rename")
        self.branch.follow(self.lost)
        self.branch.query("UPDATE replica.user SET full_name = CAST(x'ff00' AS TEXT) WHERE id = 1")
        self.reconnect(self.branch)
        (found,) = self.listed()
        self.assertEqual(found["was"]["name"], "anne")
        self.assertTrue(found["was"]["full_name"].isprintable())


class LyingSiteContract(Case):
    """It can make lines of the list, bounded and with its name; and nothing else."""

    def setUp(self) -> None:
        super().setUp()
        self.session = self.reconnect(self.branch)
        self.key = 0

    def tell(self, *edits: Edit, omitted: int = 0, branch: Branch | None = None) -> None:
        self.key += 1
        record = Record(LOST_EDITS, f"lie:{self.key}", "", 0.0, lost=Lost(edits, omitted))
        self.result(self.branch.store.salvage([encode_record(record)]))
        self.branch.forward(self.centre, self.session)

    def test_nothing_changes(self) -> None:
        tables = ("user", "account", "price", "card", "site", "transfer", "charge")
        before = {t: self.centre.query(f"SELECT * FROM {t}") for t in tables}
        self.tell(
            Edit("user", 1, "root", 0.0, {"name": "root", "administrator": 1, "verifier": "x"}),
            Edit("account", 5, "anna", 0.0, {"credits_e4": 10**14}),
            Edit("adjusted", "1.1", "anna", 0.0, dict(account=5, amount_e4=9, reason="", at=0.0)),
            Edit("card", "no hash", "anna", 0.0, {"user": 1}),
            Edit("site", 1, "\x1b[31mnorth\n", 0.0, None),
        )
        self.assertEqual({t: self.centre.query(f"SELECT * FROM {t}") for t in tables}, before)
        found = {e["table"]: e for e in self.listed()}
        self.assertEqual(len(found), 5)
        self.assertEqual({e["sites"] for e in found.values()}, {"north"})
        self.assertTrue(found["site"]["name"].isprintable())
        # What nobody is shown is not even kept.
        self.assertEqual(self.centre.query("SELECT 1 FROM lost_edit WHERE was LIKE '%verif%'"), [])
        self.assertEqual(self.result(self.centre.store.verify()), [])

    def test_what_is_no_edit_is_parked(self) -> None:
        good = Edit("user", 1, "anna", 0.0, {"name": "x"})
        adjusted = {"account": 5, "amount_e4": 9, "reason": "", "at": 0.0}
        bad = [
            attrs.evolve(good, table="decision"),
            attrs.evolve(good, table="reservation"),
            attrs.evolve(good, key="k" * 300 * 4),
            attrs.evolve(good, at=1e13),
            attrs.evolve(good, was={"name": "x" * 1_001}),
            attrs.evolve(good, was={"na me": "x"}),
            attrs.evolve(good, hidden=tuple(f"c{n}" for n in range(40))),
            attrs.evolve(good, table="adjusted", was=None),
            attrs.evolve(good, table="adjusted", was={**adjusted, "amount_e4": "all"}),
        ]
        for edit in bad:
            self.tell(good, edit)
        self.tell(omitted=-1)
        self.tell(omitted=10**10)
        parked = self.result(self.centre.store.parked())
        self.assertEqual([row["code"] for row in parked], ["bad-fields"] * (len(bad) + 2))
        # All of a record, or nothing.
        self.assertEqual(self.listed(), [])

    def test_a_flood_is_bounded_and_nobody_elses(self) -> None:
        for start in range(0, 1_200, 100):
            self.tell(
                *(
                    Edit("user", number, f"u{number}", 0.0, {"name": f"u{number}"})
                    for number in range(10_000 + start, 10_100 + start)
                )
            )
        self.assertEqual(len(self.listed()), 1_000)
        self.assertEqual(self.result(self.centre.store.lost_edits_more()), 200)
        for _ in range(150):
            self.tell(omitted=1)
        self.assertEqual(self.centre.query("SELECT COUNT(*) FROM lost_edit_more"), [(100,)])
        # Another site still has room, and what was seen to makes some.
        self.branch = self.make_branch("south")
        self.session = self.reconnect(self.branch)
        self.tell(Edit("user", 1, "anna", 0.0, {"name": "anne"}))
        self.assertEqual(len(self.listed(site="south")), 1)
        self.result(self.centre.store.forget_lost_edits(None))
        self.branch, self.session = self.honest_north()
        self.tell(Edit("user", 2, "ben", 0.0, {"name": "bob"}))
        self.assertEqual([e["name"] for e in self.listed()], ["ben"])

    def honest_north(self) -> tuple[Branch, SessionRef]:
        branch = self.make_branch("north")
        return branch, self.reconnect(branch)

    def test_two_that_begin_alike(self) -> None:
        self.tell(*(Edit("user", n, "x", 0.0, {"name": str(n)}) for n in range(40)))
        first = sorted(e["id"][0] for e in self.listed())
        twice = next(a for a, b in pairwise(first) if a == b)
        with self.assertRaises(InvalidValue):
            self.result(self.centre.store.forget_lost_edits([twice]))

    def test_the_record_is_its_own_bytes_again(self) -> None:
        told = Lost((Edit("card", "h", "anna", 1.5, None, ()),), 3)
        record = Record(LOST_EDITS, "k", "1.2", 0.0, lost=told)
        self.assertEqual(decode_record(encode_record(record)), record)


on_every_engine(globals())
