-- What the entry's other columns and the ledger rows written with it were: chained with its body.
-- Empty in entries of before there were seals.
ALTER TABLE @change_log ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
-- From which entry on every row of the ledger has a seal; no row: from none yet.
CREATE TABLE @sealing (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    since INTEGER NOT NULL
) STRICT;
