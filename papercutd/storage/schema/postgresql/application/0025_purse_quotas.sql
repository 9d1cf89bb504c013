-- Which purse a quota fills.
ALTER TABLE @schedule ADD COLUMN purse BIGINT NOT NULL DEFAULT 1;

-- Of an early charge, what purses other than the main one paid.
CREATE TABLE @early_purse (
    account BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    schedule BIGINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    purse BIGINT NOT NULL,
    amount_e4 BIGINT NOT NULL,
    PRIMARY KEY (account, due_at, schedule, key, purse)
);
