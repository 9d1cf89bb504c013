-- A site's copy of what it needs of the application server: replaceable.
-- '@' stands for the name of the attached database. Columns are those of storage/replicated.py.

CREATE TABLE @position (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    timeline INTEGER NOT NULL,
    number INTEGER NOT NULL,
    chain TEXT NOT NULL,
    -- While a snapshot is being loaded: which one, and the next chunk of it.
    snapshot TEXT NOT NULL DEFAULT '',
    next_chunk INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE @account (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    user INTEGER,
    restricted INTEGER NOT NULL,
    floor_e4 INTEGER NOT NULL,
    credits_e4 INTEGER NOT NULL,
    debits_e4 INTEGER NOT NULL,
    pending_e4 INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    merged_into INTEGER
) STRICT;

CREATE TABLE @user (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    full_name TEXT NOT NULL,
    account INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    administrator INTEGER NOT NULL,
    merged_into INTEGER
) STRICT;
CREATE INDEX @user_folded ON user (folded);

CREATE TABLE @site (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    policy TEXT NOT NULL,
    cap_user_e4 INTEGER NOT NULL,
    deny_beyond_cap INTEGER NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    removed INTEGER NOT NULL
) STRICT;

CREATE TABLE @provider (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    site INTEGER,
    preferred TEXT NOT NULL,
    removed INTEGER NOT NULL
) STRICT;
CREATE INDEX @provider_name ON provider (name);

CREATE TABLE @printer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    provider INTEGER NOT NULL,
    uri TEXT NOT NULL,
    when_alone TEXT NOT NULL,
    removed INTEGER NOT NULL
) STRICT;

CREATE TABLE @price (
    version INTEGER PRIMARY KEY,
    effective_from REAL NOT NULL,
    body TEXT NOT NULL,
    needs TEXT NOT NULL
) STRICT;

CREATE TABLE @stream (
    id TEXT PRIMARY KEY,
    site INTEGER NOT NULL,
    number INTEGER NOT NULL,
    chain TEXT NOT NULL,
    granted_e4 INTEGER NOT NULL,
    returned_e4 INTEGER NOT NULL,
    settled_e4 INTEGER NOT NULL,
    spent_e4 INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Open reservations at the application server, by key.
CREATE TABLE @reservation (
    key TEXT PRIMARY KEY,
    account INTEGER NOT NULL,
    reserved_e4 INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @reservation_account ON reservation (account);

-- Keys decided here whose charge has arrived: our own reservation counts no more.
CREATE TABLE @charged (key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE @revocation (
    serial TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How late each batch was: wall clock of the commit there and of the applying here.
CREATE TABLE @applied (
    number INTEGER PRIMARY KEY,
    committed_at REAL NOT NULL,
    applied_at REAL NOT NULL
) STRICT;
