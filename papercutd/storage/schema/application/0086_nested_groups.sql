-- Groups in groups: whoever is in the child is in the parent.
CREATE TABLE @group_nested (
    parent INTEGER NOT NULL REFERENCES user_group (id),
    child INTEGER NOT NULL REFERENCES user_group (id),
    PRIMARY KEY (parent, child),
    CHECK (parent <> child)
) STRICT, WITHOUT ROWID;
CREATE INDEX @group_nested_child ON group_nested (child);
-- Groups within the group of the rule: their ids, separated by commas.
ALTER TABLE @site_policy ADD COLUMN below TEXT NOT NULL DEFAULT '';
