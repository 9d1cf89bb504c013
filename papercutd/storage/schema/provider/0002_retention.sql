-- What was forgotten of the record log: its last number and the chain there.
ALTER TABLE @identity ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE @identity ADD COLUMN pruned_chain TEXT NOT NULL DEFAULT '';

-- Streams that were replaced or retired: what is theirs goes to the application server.
CREATE TABLE @gone_stream (
    stream TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
