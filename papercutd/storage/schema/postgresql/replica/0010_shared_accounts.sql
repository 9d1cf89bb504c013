-- Shared accounts as a tree, who may charge them, and groups within groups.
ALTER TABLE @account ADD COLUMN access BIGINT NOT NULL DEFAULT 0;

ALTER TABLE @account ADD COLUMN markup_e4 BIGINT NOT NULL DEFAULT 0;

ALTER TABLE @account ADD COLUMN disabled_until DOUBLE PRECISION;
-- Whether it is closed: to sites that know no access and no mark-up, one that has any is closed.
-- Null: the application server is of such a release, and has said all with closed.
ALTER TABLE @account ADD COLUMN shut BIGINT;

CREATE TABLE @shared_account (
    id BIGINT PRIMARY KEY,
    pin_hash TEXT COLLATE "C" NOT NULL,
    invoice TEXT COLLATE "C" NOT NULL,
    comment TEXT COLLATE "C" NOT NULL,
    needs TEXT COLLATE "C" NOT NULL
);

CREATE INDEX shared_account_pin ON @shared_account (pin_hash) WHERE pin_hash <> '';

CREATE TABLE @account_access (
    key TEXT COLLATE "C" PRIMARY KEY,
    account BIGINT NOT NULL,
    "user" BIGINT NOT NULL,
    user_group BIGINT NOT NULL
);

CREATE INDEX account_access_account ON @account_access (account);

CREATE TABLE @group_nested (
    key TEXT COLLATE "C" PRIMARY KEY,
    parent BIGINT NOT NULL,
    child BIGINT NOT NULL
);

CREATE INDEX group_nested_child ON @group_nested (child);
