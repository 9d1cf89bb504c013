"""Card numbers: one form, whatever reader they came from, and the hash they are kept as."""

from __future__ import annotations

from hashlib import blake2b

from papercutd.errors import InvalidValue

#: Characters of a number in its one form.
CARD_LENGTH_MAX = 64
#: Characters that readers put between digits, or around them.
_SEPARATORS = str.maketrans("", "", " \t-:.;?%=")


def normalise_card(number: str) -> str:
    """``number`` in its one form: capitals, no spaces or separators; raises InvalidValue."""
    # Bounded before anything is done with it: a reader, or somebody posing as one, sends it.
    if len(number) > 4 * CARD_LENGTH_MAX:
        raise InvalidValue("card", f"is longer than {CARD_LENGTH_MAX} letters and digits")
    plain = number.translate(_SEPARATORS).upper()
    if not plain or len(plain) > CARD_LENGTH_MAX or not (plain.isascii() and plain.isalnum()):
        raise InvalidValue("card", f"is not 1 to {CARD_LENGTH_MAX} letters and digits")
    return plain


def hash_pin(pin: str, key: str) -> str:
    """The keyed hash of a shared account's PIN, which is no card's; raises InvalidValue."""
    try:
        plain = normalise_card(pin).encode()
    except InvalidValue:
        raise InvalidValue("pin", f"is not 1 to {CARD_LENGTH_MAX} letters and digits") from None
    hashed = blake2b(plain, key=bytes.fromhex(key), digest_size=32, person=b"account pin")
    return hashed.hexdigest()


def hash_card(number: str, key: str) -> str:
    """The keyed hash under which ``number`` is looked up; ``key`` is hexadecimal."""
    plain = normalise_card(number).encode()
    return blake2b(plain, key=bytes.fromhex(key), digest_size=32).hexdigest()
