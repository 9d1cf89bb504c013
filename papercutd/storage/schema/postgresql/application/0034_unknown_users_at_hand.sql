-- Whether unknown users may become something else than denied: beside what each decision reads.
ALTER TABLE @head ADD COLUMN unknown_users BIGINT NOT NULL DEFAULT 0;
