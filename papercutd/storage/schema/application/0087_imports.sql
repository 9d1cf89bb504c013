-- An import that was checked is applied to its end, whatever restarts in between.
CREATE TABLE @import_run (
    id TEXT PRIMARY KEY,
    format TEXT NOT NULL,
    settings TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('filling', 'applying')),
    began_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Its rows that are to be applied yet.
CREATE TABLE @import_row (
    import TEXT NOT NULL REFERENCES import_run (id),
    line INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (import, line)
) STRICT, WITHOUT ROWID;
