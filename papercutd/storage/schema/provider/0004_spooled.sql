-- What a spooler (CUPS) knows of a job; null: the document was handed in here.
ALTER TABLE @job ADD COLUMN spooled BLOB;
-- The job that was printed before from the same job of the spooler.
ALTER TABLE @job ADD COLUMN reprint_of TEXT NOT NULL DEFAULT '';
CREATE INDEX @job_uuid ON job (job_uuid) WHERE job_uuid <> '';
