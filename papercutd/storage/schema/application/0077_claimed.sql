-- A statement of a span of time reads that span, not the whole history.
CREATE INDEX @charge_claimed ON charge (claimed_at);
CREATE INDEX @job_log_claimed ON job_log (claimed_at);
CREATE INDEX @listed_at ON listed (at);
