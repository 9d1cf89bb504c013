-- What an administrator did with money, by an id of the act: done once, however often it is sent.
CREATE TABLE @money_act (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('adjust', 'transfer')),
    -- Tells the same act again from another one under its id.
    digest TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('filling', 'applying', 'done')),
    users INTEGER NOT NULL DEFAULT 0,
    -- Accounts that cannot hold any more.
    failed INTEGER NOT NULL DEFAULT 0,
    total_e4 INTEGER NOT NULL DEFAULT 0,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Whose accounts are to be adjusted yet.
CREATE TABLE @money_act_row (
    act TEXT NOT NULL REFERENCES money_act (id),
    user INTEGER NOT NULL REFERENCES user (id),
    amount_e4 INTEGER NOT NULL,
    PRIMARY KEY (act, user)
) STRICT, WITHOUT ROWID;
