-- Sums of charges by month, for the reports: storage/monthly.py rolls them forward.
CREATE TABLE @monthly (
    of TEXT NOT NULL CHECK (of IN ('all', 'user', 'printer', 'account', 'place')),
    month TEXT NOT NULL,
    -- The id of a user (0: nobody), printer or account; of a place the provider or device:name.
    what TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    sheets INTEGER NOT NULL,
    amount_e4 INTEGER NOT NULL,
    PRIMARY KEY (of, month, what)
) STRICT, WITHOUT ROWID;
-- The people with most of a month, of a million.
CREATE INDEX @monthly_most_pages ON monthly (month, pages) WHERE of = 'user';
CREATE INDEX @monthly_most_money ON monthly (month, amount_e4) WHERE of = 'user';
-- Up to which change the charges are in the sums; stale: the sums are being thrown away.
CREATE TABLE @monthly_mark (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    stale INTEGER NOT NULL DEFAULT 0 CHECK (stale IN (0, 1))
) STRICT;
INSERT INTO @monthly_mark VALUES (1, 0, 0);
CREATE INDEX @assigned_number ON assigned (number);
