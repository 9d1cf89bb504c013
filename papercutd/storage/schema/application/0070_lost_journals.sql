-- Seconds of the server's running time since a journal was replaced: what it held ends after seven days.
ALTER TABLE @old_journal ADD COLUMN unseen_s REAL NOT NULL DEFAULT 0;
