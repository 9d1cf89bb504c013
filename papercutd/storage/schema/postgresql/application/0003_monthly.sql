-- Sums of charges by month, for the reports: storage/monthly.py rolls them forward.
CREATE TABLE @monthly (
    of TEXT COLLATE "C" NOT NULL CHECK (of IN ('all', 'user', 'printer', 'account', 'place')),
    month TEXT COLLATE "C" NOT NULL,
    -- The id of a user (0: nobody), printer or account; of a place the provider or device:name.
    what TEXT COLLATE "C" NOT NULL,
    jobs BIGINT NOT NULL,
    pages BIGINT NOT NULL,
    sheets BIGINT NOT NULL,
    amount_e4 BIGINT NOT NULL,
    PRIMARY KEY (of, month, what)
);
-- The people with most of a month, of a million.
CREATE INDEX monthly_most_pages ON @monthly (month, pages) WHERE of = 'user';
CREATE INDEX monthly_most_money ON @monthly (month, amount_e4) WHERE of = 'user';
-- Up to which change the charges are in the sums; stale: the sums are being thrown away.
CREATE TABLE @monthly_mark (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    number BIGINT NOT NULL,
    stale BIGINT NOT NULL DEFAULT 0 CHECK (stale IN (0, 1))
);
INSERT INTO @monthly_mark VALUES (1, 0, 0);
CREATE INDEX assigned_number ON @assigned (number);
-- A statement of a span of time reads that span, not the whole history.
CREATE INDEX charge_claimed ON @charge (claimed_at);
CREATE INDEX job_log_claimed ON @job_log (claimed_at);
CREATE INDEX listed_at ON @listed (at);
-- Shared accounts are few among the accounts of a million people, and devices look for them.
CREATE INDEX account_shared ON @account (name) WHERE kind = 'shared';
