"""What is never written down of an administrative act: secrets, and more than anybody reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "(hidden)"
#: Arguments that are secrets, or open something: PINs, passwords, cards, vouchers, tokens.
SECRETS = frozenset(
    (
        *("secret", "password", "pin", "card", "card_pin", "cards", "secondary_card"),
        *("number", "code", "codes", "voucher", "vouchers", "token", "verifier", "user_pin"),
    )
)
#: Of a list the first ones; a text, and all of it.
LIST_MAX = 20
TEXT_MAX = 500
ALL_MAX = 8_000
_DEPTH_MAX = 5
_USERINFO = re.compile(r"(://)[^/@\s\"]*@")


def hide_userinfo(text: str) -> str:
    """``text`` without the name and password of any address in it."""
    return _USERINFO.sub(rf"\1{HIDDEN}@", text)


def shown_arguments(arguments: Mapping[str, Any]) -> str:
    """JSON of ``arguments`` without secrets, of bounded length."""
    text = json.dumps(_shown(arguments, 0), ensure_ascii=False, default=str)
    # Half of a surrogate pair is no text that a database takes.
    text = text.encode("utf-8", "replace").decode()
    if len(text) > ALL_MAX:
        return json.dumps({"shortened": text[: ALL_MAX // 2]}, ensure_ascii=False)
    return text


def _shown(value: Any, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        return "..."
    if isinstance(value, str):
        text = value if len(value) <= TEXT_MAX else f"{value[:TEXT_MAX]}..."
        return hide_userinfo(text).replace("\0", "")
    if isinstance(value, Mapping):
        found = {
            str(name): HIDDEN if str(name) in SECRETS and one else _shown(one, depth + 1)
            for name, one in list(value.items())[:LIST_MAX]
        }
        return found if len(value) <= LIST_MAX else {**found, "...": len(value)}
    if isinstance(value, (list, tuple)):
        shown = [_shown(one, depth + 1) for one in value[:LIST_MAX]]
        return shown if len(value) <= LIST_MAX else [*shown, f"... of {len(value)}"]
    return value
