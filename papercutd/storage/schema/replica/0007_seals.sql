-- A digest of each replicated row as it was stored.
CREATE TABLE @seal (
    tbl TEXT NOT NULL,
    key ANY NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (tbl, key)
) STRICT, WITHOUT ROWID;
