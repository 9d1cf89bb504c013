"""docs/protocols/*.md against the code: the same words, numbers, fields, and a true transcript."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

import protocols
from protocols import envelope, limits
from protocols.client.spec import CLIENT
from protocols.codes import WORDS, Code
from protocols.device.spec import DEVICE
from protocols.diagram import to_dot
from protocols.envelope import Kind
from protocols.handshake import VERSIONS, Hello, Welcome, say_versions, since_of
from protocols.machine import (
    TRANSITIONS,
    Bad,
    Connection,
    Fatal,
    HelloReceived,
    HelloRefused,
    ProtocolSpec,
    Received,
    Side,
    State,
)
from protocols.proof import parse_secret, proof_of
from protocols.provider.messages import Complete
from protocols.provider.spec import PROVIDER
from protocols.site.spec import SITE
from protocols.spec import decoder_of, tables_of

DOCS = Path(protocols.__file__).parent.parent / "docs"
PAGES = {"provider": PROVIDER, "site": SITE, "device": DEVICE, "client": CLIENT}
_ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \| (.*?) \| .* \|$")


def page(name: str) -> str:
    return (DOCS / "protocols" / f"{name}.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands under ``title`` up to the next heading of its rank or above."""
    rank = len(title) - len(title.lstrip("#"))
    start = text.index(f"\n{title}\n") + len(title) + 2
    end = re.compile(rf"^#{{1,{rank}}} ", re.MULTILINE).search(text, start)
    return text[start : end.start() if end is not None else len(text)]


def rows(text: str) -> list[tuple[str, str, str]]:
    """Name, second and third column of each row of the tables in ``text``."""
    found = [_ROW.match(line) for line in text.splitlines()]
    return [(row[1], row[2], row[3]) for row in found if row is not None]


def documented_default(attribute: attrs.Attribute[Any]) -> str:
    if attribute.default is attrs.NOTHING:
        return "required"
    if isinstance(attribute.default, attrs.Factory):  # type: ignore[arg-type]
        return "`[]`"
    return f"`{msgspec.json.encode(attribute.default).decode()}`"


def values_of(spec: ProtocolSpec) -> set[type]:
    """Every attrs class that can be reached from the messages of ``spec``."""
    found: set[type] = set()
    waiting: list[Any] = [Hello, Welcome, *spec.client_requests, *spec.server_requests]
    waiting += [request.ANSWER for request in spec.client_requests]  # type: ignore[attr-defined]
    waiting += [*spec.client_events, *spec.server_events]
    while waiting:
        cls = waiting.pop()
        if cls in found:
            continue
        found.add(cls)
        attrs.resolve_types(cls)
        for attribute in attrs.fields(cls):
            waiting += [part for part in parts_of(attribute.type) if attrs.has(part)]
    return found


def parts_of(hint: Any) -> set[type]:
    """The classes that a type is made of: those of ``Annotated[list[PageGroup], ...]`` too."""
    inner = [parts_of(part) for part in getattr(hint, "__args__", ())]
    return set().union({hint} if isinstance(hint, type) else set(), *inner)


class PageTests(SynchronousTestCase):
    def heading(self, name: str, cls: type) -> str:
        if hasattr(cls, "EVENT"):
            return f"### `* {cls.EVENT}`"
        if cls is Hello:
            return "### `HELLO`"
        if cls is Welcome:
            return "### WELCOME, the answer"
        if hasattr(cls, "VERB") and not (cls is Complete and name == "site"):
            return f"### `{cls.VERB}`"
        return f"### {cls.__name__}"

    def test_every_field_of_every_message(self) -> None:
        for name, spec in PAGES.items():
            text = page(name)
            answers = {
                request.ANSWER  # type: ignore[attr-defined]
                for request in spec.client_requests
            }
            for cls in values_of(spec):
                if cls in answers and f"\nAnswer, {cls.__name__}:\n" in text:
                    body = text.split(f"\nAnswer, {cls.__name__}:\n", 1)[1].split("\n#", 1)[0]
                else:
                    body = section(text, self.heading(name, cls))
                    body = body.split("\nAnswer", 1)[0]
                documented = [(field, default) for field, _, default in rows(body)]
                expected = [(a.name, documented_default(a)) for a in attrs.fields(cls)]
                self.assertEqual(documented, expected, f"{name}: {cls.__name__}")

    def test_verbs_and_events(self) -> None:
        for name, spec in PAGES.items():
            text = page(name)
            verbs = re.findall(r"^### `([A-Z]+)`$", section(text, "## Requests"), re.MULTILINE)
            tables = tables_of(spec, Side.SERVER)
            self.assertEqual(verbs, list(tables.requests_in))
            events = re.findall(r"^### `\* ([A-Z-]+)`$", section(text, "## Events"), re.MULTILINE)
            both = {*tables.events_in, *(out.word for out in tables.events_out.values())}
            self.assertEqual(sorted(events), sorted(both))

    def test_codes_and_their_words(self) -> None:
        for name in PAGES:
            text = section(page(name), "## Codes")
            documented = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| .* \|$", text, re.MULTILINE)
            self.assertEqual(documented, [(code.value, WORDS[code]) for code in Code])

    def test_limits(self) -> None:
        expected = [(name, str(value)) for name, value in vars(limits).items() if name.isupper()]
        for name in PAGES:
            text = section(page(name), "## Limits")
            documented = re.findall(r"^\| `([A-Z_]+)` \| ([0-9.]+) \|", text, re.MULTILINE)
            self.assertEqual(documented, expected)

    def test_the_grammar_is_that_of_the_module(self) -> None:
        assert envelope.__doc__ is not None
        grammar = [line.strip() for line in envelope.__doc__.splitlines() if line[:4] == "    "]
        for name in PAGES:
            text = section(page(name), "## Lines")
            for line in grammar:
                self.assertIn(line, text)

    def test_versions_and_states(self) -> None:
        self.assertEqual(VERSIONS, (1, 2))
        for name, spec in PAGES.items():
            text = page(name)
            self.assertIn(f"This release speaks versions {say_versions(VERSIONS)}:", text)
            messages = (*spec.client_requests, *spec.server_requests)
            for cls in (*messages, *spec.client_events, *spec.server_events):
                said = re.findall(
                    r"^Since version (\d+)\.", section(text, self.heading(name, cls)), re.M
                )
                self.assertEqual(said, [str(since_of(cls))] if since_of(cls) > 1 else [], cls)
            states = section(text, "## States")
            for state in State:
                self.assertIn(f"`{state.value}`", states)


class TranscriptTests(SynchronousTestCase):
    """Every line is put through the machines of both sides, in order."""

    def test_provider(self) -> None:
        self.replay("provider", PROVIDER)

    def test_site(self) -> None:
        self.replay("site", SITE)

    def test_device(self) -> None:
        self.replay("device", DEVICE)

    def test_client(self) -> None:
        self.replay("client", CLIENT)

    def replay(self, name: str, spec: ProtocolSpec) -> None:
        transcripts = re.findall(r"```transcript\n(.*?)```", page(name), re.DOTALL)
        words = {word for text in transcripts for word in self.replay_one(spec, text)}
        tables = tables_of(spec, Side.SERVER)
        events = {*tables.events_in, *(out.word for out in tables.events_out.values())}
        self.assertLessEqual({*tables.requests_in, *events, "HELLO"}, words)

    def replay_one(self, spec: ProtocolSpec, transcript: str) -> set[str]:
        """The words of all its lines, from HELLO to BYE."""
        ends = {"C": Connection(spec, Side.CLIENT), "S": Connection(spec, Side.SERVER)}
        words: set[str] = set()
        replies: list[bytes] = []
        for text in transcript.splitlines():
            if text.startswith("# "):
                continue
            who, line = text[0], text[3:].encode()
            self.assertEqual(text[1:3], ": ")
            sender, receiver = ends[who], ends["S" if who == "C" else "C"]
            if replies:
                # The answer to a line that no client of ours would send.
                self.assertEqual(line + b"\n", replies.pop())
                continue
            word = self.send(spec, sender, line)
            if word is not None:
                words.add(word)
            for received in receiver.receive_data(line + b"\n"):
                replies = self.replies(received)
        self.assertEqual(replies, [])
        self.assertIs(ends["C"].state, State.CLOSED)
        self.assertIs(ends["S"].state, State.CLOSED)
        return words

    def replies(self, received: Received) -> list[bytes]:
        self.assertFalse(isinstance(received, Fatal | HelloRefused))
        return [received.line] if isinstance(received, Bad) else []

    def send(self, spec: ProtocolSpec, sender: Connection, line: bytes) -> str | None:
        """Have ``sender`` send what ``line`` says, and compare; None for a bad line."""
        tables = tables_of(spec, sender.side)
        try:
            parsed = envelope.parse(line)
        except envelope.BadLine:
            return None
        if parsed.kind is Kind.EVENT:
            outgoing = {out.word: out for out in tables.events_out.values()}
            message = outgoing[parsed.word].decoder.decode(parsed.body)
            if parsed.word == "BYE":
                mine = sender.send_bye(Code(message.code), message.retry_after_s)
            else:
                mine = sender.send_event(message)
        elif parsed.kind is Kind.NO and sender.state is State.ANSWERING_HELLO:
            mine = sender.challenge_hello(str(envelope.decode_refusal(parsed).fields["nonce"]))
        elif parsed.kind is Kind.NO:
            mine = sender.send_refusal(parsed.tag, envelope.decode_refusal(parsed))
        elif parsed.kind is Kind.OK and sender.state is State.ANSWERING_HELLO:
            mine = sender.send_welcome(decoder_of(Welcome).decode(parsed.body))
        elif parsed.kind is Kind.OK:
            _, decoder = sender._owed[parsed.tag]
            mine = sender.send_answer(parsed.tag, decoder.decode(parsed.body))
        elif parsed.word == "HELLO":
            mine = sender.send_hello(decoder_of(Hello).decode(parsed.body))
        else:
            by_verb = {out.word: out for out in tables.requests_out.values()}
            try:
                message = by_verb[parsed.word].decoder.decode(parsed.body)
            except (KeyError, ValueError):
                return None
            mine = sender.send_request(message)[1]
        self.assertEqual(self.meaning(mine), self.meaning(line + b"\n"))
        return parsed.word

    @staticmethod
    def meaning(line: bytes) -> tuple[bytes, object]:
        head, brace, body = line.partition(b"{")
        return head, json.loads(brace + body)

    def test_the_version_refusal_is_as_shown(self) -> None:
        for name in PAGES:
            server = Connection(PROVIDER, Side.SERVER)
            (fatal,) = server.receive_data(b'1 HELLO {"versions":[7]}\n')
            assert isinstance(fatal, Fatal)
            self.assertIn(fatal.line.decode(), page(name))
            self.assertFalse(isinstance(fatal, HelloReceived))

    def test_the_proof_is_as_shown(self) -> None:
        text = section(page("provider"), "### In plaintext")
        secret, nonce, proof = re.findall(r"`([0-9a-f]{64})`", text)
        self.assertEqual(proof_of(parse_secret(secret), nonce), proof)
        self.assertIn(f'"nonce":"{nonce}"', page("provider"))
        self.assertIn(f'"proof":"{proof}"', page("provider"))


class DiagramTests(SynchronousTestCase):
    def test_the_drawing_is_of_the_table(self) -> None:
        drawn = (DOCS / "state-machines" / "session.dot").read_text(encoding="utf-8")
        self.assertEqual(drawn, to_dot(TRANSITIONS))
