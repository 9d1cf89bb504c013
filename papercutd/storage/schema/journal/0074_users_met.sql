-- Unknown people who were made users here while the site was cut, until the replica has them.
CREATE TABLE @user_met (
    folded TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @user_met_at ON user_met (at);
-- Of a decision for one of them: the folded name.
ALTER TABLE @decision ADD COLUMN met TEXT NOT NULL DEFAULT '';
CREATE INDEX @decision_met ON decision (met) WHERE met <> '';
