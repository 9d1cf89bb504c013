-- Edits that a restore has lost, as sites had followed them: to be looked at, and nothing else.
CREATE TABLE @lost_edit (
    -- A digest of what it says.
    id TEXT PRIMARY KEY,
    tbl TEXT NOT NULL,
    key ANY NOT NULL,
    name TEXT NOT NULL,
    -- The row as it was there, JSON; null: it had been taken away.
    was TEXT NOT NULL,
    -- Columns that were other and are not shown, words.
    hidden TEXT NOT NULL,
    made_at REAL NOT NULL,
    at REAL NOT NULL,
    forgotten INTEGER NOT NULL DEFAULT 0 CHECK (forgotten IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE TABLE @lost_edit_site (
    edit TEXT NOT NULL,
    site INTEGER NOT NULL,
    PRIMARY KEY (edit, site)
) STRICT, WITHOUT ROWID;
CREATE INDEX @lost_edit_site_site ON lost_edit_site (site);
-- How many more there are that are not kept one by one, for each record that told of some.
CREATE TABLE @lost_edit_more (
    record TEXT PRIMARY KEY,
    site INTEGER NOT NULL,
    count INTEGER NOT NULL,
    forgotten INTEGER NOT NULL DEFAULT 0 CHECK (forgotten IN (0, 1))
) STRICT, WITHOUT ROWID;
