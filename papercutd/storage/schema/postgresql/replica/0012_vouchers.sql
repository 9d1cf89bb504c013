-- Vouchers, by the hash of the hash of each serial: a serial that is shown is proved by it.
CREATE TABLE @voucher (
    hash TEXT COLLATE "C" PRIMARY KEY,
    batch TEXT COLLATE "C" NOT NULL,
    place BIGINT NOT NULL,
    amount_e4 BIGINT NOT NULL,
    expires_at DOUBLE PRECISION,
    redeemed_at DOUBLE PRECISION,
    cancelled_at DOUBLE PRECISION
);
