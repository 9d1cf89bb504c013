CREATE TABLE @lockout (
    user INTEGER PRIMARY KEY,
    lockouts INTEGER NOT NULL,
    lasts_s REAL NOT NULL,
    ends_at REAL NOT NULL,
    unlocked TEXT NOT NULL
) STRICT;
