-- An import that was checked is applied to its end, whatever restarts in between.
CREATE TABLE @import_run (
    id TEXT COLLATE "C" PRIMARY KEY,
    format TEXT COLLATE "C" NOT NULL,
    settings TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('filling', 'applying')),
    began_at DOUBLE PRECISION NOT NULL
);

-- Its rows that are to be applied yet.
CREATE TABLE @import_row (
    import TEXT COLLATE "C" NOT NULL REFERENCES @import_run (id),
    line BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (import, line)
);
