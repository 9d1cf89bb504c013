-- Purses of people beside their accounts, and the order in which they are spent.
ALTER TABLE @account ADD COLUMN purses_e4 INTEGER NOT NULL DEFAULT 0;
CREATE TABLE @purse_kind (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    rank INTEGER NOT NULL
) STRICT;
CREATE TABLE @purse (
    account INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    user INTEGER,
    kind INTEGER NOT NULL,
    balance_e4 INTEGER NOT NULL
) STRICT;
CREATE INDEX @purse_owner ON purse (owner);
ALTER TABLE @schedule ADD COLUMN purse INTEGER NOT NULL DEFAULT 1;
