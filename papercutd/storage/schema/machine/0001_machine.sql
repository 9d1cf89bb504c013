-- What a machine's engine counts by itself. '@' stands for the name of the attached database.

-- Pages since it was built; they never fall.
CREATE TABLE @counter (
    function TEXT NOT NULL,
    colour INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    PRIMARY KEY (function, colour)
) STRICT, WITHOUT ROWID;

-- Pages of its latest runs, by the name its controller gave them.
CREATE TABLE @run (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    pages INTEGER NOT NULL
) STRICT;
