-- Unknown people who were made users here while the site was cut, until the replica has them.
CREATE TABLE @user_met (
    folded TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    at DOUBLE PRECISION NOT NULL
);

CREATE INDEX user_met_at ON @user_met (at);

-- Of a decision for one of them: the folded name.
ALTER TABLE @decision ADD COLUMN met TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX decision_met ON @decision (met) WHERE met <> '';
