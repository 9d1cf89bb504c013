-- Groups of users.
CREATE TABLE @user_group (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    -- Its row stays: no other group ever has its id.
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;

CREATE TABLE @group_member (
    -- group.user
    key TEXT PRIMARY KEY,
    user_group INTEGER NOT NULL REFERENCES user_group (id),
    user INTEGER NOT NULL REFERENCES user (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX @group_member_group ON group_member (user_group);
CREATE INDEX @group_member_user ON group_member (user);
