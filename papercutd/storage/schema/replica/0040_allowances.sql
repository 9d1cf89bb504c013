CREATE TABLE @allowance (
    id TEXT PRIMARY KEY,
    stream TEXT NOT NULL,
    user INTEGER NOT NULL,
    granted_e4 INTEGER NOT NULL,
    returned_e4 INTEGER NOT NULL,
    settled_e4 INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @allowance_user ON allowance (user);
