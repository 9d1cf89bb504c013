-- Which purse a quota fills.
ALTER TABLE @schedule ADD COLUMN purse INTEGER NOT NULL DEFAULT 1;

-- Of an early charge, what purses other than the main one paid.
CREATE TABLE @early_purse (
    account INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    schedule INTEGER NOT NULL,
    key TEXT NOT NULL,
    purse INTEGER NOT NULL,
    amount_e4 INTEGER NOT NULL,
    PRIMARY KEY (account, due_at, schedule, key, purse)
) STRICT, WITHOUT ROWID;
