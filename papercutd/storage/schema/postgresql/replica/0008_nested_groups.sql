-- Groups within the group of the rule: their ids, separated by commas.
ALTER TABLE @site_policy ADD COLUMN below TEXT COLLATE "C" NOT NULL DEFAULT '';
