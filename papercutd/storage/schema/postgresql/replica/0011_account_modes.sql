-- How it is settled who pays a user's jobs, and what whoever decides must be able to do.
ALTER TABLE @"user" ADD COLUMN account_mode TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE @"user" ADD COLUMN needs TEXT COLLATE "C" NOT NULL DEFAULT '';
