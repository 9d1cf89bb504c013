-- How it is settled who pays a user's jobs (domain/account_mode.py); empty: by the default of
-- the user's groups and of the installation. Whoever decides needs these capabilities.
ALTER TABLE @user ADD COLUMN account_mode TEXT NOT NULL DEFAULT '';
ALTER TABLE @user ADD COLUMN needs TEXT NOT NULL DEFAULT '';
-- For status, which names the sites that cannot evaluate them.
CREATE INDEX @user_needs ON user (id) WHERE needs <> '';

-- What people said of a job when they were asked who pays it.
CREATE TABLE @job_comment (
    key TEXT PRIMARY KEY,
    comment TEXT NOT NULL
) STRICT, WITHOUT ROWID;
