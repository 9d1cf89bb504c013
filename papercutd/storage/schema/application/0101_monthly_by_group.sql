-- Who was a member of which group, from which change up to which (null: still is): sums by group
-- are those of the members at the time of each charge, and can be made anew.
CREATE TABLE @member_span (
    user INTEGER NOT NULL,
    user_group INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (user, user_group, since)
) STRICT, WITHOUT ROWID;
-- Which groups were within which others, directly or not.
CREATE TABLE @within_span (
    inner_group INTEGER NOT NULL,
    outer_group INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (inner_group, outer_group, since)
) STRICT, WITHOUT ROWID;
-- Of what was before this release only the members at its upgrade are known.
INSERT INTO @member_span SELECT user, user_group, 0, NULL FROM group_member;
INSERT INTO @within_span
    WITH RECURSIVE above (inner_group, outer_group) AS (
        SELECT child, parent FROM group_nested
        UNION SELECT above.inner_group, parent FROM above
            JOIN group_nested ON child = above.outer_group)
    SELECT inner_group, outer_group, 0, NULL FROM above;

CREATE TABLE @monthly_of_more (
    of TEXT NOT NULL CHECK (of IN ('all', 'user', 'printer', 'account', 'place', 'group')),
    month TEXT NOT NULL,
    -- The id of a user (0: nobody), printer, account or group; of a place the provider or
    -- device:name.
    what TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    sheets INTEGER NOT NULL,
    amount_e4 INTEGER NOT NULL,
    PRIMARY KEY (of, month, what)
) STRICT, WITHOUT ROWID;
INSERT INTO @monthly_of_more SELECT * FROM monthly;
INSERT INTO @monthly_of_more
    SELECT 'group', m.month, g.user_group || '', SUM(m.jobs), SUM(m.pages), SUM(m.sheets),
        SUM(m.amount_e4)
    FROM (SELECT user, user_group FROM member_span
        UNION SELECT user, outer_group FROM member_span
            JOIN within_span ON inner_group = user_group) AS g
    JOIN monthly AS m ON m.of = 'user' AND m.what = g.user || ''
    GROUP BY m.month, g.user_group;
DROP TABLE @monthly;
ALTER TABLE @monthly_of_more RENAME TO monthly;
CREATE INDEX @monthly_most_pages ON monthly (month, pages) WHERE of = 'user';
CREATE INDEX @monthly_most_money ON monthly (month, amount_e4) WHERE of = 'user';
