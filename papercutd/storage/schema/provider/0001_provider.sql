-- A print provider's journal. '@' stands for the name of the attached database.

CREATE TABLE @identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    journal TEXT NOT NULL,
    replaces TEXT NOT NULL DEFAULT '',
    number INTEGER NOT NULL,
    chain TEXT NOT NULL
) STRICT;

-- What happened, in order, chained; the tables below are made of it in the same transactions.
CREATE TABLE @record (
    number INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    chain TEXT NOT NULL,
    written_at REAL NOT NULL
) STRICT;

CREATE TABLE @job (
    job TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN
        ('received', 'analysed', 'asked', 'decided', 'held', 'printing', 'ended')),
    step INTEGER NOT NULL DEFAULT 1,
    printer INTEGER NOT NULL,
    user_name TEXT NOT NULL,
    title TEXT NOT NULL,
    host TEXT NOT NULL,
    copies INTEGER NOT NULL,
    duplex INTEGER NOT NULL,
    format TEXT NOT NULL,
    path TEXT NOT NULL,
    -- SHA-256 of the document, hexadecimal.
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    submitted_at REAL NOT NULL,
    job_uuid TEXT NOT NULL DEFAULT '',
    document BLOB,
    decision BLOB,
    -- Who decided: application, a stream, or tracker.
    decider TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    -- Milliseconds from AUTHORIZE sent to the decision on the disk.
    waited_ms REAL,
    decided_at REAL,
    outcome TEXT NOT NULL DEFAULT '',
    pages INTEGER,
    assumed INTEGER NOT NULL DEFAULT 0,
    ended_at REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX @job_open ON job (state) WHERE state <> 'ended';

-- Answers taken, by key, until their server has acknowledged how they ended; kept 35 days.
CREATE TABLE @taken (
    key TEXT PRIMARY KEY,
    -- Who is to be told: application, or a stream.
    target TEXT NOT NULL,
    -- The completion, once paper came out; null while it is open.
    completion BLOB,
    acked INTEGER NOT NULL DEFAULT 0,
    -- A server refused it for good: shown, not sent again.
    parked TEXT NOT NULL DEFAULT '',
    number INTEGER NOT NULL,
    written_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @taken_target ON taken (target, number) WHERE acked = 0;

-- Answers that will not be used, until their server has acknowledged that.
CREATE TABLE @cancel (
    key TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    acked INTEGER NOT NULL DEFAULT 0,
    number INTEGER NOT NULL,
    PRIMARY KEY (key, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE @known_stream (
    site TEXT PRIMARY KEY,
    stream TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The last CONFIG of each server, and keys of a lost journal to look at.
CREATE TABLE @setting (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
