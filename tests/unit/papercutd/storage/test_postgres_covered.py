"""Which statements may run on a part of the database."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.postgres.covered import Need, needs_of


class CoveredTests(SynchronousTestCase):
    def covered(self, sql: str, *needs: Need) -> None:
        self.assertEqual(needs_of(sql), needs, sql)

    def not_covered(self, sql: str) -> None:
        self.assertIsNone(needs_of(sql), sql)

    def test_by_the_first_condition(self) -> None:
        self.covered("SELECT a, b FROM account WHERE id = ?", Need("account", "id"))
        self.covered(
            "SELECT 1 FROM account WHERE id = ? AND kind IN ('personal', 'shared')",
            Need("account", "id"),
        )
        self.covered(
            "SELECT id, disabled = 1 OR deleted_at IS NOT NULL FROM user WHERE id = ?",
            Need("user", "id"),
        )
        self.covered("SELECT a FROM run WHERE key = ? ORDER BY a LIMIT 1", Need("run", "key"))
        self.covered("DELETE FROM run WHERE key = ? RETURNING pages", Need("run", "key"))

    def test_which_value(self) -> None:
        self.covered("UPDATE account SET a = ?, b = b - ? WHERE id = ?", Need("account", "id", 2))
        self.covered(
            "UPDATE account SET a = a + ?1 WHERE id = ?2 AND (b = 0 OR ?1 = 0)",
            Need("account", "id", 1),
        )

    def test_what_may_depend_on_other_rows(self) -> None:
        self.not_covered("SELECT 1 FROM account WHERE id = ? OR user = ?")
        self.not_covered("SELECT 1 FROM account WHERE id = ? AND closed = 0 OR user = ?")
        self.not_covered("SELECT 1 FROM account WHERE id > ?")
        self.not_covered("SELECT COUNT(*) FROM charge")
        self.not_covered(
            "SELECT 1 FROM account JOIN user ON user.account = account.id WHERE id = ?"
        )
        self.not_covered("SELECT 1 FROM account, user WHERE id = ?")
        self.not_covered("SELECT 1 FROM account WHERE id = ? UNION SELECT 1 FROM user")
        self.not_covered("SELECT 1 FROM hold WHERE key = ? AND EXISTS (SELECT 1 FROM run)")
        self.not_covered("SELECT (SELECT MAX(id) FROM transfer) FROM hold WHERE key = ?")
        self.not_covered("SELECT a FROM (SELECT 1 AS a) WHERE a = ?")

    def test_what_is_not_written_back(self) -> None:
        self.not_covered("UPDATE user SET disabled = ? WHERE id = ?")
        self.not_covered("DELETE FROM price WHERE version = ?")
        self.not_covered("INSERT INTO early_charge VALUES (?)")
        self.covered("INSERT INTO hold VALUES (?, ?, ?, ?)", Need("hold", "key"))
