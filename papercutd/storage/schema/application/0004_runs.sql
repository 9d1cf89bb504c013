-- Runs at devices that are not finished: the last page event of each.
CREATE TABLE @run (
    key TEXT PRIMARY KEY,
    -- device:NAME
    device TEXT NOT NULL,
    pages INTEGER NOT NULL,
    -- The grant, whole.
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Sites at which a provider or device stood before: what they journalled of it still comes in.
CREATE TABLE @stood (
    -- provider:NAME or device:NAME
    owner TEXT NOT NULL,
    site INTEGER NOT NULL REFERENCES site (id),
    PRIMARY KEY (owner, site)
) STRICT, WITHOUT ROWID;
