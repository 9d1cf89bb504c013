-- How a new user begins: one rule for each group, and one (group 0) for everybody. Null: the
-- rule says nothing of that. Sites have the rule for everybody, for users whom they meet first.
CREATE TABLE @new_user_rule (
    user_group BIGINT PRIMARY KEY,
    credit_e4 BIGINT CHECK (credit_e4 >= 0),
    restricted BIGINT CHECK (restricted IN (0, 1)),
    overdraft_e4 BIGINT CHECK (overdraft_e4 >= 0),
    account_selection TEXT COLLATE "C"
);
