\set a random(1, 100)
\set k random(1, 9000000000000000000)
BEGIN;
SELECT state FROM decision WHERE key = 'k' || :k;
UPDATE account SET pending_e4 = pending_e4 + 500 WHERE id = :a AND debits_e4 + pending_e4 + 500 <= credits_e4 - floor_e4;
INSERT INTO transfer (kind, debit, credit, amount_e4, key) VALUES ('pending', :a, 1, 500, 'k' || :k);
INSERT INTO decision VALUES ('k' || :k, :a, 500, 'open', '{"verdict":"allow"}');
UPDATE head SET number = number + 1 RETURNING number \gset
INSERT INTO change_log VALUES (:number, '[["reservation","' || :k || '"]]');
COMMIT;
BEGIN;
UPDATE decision SET state = 'settled' WHERE key = 'k' || :k AND state = 'open';
UPDATE account SET debits_e4 = debits_e4 + 500, pending_e4 = pending_e4 - 500 WHERE id = :a;
INSERT INTO transfer (kind, debit, credit, amount_e4, key) VALUES ('post', :a, 1, 500, 'k' || :k);
INSERT INTO charge VALUES ('k' || :k, :a, 1, '[{"what":"A4 grey"}]', 1, 500);
UPDATE head SET number = number + 1 RETURNING number \gset
INSERT INTO change_log VALUES (:number, '[["charge","' || :k || '"]]');
COMMIT;
