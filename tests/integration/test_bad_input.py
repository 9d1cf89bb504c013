"""What a provider may say wrong, said to a real application server over mutual TLS.

Each is a clear answer; after each the server serves others, and `verify` finds nothing.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.processes import command
from protocols.limits import LINE_LENGTH_MAX, TAGS_IN_FLIGHT_MAX
from tests.support.installation import make_installation
from tests.support.raw_link import RawLink, job_id
from tests.support.waiting import wait_for

DOCUMENT = {"groups": [{"paper": "A4", "pages": 2}]}


class RawCase(SynchronousTestCase):
    timeout = 240

    def setUp(self) -> None:
        self.installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        app = self.installation.app
        app.start()
        app.call("user.add", name="anna", balance="100.00")
        provider = self.installation.branches[0].provider
        server = f"127.0.0.1:{self.installation.https_port}"
        for name, role in (("raw", provider), ("other", self.installation.branches[1].provider)):
            added = command(app.config, "provider", "add", name)
            command(role.config, "join", "--token", added["token"], "--server", server)
            app.call("printer.add", name=f"{name}-1", provider=name, uri="socket://127.0.0.1:9")
        self.identity = provider.data / "identity"
        self.printer, self.others = 1, 2

    def link(self, is_open: bool = True) -> RawLink:
        made = RawLink(self.links_port(), self.identity)
        self.addCleanup(made.close)
        return made.open() if is_open else made

    def links_port(self) -> int:
        import tomllib

        return int(tomllib.loads(self.installation.app.config.read_text())["listen"]["links"])

    def authorize(self, link: RawLink, number: int, **fields: Any) -> tuple[str, dict[str, Any]]:
        return link.ask(
            "AUTHORIZE",
            **{
                "job": job_id(number),
                "step": "submit-1",
                "printer": self.printer,
                "user_name": "anna",
                "document": DOCUMENT,
                **fields,
            },
        )

    def complete(
        self, link: RawLink, number: int, decision: Any, **fields: Any
    ) -> tuple[str, dict[str, Any]]:
        return link.ask(
            "COMPLETE",
            **{
                "job": job_id(number),
                "step": "submit-1",
                "printer": self.printer,
                "user_name": "anna",
                "document": DOCUMENT,
                "decision": decision,
                "pages": None,
                **fields,
            },
        )

    def listed(self) -> Counter[str]:
        """How many of each kind the statement lists."""
        items = self.installation.app.call("statement", since="0")["listed"]
        return Counter(item["kind"] for item in items)

    def check(self) -> None:
        """Others are served, and everything adds up."""
        number = random.SystemRandom().getrandbits(40)
        link = self.link()
        word, decision = self.authorize(link, number)
        self.assertEqual((word, decision["verdict"]), ("OK", "allow"))
        self.assertEqual(self.complete(link, number, decision)[0], "OK")
        self.assertEqual(self.installation.app.call("verify")["problems"], [])


class LineTests(RawCase):
    def test_bad_lines(self) -> None:
        link = self.link()
        body = b'{"job":"%s","step":"submit-1"' % job_id(1).encode()
        for line, word in (
            (b"a DANCE {}", "unknown-verb"),
            (b"b PING {", "bad-json"),
            (b"c PING []", "bad-json"),
            (b"d PING {} {}", "bad-json"),
            (b"e CANCEL {}", "bad-fields"),
            (b'f PING {"clock":"now"}', "bad-fields"),
            (b'g PING {"clock":NaN}', "bad-json"),
            (b"h CANCEL " + body + b',"reason":"why not"}', "bad-fields"),
        ):
            link.send(line + b"\n")
            tag, found, fields = link.answer()
            self.assertEqual((tag, found), (line[:1].decode(), word))
            self.assertTrue(fields["text"])
        # Fields that are not known are ignored, and one bad line more is not yet the end.
        self.assertEqual(link.ask("PING", clock=1.0, colour="blue")[0], "OK")
        link.send(b"hello?\n")
        self.assertEqual(link.answer()[:2], ("?", "bad-line"))
        link.send(b"hello again?\n")
        self.assertEqual(link.answer()[:2], ("end", "bad-line"))
        self.check()

    def test_too_long(self) -> None:
        for data in (b"x" * 10_000_000, b"1 PING " + b"x" * LINE_LENGTH_MAX + b"\n"):
            link = self.link()
            try:
                link.send(data)
            except OSError:
                # It stopped reading: the connection went while we sent.
                pass
            self.assertIn(link.answer()[1], ("too-long", ""))
        self.check()

    def test_binary_noise(self) -> None:
        chance = random.Random(7)
        for is_open in (False, True):
            link = self.link(is_open)
            try:
                for _ in range(50):
                    link.send(chance.randbytes(2_000) + b"\n")
            except OSError:
                pass
            while link.answer()[0] != "end":
                pass
        self.check()

    def test_half_a_line_then_silence(self) -> None:
        """Before the handshake it is ended after 5 s; others do not notice."""
        link = self.link(is_open=False)
        link.send(b'1 HELLO {"versions"')
        self.check()
        self.assertEqual(link.answer()[:2], ("end", "timeout"))

    def test_a_thousand_at_once(self) -> None:
        link = self.link()
        asked = {
            "step": "submit-1",
            "printer": self.printer,
            "user_name": "anna",
            "document": DOCUMENT,
        }
        lines = [
            b"t%d AUTHORIZE %s\n" % (n, json.dumps({"job": job_id(n), **asked}).encode())
            for n in range(1000)
        ]
        link.send(b"".join(lines))
        words = [link.answer()[1] for _ in range(1000)]
        self.assertEqual(set(words), {"OK", "busy"})
        self.assertGreaterEqual(words.count("OK"), TAGS_IN_FLIGHT_MAX)
        self.check()

    def test_a_slow_reader(self) -> None:
        """Who asks and never reads is disconnected; nobody waits for him."""
        link = self.link()
        link.socket.settimeout(5.0)
        sent = 0
        lines = b"1 PING {}\n" * 10_000
        with self.assertRaises(OSError):
            # What is not read piles up in the kernels' buffers, then at the server, to its bound.
            while sent < 200_000_000:
                link.send(lines)
                sent += len(lines)
        self.check()

    def test_two_with_one_identity(self) -> None:
        """The newest counts; that they are two is reported."""
        links = [self.link() for _ in range(6)]
        for link in links[:-1]:
            self.assertEqual(link.answer()[:2], ("end", "replaced"))
        self.assertEqual(links[-1].ask("PING")[0], "OK")
        self.assertIn("provider:raw", self.installation.app.call("status")["fighting"])

    def test_clocks(self) -> None:
        for clock in (0.0, -1e11, 1e11):
            link = self.link(is_open=False)
            word, welcome = link.hello(clock=clock)
            self.assertEqual(word, "OK")
            self.assertGreater(welcome["clock"], 1.7e9)
            number = int(abs(clock) % 97) + 5
            self.assertEqual(self.authorize(link, number, submitted_at=clock)[0], "OK")
            link.close()
        self.assertEqual(self.link(is_open=False).hello(clock=1e300)[0], "bad-fields")
        self.check()

    def test_versions_and_identities(self) -> None:
        for fields, word in (
            ({"versions": [7]}, "version"),
            ({"name": "other"}, "identity"),
            ({"role": "site"}, "identity"),
            ({"journal": "x"}, "bad-fields"),
        ):
            self.assertEqual(self.link(is_open=False).hello(**{"name": "raw", **fields})[0], word)
        self.check()


class OrderTests(RawCase):
    """Requests that come without what belongs before them, or twice, or of another."""

    def test_complete_without_authorize(self) -> None:
        link = self.link()
        word, receipt = self.complete(link, 1, None)
        self.assertEqual((word, receipt["state"], receipt["amount_e4"]), ("OK", "posted", 1000))
        self.assertEqual(self.listed()["forced"], 1)
        # The question that comes after it is answered by what is known.
        self.assertEqual(self.authorize(link, 1)[0], "settled")
        self.check()

    def test_complete_twice_with_other_pages(self) -> None:
        link = self.link()
        _, decision = self.authorize(link, 1)
        first = self.complete(link, 1, decision, pages=1)
        self.assertEqual((first[1]["state"], first[1]["amount_e4"]), ("posted", 500))
        again = self.complete(link, 1, decision, pages=2)
        self.assertEqual((again[1]["state"], again[1]["amount_e4"]), ("already", 500))
        self.assertEqual(self.listed()["repeated-complete"], 1)
        self.check()

    def test_cancel_and_complete(self) -> None:
        link = self.link()
        _, decision = self.authorize(link, 1)
        self.assertEqual(link.ask("CANCEL", job=job_id(1), step="submit-1")[0], "OK")
        self.assertEqual(self.authorize(link, 1)[0], "voided")
        word, receipt = self.complete(link, 1, decision)
        self.assertEqual((word, receipt["state"]), ("OK", "posted"))
        self.assertEqual(link.ask("CANCEL", job=job_id(1), step="submit-1")[0], "settled")
        self.check()

    def test_anothers(self) -> None:
        link = self.link()
        self.assertEqual(self.authorize(link, 1, printer=self.others)[0], "not-yours")
        self.assertEqual(self.authorize(link, 1, printer=99)[0], "unknown-printer")
        _, decision = self.authorize(link, 2)
        self.identity = self.installation.branches[1].provider.data / "identity"
        other = RawLink(self.links_port(), self.identity)
        self.addCleanup(other.close)
        self.assertEqual(other.hello("other")[0], "OK")
        asked = {"job": job_id(2), "step": "submit-2", "user_name": "anna", "document": DOCUMENT}
        self.assertEqual(other.ask("AUTHORIZE", printer=self.others, **asked)[0], "not-yours")
        asked["step"] = "submit-1"
        taken = other.ask("COMPLETE", printer=self.others, decision=decision, pages=None, **asked)
        self.assertEqual(taken[0], "not-yours")
        self.assertEqual(other.ask("CANCEL", job=job_id(2), step="submit-1")[0], "not-yours")
        self.assertEqual(self.complete(link, 2, decision)[1]["state"], "posted")

    def test_user_names(self) -> None:
        link = self.link()
        for number, (name, word) in enumerate(
            (
                ("an\0na", "bad-fields"),
                ("x" * 65_000, "bad-fields"),
                ("x" * 256, "bad-fields"),
                ("ANNA", "allow"),
                ("DOMAIN\\Anna", "allow"),
                ("stranger", "deny"),
                ("", "deny"),
                ("анна", "deny"),
            ),
            1,
        ):
            found, fields = self.authorize(link, number, user_name=name)
            self.assertEqual(fields.get("verdict", found), word, name[:20])
        self.check()

    def test_amounts(self) -> None:
        link = self.link()
        _, decision = self.authorize(link, 1)
        for number, lines in enumerate(
            (
                [{"what": "A4", "quantity": -1, "unit_e4": 500}],
                [{"what": "A4", "quantity": 1, "unit_e4": -500}],
                [{"what": "A4", "quantity": 1, "unit_e4": 10**16}],
                [{"what": "A4", "quantity": 1.5, "unit_e4": 1}],
                [{"what": "A4", "quantity": True, "unit_e4": 1}],
            ),
            1,
        ):
            word, _ = self.complete(link, 1, {**decision, "lines": lines})
            self.assertEqual(word, "bad-fields", number)
        for pages in (-1, 10**12, "two"):
            self.assertEqual(self.complete(link, 1, decision, pages=pages)[0], "bad-fields")
        groups = [{"paper": "A4", "pages": 10**9}]
        self.assertEqual(self.authorize(link, 2, document={"groups": groups})[0], "bad-fields")
        link = self.link()
        # Its own decision says what it may cost, whatever the message carries.
        dear = [{"what": "A4 grey", "quantity": 1000, "unit_e4": 900_000_000}]
        word, receipt = self.complete(link, 1, {**decision, "lines": dear})
        self.assertEqual((word, receipt["amount_e4"]), ("OK", 1000))
        self.check()

    def test_gone_in_the_midst_nothing_accepted_is_lost(self) -> None:
        link = self.link()
        _, decision = self.authorize(link, 1)
        link.send(
            b"z COMPLETE "
            + json.dumps(
                {
                    **{"job": job_id(1), "step": "submit-1", "printer": 1, "user_name": "anna"},
                    **{"document": DOCUMENT, "decision": decision, "pages": None},
                }
            ).encode()
            + b"\n"
        )
        link.close()
        posted = lambda: self.installation.app.call("status")["charges"] == 1  # noqa: E731
        self.assertTrue(wait_for("it is posted", posted))
        self.check()
