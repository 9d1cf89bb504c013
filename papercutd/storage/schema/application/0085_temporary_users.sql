-- Temporary users: refused from then on, at cut sites too. Null: no end.
ALTER TABLE @user ADD COLUMN expires_at REAL;

-- What administrators keep of a person, beside what a decision needs; sites do without.
CREATE TABLE @user_detail (
    user INTEGER PRIMARY KEY REFERENCES user (id),
    email TEXT NOT NULL DEFAULT '',
    department TEXT NOT NULL DEFAULT '',
    office TEXT NOT NULL DEFAULT '',
    notes TEXT NOT NULL DEFAULT '',
    other_emails TEXT NOT NULL DEFAULT '',
    alias TEXT NOT NULL DEFAULT '',
    alias_folded TEXT NOT NULL DEFAULT '',
    home TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX @user_detail_alias ON user_detail (alias_folded) WHERE alias_folded <> '';
