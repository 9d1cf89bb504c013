-- The main purse may be called otherwise: then it has a row too, number 1 and of rank 0.
ALTER TABLE @purse_kind DROP CONSTRAINT purse_kind_id_check;
-- Whether people may fill it themselves, as by a voucher.
ALTER TABLE @purse_kind ADD COLUMN fillable BIGINT NOT NULL DEFAULT 1 CHECK (fillable IN (0, 1));
-- Which purse the vouchers of a batch fill, and which one an act on many is about.
ALTER TABLE @voucher_batch ADD COLUMN purse BIGINT NOT NULL DEFAULT 1;
ALTER TABLE @money_act ADD COLUMN purse BIGINT NOT NULL DEFAULT 1;
