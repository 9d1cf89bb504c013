-- How a user begins whom this site meets first: the rule for everybody (user_group 0).
CREATE TABLE @new_user_rule (
    user_group BIGINT PRIMARY KEY,
    credit_e4 BIGINT,
    restricted BIGINT,
    overdraft_e4 BIGINT,
    account_selection TEXT COLLATE "C"
);
