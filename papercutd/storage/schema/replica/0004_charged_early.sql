-- A charge may arrive before this site's own answer to its key: at which change; 0: decided here.
ALTER TABLE @charged ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
CREATE INDEX @charged_number ON charged (number) WHERE number > 0;
