-- Vouchers, by the hash of the hash of each serial: a serial that is shown is proved by it.
CREATE TABLE @voucher (
    hash TEXT PRIMARY KEY,
    batch TEXT NOT NULL,
    place INTEGER NOT NULL,
    amount_e4 INTEGER NOT NULL,
    expires_at REAL,
    redeemed_at REAL,
    cancelled_at REAL
) STRICT, WITHOUT ROWID;
