-- Tables of pgbench's own, with what a job leaves in ours and the indexes that it needs.
CREATE TABLE account (
    id bigint PRIMARY KEY,
    credits_e4 bigint NOT NULL,
    debits_e4 bigint NOT NULL DEFAULT 0,
    pending_e4 bigint NOT NULL DEFAULT 0,
    floor_e4 bigint NOT NULL DEFAULT 0
);
CREATE TABLE transfer (
    id bigserial PRIMARY KEY,
    kind text NOT NULL,
    refers bigint UNIQUE,
    debit bigint NOT NULL REFERENCES account (id),
    credit bigint NOT NULL,
    amount_e4 bigint NOT NULL,
    key text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON transfer (debit, id);
CREATE INDEX ON transfer (key);
CREATE TABLE decision (
    key text PRIMARY KEY,
    account bigint NOT NULL,
    reserved_e4 bigint NOT NULL,
    state text NOT NULL,
    body text NOT NULL
);
CREATE TABLE charge (
    charge_id text PRIMARY KEY,
    account bigint NOT NULL,
    printer bigint NOT NULL,
    lines text NOT NULL,
    pages bigint NOT NULL,
    amount_e4 bigint NOT NULL,
    completed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON charge (account, completed_at);
CREATE INDEX ON charge (printer, completed_at);
CREATE TABLE change_log (number bigint PRIMARY KEY, body text NOT NULL);
CREATE TABLE head (one bigint PRIMARY KEY, number bigint NOT NULL);
INSERT INTO head VALUES (1, 0);
INSERT INTO account (id, credits_e4) SELECT n, 100000000000 FROM generate_series(1, 100) n;

-- The same two operations, as one call each.
CREATE FUNCTION authorize(k text, a bigint, amount bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    PERFORM 1 FROM decision WHERE decision.key = k;
    IF FOUND THEN RETURN 'known'; END IF;
    UPDATE account SET pending_e4 = pending_e4 + amount
        WHERE id = a AND debits_e4 + pending_e4 + amount <= credits_e4 - floor_e4;
    IF NOT FOUND THEN RETURN 'funds'; END IF;
    INSERT INTO transfer (kind, debit, credit, amount_e4, key) VALUES ('pending', a, 1, amount, k);
    INSERT INTO decision VALUES (k, a, amount, 'open', '{"verdict":"allow"}');
    UPDATE head SET number = number + 1 RETURNING number INTO n;
    INSERT INTO change_log VALUES (n, '[["reservation","' || k || '"]]');
    RETURN 'allow';
END $$;
CREATE FUNCTION complete(k text, a bigint, amount bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    UPDATE decision SET state = 'settled' WHERE decision.key = k AND state = 'open';
    IF NOT FOUND THEN RETURN 'already'; END IF;
    UPDATE account SET debits_e4 = debits_e4 + amount, pending_e4 = pending_e4 - amount
        WHERE id = a;
    INSERT INTO transfer (kind, debit, credit, amount_e4, key) VALUES ('post', a, 1, amount, k);
    INSERT INTO charge VALUES (k, a, 1, '[{"what":"A4 grey"}]', 1, amount);
    UPDATE head SET number = number + 1 RETURNING number INTO n;
    INSERT INTO change_log VALUES (n, '[["charge","' || k || '"]]');
    RETURN 'posted';
END $$;
