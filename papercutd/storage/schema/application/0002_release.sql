-- Queues of which jobs are held until somebody releases them at a device.
ALTER TABLE @printer ADD COLUMN release TEXT NOT NULL DEFAULT 'immediate'
    CHECK (release IN ('immediate', 'secure', 'find-me'));
-- Printers of one group take each other's find-me jobs.
ALTER TABLE @printer ADD COLUMN pull_group TEXT NOT NULL DEFAULT '';
-- Seconds after which a held job is deleted.
ALTER TABLE @printer ADD COLUMN held_max_s INTEGER NOT NULL DEFAULT 86400
    CHECK (held_max_s > 0);
