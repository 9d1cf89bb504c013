-- What becomes of a job of somebody unknown: at one site's printers, and (site 0) at all others.
CREATE TABLE @unknown_user_setting (
    site BIGINT PRIMARY KEY,
    what TEXT COLLATE "C" NOT NULL CHECK (what IN ('create', 'hold', 'deny')),
    -- Of site 0: users that are made so in an hour at the most, and when it was said last that
    -- there were more.
    per_hour BIGINT NOT NULL DEFAULT 100,
    alarmed_at DOUBLE PRECISION NOT NULL DEFAULT 0
);

-- Users made because they printed.
CREATE TABLE @user_met (
    "user" BIGINT PRIMARY KEY REFERENCES @"user" (id),
    at DOUBLE PRECISION NOT NULL,
    -- Who met them: 'application', or a site's identity.
    met_by TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL
);

CREATE INDEX user_met_at ON @user_met (met_by, at);
