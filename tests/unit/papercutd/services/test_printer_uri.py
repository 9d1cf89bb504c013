"""Where a direct adapter can print."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import InvalidValue
from papercutd.services.administration import check_printer_uri


class PrinterUriTests(SynchronousTestCase):
    def test_good(self) -> None:
        for uri in (
            "socket://10.0.0.9",
            "socket://printer:9100",
            "ipp://[::1]:631/ipp/print",
            "ipp://printer.example/ipp/print",
        ):
            check_printer_uri(uri)

    def test_bad(self) -> None:
        for uri in (
            *("", "printer", "socket://", "socket:printer", "socket://printer:0"),
            *("socket://printer:99999", "ipp://[::1/", "lpd://printer", "ipp://" + "x" * 2000),
        ):
            self.assertRaises(InvalidValue, check_printer_uri, uri)
