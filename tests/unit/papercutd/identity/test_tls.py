"""Tests of what each TLS connection of papercutd.identity.tls keeps."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from papercutd.identity.tls import PinnedTls, make_context, new_context
from tests.support.certificates import credentials, make_authority

NOW = 1_800_000_000.0


class KeptTests(SynchronousTestCase):
    def setUp(self) -> None:
        shown = credentials(make_authority(NOW), "site", "north", NOW)
        self.contexts = {
            "shows nothing": new_context(),
            "shows a certificate": make_context(shown),
            "trusts a key": PinnedTls("", lambda certificate: "")._context,
        }

    def test_no_buffers_while_nothing_passes(self) -> None:
        for which, context in self.contexts.items():
            # Setting nothing tells what is set.
            self.assertTrue(context.set_mode(0) & SSL.MODE_RELEASE_BUFFERS, which)

    def test_no_session_is_kept_to_be_resumed(self) -> None:
        for which, context in self.contexts.items():
            self.assertEqual(context.get_session_cache_mode(), SSL.SESS_CACHE_OFF, which)
