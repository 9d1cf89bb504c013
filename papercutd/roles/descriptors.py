"""Open files that a role may have: one for each session of its devices, providers and sites."""

from __future__ import annotations

import resource

from twisted.logger import Logger

_log = Logger()
#: Sessions of all listeners, databases, journals, pages.
WANTED = 32_768
#: Below this a large site's devices may not all find a place.
ENOUGH = 12_500


def allow_many_files(wanted: int = WANTED) -> int:
    """Raise the limit of this process as far as it may be raised; how many it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft != resource.RLIM_INFINITY and soft < min(ENOUGH, wanted):
        _log.warn(
            "only {files} files may be open at once, and each session is one: raise LimitNOFILE"
            " of the service, or `ulimit -Hn`, for more than {files} devices",
            files=soft,
        )
    return soft
