-- A site that is sent the people of some groups alone: their ids, separated by commas; empty: everybody.
ALTER TABLE site ADD COLUMN scope TEXT NOT NULL DEFAULT '';
-- The change by which it became so: a replica from before it is filled anew.
ALTER TABLE site ADD COLUMN scope_since INTEGER NOT NULL DEFAULT 0;
