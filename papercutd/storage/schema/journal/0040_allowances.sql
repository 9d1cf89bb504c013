-- Of what the current stream was granted, user by user (STRICT). ``granted`` is the most that
-- any replica said, and is noted when it is first spent from or returned.
CREATE TABLE @allowance (
    user INTEGER PRIMARY KEY,
    granted_e4 INTEGER NOT NULL DEFAULT 0,
    returned_e4 INTEGER NOT NULL DEFAULT 0,
    spent_e4 INTEGER NOT NULL DEFAULT 0,
    pending_e4 INTEGER NOT NULL DEFAULT 0
) STRICT;
-- The timeline for which this stream has told its totals.
ALTER TABLE @identity ADD COLUMN reported_timeline INTEGER NOT NULL DEFAULT 0;
-- How much of reserved_e4 is paid from an allowance, of whichever stream.
ALTER TABLE @decision ADD COLUMN escrow_e4 INTEGER NOT NULL DEFAULT 0;
