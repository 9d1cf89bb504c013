-- Purses: money of a person beside the personal account, which is the main purse. Each is an
-- account of its own, whose parent is the personal account.
ALTER TABLE @account DROP CONSTRAINT account_kind_check;
ALTER TABLE @account ADD CONSTRAINT account_kind_check CHECK (kind IN
    ('personal', 'shared', 'escrow', 'revenue', 'adjustment', 'uncollected', 'purse'));
-- Of a personal account: what its purses hold together, kept with every movement of one.
ALTER TABLE @account ADD COLUMN purses_e4 BIGINT NOT NULL DEFAULT 0
    CHECK (purses_e4 BETWEEN 0 AND 999999999999999);
-- Of a purse: its kind.
ALTER TABLE @account ADD COLUMN purse BIGINT;
CREATE UNIQUE INDEX account_purse ON @account (parent, purse) WHERE kind = 'purse';

-- The order of spending: by rank. The main purse is no row: its number is 1, its rank 0.
CREATE TABLE @purse_kind (
    id BIGINT PRIMARY KEY CHECK (id > 1),
    name TEXT COLLATE "C" NOT NULL,
    rank BIGINT NOT NULL,
    -- Whether what it gave for a charge may come back, and whether users may give of it to others.
    refundable BIGINT NOT NULL DEFAULT 1 CHECK (refundable IN (0, 1)),
    transferable BIGINT NOT NULL DEFAULT 1 CHECK (transferable IN (0, 1)),
    removed BIGINT NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
);
CREATE UNIQUE INDEX purse_kind_name ON @purse_kind (name) WHERE removed = 0;

-- What purses gave of an allowance (STRICT) and is neither spent nor back; the rest is cash.
CREATE TABLE @purse_lent (
    allowance TEXT COLLATE "C" NOT NULL REFERENCES @allowance (id),
    purse BIGINT NOT NULL REFERENCES @purse_kind (id),
    left_e4 BIGINT NOT NULL CHECK (left_e4 >= 0),
    PRIMARY KEY (allowance, purse)
);

-- A batch's set has the purses of its accounts, and the order of spending.
DROP FUNCTION @read_set(JSON);
CREATE FUNCTION @read_set(asked JSON) RETURNS TEXT LANGUAGE plpgsql
    SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off SET jit TO off AS $body$
DECLARE
    keys TEXT[] := ARRAY(SELECT json_array_elements_text(asked->'keys'));
    names TEXT[] := ARRAY(SELECT json_array_elements_text(asked->'names'));
    owners TEXT[] := ARRAY(SELECT json_array_elements_text(asked->'owners'));
    devices TEXT[] := ARRAY(SELECT json_array_elements_text(asked->'devices'));
    printers BIGINT[] := ARRAY(SELECT json_array_elements_text(asked->'printers')::bigint);
    people BIGINT[];
    purses BIGINT[];
    places BIGINT[];
BEGIN
    people := ARRAY(
        WITH RECURSIVE heir (id) AS (
            (SELECT json_array_elements_text(asked->'users')::bigint
                UNION SELECT id FROM @"user" WHERE folded = ANY(names)
                UNION SELECT "user" FROM @former_name WHERE folded = ANY(names)
                UNION SELECT "user" FROM @user_name WHERE folded = ANY(names)
                UNION SELECT "user" FROM @decision WHERE key = ANY(keys) AND "user" IS NOT NULL)
            UNION SELECT u.merged_into FROM @"user" AS u JOIN heir ON u.id = heir.id
                WHERE u.merged_into IS NOT NULL)
        SELECT id FROM heir);
    purses := ARRAY(
        WITH RECURSIVE heir (id) AS (
            (SELECT json_array_elements_text(asked->'accounts')::bigint
                UNION VALUES (1::bigint), (2), (3)
                UNION SELECT account FROM @"user" WHERE id = ANY(people)
                UNION SELECT account FROM @decision WHERE key = ANY(keys) AND account IS NOT NULL)
            UNION SELECT a.merged_into FROM @account AS a JOIN heir ON a.id = heir.id
                WHERE a.merged_into IS NOT NULL)
        SELECT id FROM heir);
    places := ARRAY(
        SELECT o.site FROM @provider AS o WHERE o.name = ANY(owners) AND o.site IS NOT NULL
        UNION SELECT d.site FROM @device AS d
            WHERE d.name = ANY(devices) AND d.site IS NOT NULL
        UNION SELECT o.site FROM @printer AS p JOIN @provider AS o ON o.id = p.provider
            WHERE p.id = ANY(printers) AND o.site IS NOT NULL);
    RETURN json_build_object(
        'people', people, 'purses', purses, 'places', places,
        'head', (SELECT json_agg(t) FROM @head AS t),
        'sealing', (SELECT json_agg(t) FROM @sealing AS t),
        'asker', (SELECT json_agg(t) FROM @asker AS t WHERE identity IN
            (SELECT json_array_elements_text(asked->'askers'))),
        'decision', (SELECT json_agg(t) FROM (
            SELECT * FROM @decision WHERE key = ANY(keys)
            -- Of each job one step that another owner asked for, if there is one.
            UNION SELECT one.* FROM json_to_recordset(asked->'jobs') AS j (job TEXT, owner TEXT),
                LATERAL (SELECT * FROM @decision AS d WHERE d.key > j.job || '/'
                    AND d.key < j.job || '0' AND d.provider <> j.owner LIMIT 1) AS one) AS t),
        'hold', (SELECT json_agg(t) FROM @hold AS t WHERE key = ANY(keys)),
        'charge', (SELECT json_agg(t) FROM @charge AS t WHERE charge_id = ANY(keys)
            OR key = ANY(keys)),
        'job_log', (SELECT json_agg(t) FROM @job_log AS t WHERE key = ANY(keys)),
        'run', (SELECT json_agg(t) FROM @run AS t WHERE key = ANY(keys)),
        'user', (SELECT json_agg(t) FROM @"user" AS t WHERE id = ANY(people)),
        'former_name', (SELECT json_agg(t) FROM @former_name AS t WHERE folded = ANY(names)),
        'user_name', (SELECT json_agg(t) FROM @user_name AS t WHERE folded = ANY(names)),
        'group_member', (SELECT json_agg(t) FROM @group_member AS t WHERE "user" = ANY(people)),
        'account', (SELECT json_agg(t) FROM (
            SELECT * FROM @account WHERE id = ANY(purses)
            UNION ALL SELECT * FROM @account WHERE parent = ANY(purses) AND kind = 'purse') AS t),
        'purse_kind', (SELECT json_agg(t) FROM @purse_kind AS t),
        'withheld', (SELECT json_agg(t) FROM @withheld AS t WHERE account = ANY(purses)
            AND left_e4 > 0),
        'printer', (SELECT json_agg(t) FROM @printer AS t WHERE id = ANY(printers)),
        'provider', (SELECT json_agg(t) FROM @provider AS t WHERE name = ANY(owners) OR id IN
            (SELECT provider FROM @printer WHERE id = ANY(printers))),
        'device', (SELECT json_agg(t) FROM @device AS t WHERE name = ANY(devices)),
        'site', (SELECT json_agg(t) FROM @site AS t WHERE id = ANY(places)),
        'site_policy', (SELECT json_agg(t) FROM @site_policy AS t WHERE knob = asked->>'knob'
            AND site = ANY(places || (asked->>'any_site')::bigint)),
        'price', (SELECT json_agg(t) FROM @price AS t WHERE version IN
            (SELECT json_array_elements_text(asked->'versions')::bigint
                UNION (SELECT version FROM @price ORDER BY version DESC
                    LIMIT (asked->>'newest')::bigint))),
        'schedule', (SELECT json_agg(t) FROM @schedule AS t),
        -- The newest that is finished, and those under way.
        'quota_run', (SELECT json_agg(t) FROM (
            SELECT * FROM @quota_run WHERE finished_at IS NULL
            UNION ALL (SELECT * FROM @quota_run WHERE finished_at IS NOT NULL
                ORDER BY due_at DESC, schedule DESC LIMIT 1)) AS t),
        -- The last ones: ids go on from there.
        'transfer', (SELECT json_agg(t) FROM
            (SELECT * FROM @transfer ORDER BY id DESC LIMIT 1) AS t),
        'listed', (SELECT json_agg(t) FROM (SELECT * FROM @listed ORDER BY id DESC LIMIT 1) AS t)
    )::text;
END $body$;

DROP FUNCTION @write_set(JSON, JSON, JSON, JSON, JSON, JSON, JSON, JSON, JSON, JSON, JSON);
CREATE FUNCTION @write_set(
    accounts JSON, transfers JSON, decisions JSON, holds JSON, holds_gone JSON, runs_gone JSON,
    charges JSON, jobs JSON, items JSON, entry JSON, heads JSON
) RETURNS VOID LANGUAGE plpgsql
    SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off SET jit TO off AS $body$
BEGIN
    -- For the rest of the transaction.
    PERFORM set_config('papercutd.is_sealed', 'yes', true);
    IF accounts IS NOT NULL THEN
        UPDATE @account AS a SET credits_e4 = r.credits_e4, debits_e4 = r.debits_e4,
            pending_e4 = r.pending_e4, purses_e4 = r.purses_e4
            FROM json_populate_recordset(NULL::@account, accounts) AS r WHERE a.id = r.id;
    END IF;
    IF transfers IS NOT NULL THEN
        INSERT INTO @transfer SELECT * FROM
            json_populate_recordset(NULL::@transfer, transfers) ORDER BY id;
        PERFORM setval(pg_get_serial_sequence('@transfer', 'id'), (SELECT MAX(id) FROM @transfer));
    END IF;
    IF decisions IS NOT NULL THEN
        INSERT INTO @decision SELECT * FROM json_populate_recordset(NULL::@decision, decisions)
            ON CONFLICT (key) DO UPDATE SET provider = excluded.provider,
                job_uuid = excluded.job_uuid, "user" = excluded."user",
                account = excluded.account, reserved_e4 = excluded.reserved_e4,
                state = excluded.state, transfer = excluded.transfer, body = excluded.body,
                number = excluded.number;
    END IF;
    IF holds_gone IS NOT NULL THEN
        DELETE FROM @hold AS h USING json_populate_recordset(NULL::@hold, holds_gone) AS r
            WHERE h.key = r.key AND h.asker = r.asker AND h.journal = r.journal;
    END IF;
    IF holds IS NOT NULL THEN
        INSERT INTO @hold SELECT * FROM json_populate_recordset(NULL::@hold, holds)
            ON CONFLICT (key, asker, journal) DO UPDATE SET session = excluded.session;
    END IF;
    IF runs_gone IS NOT NULL THEN
        DELETE FROM @run AS n USING json_populate_recordset(NULL::@run, runs_gone) AS r
            WHERE n.key = r.key;
    END IF;
    IF charges IS NOT NULL THEN
        INSERT INTO @charge SELECT * FROM json_populate_recordset(NULL::@charge, charges);
    END IF;
    IF jobs IS NOT NULL THEN
        INSERT INTO @job_log SELECT * FROM json_populate_recordset(NULL::@job_log, jobs);
    END IF;
    IF items IS NOT NULL THEN
        INSERT INTO @listed SELECT * FROM
            json_populate_recordset(NULL::@listed, items) ORDER BY id;
        PERFORM setval(pg_get_serial_sequence('@listed', 'id'), (SELECT MAX(id) FROM @listed));
    END IF;
    IF entry IS NOT NULL THEN
        INSERT INTO @change_log SELECT * FROM json_populate_recordset(NULL::@change_log, entry);
    END IF;
    IF heads IS NOT NULL THEN
        UPDATE @head AS h SET number = r.number, chain = r.chain
            FROM json_populate_recordset(NULL::@head, heads) AS r WHERE h.one = r.one;
    END IF;
END $body$;
