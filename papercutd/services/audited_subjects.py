"""What an administrative act is about: the objects whose rows its entry shows before and after."""

from __future__ import annotations

from typing import Any

NAME_MAX = 255
#: Arguments that name the object of an operation, whose kind is the word before the dot.
_NAMES = ("name", "into")
_KINDS = frozenset(
    ("user", "site", "provider", "printer", "device", "group", "quota", "account", "purse")
)
#: Operations that are about objects of other kinds: the argument, and the kind it names.
_OTHERS: dict[str, tuple[tuple[str, str], ...]] = {
    "user.transfer": (("name", "user"), ("to", "user")),
    "user.set": (("name", "user"), ("group", "modes")),
    "voucher.redeem": (("name", "user"),),
    "voucher.cancel": (("name", "vouchers"),),
    "voucher.add": (("name", "vouchers"),),
    "uncollected.assign": (("name", "user"), ("key", "charge")),
    "uncollected.write-off": (("keys", "charge"),),
    "refund.ask": (("key", "charge"),),
    "refund.give": (("key", "charge"),),
    "refund.approve": (("id", "refund"),),
    "refund.reject": (("id", "refund"),),
    "new-user-rule.set": (("group", "new-user-rule"),),
    "new-user-rule.remove": (("group", "new-user-rule"),),
}
#: Operations that are about something that there is once.
_ONCE = {
    "price.set": ("prices", ""),
    "price.import": ("prices", ""),
    "purse.order": ("purses", ""),
    "unknown-users.set": ("unknown-users", ""),
}
#: Names of one argument that is a list.
_LISTED_MAX = 20
Subjects = tuple[tuple[str, str], ...]


def subjects_of(operation: str, arguments: dict[str, Any]) -> Subjects:
    """(kind, name) of each object that ``operation`` is about."""
    if operation in _ONCE:
        return (_ONCE[operation],)
    kind, _, _ = operation.partition(".")
    named = _OTHERS.get(operation, tuple((one, kind) for one in _NAMES if kind in _KINDS))
    found = []
    for argument, of in named:
        given = arguments.get(argument)
        if argument == "group" and given is None and of == "new-user-rule":
            # That of everybody.
            found.append((of, ""))
        names = given[:_LISTED_MAX] if isinstance(given, list) else [given]
        found += [(of, str(one)) for one in names if is_name(one)]
    parent = arguments.get("parent")
    if operation == "account.add" and found and is_name(parent):
        return (("account", f"{parent}\\{arguments['name']}"),)
    return tuple(found)


def is_name(value: object) -> bool:
    """Whether there may be an object of that name: what else is refused by its operation."""
    return isinstance(value, str) and 0 < len(value) <= NAME_MAX and value.isprintable()
