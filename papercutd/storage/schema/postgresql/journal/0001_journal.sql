-- A site's own memory on PostgreSQL: never replaced. Tables and columns as SQLite has them.
-- '@' stands for the name of the schema. Texts are ordered by their bytes, as there.

CREATE TABLE @identity (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    site TEXT COLLATE "C" NOT NULL,
    stream TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    chain TEXT COLLATE "C" NOT NULL,
    acked BIGINT NOT NULL DEFAULT 0,
    acked_chain TEXT COLLATE "C" NOT NULL,
    replica BIGINT NOT NULL DEFAULT 0,
    replaces TEXT COLLATE "C" NOT NULL DEFAULT '',
    reported_timeline BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE @journal (
    number BIGINT PRIMARY KEY,
    stream TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    chain TEXT COLLATE "C" NOT NULL,
    written_at DOUBLE PRECISION NOT NULL,
    seal TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE TABLE @decision (
    key TEXT COLLATE "C" PRIMARY KEY,
    provider TEXT COLLATE "C" NOT NULL,
    job_uuid TEXT COLLATE "C" NOT NULL,
    "user" BIGINT,
    account BIGINT,
    reserved_e4 BIGINT NOT NULL DEFAULT 0,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'refused', 'voided', 'settled')),
    origin TEXT COLLATE "C" NOT NULL CHECK (origin IN ('own', 'application')),
    body BYTEA NOT NULL,
    request BYTEA NOT NULL,
    pages BIGINT NOT NULL DEFAULT 0,
    number BIGINT NOT NULL DEFAULT 0,
    decided_at DOUBLE PRECISION NOT NULL,
    escrow_e4 BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX decision_open ON @decision (account) WHERE state = 'open';

CREATE INDEX decision_settled ON @decision (account, number) WHERE state = 'settled';

CREATE TABLE @hold (
    key TEXT COLLATE "C" NOT NULL,
    asker TEXT COLLATE "C" NOT NULL,
    journal TEXT COLLATE "C" NOT NULL,
    session BIGINT NOT NULL,
    PRIMARY KEY (key, asker, journal)
);

CREATE INDEX hold_asker ON @hold (asker, journal);

CREATE TABLE @asker (
    identity TEXT COLLATE "C" PRIMARY KEY,
    journal TEXT COLLATE "C" NOT NULL,
    session BIGINT NOT NULL,
    number BIGINT NOT NULL,
    chain TEXT COLLATE "C" NOT NULL,
    position TEXT COLLATE "C" NOT NULL DEFAULT '',
    connected BIGINT NOT NULL DEFAULT 0,
    unseen_s DOUBLE PRECISION NOT NULL DEFAULT 0,
    seen_at DOUBLE PRECISION NOT NULL DEFAULT 0,
    software TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE TABLE @old_journal (
    identity TEXT COLLATE "C" NOT NULL,
    journal TEXT COLLATE "C" NOT NULL,
    replaced_by TEXT COLLATE "C" NOT NULL,
    replaced_at DOUBLE PRECISION NOT NULL,
    unseen_s DOUBLE PRECISION NOT NULL DEFAULT 0,
    PRIMARY KEY (identity, journal)
);

CREATE TABLE @run (
    key TEXT COLLATE "C" PRIMARY KEY,
    device TEXT COLLATE "C" NOT NULL,
    pages BIGINT NOT NULL,
    body BYTEA NOT NULL
);

CREATE TABLE @staleness (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    told_s DOUBLE PRECISION,
    stale_s DOUBLE PRECISION NOT NULL,
    wall_s DOUBLE PRECISION NOT NULL
);

CREATE INDEX decision_number ON @decision (number) WHERE state = 'settled';

CREATE TABLE @card_claim (
    id TEXT COLLATE "C" PRIMARY KEY,
    hash TEXT COLLATE "C" NOT NULL,
    "user" BIGINT NOT NULL,
    number BIGINT NOT NULL
);

CREATE INDEX card_claim_hash ON @card_claim (hash, number);

CREATE TABLE @lockout_event (
    key TEXT COLLATE "C" PRIMARY KEY,
    "user" BIGINT NOT NULL,
    position TEXT COLLATE "C" NOT NULL,
    began_at DOUBLE PRECISION NOT NULL
);

CREATE INDEX lockout_event_user ON @lockout_event ("user");

CREATE TABLE @unlocked (
    "user" BIGINT PRIMARY KEY,
    ends_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE @allowance (
    "user" BIGINT PRIMARY KEY,
    granted_e4 BIGINT NOT NULL DEFAULT 0,
    returned_e4 BIGINT NOT NULL DEFAULT 0,
    spent_e4 BIGINT NOT NULL DEFAULT 0,
    pending_e4 BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX journal_drill ON @journal (number) WHERE strpos(body, '"kind":"drill-') > 0;

-- Who writes: a number that each writer takes for itself and every transaction of its compares,
-- and the name of the last transaction, by which one whose answer was lost is found.
CREATE TABLE @writer (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    fence BIGINT NOT NULL,
    batch TEXT COLLATE "C" NOT NULL
);
INSERT INTO @writer VALUES (1, 0, '');
