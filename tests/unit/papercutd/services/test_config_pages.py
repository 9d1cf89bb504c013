"""The settings of a provider with more printers than one line holds."""

from __future__ import annotations

import random

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import Position
from papercutd.provider.servers import ConfigPages
from papercutd.services.wire import config_out
from papercutd.storage.values import PrinterSettings, ProviderSettings
from protocols.limits import LINE_LENGTH_MAX


def settings(count: int, uri_length: int = 40) -> ProviderSettings:
    printers = [
        PrinterSettings(number, f"printer-{number}", "ipp://" + "x" * uri_length, "hold")
        for number in range(1, count + 1)
    ]
    revoked = [f"{number:040x}" for number in range(500)]
    return ProviderSettings(printers, ("north", "host", 9195), "site", 7, ["s"], revoked)


class PageTests(SynchronousTestCase):
    def test_whole_again(self) -> None:
        for count, length in ((0, 1), (1, 40), (5_000, 40), (100, 1_000)):
            sent = config_out(settings(count, length), Position(1, 2, "aa"), ("h", 1))
            pages = ConfigPages()
            found = [pages.add(page) for page in sent]
            self.assertTrue(all(len(msgspec.json.encode(page)) < LINE_LENGTH_MAX for page in sent))
            self.assertEqual(found[:-1], [None] * (len(sent) - 1))
            assert found[-1] is not None
            self.assertEqual([p.id for p in found[-1].printers], list(range(1, count + 1)))
            self.assertEqual(
                (found[-1].page, found[-1].last, found[-1].preferred), (0, True, "site")
            )

    def test_never_half(self) -> None:
        """With a page missing, twice or out of order nothing counts until page 0 comes again."""
        sent = config_out(settings(2_000), None, None)
        self.assertGreater(len(sent), 5)
        chance = random.Random(3)
        for _ in range(200):
            pages = ConfigPages()
            some = [page for page in sent if chance.random() < 0.9]
            if chance.random() < 0.3:
                chance.shuffle(some)
            whole = [page for page in (pages.add(one) for one in some) if page is not None]
            self.assertEqual(bool(whole), some == sent)
            again = [page for page in (pages.add(one) for one in sent) if page is not None]
            self.assertEqual(len(again[0].printers), 2_000)
