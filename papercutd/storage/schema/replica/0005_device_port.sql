-- Where devices reach a site: beside its host, the port for devices.
ALTER TABLE @site ADD COLUMN device_port INTEGER NOT NULL DEFAULT 9193;
