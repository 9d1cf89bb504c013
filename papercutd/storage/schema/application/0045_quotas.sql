-- Quotas: what is credited to whom, and when. One row is all that sites are told of it.
CREATE TABLE @schedule (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    amount_e4 INTEGER NOT NULL CHECK (amount_e4 > 0),
    -- What a purse holds at the most after the credit; null: no cap.
    cap_e4 INTEGER,
    period TEXT NOT NULL,
    day INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    -- Whose purses: 'restricted', every open personal account that is restricted.
    whom TEXT NOT NULL,
    -- The due moment of the next run, or of the one under way.
    next_at INTEGER NOT NULL,
    -- Of the run under way: it has come to this account, and ends with that; 0, 0: none is.
    done_account INTEGER NOT NULL DEFAULT 0,
    last_account INTEGER NOT NULL DEFAULT 0,
    -- The due moment of the last whole run; 0: none was.
    ran_at INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX @schedule_name ON schedule (name) WHERE removed = 0;

-- A run is one event of its schedule and period, for ever.
CREATE TABLE @quota_run (
    schedule INTEGER NOT NULL REFERENCES schedule (id),
    period TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    began_at REAL NOT NULL,
    finished_at REAL,
    users INTEGER NOT NULL DEFAULT 0,
    credited_e4 INTEGER NOT NULL DEFAULT 0,
    withheld_e4 INTEGER NOT NULL DEFAULT 0,
    given_back_e4 INTEGER NOT NULL DEFAULT 0,
    number INTEGER NOT NULL,
    PRIMARY KEY (schedule, period),
    CHECK (given_back_e4 BETWEEN 0 AND withheld_e4)
) STRICT, WITHOUT ROWID;
CREATE INDEX @quota_run_due ON quota_run (due_at, schedule);

-- What a cap kept back, until charges decided before the run have had it, or 35 days.
CREATE TABLE @withheld (
    account INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    schedule INTEGER NOT NULL,
    period TEXT NOT NULL,
    withheld_e4 INTEGER NOT NULL,
    left_e4 INTEGER NOT NULL,
    over_e4 INTEGER NOT NULL CHECK (over_e4 >= 0),
    PRIMARY KEY (account, due_at, schedule),
    CHECK (left_e4 BETWEEN 0 AND withheld_e4)
) STRICT, WITHOUT ROWID;

-- Charges that sites decided after a run which was not made here yet: to its cap they count as
-- if they came after it.
CREATE TABLE @early_charge (
    account INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    schedule INTEGER NOT NULL,
    key TEXT NOT NULL,
    amount_e4 INTEGER NOT NULL,
    PRIMARY KEY (account, due_at, schedule, key)
) STRICT, WITHOUT ROWID;

-- A purse is what its person's account and escrow hold together.
CREATE INDEX @account_escrow_user ON account (user) WHERE kind = 'escrow';
