-- Over which site an asker's session ended or reported, as the site journalled it; empty: over ours.
ALTER TABLE @link_event ADD COLUMN via TEXT NOT NULL DEFAULT '';
-- The last word about an asker is looked up with every batch of a journal.
CREATE INDEX @link_event_identity ON link_event (identity, id);
