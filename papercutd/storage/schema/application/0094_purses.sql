-- Purses: money of a person beside the personal account, which is the main purse. Each is an
-- account of its own, whose parent is the personal account.

-- The kinds of accounts are a CHECK, which SQLite changes in the schema's own text: no row is
-- written anew (https://www.sqlite.org/lang_altertable.html#otheralter).
PRAGMA writable_schema = ON;
UPDATE @sqlite_schema SET sql = replace(sql, '''uncollected'')', '''uncollected'', ''purse'')')
    WHERE type = 'table' AND name = 'account';
PRAGMA writable_schema = RESET;

-- Of a personal account: what its purses hold together, kept with every movement of one.
ALTER TABLE @account ADD COLUMN purses_e4 INTEGER NOT NULL DEFAULT 0
    CHECK (purses_e4 BETWEEN 0 AND 999999999999999);
-- Of a purse: its kind.
ALTER TABLE @account ADD COLUMN purse INTEGER;
CREATE UNIQUE INDEX @account_purse ON account (parent, purse) WHERE kind = 'purse';

-- The order of spending: by rank. The main purse is no row: its number is 1, its rank 0.
CREATE TABLE @purse_kind (
    id INTEGER PRIMARY KEY CHECK (id > 1),
    name TEXT NOT NULL,
    rank INTEGER NOT NULL,
    -- Whether what it gave for a charge may come back, and whether users may give of it to others.
    refundable INTEGER NOT NULL DEFAULT 1 CHECK (refundable IN (0, 1)),
    transferable INTEGER NOT NULL DEFAULT 1 CHECK (transferable IN (0, 1)),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX @purse_kind_name ON purse_kind (name) WHERE removed = 0;

-- What purses gave of an allowance (STRICT) and is neither spent nor back; the rest is cash.
CREATE TABLE @purse_lent (
    allowance TEXT NOT NULL REFERENCES allowance (id),
    purse INTEGER NOT NULL REFERENCES purse_kind (id),
    left_e4 INTEGER NOT NULL CHECK (left_e4 >= 0),
    PRIMARY KEY (allowance, purse)
) STRICT, WITHOUT ROWID;
