"""``papercut-lp``: print a file through this machine's print provider. Standard library only."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys

DEFAULT_SOCKET = "/var/lib/papercutd/provider/submit.sock"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="papercut-lp",
        description="Print a file through the print provider of this machine.",
        epilog="Example: papercut-lp report.pdf -P library-1 --wait",
    )
    parser.add_argument("file", help="the document; - for standard input")
    parser.add_argument("-P", "--printer", required=True, help="name of the printer")
    parser.add_argument("-U", "--user", default="", help="print as this user (default: you)")
    parser.add_argument("-n", "--copies", type=int, default=1, help="number of copies")
    parser.add_argument("--duplex", action="store_true", help="print on both sides")
    parser.add_argument("-t", "--title", default="", help="title (default: the file's name)")
    parser.add_argument("--wait", action="store_true", help="wait and tell what becomes of it")
    parser.add_argument("--json", action="store_true", help="tell it in lines of JSON")
    parser.add_argument(
        "--socket",
        default=os.environ.get("PAPERCUT_SUBMIT_SOCKET", DEFAULT_SOCKET),
        help="socket of the provider (default: %(default)s)",
    )
    options = parser.parse_args(argv)
    try:
        if options.file == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(options.file, "rb") as file:
                data = file.read()
    except OSError as error:
        print(f"papercut-lp: {options.file}: {error.strerror}", file=sys.stderr)
        return 1
    header = {
        "printer": options.printer,
        "user": options.user,
        "size": len(data),
        "title": options.title or os.path.basename(options.file),
        "host": socket.gethostname(),
        "copies": options.copies,
        "duplex": options.duplex,
        "wait": options.wait,
    }
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(options.socket)
    except OSError as error:
        print(f"papercut-lp: no provider answers at {options.socket}: {error}", file=sys.stderr)
        return 1
    with connection, connection.makefile("rb") as answers:
        try:
            connection.sendall(json.dumps(header).encode() + b"\n" + data)
        except OSError:
            pass  # Refused before all of it was read: the answer says why.
        code = 1
        for line in answers:
            said = json.loads(line)
            if options.json:
                print(json.dumps(said), flush=True)
            elif "error" not in said:
                print(_words(said), flush=True)
            if "error" in said:
                print(f"papercut-lp: {said['error']}", file=sys.stderr)
                return 1
            if options.wait:
                is_out = said.get("state") == "ended" and said["outcome"] == "completed"
                code = 0 if is_out else 1
            else:
                code = 0
    return code


def _words(said: dict[str, object]) -> str:
    if "state" not in said:
        return f"job {said['job']} is accepted"
    reason = f" ({said['reason']})" if said["reason"] else ""
    decided = said["state"] == "decided" and said.get("decided_by")
    by = f" by {decided}" if decided else ""
    return f"{said['state']}{by}{reason} {said['outcome']}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
