CREATE TABLE @notice (
    id TEXT PRIMARY KEY,
    user INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @notice_user ON notice (user);
