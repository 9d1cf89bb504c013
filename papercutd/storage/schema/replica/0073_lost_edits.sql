-- The change that each row came by last; 0: the snapshot.
ALTER TABLE @seal ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
-- Where the history stood after each change: by it the newest place is found that a restored
-- application server shares. Empty: not known.
ALTER TABLE @applied ADD COLUMN chain TEXT NOT NULL DEFAULT '';
-- The snapshot's own place. No number: not known.
ALTER TABLE @position ADD COLUMN first INTEGER;
ALTER TABLE @position ADD COLUMN first_chain TEXT NOT NULL DEFAULT '';
-- Rows that were taken away, and by which change.
CREATE TABLE @gone (
    tbl TEXT NOT NULL,
    key ANY NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (tbl, key)
) STRICT, WITHOUT ROWID;
-- Money given or taken by an administrator's word.
CREATE TABLE @adjusted (
    number INTEGER NOT NULL,
    transfer INTEGER NOT NULL,
    account INTEGER NOT NULL,
    amount_e4 INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (number, transfer)
) STRICT, WITHOUT ROWID;
