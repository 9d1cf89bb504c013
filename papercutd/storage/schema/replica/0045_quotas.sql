-- Schedules of quotas: promises that this site evaluates itself while it is cut.
CREATE TABLE @schedule (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    amount_e4 INTEGER NOT NULL,
    cap_e4 INTEGER,
    period TEXT NOT NULL,
    day INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    whom TEXT NOT NULL,
    next_at INTEGER NOT NULL,
    done_account INTEGER NOT NULL,
    last_account INTEGER NOT NULL,
    ran_at INTEGER NOT NULL
) STRICT;
