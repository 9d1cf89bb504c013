-- Sites tell who is in a group by way of another themselves: so these rows travel, each by its key.
ALTER TABLE @group_nested ADD COLUMN key TEXT NOT NULL DEFAULT '';
UPDATE @group_nested SET key = parent || '.' || child;
CREATE UNIQUE INDEX @group_nested_key ON group_nested (key);
