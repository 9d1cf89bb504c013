-- The version of the wire by which this replica came: rows of an older one lack newer columns.
ALTER TABLE @position ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
-- When a certificate was revoked.
ALTER TABLE @revocation ADD COLUMN revoked_at REAL NOT NULL DEFAULT 0;
