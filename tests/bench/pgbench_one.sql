\set a random(1, 100)
\set k random(1, 9000000000000000000)
SELECT authorize('k' || :k, :a, 500);
SELECT complete('k' || :k, :a, 500);
