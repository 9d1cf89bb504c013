-- Of the columns that the chain does not cover; empty in records of before there were seals.
ALTER TABLE @journal ADD COLUMN seal TEXT NOT NULL DEFAULT '';
