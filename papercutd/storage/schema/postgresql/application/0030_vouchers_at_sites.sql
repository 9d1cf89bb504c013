-- What sites are told of a serial: a hash of its hash, from which neither is found
-- (docs/decisions/0023). Null: made by an earlier release, filled in at its start.
ALTER TABLE @voucher ADD COLUMN told TEXT COLLATE "C";
CREATE UNIQUE INDEX voucher_told ON @voucher (told);
-- Redemptions that sites have told of, each once by the id of its record, and what came of it.
CREATE TABLE @voucher_claim (
    id TEXT COLLATE "C" PRIMARY KEY,
    hash TEXT COLLATE "C" NOT NULL,
    "user" BIGINT NOT NULL,
    site TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL
);
