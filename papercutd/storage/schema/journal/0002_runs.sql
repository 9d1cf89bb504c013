-- Runs at devices that are not finished: the last page event of each.
CREATE TABLE @run (
    key TEXT PRIMARY KEY,
    -- device:NAME
    device TEXT NOT NULL,
    pages INTEGER NOT NULL,
    -- The grant, whole.
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
