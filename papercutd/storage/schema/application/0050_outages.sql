-- Outages by number. The statement of a closed one is kept as it was signed.
CREATE TABLE @outage (
    id INTEGER PRIMARY KEY,
    -- A site's rehearsal, not a cut.
    drill INTEGER NOT NULL DEFAULT 0 CHECK (drill IN (0, 1)),
    since REAL NOT NULL,
    -- The events of sites going down that are this outage, and when the last of them was.
    first_event INTEGER NOT NULL,
    last_event INTEGER NOT NULL,
    last_down_at REAL NOT NULL,
    -- The change with which it began.
    first INTEGER NOT NULL,
    -- Sites as they stood when it began, with policy and cap: JSON.
    sites TEXT NOT NULL,
    -- Empty while it is open; else the statement's bytes, which are signed.
    body BLOB NOT NULL DEFAULT x'',
    signature TEXT NOT NULL DEFAULT '',
    certificate TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX @outage_open ON outage (id) WHERE body = x'';
CREATE INDEX @outage_unsigned ON outage (id) WHERE signature = '';

ALTER TABLE @link_event ADD COLUMN drill INTEGER NOT NULL DEFAULT 0;
-- A drill of a site: down while it lasts, up when it ends.
CREATE INDEX @link_event_drill ON link_event (identity, id) WHERE drill = 1;
