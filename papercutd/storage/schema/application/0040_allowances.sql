-- What each stream was granted of each user's money (STRICT). The escrow account holds
-- granted - returned - settled, always.
CREATE TABLE @allowance (
    -- stream/user
    id TEXT PRIMARY KEY,
    stream TEXT NOT NULL REFERENCES stream (id),
    user INTEGER NOT NULL REFERENCES user (id),
    -- The escrow account.
    account INTEGER NOT NULL REFERENCES account (id),
    granted_e4 INTEGER NOT NULL DEFAULT 0 CHECK (granted_e4 >= 0),
    returned_e4 INTEGER NOT NULL DEFAULT 0 CHECK (returned_e4 >= 0),
    settled_e4 INTEGER NOT NULL DEFAULT 0 CHECK (settled_e4 >= 0),
    -- Paid by the person while a restore had lost the granting, to be made up for by escrow.
    ahead_e4 INTEGER NOT NULL DEFAULT 0 CHECK (ahead_e4 >= 0),
    -- The total of what the stream says it returned.
    told_e4 INTEGER NOT NULL DEFAULT 0 CHECK (told_e4 >= 0),
    CHECK (granted_e4 >= returned_e4 + settled_e4)
) STRICT, WITHOUT ROWID;
CREATE INDEX @allowance_user ON allowance (user);
CREATE INDEX @allowance_stream ON allowance (stream);

-- The timeline for which the stream has told its totals: nothing is granted before.
ALTER TABLE @stream ADD COLUMN reported_timeline INTEGER NOT NULL DEFAULT 0;
-- The change at which it ceased to be the site's; 0: it has not.
ALTER TABLE @stream ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
-- The change at which an asker had last told all it retained.
ALTER TABLE @asker ADD COLUMN reported INTEGER NOT NULL DEFAULT 0;

-- At which sites a person used a printer: the last, and the last other one.
CREATE TABLE @last_use (
    user INTEGER PRIMARY KEY REFERENCES user (id),
    site INTEGER NOT NULL REFERENCES site (id),
    before INTEGER REFERENCES site (id)
) STRICT;
CREATE INDEX @last_use_site ON last_use (site);
