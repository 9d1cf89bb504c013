-- What an administrator did with money, by an id of the act: done once, however often it is sent.
CREATE TABLE @money_act (
    id TEXT COLLATE "C" PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('adjust', 'transfer')),
    -- Tells the same act again from another one under its id.
    digest TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('filling', 'applying', 'done')),
    users BIGINT NOT NULL DEFAULT 0,
    -- Accounts that cannot hold any more.
    failed BIGINT NOT NULL DEFAULT 0,
    total_e4 BIGINT NOT NULL DEFAULT 0,
    at DOUBLE PRECISION NOT NULL
);

-- Whose accounts are to be adjusted yet.
CREATE TABLE @money_act_row (
    act TEXT COLLATE "C" NOT NULL REFERENCES @money_act (id),
    "user" BIGINT NOT NULL REFERENCES @"user" (id),
    amount_e4 BIGINT NOT NULL,
    PRIMARY KEY (act, "user")
);
