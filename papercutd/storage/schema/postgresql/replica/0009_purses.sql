-- Purses of people beside their accounts, and the order in which they are spent.
ALTER TABLE @account ADD COLUMN purses_e4 BIGINT NOT NULL DEFAULT 0;
CREATE TABLE @purse_kind (
    id BIGINT PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    rank BIGINT NOT NULL
);
CREATE TABLE @purse (
    account BIGINT PRIMARY KEY,
    owner BIGINT NOT NULL,
    "user" BIGINT,
    kind BIGINT NOT NULL,
    balance_e4 BIGINT NOT NULL
);
CREATE INDEX purse_owner ON @purse (owner);
ALTER TABLE @schedule ADD COLUMN purse BIGINT NOT NULL DEFAULT 1;
