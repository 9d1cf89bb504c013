-- Vouchers redeemed here; each is credit until the replica has come past its record.
CREATE TABLE @voucher_here (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    user INTEGER NOT NULL,
    amount_e4 INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @voucher_here_hash ON voucher_here (hash);
CREATE INDEX @voucher_here_user ON voucher_here (user, number);
