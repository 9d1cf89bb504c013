-- Where people's clients reach a site: its HTTPS port.
ALTER TABLE @site ADD COLUMN https_port BIGINT NOT NULL DEFAULT 9192;
