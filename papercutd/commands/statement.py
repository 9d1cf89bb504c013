"""``papercutd statement``, ``outages``, ``head``, ``drill`` and ``verify --statement``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from papercutd.commands.statement_text import show_outages, show_statement
from papercutd.errors import InvalidValue

Run = Callable[[argparse.Namespace, Any], Any]
#: A statement is as large as its lists may be, and no larger.
DOCUMENT_MAX = 900_000
DRILL_DEFAULT_MINUTES = 15


def add_statement_commands(
    add: Callable[..., argparse.ArgumentParser],
    group: Callable[[str, str], Any],
    verify: argparse.ArgumentParser,
    operation: Callable[[str], Run],
) -> None:
    """``verify`` is the parser of that command; it checks statements too."""
    one = add("statement", "what was printed in an outage", operation("statement"))
    one.add_argument("--outage", type=int, metavar="N", help="one of `outages`; else the latest")
    one.add_argument("--since", help="seconds since 1970, instead of an outage")
    one.add_argument("--until", help="seconds since 1970")
    one.set_defaults(readable=show_statement)
    one = add("outages", "outages, newest first", operation("outages"))
    one.add_argument("--count", type=int, default=20, help="at most (default: %(default)s)")
    one.set_defaults(readable=show_outages)
    add("head", "where the history stands, signed", operation("head"))
    verify.add_argument(
        *("--statement", "--head"),
        dest="statement",
        metavar="FILE",
        help="whether what `statement --json` or `head --json` printed is genuine, and the books"
        " still say the same; - for standard input",
    )
    verify.add_argument(
        "--ca", metavar="FILE", help="with --statement: by this certificate alone, without a server"
    )
    verify.set_defaults(run=_verify(operation))
    drill = group("drill", "rehearse at a site that its link is cut")
    one = add("start", "begin a drill", operation("drill.start"), drill)
    one.add_argument(
        *("--minutes",), type=int, default=DRILL_DEFAULT_MINUTES, help="(default: %(default)s)"
    )
    add("stop", "end it", operation("drill.stop"), drill)
    add("status", "whether there is one, and what it did", operation("drill.status"), drill)


def _verify(operation: Callable[[str], Run]) -> Run:
    def run(options: argparse.Namespace, config: Any) -> Any:
        path, ca = options.statement, options.ca
        del options.statement, options.ca
        if path is None:
            if ca is not None:
                raise InvalidValue("ca", "is for --statement")
            return operation("verify")(options, config)
        text = _read(path)
        if ca is None and hasattr(config, "application"):
            # Sites and print providers have no books to compare, but the CA's certificate.
            ca = str(Path(config.data_dir) / "identity" / "ca.pem")
        if ca is not None:
            return verify_offline(text, Path(ca).read_bytes())
        # Of the command's other arguments none is for this.
        asked = argparse.Namespace(**vars(options))
        for name in ("provider_journals", "repair"):
            delattr(asked, name)
        asked.text = text
        return operation("verify.signed")(asked, config)

    return run


def verify_offline(text: str, ca_pem: bytes) -> dict[str, Any]:
    """By the CA's certificate alone: whether it is genuine, not what any books say."""
    from papercutd.identity.signing import check_signed
    from papercutd.services.statements import read_document

    try:
        check_signed(read_document(text), text, ca_pem)
    except InvalidValue as error:
        return {"ok": False, "genuine": False, "problems": [str(error)]}
    return {"ok": True, "genuine": True, "problems": []}


def _read(path: str) -> str:
    if path == "-":
        data = sys.stdin.buffer.read(DOCUMENT_MAX + 1)
    else:
        with open(path, "rb") as file:
            data = file.read(DOCUMENT_MAX + 1)
    if len(data) > DOCUMENT_MAX:
        raise InvalidValue("statement", "is longer than any statement")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidValue("statement", "is not UTF-8") from None
