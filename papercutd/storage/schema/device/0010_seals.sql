-- Of the columns that the chain does not cover; empty in records of before there were seals.
ALTER TABLE @record ADD COLUMN seal TEXT NOT NULL DEFAULT '';
