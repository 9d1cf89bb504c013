-- Names that nobody bears any more: they still find who bore them last.
CREATE TABLE @former_name (
    folded TEXT PRIMARY KEY,
    user INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX @former_name_user ON former_name (user);
CREATE INDEX @user_merged ON user (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX @account_merged ON account (merged_into) WHERE merged_into IS NOT NULL;
