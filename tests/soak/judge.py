"""When all is healed: has everything settled, and is each sheet charged once and rightly?"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from papercutd.commands.control_client import ControlError
from papercutd.demo import measure
from papercutd.demo.processes import NotReady, command
from papercutd.demo.scenario import is_ready, is_settled, wait_for
from papercutd.domain.money import parse_amount_e4
from tests.soak.load import Load
from tests.soak.world import PEOPLE, World

#: Seconds until everybody is connected and everything forwarded.
SETTLE_MAX_S = 120.0


def settle(world: World) -> list[str]:
    """Wait until nothing is owed to anybody; what still is."""
    found: list[str] = []

    def until(what: str, condition: Any) -> None:
        if not wait_for(what, condition, SETTLE_MAX_S):
            found.append(f"not settled after {SETTLE_MAX_S:.0f} s: {what}")

    for name, role in world.roles.items():
        try:
            role.until_ready()
        except NotReady as error:
            found.append(f"{name} does not come up: {error}")
    if found:
        return found
    until("everybody is connected", lambda: all(is_ready(b) for b in world.branches))
    for device in world.devices:
        answer = device.do("wait settled")
        if not answer.get("ok"):
            found.append(f"{device.name} has not told everything: {answer}")
    # A machine that is busy elsewhere has more time, as long as documents move on.
    left, before = _jobs_left(world), None
    while left and left != before:
        if wait_for("all jobs have ended or are held", lambda: _are_settled(world), SETTLE_MAX_S):
            break
        left, before = _jobs_left(world), left
    else:
        until("all jobs have ended or are held", lambda: _are_settled(world))
    until(
        "sites have forwarded everything",
        lambda: all(b.site.call("status")["waiting_records"] == 0 for b in world.branches),
    )
    until(
        "the statement is closed",
        lambda: world.app.call("statement", since="0")["state"] == "closed",
    )
    return found


def _are_settled(world: World) -> bool:
    return all(is_settled(branch) for branch in world.branches)


def _jobs_left(world: World) -> int:
    """How many jobs have neither ended nor are held."""
    told = [branch.provider.call("status")["jobs"] for branch in world.branches]
    return sum(n for jobs in told for state, n in jobs.items() if state not in ("ended", "held"))


def judge(world: World, load: Load) -> tuple[dict[str, Any], list[str]]:
    """Figures, and what is wrong."""
    found: list[str] = []
    journals = [str(branch.provider.data / "provider.db") for branch in world.branches]
    for name, role in world.roles.items():
        words = [w for path in journals for w in ("--provider-journal", path)]
        try:
            told = command(role.config, "verify", *(words if name == "app" else ()))
        except (NotReady, ControlError) as error:
            found.append(f"verify of {name}: {error}")
            continue
        found += [f"verify of {name}: {problem}" for problem in told["problems"]]
    statement = world.app.call("statement", since="0")
    if statement["charged_twice"] or statement["parked"]:
        found.append(f"charged twice {statement['charged_twice']}, parked {statement['parked']}")
    stores = measure.Stores(
        application=world.app.data / "application.db",
        providers=[branch.provider.data / "provider.db" for branch in world.branches],
        replicas=[],
        printers=[branch.printer.directory for branch in world.branches],
        machines={device.name: device.home / "machine.db" for device in world.devices},
    )
    paper = measure.read_paper(stores)
    money, copies = measure.measure_money(stores, paper), measure.measure_copies(stores)
    found += money["found"] + copies["found"]
    states = {job["job"]: job["state"] for job in paper.jobs}
    found += [
        f"{job} was accepted and is {states.get(job, 'gone')}"
        for _, job in load.accepted
        if states.get(job) not in ("ended", "held")
    ]
    found += _balances(world, load)
    allowances, wrong = _allowances(world)
    found += wrong
    figures = {
        "prints": money["jobs"],
        "copies": copies["copies"],
        "copied_pages": copies["pages"],
        "charged_e4": money["charged_e4"],
        "lost": money["lost"] + copies["lost"],
        "duplicated": money["duplicated"] + copies["duplicated"],
        "overspent_e4": money["overspent_e4"],
        "statement": statement["state"],
        "deciders": statement["by_decider"],
        **allowances,
    }
    return figures, found


def _balances(world: World, load: Load) -> list[str]:
    """Each is what was opened and credited less what was charged, to the last unit."""
    found: list[str] = []
    with closing(measure.open_read(world.app.data / "application.db")) as database:
        for name, (opening, _, _) in PEOPLE.items():
            user, account = database.execute(
                "SELECT id, account FROM user WHERE name = ?", (name,)
            ).fetchone()
            # What STRICT sites were granted is theirs still.
            (balance_e4,) = database.execute(
                "SELECT SUM(credits_e4 - debits_e4) FROM account"
                " WHERE id = ? OR (kind = 'escrow' AND user = ?)",
                (account, user),
            ).fetchone()
            (charged_e4,) = database.execute(
                "SELECT COALESCE(SUM(amount_e4), 0) FROM charge WHERE account = ?", (account,)
            ).fetchone()
            credited_e4 = balance_e4 + charged_e4 - parse_amount_e4(opening)
            least = load.credits.acknowledged[name]
            most = least + load.credits.uncertain[name]
            if credited_e4 % 10_000 or not least <= credited_e4 // 10_000 <= most:
                found.append(
                    f"balance of {name} (user {user}): credits of {credited_e4 / 10_000}"
                    f" where {least} to {most} were given"
                )
        (left,) = database.execute("SELECT COUNT(*) FROM decision WHERE state = 'open'").fetchone()
        (pending_e4,) = database.execute("SELECT SUM(pending_e4) FROM account").fetchone()
    if left or pending_e4:
        found.append(f"{left} reservations are open, {pending_e4} is reserved")
    return found


def _allowances(world: World) -> tuple[dict[str, Any], list[str]]:
    """STRICT: what was granted and paid from it; nobody spent by a decision what was not there."""
    found: list[str] = []
    with closing(measure.open_read(world.app.data / "application.db")) as database:
        granted_e4, returned_e4, settled_e4 = database.execute(
            "SELECT SUM(granted_e4), SUM(returned_e4), SUM(settled_e4) FROM stream"
        ).fetchone()
        purse_e4, forced_e4 = database.execute(
            "SELECT (SELECT SUM(credits_e4 - debits_e4) FROM account"
            "  WHERE id = user.account OR (kind = 'escrow' AND account.user = user.id)),"
            " (SELECT COALESCE(SUM(amount_e4), 0) FROM charge"
            "  WHERE account = user.account AND forced)"
            " FROM user WHERE name = 'dana'"
        ).fetchone()
    if purse_e4 + forced_e4 < 0:
        found.append(f"dana is at {purse_e4 / 10_000}, {forced_e4 / 10_000} of it forced")
    figures = {
        "recalls": world.app.call("status")["recalls"],
        "granted_e4": granted_e4,
        "returned_e4": returned_e4,
        "paid_from_allowances_e4": settled_e4,
    }
    return figures, found
