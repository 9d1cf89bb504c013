-- A device's journal. '@' stands for the name of the attached database.

CREATE TABLE @identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    journal TEXT NOT NULL,
    replaces TEXT NOT NULL DEFAULT '',
    number INTEGER NOT NULL,
    chain TEXT NOT NULL,
    -- What was forgotten of the record log: its last number and the chain there.
    pruned INTEGER NOT NULL DEFAULT 0,
    pruned_chain TEXT NOT NULL DEFAULT ''
) STRICT;

-- What happened, in order, chained; the tables below are made of it in the same transactions.
CREATE TABLE @record (
    number INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    chain TEXT NOT NULL,
    written_at REAL NOT NULL
) STRICT;

-- Pages that a server let come, and how many did.
CREATE TABLE @run (
    -- job/step, as the server named them.
    key TEXT PRIMARY KEY,
    -- Opaque; empty once a server has acknowledged the run.
    grant_text TEXT NOT NULL,
    function TEXT NOT NULL,
    colour INTEGER NOT NULL,
    -- Pages reserved, and pages that came out.
    reserved INTEGER NOT NULL,
    pages INTEGER NOT NULL DEFAULT 0,
    unit_e4 INTEGER NOT NULL,
    user_name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'finished', 'acknowledged', 'aside')),
    outcome TEXT NOT NULL DEFAULT '',
    finished_at REAL NOT NULL DEFAULT 0,
    -- What a server said to its FINISH: posted, journalled, already, or a code.
    answer TEXT NOT NULL DEFAULT '',
    amount_e4 INTEGER,
    begun_at REAL NOT NULL,
    -- Number of the record that began it.
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @run_kept ON run (number) WHERE state IN ('running', 'finished');

-- Servers and settings, as they were last heard of.
CREATE TABLE @setting (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
