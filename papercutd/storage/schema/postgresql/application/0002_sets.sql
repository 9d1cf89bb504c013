-- What a batch of questions and settlements reads, and what came of it: each one call. Which rows
-- they are is said here, and nothing of what is made of them.

-- Planned once: planning takes longer than all there is to read.
CREATE FUNCTION @read_set(asked JSON) RETURNS TEXT LANGUAGE plpgsql
    SET plan_cache_mode TO force_generic_plan AS $body$
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
        'account', (SELECT json_agg(t) FROM @account AS t WHERE id = ANY(purses)),
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

CREATE FUNCTION @write_set(made JSON) RETURNS VOID LANGUAGE plpgsql
    SET plan_cache_mode TO force_generic_plan AS $body$
BEGIN
    -- For the rest of the transaction.
    PERFORM set_config('papercutd.is_sealed', 'yes', true);
    UPDATE @account AS a SET credits_e4 = r.credits_e4, debits_e4 = r.debits_e4,
        pending_e4 = r.pending_e4
        FROM json_populate_recordset(NULL::@account, made->'account') AS r WHERE a.id = r.id;
    IF json_array_length(made->'transfer') > 0 THEN
        INSERT INTO @transfer SELECT * FROM
            json_populate_recordset(NULL::@transfer, made->'transfer') ORDER BY id;
        PERFORM setval(pg_get_serial_sequence('@transfer', 'id'), (SELECT MAX(id) FROM @transfer));
    END IF;
    INSERT INTO @decision SELECT * FROM
        json_populate_recordset(NULL::@decision, made->'decision')
        ON CONFLICT (key) DO UPDATE SET provider = excluded.provider,
            job_uuid = excluded.job_uuid, "user" = excluded."user", account = excluded.account,
            reserved_e4 = excluded.reserved_e4, state = excluded.state,
            transfer = excluded.transfer, body = excluded.body, number = excluded.number;
    DELETE FROM @hold AS h USING json_populate_recordset(NULL::@hold, made->'hold_gone') AS r
        WHERE h.key = r.key AND h.asker = r.asker AND h.journal = r.journal;
    INSERT INTO @hold SELECT * FROM json_populate_recordset(NULL::@hold, made->'hold')
        ON CONFLICT (key, asker, journal) DO UPDATE SET session = excluded.session;
    DELETE FROM @run AS n USING json_populate_recordset(NULL::@run, made->'run_gone') AS r
        WHERE n.key = r.key;
    INSERT INTO @charge SELECT * FROM json_populate_recordset(NULL::@charge, made->'charge');
    INSERT INTO @job_log SELECT * FROM json_populate_recordset(NULL::@job_log, made->'job_log');
    IF json_array_length(made->'listed') > 0 THEN
        INSERT INTO @listed SELECT * FROM
            json_populate_recordset(NULL::@listed, made->'listed') ORDER BY id;
        PERFORM setval(pg_get_serial_sequence('@listed', 'id'), (SELECT MAX(id) FROM @listed));
    END IF;
    INSERT INTO @change_log SELECT * FROM
        json_populate_recordset(NULL::@change_log, made->'change_log');
    UPDATE @head AS h SET number = r.number, chain = r.chain
        FROM json_populate_recordset(NULL::@head, made->'head') AS r;
END $body$;

-- The seals of a set are made where it was worked on: its rows need not be noted once more.
DROP TRIGGER account_written ON @account;
CREATE TRIGGER account_written AFTER INSERT OR UPDATE OR DELETE ON @account
    FOR EACH ROW WHEN (current_setting('papercutd.is_sealed', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION @note_written();
DROP TRIGGER charge_written ON @charge;
CREATE TRIGGER charge_written AFTER INSERT OR UPDATE OR DELETE ON @charge
    FOR EACH ROW WHEN (current_setting('papercutd.is_sealed', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION @note_written();
DROP TRIGGER decision_written ON @decision;
CREATE TRIGGER decision_written AFTER INSERT OR UPDATE OR DELETE ON @decision
    FOR EACH ROW WHEN (current_setting('papercutd.is_sealed', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION @note_written();
DROP TRIGGER job_log_written ON @job_log;
CREATE TRIGGER job_log_written AFTER INSERT OR UPDATE OR DELETE ON @job_log
    FOR EACH ROW WHEN (current_setting('papercutd.is_sealed', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION @note_written();
DROP TRIGGER outage_written ON @outage;
CREATE TRIGGER outage_written AFTER INSERT OR UPDATE OR DELETE ON @outage
    FOR EACH ROW WHEN (current_setting('papercutd.is_sealed', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION @note_written();
DROP TRIGGER transfer_written ON @transfer;
CREATE TRIGGER transfer_written AFTER INSERT OR UPDATE OR DELETE ON @transfer
    FOR EACH ROW WHEN (current_setting('papercutd.is_sealed', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION @note_written();
