-- Lockouts of known users, of all servers, each once; kept for a while after they count.
CREATE TABLE @lockout_event (
    -- Of the record that told it.
    key TEXT PRIMARY KEY,
    user INTEGER NOT NULL,
    server TEXT NOT NULL,
    began_at REAL NOT NULL,
    taken_at REAL NOT NULL,
    -- It counts no more: unlocked.
    ended INTEGER NOT NULL CHECK (ended IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX @lockout_event_user ON lockout_event (user);
CREATE INDEX @lockout_event_taken ON lockout_event (taken_at);
-- What they come to; replicated.
CREATE TABLE @lockout (
    user INTEGER PRIMARY KEY,
    lockouts INTEGER NOT NULL,
    lasts_s REAL NOT NULL,
    ends_at REAL NOT NULL,
    -- timeline.number of the change by which an administrator ended them; empty: none did.
    unlocked TEXT NOT NULL DEFAULT '',
    noted_at REAL NOT NULL
) STRICT;
CREATE INDEX @lockout_noted ON lockout (noted_at);
