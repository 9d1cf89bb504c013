-- Groups in groups: whoever is in the child is in the parent.
CREATE TABLE @group_nested (
    parent BIGINT NOT NULL REFERENCES @user_group (id),
    child BIGINT NOT NULL REFERENCES @user_group (id),
    PRIMARY KEY (parent, child),
    CHECK (parent <> child)
);

CREATE INDEX group_nested_child ON @group_nested (child);

-- Groups within the group of the rule: their ids, separated by commas.
ALTER TABLE @site_policy ADD COLUMN below TEXT COLLATE "C" NOT NULL DEFAULT '';
