-- The shared account that its release chose.
ALTER TABLE @job ADD COLUMN account INTEGER;
