-- Which purse a voucher fills.
ALTER TABLE @voucher ADD COLUMN purse BIGINT NOT NULL DEFAULT 1;
