-- What a step is for: submit or release; with the step it makes the key.
ALTER TABLE @job ADD COLUMN phase TEXT NOT NULL DEFAULT 'submit';
-- The release under way or done, and the printer it chose; 0: the queue it came by.
ALTER TABLE @job ADD COLUMN release TEXT NOT NULL DEFAULT '';
ALTER TABLE @job ADD COLUMN target INTEGER NOT NULL DEFAULT 0;
ALTER TABLE @job ADD COLUMN held_at REAL NOT NULL DEFAULT 0;

-- Every release and deletion asked for: the same id gets the same answer.
CREATE TABLE @release (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    printer INTEGER NOT NULL,
    -- Empty while it is under way.
    answer TEXT NOT NULL DEFAULT '',
    decision BLOB,
    written_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
