-- argon2id, as the password's: an administrator's never leaves this database.
ALTER TABLE @user ADD COLUMN pin_verifier TEXT NOT NULL DEFAULT '';

-- Card numbers as keyed hashes; the key is the installation's.
CREATE TABLE @card (
    hash TEXT PRIMARY KEY,
    user INTEGER NOT NULL REFERENCES user (id),
    added_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @card_user ON card (user);

-- What every server of the installation shares and nobody else may know.
CREATE TABLE @secret (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- MFDs, card terminals, release stations.
CREATE TABLE @device (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    site INTEGER REFERENCES site (id),
    -- Where it releases and copies.
    printer INTEGER NOT NULL REFERENCES printer (id),
    -- Words of: copy, scan, fax, release.
    functions TEXT NOT NULL DEFAULT 'copy release',
    -- Words of: card, card-pin, password.
    logins TEXT NOT NULL DEFAULT 'card password',
    idle_s INTEGER NOT NULL DEFAULT 60 CHECK (idle_s BETWEEN 5 AND 3600),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;
