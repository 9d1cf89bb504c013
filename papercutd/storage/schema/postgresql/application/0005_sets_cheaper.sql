-- What a batch reads is found by keys, however small the tables were when it was planned.
ALTER FUNCTION @read_set(JSON) SET enable_seqscan TO off;
ALTER FUNCTION @read_set(JSON) SET jit TO off;

-- What a batch wrote, each table's rows by themselves: all in one text would be read through once
-- for each table. NULL: none of that table.
DROP FUNCTION @write_set(JSON);
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
            pending_e4 = r.pending_e4
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
