-- Over which site an asker's session ended or reported, as the site journalled it; empty: over ours.
ALTER TABLE @link_event ADD COLUMN via TEXT NOT NULL DEFAULT '';
