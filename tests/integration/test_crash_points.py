"""kill -9 of each real role before and after its commits and sends; then everything adds up.

papercutd/roles/crash_points.py has the points.
"""

from __future__ import annotations

from tests.support.crash import CrashCase


class CrashTests(CrashCase):
    def test_application_server(self) -> None:
        for point in (
            *("before-commit:12", "after-commit:12", "before-send.OK:9", "after-send.OK:9"),
            *("before-send.CHANGES:4", "after-send.CHANGES:4"),
        ):
            self.crash(self.installation.app, point)
        self.check()

    def test_site_server(self) -> None:
        site = self.installation.branches[1].site
        for point in (
            *("before-commit:9", "after-commit:9", "before-send.OK:5", "after-send.OK:5"),
            *("before-send.AUTHORIZE:2", "after-send.AUTHORIZE:2"),
            *("before-send.JOURNAL:2", "after-send.JOURNAL:2"),
        ):
            self.crash(site, point)
        self.check()

    def test_provider(self) -> None:
        for number, point in enumerate(
            (
                *("before-commit:6", "after-commit:6", "before-commit:9", "after-commit:9"),
                *("before-send.AUTHORIZE:2", "after-send.AUTHORIZE:2"),
                *("before-send.COMPLETE:2", "after-send.COMPLETE:2"),
            )
        ):
            self.crash(self.installation.branches[number % 2].provider, point)
        self.check()
