-- Cards that people linked here; each counts until the replica has come past its record.
CREATE TABLE @card_claim (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    user INTEGER NOT NULL,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @card_claim_hash ON card_claim (hash, number);
