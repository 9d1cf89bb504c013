-- What cut sites may do, one knob a row (domain/policy.py).
CREATE TABLE @site_policy (
    -- site.group.knob
    key TEXT PRIMARY KEY,
    -- 0: any.
    site INTEGER NOT NULL,
    user_group INTEGER NOT NULL,
    knob TEXT NOT NULL,
    value TEXT NOT NULL,
    -- What a site must be able to evaluate beyond the knobs of its release.
    needs TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
