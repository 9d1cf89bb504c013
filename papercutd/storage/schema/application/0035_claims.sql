-- Cards that people linked at sites: what became of each claim.
CREATE TABLE @card_claim (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    user INTEGER NOT NULL,
    site TEXT NOT NULL,
    -- linked: the card is theirs by it; void: two claimed it, or it was another's already.
    state TEXT NOT NULL CHECK (state IN ('linked', 'void')),
    -- The change that last decided about it.
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @card_claim_hash ON card_claim (hash);

-- What a person is told at each log-in, until it is mended or a month old.
CREATE TABLE @notice (
    id TEXT PRIMARY KEY,
    user INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @notice_user ON notice (user);
