"""Vouchers redeemed at sites: credit there under the cap, the first at the centre wins."""

from __future__ import annotations

from papercutd.domain.job import SessionRef
from papercutd.domain.policy import Rule
from papercutd.domain.voucher import UnknownSerial, make_serial
from papercutd.errors import InvalidValue, NotFound
from papercutd.services.voucher_operations import VoucherOperations
from papercutd.storage.replication.records import (
    VOUCHER,
    Record,
    VoucherShown,
    decode_record,
    encode_record,
)
from tests.contract.test_claims import _TwoSites
from tests.support.engines import on_every_engine
from tests.support.stores import WALL_S, job_id, request

AMOUNT_E4 = 50_000


class _Vouchers(_TwoSites):
    def setUp(self) -> None:
        super().setUp()
        draw = self.turner.environment(5).rng.randrange
        self.serials = [make_serial(draw) for _ in range(4)]
        self.add("may", self.serials)
        self.set_rule("cap", "e4:1000000")
        self.heal()

    def set_rule(self, knob: str, value: str) -> None:
        self.result(self.centre.store.rules.change_rules([Rule(knob, value)]))

    def add(self, name: str, serials: list[str], expires_at: float | None = None) -> None:
        made = self.centre.store.money.add_vouchers(name, AMOUNT_E4, serials, expires_at)
        self.result(made)

    def redeem(self, branch, name: str = "anna", place: int = 1, serial: str = ""):
        id = job_id(0xD000 + next(self.ids))
        serial = serial or self.serials[place - 1]
        return id, self.result(branch.store.redeem_voucher(id, serial, name))

    def state(self, branch, id: str) -> str:
        return self.result(branch.store.voucher_state(id))

    def purse(self, branch, name: str = "anna"):
        (row,) = branch.query("SELECT account FROM replica.user WHERE name = ?", name)
        return self.result(branch.store.purse(row[0]))

    def balance_e4(self, name: str = "anna") -> int:
        account = self.centre.account(name)
        return account["credits_e4"] - account["debits_e4"]

    def forced(self) -> list[tuple[str, int]]:
        return self.centre.query("SELECT reason, amount_e4 FROM transfer WHERE forced = 1")

    def details(self) -> list[str]:
        return [row[0] for row in self.centre.query("SELECT detail FROM listed ORDER BY id")]


class VoucherClaimContract(_Vouchers):
    """What is written and summed up, on every engine."""

    def test_credit_there_until_it_is_decided(self) -> None:
        id, found = self.redeem(self.north)
        self.assertEqual((found.batch, found.place, found.amount_e4), ("may", 1, AMOUNT_E4))
        self.assertEqual(self.state(self.north, id), "provisional")
        purse = self.purse(self.north)
        self.assertEqual((purse.balance_e4, purse.cut_e4), (100_000, 150_000))
        self.heal()
        self.assertEqual(self.state(self.north, id), "credited")
        for branch in (self.north, self.south):
            purse = self.purse(branch)
            self.assertEqual((purse.balance_e4, purse.cut_e4), (150_000, 150_000))
        self.assertEqual((self.centre.listed(), self.forced()), ([], []))
        with self.assertRaises(InvalidValue) as caught:
            self.redeem(self.south, "bea")
        self.assertIn("was redeemed before", str(caught.exception))

    def test_counts_under_the_cap_alone(self) -> None:
        self.redeem(self.north)
        for value, expected in (("strict", 0), ("closed", 0), ("capped", 150_000)):
            self.set_rule("policy", value)
            self.north.follow(self.centre)
            self.assertEqual(self.purse(self.north).cut_e4, expected, value)
        self.set_rule("cap", "e4:120000")
        self.north.follow(self.centre)
        self.assertEqual(self.purse(self.north).cut_e4, 120_000)

    def test_nobody_spends_more_than_the_cap(self) -> None:
        self.set_rule("cap", "e4:20000")
        self.result(self.centre.store.adjust("anna", -100_000, ""))
        self.heal()
        asker = self.north.provider()
        refused = self.result(self.north.store.decide(asker, request(1, 2)))
        self.assertEqual((refused.verdict.value, refused.reason.value), ("hold", "funds"))
        self.redeem(self.north)
        allowed = self.result(self.north.store.decide(asker, request(2, 2)))
        self.assertTrue(allowed.allowed)
        left_e4 = 20_000 - allowed.amount_e4
        self.assertEqual(self.purse(self.north).cut_e4, left_e4)

    def test_two_people_at_two_cut_sites(self) -> None:
        self.check_conflict(self.north, self.south)

    def test_two_people_and_the_other_one_comes_first(self) -> None:
        self.check_conflict(self.south, self.north)

    def check_conflict(self, first, second) -> None:
        names = {self.north: "anna", self.south: "bea"}
        ids = {branch: self.redeem(branch, name)[0] for branch, name in names.items()}
        winner, loser = names[first], names[second]
        self.heal(first, second)
        self.assertEqual((self.balance_e4(winner), self.balance_e4(loser)), (150_000, 100_000))
        self.assertEqual(self.centre.listed(), ["voucher-conflict"])
        (detail,) = self.details()
        self.assertIn(f"{loser} redeemed there: {winner} was first", detail)
        ((reason, amount_e4),) = self.forced()
        self.assertIn("voucher may 1 taken back", reason)
        self.assertEqual(amount_e4, AMOUNT_E4)
        self.assertEqual(self.state(first, ids[first]), "credited")
        self.assertEqual(self.state(second, ids[second]), "taken-back")
        self.assertEqual((self.notices(winner), self.notices(loser)), ([], ["voucher-taken-back"]))
        self.assertEqual(self.purse(second, loser).cut_e4, 100_000)

    def test_nothing_twice_when_it_is_forwarded_again(self) -> None:
        self.redeem(self.north)
        self.redeem(self.south, "bea")
        self.heal()
        self.north.stream = job_id(0xFEED)
        self.result(self.north.store.take_new_stream(self.north.stream))
        mark = self.result(self.north.store.identity()).mark
        begun = self.result(
            self.centre.store.begin_site("north", self.north.stream, mark, None, "")
        )
        self.sessions["north"] = SessionRef("site", "north", self.north.stream, begun.session)
        # Of another stream, and known as redeemed: no credit beside the credit.
        self.assertEqual(self.purse(self.north).cut_e4, 150_000)
        self.heal()
        self.assertEqual((self.balance_e4(), self.balance_e4("bea")), (150_000, 100_000))
        self.assertEqual(self.centre.listed().count("voucher-conflict"), 1)


class VoucherWordContract(_Vouchers):
    """What each outcome is."""

    once = True

    def test_known_elsewhere_first_it_is_worth_nothing_at_once(self) -> None:
        self.redeem(self.north)
        self.result(self.centre.store.money.redeem_voucher(self.serials[0], "bea"))
        self.north.follow(self.centre)
        self.assertEqual(self.purse(self.north).cut_e4, 100_000)
        self.heal()
        self.assertEqual((self.balance_e4(), self.balance_e4("bea")), (100_000, 150_000))
        self.assertEqual(self.centre.listed(), ["voucher-conflict"])

    def test_the_same_person_twice(self) -> None:
        self.redeem(self.north)
        with self.assertRaises(InvalidValue) as caught:
            self.redeem(self.north, "bea")
        self.assertIn("was redeemed here before", str(caught.exception))
        self.redeem(self.south)
        self.heal()
        self.assertEqual(self.balance_e4(), 150_000)
        self.assertEqual(self.centre.listed(), ["voucher-twice"])
        self.assertIn("by the same user", self.details()[0])

    def test_merged_while_both_had_it(self) -> None:
        self.redeem(self.north)
        self.redeem(self.south, "bea")
        self.result(self.centre.store.merge_users("anna", "bea"))
        self.heal()
        self.assertEqual(self.balance_e4("bea"), 250_000)
        self.assertEqual(self.centre.listed(), ["voucher-twice"])

    def test_cancelled_meanwhile(self) -> None:
        self.redeem(self.north)
        self.result(self.centre.store.money.cancel_vouchers("may", None))
        self.heal()
        self.assertEqual(self.balance_e4(), 100_000)
        self.assertEqual(self.centre.listed(), ["voucher-cancelled"])
        with self.assertRaises(InvalidValue) as caught:
            self.redeem(self.north, "anna", 2)
        self.assertIn("was cancelled on", str(caught.exception))

    def test_expired(self) -> None:
        """By the clock of the site at the redemption, whenever it comes in."""
        self.add("june", [make_serial(self.turner.environment(6).rng.randrange)], WALL_S + 100)
        serial = make_serial(self.turner.environment(6).rng.randrange)
        self.heal()
        self.turner.clock.advance(90)
        self.redeem(self.north, serial=serial)
        self.turner.clock.advance(90)
        with self.assertRaises(InvalidValue) as caught:
            self.redeem(self.south, "bea", serial=serial)
        self.assertIn("has expired", str(caught.exception))
        # Its clock stands still: nothing was heard for long.
        self.south.store.go_by(lambda: WALL_S)
        self.redeem(self.south, "bea", serial=serial)
        self.heal()
        self.assertEqual(self.balance_e4(), 150_000)
        self.assertEqual(self.centre.listed(), ["voucher-conflict"])

    def test_expired_by_what_the_site_itself_says(self) -> None:
        self.redeem(self.north)
        self.centre.query("UPDATE voucher_batch SET expires_at = ?", WALL_S - 1)
        self.heal()
        self.assertEqual(self.balance_e4(), 100_000)
        self.assertEqual(self.centre.listed(), ["voucher-expired"])
        self.centre.query("UPDATE voucher_batch SET expires_at = NULL")

    def test_made_since_the_cut(self) -> None:
        serial = make_serial(self.turner.environment(6).rng.randrange)
        self.add("june", [serial])
        with self.assertRaises(UnknownSerial):
            self.redeem(self.north, serial=serial)
        self.heal()
        self.redeem(self.north, serial=serial)

    def test_of_an_earlier_release(self) -> None:
        self.centre.query("UPDATE voucher SET told = NULL")
        operations = VoucherOperations(self.centre.store, self.turner.environment())
        self.turner.run(operations.resume())
        self.assertEqual(
            self.centre.query("SELECT hash FROM voucher WHERE told IS NULL"),
            [],
        )
        self.heal()
        self.redeem(self.north)

    def test_a_batch_that_a_restore_has_lost(self) -> None:
        id, _ = self.redeem(self.north)
        self.centre.query("DELETE FROM voucher")
        self.heal()
        self.assertEqual((self.balance_e4(), self.centre.listed()), (100_000, ["voucher-unknown"]))
        self.assertEqual(self.state(self.north, id), "taken-back")

    def test_who_may_not(self) -> None:
        with self.assertRaises(NotFound):
            self.redeem(self.north, "nobody")
        self.result(self.centre.store.delete_user("cleo"))
        self.heal()
        with self.assertRaises((InvalidValue, NotFound)):
            self.redeem(self.north, "cleo")
        self.assertEqual(self.north.query("SELECT COUNT(*) FROM voucher_here"), [(0,)])

    def test_deleted_while_it_was_redeemed(self) -> None:
        self.redeem(self.north)
        self.result(self.centre.store.delete_user("anna"))
        self.heal()
        self.assertEqual(self.centre.query("SELECT COUNT(*) FROM parked"), [(0,)])

    def test_a_site_knows_nothing_that_redeems(self) -> None:
        """What proves a serial is in no replica: a stolen site makes no records of vouchers."""
        hashes = {row[0] for row in self.centre.query("SELECT hash FROM voucher")}
        known = repr(self.north.query("SELECT * FROM replica.voucher"))
        for secret in (*hashes, *self.serials):
            self.assertNotIn(secret, known)
        self.redeem(self.north)
        ((body,),) = self.north.query("SELECT body FROM journal WHERE body LIKE '%voucher%'")
        shown = decode_record(body).voucher
        assert shown is not None
        self.assertIn(shown.hash, hashes)
        self.assertNotIn(self.serials[0], body)

    def test_forged(self) -> None:
        """What a compromised site can say without a serial credits nobody."""
        user = self.users["anna"]
        ((told,),) = self.north.query("SELECT MIN(hash) FROM replica.voucher")
        (hash,) = (h for (h,) in self.centre.query("SELECT hash FROM voucher LIMIT 1"))
        for number, shown in enumerate(
            (
                VoucherShown(told, user, AMOUNT_E4, WALL_S),
                VoucherShown("", user, AMOUNT_E4, WALL_S),
                VoucherShown("\x00", user, AMOUNT_E4, WALL_S),
                VoucherShown(hash, user, -AMOUNT_E4, WALL_S),
                VoucherShown(hash, user, 10**30, WALL_S),
                VoucherShown(hash, 10**6, AMOUNT_E4, WALL_S),
                VoucherShown(hash, -1, AMOUNT_E4, WALL_S),
            )
        ):
            record = Record(VOUCHER, job_id(0xF000 + number), "", WALL_S, voucher=shown)
            self.result(self.north.store.salvage([encode_record(record)]))
        self.result(
            self.north.store.salvage([encode_record(Record(VOUCHER, "x" * 65, "", WALL_S))])
        )
        self.heal()
        self.assertEqual(self.balance_e4(), 100_000)
        self.assertEqual(set(self.centre.listed()), {"voucher-unknown", "parked"})
        # Whoever is told by such a record is not: the true redemption goes on.
        self.redeem(self.south)
        self.heal()
        self.assertEqual(self.balance_e4(), 150_000)


on_every_engine(globals())
