-- Shared accounts as a tree, who may charge them, and groups within groups.
ALTER TABLE @account ADD COLUMN access INTEGER NOT NULL DEFAULT 0;
ALTER TABLE @account ADD COLUMN markup_e4 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE @account ADD COLUMN disabled_until REAL;
-- Whether it is closed: to sites that know no access and no mark-up, one that has any is closed.
-- Null: the application server is of such a release, and has said all with closed.
ALTER TABLE @account ADD COLUMN shut INTEGER;

CREATE TABLE @shared_account (
    id INTEGER PRIMARY KEY,
    pin_hash TEXT NOT NULL,
    invoice TEXT NOT NULL,
    comment TEXT NOT NULL,
    needs TEXT NOT NULL
) STRICT;
CREATE INDEX @shared_account_pin ON shared_account (pin_hash) WHERE pin_hash <> '';

CREATE TABLE @account_access (
    key TEXT PRIMARY KEY,
    account INTEGER NOT NULL,
    user INTEGER NOT NULL,
    user_group INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @account_access_account ON account_access (account);

CREATE TABLE @group_nested (
    key TEXT PRIMARY KEY,
    parent INTEGER NOT NULL,
    child INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @group_nested_child ON group_nested (child);
