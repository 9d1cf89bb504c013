-- Lockouts of known users at this site, as long as they count.
CREATE TABLE @lockout_event (
    key TEXT PRIMARY KEY,
    user INTEGER NOT NULL,
    -- The replica's position, timeline.number: an unlocking that is newer ends it.
    position TEXT NOT NULL,
    began_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @lockout_event_user ON lockout_event (user);
-- Whom an administrator of this site let in again, whatever the replica says up to that end.
CREATE TABLE @unlocked (
    user INTEGER PRIMARY KEY,
    ends_at REAL NOT NULL
) STRICT;
