-- How it is settled who pays a user's jobs, and what whoever decides must be able to do.
ALTER TABLE @user ADD COLUMN account_mode TEXT NOT NULL DEFAULT '';
ALTER TABLE @user ADD COLUMN needs TEXT NOT NULL DEFAULT '';
-- For status, which names what cannot be evaluated here.
CREATE INDEX @user_needs ON user (id) WHERE needs <> '';
