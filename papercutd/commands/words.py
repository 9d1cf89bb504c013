"""Words of the command line: what somebody typed, and what is said back."""

from __future__ import annotations

import argparse
import os
import sys

#: As a shell says it of a program that SIGPIPE ended.
BROKEN_PIPE = 141
#: The same of Ctrl-C.
INTERRUPTED = 130


def yes_no(text: str) -> bool:
    """``yes`` or ``no``, and nothing that would pass for one of them."""
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is not yes or no")
    return text == "yes"


def told(error: Exception) -> str:
    """What went wrong; of a file which one, then what."""
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename is not None else ""
        return f"{name}{error.strerror}"
    return str(error)


def say(text: str) -> bool:
    """Print ``text``; False: whoever read along (``| head``) has seen enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # What is left in the buffer is written at the end of the process: to nobody.
        with open(os.devnull, "w") as nobody:
            os.dup2(nobody.fileno(), sys.stdout.fileno())
        return False
    return True
