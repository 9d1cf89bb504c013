-- Who was a member of which group, from which change up to which (null: still is): sums by group
-- are those of the members at the time of each charge, and can be made anew.
CREATE TABLE @member_span (
    "user" BIGINT NOT NULL,
    user_group BIGINT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT,
    PRIMARY KEY ("user", user_group, since)
);
-- Which groups were within which others, directly or not.
CREATE TABLE @within_span (
    inner_group BIGINT NOT NULL,
    outer_group BIGINT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT,
    PRIMARY KEY (inner_group, outer_group, since)
);
-- Of what was before this release only the members at its upgrade are known.
INSERT INTO @member_span SELECT "user", user_group, 0, NULL FROM @group_member;
INSERT INTO @within_span
    WITH RECURSIVE above (inner_group, outer_group) AS (
        SELECT child, parent FROM @group_nested
        UNION SELECT above.inner_group, parent FROM above
            JOIN @group_nested ON child = above.outer_group)
    SELECT inner_group, outer_group, 0, NULL FROM above;

ALTER TABLE @monthly DROP CONSTRAINT monthly_of_check;
ALTER TABLE @monthly ADD CONSTRAINT monthly_of_check
    CHECK (of IN ('all', 'user', 'printer', 'account', 'place', 'group'));
INSERT INTO @monthly
    SELECT 'group', m.month, g.user_group || '', SUM(m.jobs), SUM(m.pages), SUM(m.sheets),
        SUM(m.amount_e4)
    FROM (SELECT "user", user_group FROM @member_span
        UNION SELECT "user", outer_group FROM @member_span
            JOIN @within_span ON inner_group = user_group) AS g
    JOIN @monthly AS m ON m.of = 'user' AND m.what = g."user" || ''
    GROUP BY m.month, g.user_group;
