-- What administrators did: added to, never changed, and sealed like the ledger.
CREATE TABLE @audit (
    id INTEGER PRIMARY KEY,
    -- The same in all entries of one act.
    act TEXT NOT NULL,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    place TEXT NOT NULL,
    operation TEXT NOT NULL,
    arguments TEXT NOT NULL,
    -- The columns that are other now, as they were and as they became: JSON, empty: none.
    was TEXT NOT NULL,
    became TEXT NOT NULL,
    -- done, or the code of the error.
    outcome TEXT NOT NULL,
    number INTEGER NOT NULL
) STRICT;
CREATE INDEX @audit_at ON audit (at, id);
CREATE INDEX @audit_who ON audit (who, at, id);
CREATE INDEX @audit_operation ON audit (operation, at, id);
CREATE TRIGGER @audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is never changed'); END;
CREATE TRIGGER @audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is never deleted'); END;
