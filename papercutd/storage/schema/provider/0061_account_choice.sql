-- The person of a job has said who pays, and something of it; or was asked and has not answered, and is waited for
-- until then (0: nobody is).
ALTER TABLE @job ADD COLUMN chosen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE @job ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE @job ADD COLUMN choice_due_at REAL NOT NULL DEFAULT 0;
ALTER TABLE @job ADD COLUMN comment TEXT NOT NULL DEFAULT '';
