"""Every limit of the line protocols; docs/protocols/*.md state the same, and a test compares."""

from __future__ import annotations

#: Bytes of one line, its end not counted.
LINE_LENGTH_MAX = 65_536
#: Bytes of one bulk line (changes, snapshot chunks, journal batches).
CHUNK_LENGTH_MAX = 16_384
#: Characters of a tag.
TAG_LENGTH_MAX = 32
#: Requests in flight in one direction of one session.
TAGS_IN_FLIGHT_MAX = 32
#: Entries of one page of a list (OPEN).
PAGE_ENTRIES_MAX = 500
#: Bad lines a session may send before it is disconnected.
BAD_LINES_MAX = 10
#: Seconds from connection to the end of the handshake.
HANDSHAKE_TIMEOUT_S = 5.0
#: Seconds without a byte from the peer before the session is ended.
IDLE_TIMEOUT_S = 45.0
#: Seconds between pings; and while the peer is suspect.
PING_INTERVAL_S = 15.0
PING_SUSPECT_INTERVAL_S = 2.0
#: Bytes that may wait for a slow peer before it is disconnected.
OUTBOUND_BYTES_MAX = 4_194_304
#: Bytes of changes that may be under way without a credit.
CHANGES_CREDIT_BYTES = 262_144
#: Journal batches in flight.
JOURNAL_BATCHES_MAX = 8
