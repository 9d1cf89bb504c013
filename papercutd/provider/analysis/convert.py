"""Documents that other programs turn into PDF: Ghostscript PostScript, CUPS text and images."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence

from papercutd.provider.analysis.formats import POSTSCRIPT

MEMORY_MAX_BYTES = 1_500_000_000
CPU_MAX_S = 60
#: Bytes of a file that a converter may write.
FILE_MAX_BYTES = 1_000_000_000
#: What CUPS's filters make PDF of without a driver.
BY_FILTERS = frozenset(
    {
        *("text/plain", "application/vnd.cups-pdf-banner"),
        *("image/jpeg", "image/png", "image/tiff", "image/gif", "image/bmp", "image/x-bitmap"),
        *("image/x-portable-anymap", "image/x-portable-graymap", "image/x-portable-pixmap"),
    }
)
#: Options of a job that change how many pages a text or an image becomes.
OPTIONS = (
    *("cpi", "lpi", "columns", "prettyprint", "wrap", "orientation-requested", "landscape"),
    *("page-left", "page-right", "page-top", "page-bottom", "media", "PageSize"),
    *("scaling", "natural-scaling", "ppi", "fit-to-page", "fitplot", "fillprint"),
)
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_PR_SET_PDEATHSIG = 1


class NotConverted(Exception):
    """The program is not there, failed, or took too much."""


def to_pdf(path: str, format: str, scratch: str, options: Mapping[str, str]) -> str:
    """The path, in the folder ``scratch``, of a PDF with the pages of the document."""
    path, scratch = os.path.abspath(path), os.path.abspath(scratch)
    pdf = os.path.join(scratch, "made.pdf")
    if format == POSTSCRIPT:
        command = [
            *("gs", "-q", "-dSAFER", "-dNOPAUSE", "-dBATCH", "-sDEVICE=pdfwrite"),
            *(f"-sOutputFile={pdf}", "-f", path),
        ]
        _run(command, scratch, subprocess.DEVNULL)
        return pdf
    command = ["cupsfilter", "-i", format, "-m", "application/pdf"]
    for name, value in options.items():
        if name in OPTIONS:
            command += ["-o", f"{name}={value}"]
    with open(pdf, "wb") as out:
        _run([*command, path], scratch, out.fileno())
    return pdf


def _run(command: Sequence[str], scratch: str, output: int) -> None:
    environment = {"PATH": _PATH, "HOME": scratch, "TMPDIR": scratch, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            preexec_fn=_limit,
        )
    except OSError as error:
        raise NotConverted(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise NotConverted(f"{command[0]} ended with {done.returncode}")


def _limit() -> None:
    """In the new process: it ends with us, and is bounded as we are."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_MAX_BYTES, FILE_MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
