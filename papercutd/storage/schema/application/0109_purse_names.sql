-- The main purse may be called otherwise: then it has a row too, number 1 and of rank 0. The CHECK
-- against that is taken out of the schema's own text, as in 0094.
PRAGMA writable_schema = ON;
UPDATE @sqlite_schema SET sql = replace(sql, ' CHECK (id > 1)', '')
    WHERE type = 'table' AND name = 'purse_kind';
PRAGMA writable_schema = RESET;
-- Whether people may fill it themselves, as by a voucher.
ALTER TABLE @purse_kind ADD COLUMN fillable INTEGER NOT NULL DEFAULT 1 CHECK (fillable IN (0, 1));
-- Which purse the vouchers of a batch fill, and which one an act on many is about.
ALTER TABLE @voucher_batch ADD COLUMN purse INTEGER NOT NULL DEFAULT 1;
ALTER TABLE @money_act ADD COLUMN purse INTEGER NOT NULL DEFAULT 1;
