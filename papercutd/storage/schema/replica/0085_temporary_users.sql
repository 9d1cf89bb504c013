-- Temporary users: refused from then on. Null: no end.
ALTER TABLE @user ADD COLUMN expires_at REAL;
