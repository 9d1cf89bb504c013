-- How a user begins whom this site meets first: the rule for everybody (user_group 0).
CREATE TABLE @new_user_rule (
    user_group INTEGER PRIMARY KEY,
    credit_e4 INTEGER,
    restricted INTEGER,
    overdraft_e4 INTEGER,
    account_selection TEXT
) STRICT;
