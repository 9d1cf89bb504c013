-- Deleted people stay: what they printed still posts. Null: not deleted.
ALTER TABLE @user ADD COLUMN deleted_at REAL;
CREATE INDEX @user_merged ON user (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX @account_merged ON account (merged_into) WHERE merged_into IS NOT NULL;

-- Names that nobody bears any more, each with who bore it last: it still finds that person,
-- until it is given to somebody else.
CREATE TABLE @former_name (
    folded TEXT PRIMARY KEY,
    user INTEGER NOT NULL REFERENCES user (id),
    left_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @former_name_user ON former_name (user);

-- Charges booked to nobody that an administrator gave to somebody: each once.
CREATE TABLE @assigned (
    charge_id TEXT PRIMARY KEY REFERENCES charge (charge_id),
    user INTEGER NOT NULL REFERENCES user (id),
    at REAL NOT NULL,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @assigned_user ON assigned (user);
CREATE INDEX @charge_account ON charge (account) WHERE account = 3;
