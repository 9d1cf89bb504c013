"""Results of a device's commands in plain words, as the prompt shows them."""

from __future__ import annotations

from collections.abc import Callable

from papercutd.device.console import Result
from papercutd.device.words import explain
from papercutd.domain.money import show_amount


def readable(result: Result) -> str:
    """A result in plain words."""
    shown = [_SHOWN[result["command"]](result)] if _is_shown(result) else []
    if not result["ok"]:
        shown.append(result["text"])
    return "\n".join(line for line in shown if line)


def _is_shown(result: Result) -> bool:
    return result["command"] in _SHOWN and (result["ok"] or "pages" in result)


def _show_person(result: Result) -> str:
    lines = [
        f"{result['full_name'] or result['user_name']}: balance {show_amount(result['balance_e4'])}"
    ]
    for purse in result.get("purses", ()):
        lines.append(f"  {purse['name']}: {show_amount(purse['balance_e4'])}")
    if result["available_e4"] is not None:
        lines.append(f"available here: {show_amount(result['available_e4'])}")
    if result.get("promised_e4"):
        lines.append(f"quota on its way: {show_amount(result['promised_e4'])}")
    if result["state"] != "online":
        lines.append(f"the site is {result['state'].replace('-', ' ')}: it decides alone")
    lines += [explain(notice) for notice in result["told"] if result["command"] == "login"]
    if result["held"] and result["command"] == "login":
        lines.append(f"jobs held for you: {result['held']} (`list`)")
    return "\n".join(lines)


def _show_link(result: Result) -> str:
    return {
        "linked": "the card is yours from now on",
        "claimed": "the card is yours here from now on, and everywhere once the link is up",
        "already": "the card was yours already",
    }[result["card"]]


def _show_redeemed(result: Result) -> str:
    amount = show_amount(result["amount_e4"])
    words = {
        "credited": f"credited: {amount}",
        "provisional": f"{amount} may be spent here; the server decides once the link is up",
        "taken-back": explain("voucher-taken-back"),
    }[result["redeemed"]]
    return f"{words}\n{_show_person(result)}"


def _show_jobs(result: Result) -> str:
    lines = []
    for number, job in enumerate(result["jobs"], 1):
        price = "" if job["amount_e4"] is None else f"  {show_amount(job['amount_e4'])}"
        away = "" if job["reachable"] else "  (its print server is not in reach)"
        how = [f"{job['pages']} pages"]
        how += ["colour"] if job["colour"] else []
        how += ["two-sided"] if job["duplex"] else []
        lines.append(f"{number:3}  {job['title']}  {', '.join(how)}{price}{away}")
    return "\n".join(lines) or "no jobs are held for you"


def _show_accounts(result: Result) -> str:
    lines = []
    for account in result["accounts"]:
        left = account["available_e4"]
        lines.append(
            f"{account['id']:5}  {account['name']}"
            + ("" if left is None else f"  available {show_amount(left)}")
            + ("  (by its PIN)" if account["pin"] else "")
        )
    return "\n".join(lines) or "there is no account you may charge"


def _show_run(result: Result) -> str:
    if "ordered" not in result:
        return ""
    what = "started" if result.get("started") else result["outcome"]
    return (
        f"{result['function']}: {result['pages']} of {result['ordered']} pages, {what},"
        f" {show_amount(result['amount_e4'])}"
    )


def _show_answers(result: Result) -> str:
    return "\n".join(
        one["answer"]
        + ("" if one["amount_e4"] is None else f", {show_amount(one['amount_e4'])} reserved")
        for one in result["answers"]
    )


def _show_runs(result: Result) -> str:
    lines = []
    for run in result["runs"]:
        paid = "" if run["amount_e4"] is None else f"  {show_amount(run['amount_e4'])}"
        state = f"{run['state']} {run['answer']}".strip()
        lines.append(
            f"{run['key']}  {run['user_name']}  {run['function']}"
            f" {run['pages']} of {run['reserved']}  {run['outcome'] or 'running'}  {state}{paid}"
        )
    return "\n".join(lines) or "nothing has been copied yet"


def _show_status(result: Result) -> str:
    lines = [f"{result['name']}: served by {result['serving'] or 'nobody'}"]
    for server in result["servers"]:
        problem = f" ({explain(server['problem'])})" if server["problem"] else ""
        lines.append(
            f"  {server['role']} {server['name']} at {server['address']}:"
            f" {server['state']}{problem}"
        )
        lines += [f"    {text}" for text in server["refused_versions"]]
    lines.append(f"logged in: {result['user_name'] or 'nobody'}")
    if result["running"] is not None:
        lines.append(_show_run({"started": True, **result["running"]}))
    if result["jammed"]:
        lines.append(explain("jam"))
    lines.append(f"runs to be reported: {result['unreported']}")
    for one in result["aside"]:
        lines.append(f"kept aside: {one['run']}, {one['pages']} pages. {explain(one['code'])}")
    return "\n".join(lines)


def _show_counters(result: Result) -> str:
    lines = [f"{name}: {pages}" for name, pages in result["counters"].items()]
    return "\n".join([*lines, f"all: {result['pages']}"])


_SHOWN: dict[str, Callable[[Result], str]] = {
    "login": _show_person,
    "balance": _show_person,
    "link": _show_link,
    "redeem": _show_redeemed,
    "logout": lambda result: "logged out",
    "list": _show_jobs,
    "release": _show_answers,
    "delete": _show_answers,
    "account": _show_accounts,
    "copy": _show_run,
    "scan": _show_run,
    "wait": _show_run,
    "counters": _show_counters,
    "runs": _show_runs,
    "status": _show_status,
    "help": lambda result: str(result["help"]),
    "cancel": lambda result: "it stops after this page",
    "clear": lambda result: "go on",
}
