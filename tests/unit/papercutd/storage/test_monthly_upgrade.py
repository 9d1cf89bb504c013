"""The sums by group of an installation that had none: by its members at the upgrade."""

from __future__ import annotations

from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.people.member_history import verify_members
from papercutd.storage.sqlite import migrate as migrating
from papercutd.storage.sqlite.migrate import connect, migrate, migrations

_NEW = 101


class UpgradeTests(SynchronousTestCase):
    def test_sums_of_the_members_of_now(self) -> None:
        connection = connect(":memory:")
        self.addCleanup(connection.close)
        before = tuple(one for one in migrations("application") if one[0] < _NEW)
        with patch.object(migrating, "migrations", lambda schema: before):
            migrate(connection, ":memory:", "application")
        connection.execute("PRAGMA foreign_keys = OFF")
        # 1 is in the group 1, 2 in 2, which is within 3, which is within 1.
        connection.execute("INSERT INTO group_member VALUES ('1.1', 1, 1), ('2.2', 2, 2)")
        connection.execute("INSERT INTO group_nested VALUES (3, 2, '3.2'), (1, 3, '1.3')")
        for what, month in (("1", "2027-01"), ("2", "2027-01"), ("2", "2027-02"), ("3", "2027-01")):
            connection.execute(
                "INSERT INTO monthly VALUES ('user', ?, ?, 1, 2, 3, 4)", (month, what)
            )
        connection.execute("INSERT INTO monthly VALUES ('all', '2027-01', '', 3, 6, 9, 12)")
        migrate(connection, ":memory:", "application")
        found = connection.execute(
            "SELECT month, what, jobs, pages, sheets, amount_e4 FROM monthly WHERE of = 'group'"
            " ORDER BY month, what"
        ).fetchall()
        self.assertEqual(
            found,
            [
                ("2027-01", "1", 2, 4, 6, 8),
                ("2027-01", "2", 1, 2, 3, 4),
                ("2027-01", "3", 1, 2, 3, 4),
                ("2027-02", "1", 1, 2, 3, 4),
                ("2027-02", "2", 1, 2, 3, 4),
                ("2027-02", "3", 1, 2, 3, 4),
            ],
        )
        kept = connection.execute("SELECT COUNT(*) FROM monthly WHERE of <> 'group'").fetchone()
        self.assertEqual((kept, verify_members(connection)), ((5,), []))
        indexes = {row[1] for row in connection.execute("PRAGMA index_list(monthly)")}
        self.assertLess({"monthly_most_pages", "monthly_most_money"}, indexes)
