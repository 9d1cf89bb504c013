CREATE TABLE @site_policy (
    key TEXT PRIMARY KEY,
    site INTEGER NOT NULL,
    user_group INTEGER NOT NULL,
    knob TEXT NOT NULL,
    value TEXT NOT NULL,
    needs TEXT NOT NULL
) STRICT, WITHOUT ROWID;
