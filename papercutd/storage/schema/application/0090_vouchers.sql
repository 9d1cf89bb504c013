-- Vouchers that were printed together. Their serials are kept as hashes: docs/decisions/0018.
CREATE TABLE @voucher_batch (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    amount_e4 INTEGER NOT NULL CHECK (amount_e4 > 0),
    count INTEGER NOT NULL,
    -- Null: no end.
    expires_at REAL,
    made_at REAL NOT NULL
) STRICT;

CREATE TABLE @voucher (
    hash TEXT PRIMARY KEY,
    batch INTEGER NOT NULL REFERENCES voucher_batch (id),
    place INTEGER NOT NULL,
    user INTEGER REFERENCES user (id),
    redeemed_at REAL,
    cancelled_at REAL,
    CHECK (redeemed_at IS NULL OR cancelled_at IS NULL)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX @voucher_place ON voucher (batch, place);
