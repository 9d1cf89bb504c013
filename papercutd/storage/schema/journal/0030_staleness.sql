-- The staleness clock as it was last written down; no row: it was never.
CREATE TABLE @staleness (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- The application server's wall clock when the replica was last up to date.
    told_s REAL,
    stale_s REAL NOT NULL,
    -- Our own wall clock when this was written.
    wall_s REAL NOT NULL
) STRICT;
