-- Ids up to this one may have been given in a part of the history that a restore has lost.
ALTER TABLE @head ADD COLUMN id_floor INTEGER NOT NULL DEFAULT 0;
