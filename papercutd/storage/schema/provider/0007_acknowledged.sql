-- How far the journal of a site's stream stood when it last acknowledged something.
ALTER TABLE @known_stream ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE @known_stream ADD COLUMN chain TEXT NOT NULL DEFAULT '';
