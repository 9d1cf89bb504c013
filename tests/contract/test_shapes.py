"""What programs read: lists are arrays, histories are pages, and a flag is true or false."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import papercutd.storage
from papercutd.services.administration import StoreOperations
from papercutd.services.audit_operations import shown_entry
from papercutd.services.auditing import READS, audited
from papercutd.services.held_jobs import HeldJobs
from papercutd.services.held_operations import HeldOperations
from papercutd.services.operation import Operation
from papercutd.services.sessions import Sessions
from papercutd.services.site_looks import SiteLookOperations
from papercutd.services.statements import Statements
from papercutd.services.voucher_operations import VoucherOperations
from protocols.provider import messages
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, completion, job_id, request

#: What goes on by a place that stands in no row of it.
PAGES = {
    **{"audit": "entries", "job-log": "jobs"},
    **{"user.transactions": "transactions", "account.transactions": "transactions"},
}
#: Lists that are not called so.
LISTS = frozenset(
    (
        *("account.invoices", "group.members", "job.held", "outages", "price.show", "report"),
        *("site.allowances", "voucher.show", "explain"),
    )
)
#: Not paged, and bounded: `more` says how many were left out.
CUT_SHORT = {"lost-edits.list": "edits"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "group.members": {"name": "staff"},
    "report": {"what": "pages"},
    "voucher.show": {"name": "spring"},
    "user.transactions": {"name": "anna"},
    "account.transactions": {"name": "Law"},
    "refund.list": {"state": "all"},
    "lost-edits.list": {"every": True},
}
#: Where there is nothing to list in a store that was filled through its operations.
EMPTY = frozenset(
    ("lost-edits.list", "outages", "parked.list", "reserved.list", "unknown-users.list")
)
#: What is one object, or no list at all.
OTHERS = frozenset(
    (
        *("account.export", "account.show", "client.show", "head", "policy.show", "price.export"),
        *("price.test", "quota.show", "statement", "status", "unknown-users.show", "user.export"),
        *("user.show", "verify", "verify.signed"),
    )
)
#: Columns with these names are 0 or 1 in a database of either engine.
FLAG = re.compile(r"(\w+) (?:INTEGER|BIGINT)[^,\n]*CHECK \((\w+) IN \(0, 1\)\)")


def flags_of_schema() -> set[str]:
    schema = Path(papercutd.storage.__file__).parent / "schema"
    return {
        name
        for path in schema.rglob("*.sql")
        for name, checked in FLAG.findall(path.read_text())
        if name == checked
    }


def fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Every name with its value, however deep."""
    if isinstance(value, list):
        for one in value:
            yield from fields(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield name, one
            yield from fields(one)


class ShapesContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        env = self.turner.environment()
        operations = {
            **StoreOperations(self.centre.store, self._statements()).all(),
            **VoucherOperations(self.centre.store, env).all(),
        }
        self.operations = audited(operations, self.centre.store, env)
        self.flags = flags_of_schema()
        self.assertTrue({"restricted", "forced", "drill"} <= self.flags)

    def _statements(self) -> Statements:
        signer: Any = SimpleNamespace(sign=lambda content: None)
        return Statements(self.turner.environment(), self.centre.store, signer, Path("heads"))

    def call(self, name: str, /, **arguments: Any) -> Any:
        return self._call(self.operations, name, arguments)

    def _call(self, operations: dict[str, Operation], name: str, arguments: Any) -> Any:
        found = self.turner.run(operations[name](arguments, lambda figures: None))
        return json.loads(json.dumps(found))

    def fill(self) -> None:
        call = self.call
        call("group.add", name="staff")
        call("user.add", name="anna", balance="10.00", restricted=True, groups=["staff"])
        call("user.add", name="root", balance="0", administrator=True, restricted=False)
        call("user.disable", name="root")
        call("account.add", name="Law", balance="5", markup="10", access="listed")
        call("account.add", name="Law\\Old")
        call("account.close", name="Law\\Old")
        call("quota.add", name="weekly", amount="1", period="weekly")
        call("purse.add", name="gift", refundable=False)
        call("new-user-rule.set", group="staff", restricted=False)
        self.result(self.centre.store.money.add_vouchers("spring", 10_000, ["A" * 16], None))
        call("device.add", name="mfd", printer="lp1", site="north")
        call("site.set", name="north", deny_beyond_cap=True)
        self.centre.site(job_id(0xABC))
        provider = self.centre.provider()
        law = self.result(self.centre.store.shared_account("Law"))
        call("account.access-add", name="Law", users=["anna"])
        for number, more in enumerate(({}, {"account": law}, {"user": "nobody"}), 1):
            asked = request(number, 2, **more)
            decision = self.result(self.centre.store.authorize(provider, asked))
            used = decision if decision.allowed else None
            done = completion(asked, used, 2, price_version=1, assumed=not decision.allowed)
            self.result(self.centre.store.complete(provider, done))
        call("refund.ask", key=request(1).key, words="a jam")
        call("user.adjust", name="anna", amount="-1")

    def result(self, work: Any) -> Any:
        return self.turner.result(work)

    def check(self, name: str, found: Any) -> None:
        for field, value in fields(found):
            is_flag = field in self.flags or field.startswith(("is_", "has_"))
            self.assertFalse(is_flag and type(value) is int, f"{name}: {field} is {value}")

    def test_every_operation_that_reads_is_of_one_kind(self) -> None:
        lists = {name for name in READS if name.endswith(".list")} | LISTS
        kinds = (lists - set(CUT_SHORT), set(CUT_SHORT), set(PAGES), OTHERS)
        self.assertEqual(set().union(*kinds), set(READS))
        self.assertEqual(sum(map(len, kinds)), len(READS), "each is of one kind")

    def test_lists_at_the_application_server(self) -> None:
        self.fill()
        for name in sorted(READS - OTHERS - {"job.held", "explain"}):
            found = self.call(name, **ARGUMENTS.get(name, {}))
            self.check(name, found)
            rows = found
            if name in PAGES:
                self.assertIn("next", found, name)
                self.assertIsNone(found["next"], name)
                rows = found[PAGES[name]]
            elif name in CUT_SHORT:
                self.assertEqual(found["more"], 0)
                rows = found[CUT_SHORT[name]]
            self.assertIsInstance(rows, list, name)
            self.assertTrue(rows or name in EMPTY, f"{name} has nothing to check")
            for row in rows:
                self.assertEqual(list(row), list(rows[0]), name)

    def test_what_is_one_object(self) -> None:
        self.fill()
        for name, arguments in (
            ("user.show", {"name": "anna"}),
            ("user.show", {"name": "root"}),
            ("account.show", {"name": "Law"}),
            ("quota.show", {"name": "weekly"}),
            ("explain", {"charge": request(1).key}),
            ("policy.show", {}),
            ("statement", {"since": "0", "until": "2e9"}),
        ):
            self.check(name, self.call(name, **arguments))
        user = self.call("user.show", name="root")
        told = [user[name] for name in ("restricted", "disabled", "administrator", "deleted")]
        self.assertEqual(json.dumps(told), "[false, true, true, false]")

    def test_the_audit_tells_flags_whatever_release_wrote_the_entry(self) -> None:
        self.call("user.add", name="anna")
        self.call("user.disable", name="anna")
        row = self.call("audit", operation="user.disable")["entries"][0]
        (was,), (became,) = row["was"].values(), row["became"].values()
        self.assertEqual(json.dumps([was, became]), '[{"disabled": false}, {"disabled": true}]')
        old = {"arguments": "", "was": '{"user 3": {"disabled": 0}}', "became": "not JSON"}
        told = shown_entry(old)
        self.assertIs(told["was"]["user 3"]["disabled"], False)
        self.assertEqual(told["became"], "not JSON")

    def test_lists_of_a_site(self) -> None:
        self.fill()
        branch = Branch(self.turner, engine=self.engine)
        branch.load_snapshot(self.centre)
        server: Any = SimpleNamespace(store=branch.store, position=None, state="online")
        here = SiteLookOperations(server).all()
        for name in ("account.list", "price.show", "quota.list"):
            found = self._call(here, name, {})
            self.check(name, found)
            self.assertIsInstance(found, list, name)
            self.assertTrue(found, name)
        for name, one in (("user.show", "anna"), ("account.show", "Law"), ("quota.show", "weekly")):
            self.check(name, self._call(here, name, {"name": one}))

    def test_held_jobs_name_their_printer(self) -> None:
        env = self.turner.environment()
        held = HeldJobs(env, Sessions(env))
        jobs = [
            messages.HeldJob(job_id(1), 7, "anna", "release", printer_name="lp1"),
            messages.HeldJob(job_id(2), 8, "anna", "release"),
        ]
        held.page("p1", messages.Held(0, True, jobs))
        operations = HeldOperations(env, held, self.centre.store.printer_id).all()
        found = self._call(operations, "job.held", {})
        # Who speaks version 1 has told no name.
        self.assertEqual(
            [(one["printer"], one["printer_id"]) for one in found], [("lp1", 7), ("8", 8)]
        )
        self.check("job.held", found)

    def test_a_sites_cap_is_shown_as_it_is_written(self) -> None:
        for cap, shown in (("default", "default"), ("none", "none"), ("1.5", "1.50")):
            told = self.call("site.set", name="north", cap=cap, deny_beyond_cap=True)
            self.assertEqual(told, {"name": "north", "cap": shown, "deny_beyond_cap": True})


on_every_engine(globals())
