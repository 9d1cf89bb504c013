-- Which purse a voucher fills.
ALTER TABLE @voucher ADD COLUMN purse INTEGER NOT NULL DEFAULT 1;
