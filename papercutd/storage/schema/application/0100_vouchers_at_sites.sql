-- What sites are told of a serial: a hash of its hash, from which neither is found
-- (docs/decisions/0023). Null: made by an earlier release, filled in at its start.
ALTER TABLE @voucher ADD COLUMN told TEXT;
CREATE UNIQUE INDEX @voucher_told ON voucher (told);
-- Redemptions that sites have told of, each once by the id of its record, and what came of it.
CREATE TABLE @voucher_claim (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    user INTEGER NOT NULL,
    site TEXT NOT NULL,
    outcome TEXT NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
