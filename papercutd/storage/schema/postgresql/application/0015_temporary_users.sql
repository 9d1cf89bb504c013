-- Temporary users: refused from then on, at cut sites too. Null: no end.
ALTER TABLE @"user" ADD COLUMN expires_at DOUBLE PRECISION;

-- What administrators keep of a person, beside what a decision needs; sites do without.
CREATE TABLE @user_detail (
    "user" BIGINT PRIMARY KEY REFERENCES @"user" (id),
    email TEXT COLLATE "C" NOT NULL DEFAULT '',
    department TEXT COLLATE "C" NOT NULL DEFAULT '',
    office TEXT COLLATE "C" NOT NULL DEFAULT '',
    notes TEXT COLLATE "C" NOT NULL DEFAULT '',
    other_emails TEXT COLLATE "C" NOT NULL DEFAULT '',
    alias TEXT COLLATE "C" NOT NULL DEFAULT '',
    alias_folded TEXT COLLATE "C" NOT NULL DEFAULT '',
    home TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE UNIQUE INDEX user_detail_alias ON @user_detail (alias_folded) WHERE alias_folded <> '';
