"""What PostgreSQL says, and what the administrator can do about it.

The words are libpq's and the server's own, in English; where a server speaks another language
they are told as they are. A password is never among them: what is wrong with an address is
said without it.
"""

from __future__ import annotations

import re

#: What is found in the words, and what to do; the first that fits.
_ADVICE = (
    (
        r"too many clients|remaining connection slots|too many connections",
        "raise max_connections, or see in pg_stat_activity who holds them; a server of ours takes"
        " up to nine",
    ),
    (
        r"authentication failed|no password supplied|role \".*\" (does not exist|is not permitted)",
        "see the user in `store`, and its password in the file that libpq reads (~/.pgpass)",
    ),
    (
        r"database \".*\" does not exist",
        "make it: CREATE DATABASE name OWNER user ENCODING 'UTF8' TEMPLATE template0",
    ),
    (r"no pg_hba\.conf entry", "let pg_hba.conf admit this machine, user and database"),
    (
        r"starting up|shutting down|in recovery mode|not yet accepting|terminating connection"
        r"|server closed the connection",
        "it starts, stops or has crashed: its own log says why; it is tried again",
    ),
    (
        r"SSL error|certificate|does not match host name",
        "`sslrootcert` is to name the authority that issued its certificate, and that names `host`",
    ),
    (
        r"does not support SSL|SSL connection",
        "give the server a certificate (ssl = on), or see `sslmode` in `store`",
    ),
    (
        r"Connection refused|No such file|could not translate host name|No route to host",
        "see that it runs, and host and port in `store`",
    ),
    (
        r"timeout expired|timed out|no answer|not answer",
        "it is frozen, overloaded or cut off: see the machine and the network between",
    ),
    (
        r"read-only|standby",
        "it is a standby, or set read-only: name the primary in `store`, or all of them and"
        " target_session_attrs=read-write",
    ),
    (
        r"permission denied|must be owner",
        "the user in `store` must own the database: ALTER DATABASE name OWNER TO user",
    ),
    (
        r"No space left|disk full|could not (write|extend) ",
        "free some space where PostgreSQL keeps its data; it goes on by itself, or is started",
    ),
    (
        r"lock timeout",
        "somebody else holds a lock on a table of ours: see pg_locks and pg_stat_activity",
    ),
    (
        r"canceling statement due to user request",
        "somebody canceled it (pg_cancel_backend)",
    ),
)
_FOUND = tuple((re.compile(words, re.IGNORECASE), advice) for words, advice in _ADVICE)


def advised(words: str) -> str:
    """``words`` in one line, and once what to do where that is known."""
    line = "; ".join(part.strip() for part in words.strip().splitlines() if part.strip())
    for words_of, advice in _FOUND:
        if words_of.search(line):
            return line if advice in line else f"{line} ({advice})"
    return line
