-- Vouchers redeemed here; each is credit until the replica has come past its record.
CREATE TABLE @voucher_here (
    id TEXT COLLATE "C" PRIMARY KEY,
    hash TEXT COLLATE "C" NOT NULL,
    "user" BIGINT NOT NULL,
    amount_e4 BIGINT NOT NULL,
    number BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL
);
CREATE INDEX voucher_here_hash ON @voucher_here (hash);
CREATE INDEX voucher_here_user ON @voucher_here ("user", number);
