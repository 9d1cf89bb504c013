CREATE TABLE @user_group (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL
) STRICT;

CREATE TABLE @group_member (
    key TEXT PRIMARY KEY,
    user_group INTEGER NOT NULL,
    user INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @group_member_user ON group_member (user);
