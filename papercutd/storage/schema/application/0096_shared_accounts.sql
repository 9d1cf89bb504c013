-- Shared accounts as a tree. What a decision looks at stands with the account itself:
-- whose rows of account_access say who may charge it (0: everybody), the mark-up in 1/10000 of
-- the price, and until when it is disabled.
ALTER TABLE @account ADD COLUMN access INTEGER NOT NULL DEFAULT 0;
ALTER TABLE @account ADD COLUMN markup_e4 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE @account ADD COLUMN disabled_until REAL;

-- What else is known of a shared account.
CREATE TABLE @shared_account (
    id INTEGER PRIMARY KEY REFERENCES account (id),
    -- The full name as it is looked up.
    folded TEXT NOT NULL UNIQUE,
    -- The code it is found by at a device, as the installation's keyed hash.
    pin_hash TEXT NOT NULL DEFAULT '',
    invoice TEXT NOT NULL DEFAULT 'user-chooses',
    comment TEXT NOT NULL DEFAULT 'optional',
    needs TEXT NOT NULL DEFAULT '',
    -- Who may charge it: whoever may its parent (inherit), everybody, or those listed.
    access_mode TEXT NOT NULL DEFAULT 'inherit',
    -- The most that its mark-up ever was: no site can have taken more.
    markup_most_e4 INTEGER NOT NULL DEFAULT 0,
    notes TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX @shared_account_pin ON shared_account (pin_hash) WHERE pin_hash <> '';
INSERT INTO @shared_account (id, folded) SELECT id, lower(name) FROM @account WHERE kind = 'shared';
CREATE INDEX @account_shared_parent ON account (parent) WHERE kind = 'shared';

-- Who may charge an account, one user or one group a row; the other is 0.
CREATE TABLE @account_access (
    key TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    user INTEGER NOT NULL,
    user_group INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @account_access_account ON account_access (account);
CREATE INDEX @account_access_group ON account_access (user_group) WHERE user_group <> 0;

-- Names that shared accounts bore.
CREATE TABLE @former_account (
    folded TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    left_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
