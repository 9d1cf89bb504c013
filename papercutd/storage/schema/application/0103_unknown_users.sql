-- What becomes of a job of somebody unknown: at one site's printers, and (site 0) at all others.
CREATE TABLE @unknown_user_setting (
    site INTEGER PRIMARY KEY,
    what TEXT NOT NULL CHECK (what IN ('create', 'hold', 'deny')),
    -- Of site 0: users that are made so in an hour at the most, and when it was said last that
    -- there were more.
    per_hour INTEGER NOT NULL DEFAULT 100,
    alarmed_at REAL NOT NULL DEFAULT 0
) STRICT;

-- Users made because they printed.
CREATE TABLE @user_met (
    user INTEGER PRIMARY KEY REFERENCES user (id),
    at REAL NOT NULL,
    -- Who met them: 'application', or a site's identity.
    met_by TEXT NOT NULL,
    key TEXT NOT NULL,
    number INTEGER NOT NULL
) STRICT;
CREATE INDEX @user_met_at ON user_met (met_by, at);
