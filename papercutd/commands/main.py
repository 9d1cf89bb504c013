"""``papercutd``: setting up and administering the servers of an installation."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from papercutd.commands.account import add_account_commands
from papercutd.commands.account_invoices import add_account_invoices_command
from papercutd.commands.audit import add_audit_command
from papercutd.commands.clients import add_client_commands
from papercutd.commands.control_client import ControlError, call
from papercutd.commands.job_log import add_job_log_command
from papercutd.commands.lost_edits import add_lost_edit_commands
from papercutd.commands.migrate_store import add_migrate_store_command
from papercutd.commands.money import add_money_commands, add_refund_commands
from papercutd.commands.new_users import add_new_user_commands
from papercutd.commands.policy import add_commands as add_policy_commands
from papercutd.commands.price import add_price_commands
from papercutd.commands.purse import PURSE_HELP, add_purse_commands
from papercutd.commands.quota import add_quota_commands
from papercutd.commands.readable import readable
from papercutd.commands.report import add_report_commands
from papercutd.commands.sample_data import add_sample_data_command
from papercutd.commands.site_scope import add_site_scope_command
from papercutd.commands.statement import add_statement_commands
from papercutd.commands.transactions import add_transaction_commands
from papercutd.commands.unasked import Unasked
from papercutd.commands.user_files import add_user_file_commands
from papercutd.commands.user_settings import UNTIL_HELP, add_user_settings_commands
from papercutd.commands.voucher import add_voucher_commands
from papercutd.commands.words import BROKEN_PIPE, INTERRUPTED, say, told, yes_no
from papercutd.config.load import load_config
from papercutd.config.model import MODELS
from papercutd.errors import ConfigError, InvalidValue, PapercutError

EX_CONFIG = 78
#: Users of one call of an import.
IMPORT_AT_ONCE = 1_000
DEFAULT_CONFIG = "/etc/papercutd/papercut-app.toml"
NOW_HELP = "even if somebody else bore the name in the last 35 days"
MERGE_HELP = "a user becomes another one, for ever; into its groups the other does not come"
_MODEL_WORDS = ("app", "site", "provider")
Run = Callable[[argparse.Namespace, Any], Any]


def role_of(path: str, stated: str | None) -> str:
    """Which role a configuration file is for: as stated, else by its name."""
    if stated:
        return stated
    for role in _MODEL_WORDS:
        if role in Path(path).name:
            return role
    return "app"


def parser(asked: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """All commands; given ``asked``, of the groups that are not among it their names only."""
    top = argparse.ArgumentParser(
        prog="papercutd",
        description="Set up and administer a papercutd installation.",
        epilog="Examples: papercutd init; papercutd user add anna --balance 9.50; papercutd status",
    )
    top.add_argument(
        *("-c", "--config"),
        default=os.environ.get("PAPERCUTD_CONFIG", DEFAULT_CONFIG),
        help="configuration of the server concerned (default: %(default)s)",
    )
    top.add_argument("--role", choices=_MODEL_WORDS, help="of that file (default: by its name)")
    top.add_argument(
        "--as",
        dest="asked_by",
        metavar="NAME",
        default=os.environ.get("SUDO_USER"),
        help="who does this, for the audit (default: whoever called sudo, else the user)",
    )
    top.add_argument("--json", action="store_true", help="print JSON: a list is an array")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str, run: Run, under: Any = commands) -> argparse.ArgumentParser:
        if isinstance(under, Unasked):
            return cast(argparse.ArgumentParser, under)
        made: argparse.ArgumentParser = under.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        return made

    def group(name: str, help: str) -> Any:
        made = commands.add_parser(name, help=help, description=help)
        if asked is not None and name not in asked:
            return Unasked()
        return made.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")

    init = add("init", "make the installation: certificate authority, database, prices", _init)
    init.add_argument("--ca-cert", help="certificate of your own CA to stand under")
    init.add_argument("--ca-key", help="its key")
    init.add_argument(
        "--beside",
        metavar="DIR",
        help="one more application server on that database; DIR holds `ca` of the first one",
    )
    join = add("join", "join this site or provider to the installation", _join)
    join.add_argument("--token", required=True, help="what `site add` or `provider add` printed")
    join.add_argument("--server", required=True, help="HOST:PORT of the application server's HTTPS")

    user = group("user", "users and their money")
    one = add("add", "add a user", _operation("user.add"), user)
    one.add_argument("name")
    one.add_argument("--full-name", default="")
    as_rules = "; without: as the new-user rules say"
    one.add_argument("--balance", help=f"opening balance, such as 20.00{as_rules}")
    one.add_argument("--overdraft", help=f"how far below zero the balance may go{as_rules}")
    said = "never refused for want of money"
    one.add_argument(
        "--unrestricted", dest="restricted", action="store_false", default=None, help=said
    )
    said = "prints only what the money allows"
    one.add_argument("--restricted", action="store_true", default=None, help=said + as_rules)
    said = "put into it, and begins as its new-user rule says; may be repeated"
    one.add_argument("--group", dest="groups", action="append", help=said)
    said = "may look at the pages of the server"
    one.add_argument("--administrator", action="store_true", help=said)
    one.add_argument("--until", default="never", metavar="2027-01-31", help=UNTIL_HELP)
    one.add_argument("--now", action="store_true", help=NOW_HELP)
    one = add("list", "list users by name, 500 a page", _operation("user.list"), user)
    one.add_argument("--after", default="", metavar="NAME", help="the next page: the last name")
    add(
        "show", "show a user; at a site as it knows them", _operation("user.show"), user
    ).add_argument("name")
    one = add("adjust", "credit or debit a user", _operation("user.adjust"), user)
    one.add_argument("name")
    one.add_argument("amount", help="such as 5.00, or -5.00 to take it")
    one.add_argument("--reason", default="", help="shown to the user in the history")
    one.add_argument("--purse", default="", help=PURSE_HELP)
    add_money_commands(add, user, _call)

    one = add("merge", MERGE_HELP, _operation("user.merge"), user)
    one.add_argument("name", metavar="FROM")
    one.add_argument("into", metavar="INTO")
    one = add("rename", "give a user another name", _operation("user.rename"), user)
    one.add_argument("name")
    one.add_argument("new_name", metavar="NEW")
    one.add_argument("--now", action="store_true", help=NOW_HELP)
    for word, what in (
        ("delete", "close a user; what was printed still posts"),
        ("undelete", "bring a deleted user back"),
    ):
        add(word, what, _operation(f"user.{word}"), user).add_argument("name")

    add_user_settings_commands(add, user, _operation)
    add_client_commands(add, group, user, _operation)
    one = add("import", "add the users of the configured source", _import, user)
    one.add_argument("--file", help="a file, instead of the configured source; - with a format")
    add_user_file_commands(add, user, one, _import, _call)

    for kind, what in (("password", "the password"), ("pin", "the PIN beside a card")):
        one = add(kind, f"set {what} of a user", _secret(kind), user)
        one.add_argument("name")
        one.add_argument("--none", action="store_true", help="take it away")
    one = add(
        "unlock",
        "end a lockout: from the application server everywhere, else at this site",
        _operation("user.unlock"),
        user,
    )
    one.add_argument("name")
    one = add("card", "link a card to a user", _operation("user.card"), user)
    one.add_argument("name")
    one.add_argument("number", help="as the reader gives it")
    one.add_argument("--remove", action="store_true", help="the card is nobody's from now on")

    device = group("device", "devices: MFDs, card terminals, release stations")
    one = add("add", "add a device and print its join token", _add_with_token("device"), device)
    one.add_argument("name")
    one.add_argument("--printer", required=True, help="where it releases")
    one.add_argument("--site", help="the site it stands at")
    one.add_argument(
        "--functions", default="copy release", help="words of: copy, scan, fax, release, link"
    )
    one.add_argument("--logins", default="card password", help="words of: card, card-pin, password")
    one.add_argument("--idle", dest="idle_s", type=int, default=60, metavar="SECONDS")
    one = add("unlock", "end a device's lockout", _operation("device.unlock"), device)
    one.add_argument("name")
    one = add("set", "change a device", _operation("device.set"), device)
    one.add_argument("name")
    one.add_argument("--printer", help="where it releases and copies")
    one.add_argument("--site", help="the site it stands at; empty: none")
    one.add_argument("--functions", help="words of: copy, scan, fax, release, link")
    one.add_argument("--logins", help="words of: card, card-pin, password")
    one.add_argument("--idle", dest="idle_s", type=int, metavar="SECONDS")
    add("list", "list devices", _operation("device.list"), device)
    add("token", "a new join token", _token("device"), device).add_argument("name")

    account = add_account_commands(add, group, _operation, _call)
    add_transaction_commands(add, {"user": user, "account": account}, _operation)
    add_account_invoices_command(add, account, _operation)

    uncollected = group("uncollected", "what was printed and nobody pays yet")
    one = add("list", "list it, the oldest first", _operation("uncollected.list"), uncollected)
    one.add_argument("--after", metavar="KEY", help="the next page: the last key")
    one = add("assign", "have a user pay it", _operation("uncollected.assign"), uncollected)
    one.add_argument("key", help="of the charge: see `papercutd uncollected list`")
    one.add_argument("name", metavar="USER", help="who pays it")
    add_refund_commands(add, group, uncollected, _operation)
    add_voucher_commands(add, group, _operation, _call)

    add_price_commands(add, group, _operation, _call)
    add_purse_commands(add, group, _operation)
    add_quota_commands(add, group, _operation)
    add_new_user_commands(add, group, _operation)
    add_report_commands(add, group, _operation)
    add_sample_data_command(add)
    add_migrate_store_command(add)

    site = group("site", "site servers")
    one = add("add", "add a site and print its join token", _add_with_token("site"), site)
    one.add_argument("name")
    one.add_argument("--host", default="", help="where providers reach it")
    one.add_argument("--port", type=int, default=9195)
    one.add_argument("--device-port", type=int, default=9193, help="where devices reach it")
    one.add_argument("--https-port", type=int, default=9192, help="where people's clients do")
    one = add("set", "change a site", _operation("site.set"), site)
    one.add_argument("name")
    one.add_argument("--host")
    one.add_argument("--port", type=int)
    one.add_argument("--device-port", type=int)
    one.add_argument("--https-port", type=int)
    one.add_argument("--policy", choices=("capped", "strict", "closed"), help="of money while cut")
    one.add_argument("--cap", help="for each user while cut: an amount, default or none")
    one.add_argument("--deny-beyond-cap", type=yes_no, metavar="yes|no")
    add("list", "list sites", _operation("site.list"), site)
    add("remove", "take a site away", _operation("site.remove"), site).add_argument("name")
    held = "what each site holds of people's money (strict)"
    add("allowances", held, _operation("site.allowances"), site)
    one = add(
        "retire",
        "give back what streams hold that a site left behind (restored, lost, taken away)",
        _operation("site.retire"),
        site,
    )
    one.add_argument("name")
    one.add_argument(
        "--now", action="store_true", help="though somebody may still bring what was printed there"
    )
    one.add_argument("--wait-s", type=int, default=60, help="for those who are connected")
    add("token", "a new join token", _token("site"), site).add_argument("name")
    add_site_scope_command(add, site, _operation)

    add_policy_commands(add, group, _call)

    provider = group("provider", "print providers")
    one = add(
        "add", "add a provider and print its join token", _add_with_token("provider"), provider
    )
    one.add_argument("name")
    one.add_argument("--site", help="the site it stands beside")
    one = add("set", "change a provider", _operation("provider.set"), provider)
    one.add_argument("name")
    one.add_argument("--preferred", choices=("application", "site"), help="who is asked first")
    one.add_argument("--site", help='the site it stands beside; "" for none')
    add("list", "list providers", _operation("provider.list"), provider)
    add("token", "a new join token", _token("provider"), provider).add_argument("name")
    one = add(
        "secret",
        "what a provider proves its name with in plaintext, at this server",
        _operation("provider.secret"),
        provider,
    )
    one.add_argument("name")
    one.add_argument("--remove", action="store_true", help="it is let in no more")

    cups = add("cups", "queues of CUPS that ask this provider", _operation("cups.list"), provider)
    queues = cups.add_subparsers(dest="cups_command", required=True, metavar="COMMAND")
    add("list", "every queue, and whether it asks", _operation("cups.list"), queues)
    add("status", "how the provider and CUPS stand", _operation("cups.status"), queues)
    one = add("enable", "let a queue ask", _operation("cups.enable"), queues)
    one.add_argument("queue")
    one.add_argument("--uri", help="its device URI, if that has a password CUPS does not show")
    one = add("disable", "give a queue back as it was", _operation("cups.disable"), queues)
    one.add_argument("queue")

    printer = group("printer", "printers")
    one = add("add", "add a printer", _operation("printer.add"), printer)
    one.add_argument("name")
    one.add_argument("--provider", required=True)
    uris = "socket://HOST:PORT, ipp://HOST:PORT/PATH or cups:QUEUE"
    one.add_argument("--uri", required=True, help=uris)
    one.add_argument(
        "--when-alone",
        default="print-and-log-later",
        choices=("print-and-log-later", "hold", "print-unlogged"),
        help="when no server can be asked",
    )
    _add_release_arguments(one)
    said = "how jobs of a printer are released; what is not given stays"
    one = add("set", said, _operation("printer.set"), printer)
    one.add_argument("name")
    _add_release_arguments(one)
    one.set_defaults(release=None, group=None, held_for_s=None)
    add("list", "list printers", _operation("printer.list"), printer)

    parked = group("parked", "records of sites that could not be applied")
    add("list", "list them; at a site its own", _operation("parked.list"), parked)
    retry = "apply what can be applied by now, such as after an upgrade"
    add("retry", retry, _operation("parked.retry"), parked)

    reserved = group("reserved", "what lost journals of print servers and devices still reserve")
    add("list", "list it; at a site its own", _operation("reserved.list"), reserved)
    for word, what in (
        ("settle", "it was printed: charge it as it was decided"),
        ("void", "it was not printed: what is reserved is free"),
    ):
        add(word, what, _operation(f"reserved.{word}"), reserved).add_argument("key")

    add_lost_edit_commands(add, group, _operation)

    job = group("job", "jobs of a provider")
    add("list", "list jobs", _operation("job.list"), job)
    add("retry", "ask again for a held job", _operation("job.retry"), job).add_argument("job")
    add("cancel", "give up a job before it prints", _operation("job.cancel"), job).add_argument(
        "job"
    )
    one = add("held", "list held jobs, as the servers know them", _operation("job.held"), job)
    one.add_argument("--user")
    one = add("release", "print a held job", _operation("job.release"), job)
    one.add_argument("job")
    one.add_argument("--printer", help="another printer that may print it")
    one.add_argument("--copies", type=int)
    add("discard", "delete a held job", _operation("job.discard"), job).add_argument("job")

    add("status", "how everything stands", _operation("status"))
    one = add("verify", "check chains, totals and charges", _operation("verify"))
    one.add_argument("--provider-journal", dest="provider_journals", action="append", default=[])
    repair = "at a site: compare the replica with the application server, fetch what differs"
    one.add_argument("--repair", action="store_true", default=None, help=repair)
    add_audit_command(add, _call)
    add_job_log_command(add, _call)
    add_statement_commands(add, group, one, _operation)
    one = add("backup", "copy this server's database while it works", _backup)
    one.add_argument("path", metavar="FILE", help="where; nothing is overwritten")
    one = add("restore", "put a backup in place; the server must not run", _restore)
    one.add_argument("path", metavar="FILE", help="what `papercutd backup` made")
    one = add("revoke", "revoke the certificates of a site or provider", _operation("revoke"))
    one.add_argument("role_name", metavar="ROLE", choices=("site", "provider", "device"))
    one.add_argument("name")
    return top


def _add_release_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--release",
        default="immediate",
        choices=("immediate", "secure", "find-me"),
        help="print at once; hold for this printer; hold for any printer of the group",
    )
    one.add_argument("--group", default="", help="printers that take each other's find-me jobs")
    one.add_argument(
        "--held-for",
        dest="held_for_s",
        type=_duration_s,
        default=86_400,
        metavar="TIME",
        help="after which a held job is deleted: 30m, 24h, 7d",
    )


def _duration_s(text: str) -> int:
    """Seconds of ``90``, ``30m``, ``24h`` or ``7d``."""
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    if not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 30m, 24h or 7d")
    return int(number) * unit


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    options = parser(words).parse_args(words)
    try:
        role = role_of(options.config, options.role)
        config = load_config(options.config, MODELS[role])
        result = options.run(options, config)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return EX_CONFIG
    except (ControlError, PapercutError, OSError) as error:
        print(f"papercutd: {told(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.json:
        text = json.dumps(result)
    else:
        text = getattr(options, "readable", readable)(result)
    if not say(text):
        return BROKEN_PIPE
    return 1 if isinstance(result, dict) and result.get("ok") is False else 0


def run() -> None:
    """The console script."""
    sys.exit(main())


# What the commands do.

_NOT_ARGUMENTS = frozenset(
    {
        "config",
        "role",
        "json",
        "command",
        "subcommand",
        "run",
        "cups_command",
        "readable",
        "asked_by",
    }
)


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    found = {k: v for k, v in vars(options).items() if k not in _NOT_ARGUMENTS and v is not None}
    if "role_name" in found:
        found["role"] = found.pop("role_name")
    return found


def _operation(name: str) -> Run:
    def run(options: argparse.Namespace, config: Any) -> Any:
        arguments = _arguments(options)
        if name == "verify" and not arguments.get("provider_journals"):
            arguments.pop("provider_journals", None)
        return _call(options, config, name, arguments)

    return run


def _call(options: argparse.Namespace, config: Any, name: str, arguments: dict[str, Any]) -> Any:
    """At the running server; where none runs, in the application server's database itself."""

    socket_path = os.path.join(config.data_dir, "control.sock")
    try:
        return call(socket_path, name, arguments, _progress, who=options.asked_by)
    except ControlError as error:
        is_app = role_of(options.config, options.role) == "app"
        if error.code != "not-running" or not is_app:
            raise
    from papercutd.commands.offline import run_offline

    return run_offline(config, name, arguments, _progress, options.asked_by)


def _progress(figures: dict[str, Any]) -> None:
    if sys.stderr.isatty():
        print("  ".join(f"{k} {v}" for k, v in figures.items()), file=sys.stderr)


def _backup(options: argparse.Namespace, config: Any) -> Any:
    from papercutd.commands.backup import backup

    return backup(config, options.path, _progress)


def _restore(options: argparse.Namespace, config: Any) -> Any:
    from papercutd.commands.restore import restore

    return restore(config, options.path, _progress)


def _init(options: argparse.Namespace, config: Any) -> Any:
    from papercutd.commands.setup import initialise

    return initialise(config, options.ca_cert, options.ca_key, options.beside)


def _join(options: argparse.Namespace, config: Any) -> Any:
    from papercutd.commands.setup import join

    return join(config, options.token, options.server)


def _import(options: argparse.Namespace, config: Any) -> Any:
    """Nothing is imported while any row is rejected."""
    from papercutd.interfaces import IUserSource
    from plugins import USER_SOURCES, load

    name = "csv" if options.file else config.users.source
    settings = {"path": options.file or config.users.path} if name == "csv" else {}
    found = load(USER_SOURCES, name, IUserSource, **settings).read()
    if found.rejected:
        rows = [{"line": row.line, "reason": row.reason} for row in found.rejected]
        return {"ok": False, "added": 0, "rejected": rows}
    users = [
        {
            **{"name": u.name, "full_name": u.full_name, "restricted": u.restricted},
            **{"source": name, "groups": list(u.groups)},
        }
        for u in found.users
    ]
    # In parts, each whole: what is interrupted is finished by the same command again.
    added = 0
    for start in range(0, len(users), IMPORT_AT_ONCE):
        part = users[start : start + IMPORT_AT_ONCE]
        added += _call(options, config, "user.import", {"users": part})["added"]
        if sys.stderr.isatty():
            print(f"\r{start + len(part)} of {len(users)}", end="", file=sys.stderr)
    return {"added": added, "of": len(users)}


def _secret(kind: str) -> Run:
    """Asked for at the terminal, twice; else one line of standard input."""

    def run(options: argparse.Namespace, config: Any) -> Any:
        secret = ""
        if not options.none:
            secret = _ask_secret(kind)
        given = {"name": options.name, "kind": kind, "secret": secret}
        return _call(options, config, "user.secret", given)

    return run


def _ask_secret(kind: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    secret = getpass.getpass(f"new {kind}: ")
    if getpass.getpass("again: ") != secret:
        raise InvalidValue(kind, "was not the same twice")
    return secret


def _add_with_token(kind: str) -> Run:
    def run(options: argparse.Namespace, config: Any) -> Any:
        result = _call(options, config, f"{kind}.add", _arguments(options))
        return {**result, **_token(kind)(options, config)}

    return run


def _token(kind: str) -> Run:
    def run(options: argparse.Namespace, config: Any) -> Any:
        return _call(options, config, "token", {"role": kind, "name": options.name})

    return run


if __name__ == "__main__":
    run()
