-- The application server's database. '@' stands for the name of the attached database.

CREATE TABLE @head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    installation TEXT NOT NULL,
    timeline INTEGER NOT NULL,
    number INTEGER NOT NULL,
    chain TEXT NOT NULL
) STRICT;

-- One row a transaction: contiguous, chained over the bytes as written.
CREATE TABLE @change_log (
    number INTEGER PRIMARY KEY,
    timeline INTEGER NOT NULL,
    body BLOB NOT NULL,
    chain TEXT NOT NULL,
    committed_at REAL NOT NULL
) STRICT;

CREATE TABLE @account (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN
        ('personal', 'shared', 'escrow', 'revenue', 'adjustment', 'uncollected')),
    name TEXT NOT NULL,
    user INTEGER,
    stream TEXT,
    parent INTEGER REFERENCES account (id),
    restricted INTEGER NOT NULL DEFAULT 0 CHECK (restricted IN (0, 1)),
    floor_e4 INTEGER NOT NULL DEFAULT 0 CHECK (abs(floor_e4) < 1000000000000000),
    credits_e4 INTEGER NOT NULL DEFAULT 0 CHECK (credits_e4 BETWEEN 0 AND 999999999999999),
    debits_e4 INTEGER NOT NULL DEFAULT 0 CHECK (debits_e4 BETWEEN 0 AND 999999999999999),
    pending_e4 INTEGER NOT NULL DEFAULT 0 CHECK (pending_e4 BETWEEN 0 AND 999999999999999),
    closed INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1)),
    merged_into INTEGER REFERENCES account (id)
) STRICT;
CREATE UNIQUE INDEX @account_escrow ON account (stream, user) WHERE kind = 'escrow';

CREATE TABLE @user (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    full_name TEXT NOT NULL DEFAULT '',
    account INTEGER NOT NULL REFERENCES account (id),
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    administrator INTEGER NOT NULL DEFAULT 0 CHECK (administrator IN (0, 1)),
    merged_into INTEGER REFERENCES user (id),
    verifier TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT 'local'
) STRICT;

-- Who bore a name from which change number to which: kept for ever.
CREATE TABLE @user_name (
    folded TEXT NOT NULL,
    user INTEGER NOT NULL REFERENCES user (id),
    since INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (folded, since, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE @site (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    policy TEXT NOT NULL DEFAULT 'capped' CHECK (policy IN ('capped', 'strict', 'closed')),
    -- -1: the default, 200 grey A4 sides; -2: none.
    cap_user_e4 INTEGER NOT NULL DEFAULT -1,
    deny_beyond_cap INTEGER NOT NULL DEFAULT 0 CHECK (deny_beyond_cap IN (0, 1)),
    host TEXT NOT NULL DEFAULT '',
    port INTEGER NOT NULL DEFAULT 9195,
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;

CREATE TABLE @provider (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    site INTEGER REFERENCES site (id),
    preferred TEXT NOT NULL DEFAULT 'application' CHECK (preferred IN ('application', 'site')),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;

CREATE TABLE @printer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    provider INTEGER NOT NULL REFERENCES provider (id),
    uri TEXT NOT NULL,
    when_alone TEXT NOT NULL DEFAULT 'print-and-log-later'
        CHECK (when_alone IN ('print-and-log-later', 'hold', 'print-unlogged')),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;

CREATE TABLE @price (
    version INTEGER PRIMARY KEY,
    effective_from REAL NOT NULL,
    body TEXT NOT NULL,
    -- What a decider must be able to evaluate; empty in version 1.
    needs TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE @transfer (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('pending', 'post', 'void', 'direct')),
    refers INTEGER REFERENCES transfer (id),
    debit INTEGER NOT NULL REFERENCES account (id),
    credit INTEGER NOT NULL REFERENCES account (id),
    amount_e4 INTEGER NOT NULL CHECK (amount_e4 BETWEEN 0 AND 999999999999999),
    key TEXT NOT NULL,
    price_version INTEGER NOT NULL,
    who TEXT NOT NULL,
    place TEXT NOT NULL,
    claimed_at REAL NOT NULL,
    received_at REAL NOT NULL,
    forced INTEGER NOT NULL CHECK (forced IN (0, 1)),
    reason TEXT NOT NULL DEFAULT '',
    number INTEGER NOT NULL,
    CHECK ((kind IN ('post', 'void')) = (refers IS NOT NULL)),
    CHECK (debit <> credit)
) STRICT;
-- A reservation resolves at most once.
CREATE UNIQUE INDEX @transfer_refers ON transfer (refers) WHERE refers IS NOT NULL;
CREATE INDEX @transfer_debit ON transfer (debit, id);
CREATE INDEX @transfer_key ON transfer (key);
CREATE TRIGGER @transfer_no_update BEFORE UPDATE ON transfer
BEGIN SELECT RAISE(ABORT, 'transfers are never changed'); END;
CREATE TRIGGER @transfer_no_delete BEFORE DELETE ON transfer
BEGIN SELECT RAISE(ABORT, 'transfers are never deleted'); END;

-- Every answer given, by key: what is asked again is answered again.
CREATE TABLE @decision (
    key TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    job_uuid TEXT NOT NULL,
    user INTEGER,
    account INTEGER,
    reserved_e4 INTEGER NOT NULL DEFAULT 0,
    -- open: allowed, not resolved; refused: held or denied; voided; settled.
    state TEXT NOT NULL CHECK (state IN ('open', 'refused', 'voided', 'settled')),
    transfer INTEGER REFERENCES transfer (id),
    body BLOB NOT NULL,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @decision_open ON decision (account) WHERE state = 'open';

-- A reservation is held by every asker that asked for its key.
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
    -- The application server's position it last acknowledged.
    position TEXT NOT NULL DEFAULT '',
    connected INTEGER NOT NULL DEFAULT 0,
    unseen_s REAL NOT NULL DEFAULT 0,
    seen_at REAL NOT NULL DEFAULT 0,
    software TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- Journals of askers that were replaced by another of the same identity.
CREATE TABLE @old_journal (
    identity TEXT NOT NULL,
    journal TEXT NOT NULL,
    replaced_by TEXT NOT NULL,
    replaced_at REAL NOT NULL,
    PRIMARY KEY (identity, journal)
) STRICT, WITHOUT ROWID;

CREATE TABLE @stream (
    id TEXT PRIMARY KEY,
    site INTEGER NOT NULL REFERENCES site (id),
    number INTEGER NOT NULL DEFAULT 0,
    chain TEXT NOT NULL,
    granted_e4 INTEGER NOT NULL DEFAULT 0,
    returned_e4 INTEGER NOT NULL DEFAULT 0,
    settled_e4 INTEGER NOT NULL DEFAULT 0,
    spent_e4 INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'frozen', 'retired')),
    began_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE @charge (
    charge_id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    provider TEXT NOT NULL,
    printer INTEGER NOT NULL,
    user INTEGER,
    user_name TEXT NOT NULL,
    account INTEGER NOT NULL,
    decider TEXT NOT NULL,
    stream TEXT NOT NULL DEFAULT '',
    stream_number INTEGER NOT NULL DEFAULT 0,
    price_version INTEGER NOT NULL,
    lines TEXT NOT NULL,
    pages INTEGER NOT NULL,
    sheets INTEGER NOT NULL,
    amount_e4 INTEGER NOT NULL,
    forced INTEGER NOT NULL,
    assumed INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    title TEXT NOT NULL,
    claimed_at REAL NOT NULL,
    received_at REAL NOT NULL,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @charge_key ON charge (key);
CREATE INDEX @charge_user ON charge (user, received_at);
CREATE INDEX @charge_number ON charge (number);

-- Jobs that ended without a charge, and what was refused.
CREATE TABLE @job_log (
    key TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    printer INTEGER NOT NULL,
    user INTEGER,
    user_name TEXT NOT NULL,
    title TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    decider TEXT NOT NULL,
    stream TEXT NOT NULL DEFAULT '',
    stream_number INTEGER NOT NULL DEFAULT 0,
    claimed_at REAL NOT NULL,
    received_at REAL NOT NULL,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @job_log_number ON job_log (number);

-- What an administrator should see in the statement.
CREATE TABLE @listed (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    who TEXT NOT NULL,
    detail TEXT NOT NULL,
    amount_e4 INTEGER NOT NULL DEFAULT 0,
    at REAL NOT NULL,
    number INTEGER NOT NULL
) STRICT;
CREATE INDEX @listed_number ON listed (number);

-- Records of a stream that could not be applied: shown, never in the way.
CREATE TABLE @parked (
    stream TEXT NOT NULL,
    number INTEGER NOT NULL,
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (stream, number)
) STRICT, WITHOUT ROWID;

-- Links coming and going: from when to when an outage was.
CREATE TABLE @link_event (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('up', 'down', 'reported')),
    at REAL NOT NULL,
    number INTEGER NOT NULL
) STRICT;

CREATE TABLE @certificate (
    serial TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    not_after REAL NOT NULL,
    issued_at REAL NOT NULL,
    revoked_at REAL
) STRICT, WITHOUT ROWID;

CREATE TABLE @token (
    hash TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    expires_at REAL NOT NULL,
    used_at REAL
) STRICT, WITHOUT ROWID;
