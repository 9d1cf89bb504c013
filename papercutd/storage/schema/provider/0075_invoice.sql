-- Whether a job's release said that it is to be invoiced; null: it said nothing.
ALTER TABLE @job ADD COLUMN invoice INTEGER;
