-- Shared accounts are few among the accounts of a million people, and devices look for them.
CREATE INDEX account_shared ON @account (name) WHERE kind = 'shared';
