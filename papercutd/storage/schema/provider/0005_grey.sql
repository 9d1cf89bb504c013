-- The printer that its release chose prints without colour, whatever the document has.
ALTER TABLE @job ADD COLUMN grey INTEGER NOT NULL DEFAULT 0;
