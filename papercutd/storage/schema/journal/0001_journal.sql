-- A site's own memory: never replaced. '@' stands for the name of the attached database.

CREATE TABLE @identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    site TEXT NOT NULL,
    stream TEXT NOT NULL,
    number INTEGER NOT NULL,
    chain TEXT NOT NULL,
    -- What the application server has acknowledged.
    acked INTEGER NOT NULL DEFAULT 0,
    acked_chain TEXT NOT NULL,
    -- Which replica file is in force; 0: none yet.
    replica INTEGER NOT NULL DEFAULT 0,
    -- The stream this one replaces, told once at the next handshake.
    replaces TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE @journal (
    number INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    body TEXT NOT NULL,
    chain TEXT NOT NULL,
    written_at REAL NOT NULL
) STRICT;

CREATE TABLE @decision (
    key TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    job_uuid TEXT NOT NULL,
    user INTEGER,
    account INTEGER,
    -- While open what is reserved, once settled what is charged.
    reserved_e4 INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK (state IN ('open', 'refused', 'voided', 'settled')),
    -- own: decided here; application: its answer, taken and passed on.
    origin TEXT NOT NULL CHECK (origin IN ('own', 'application')),
    body BLOB NOT NULL,
    request BLOB NOT NULL,
    pages INTEGER NOT NULL DEFAULT 0,
    -- The journal record that settled or cancelled it; 0: none.
    number INTEGER NOT NULL DEFAULT 0,
    decided_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @decision_open ON decision (account) WHERE state = 'open';
CREATE INDEX @decision_settled ON decision (account, number) WHERE state = 'settled';

CREATE TABLE @hold (
    key TEXT NOT NULL,
    asker TEXT NOT NULL,
    journal TEXT NOT NULL,
    session INTEGER NOT NULL,
    PRIMARY KEY (key, asker, journal)
) STRICT, WITHOUT ROWID;
CREATE INDEX @hold_asker ON hold (asker, journal);

CREATE TABLE @asker (
    identity TEXT PRIMARY KEY,
    journal TEXT NOT NULL,
    session INTEGER NOT NULL,
    number INTEGER NOT NULL,
    chain TEXT NOT NULL,
    position TEXT NOT NULL DEFAULT '',
    connected INTEGER NOT NULL DEFAULT 0,
    unseen_s REAL NOT NULL DEFAULT 0,
    seen_at REAL NOT NULL DEFAULT 0,
    software TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE TABLE @old_journal (
    identity TEXT NOT NULL,
    journal TEXT NOT NULL,
    replaced_by TEXT NOT NULL,
    replaced_at REAL NOT NULL,
    PRIMARY KEY (identity, journal)
) STRICT, WITHOUT ROWID;
