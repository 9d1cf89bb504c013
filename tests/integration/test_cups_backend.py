"""CUPS's backend ``papercut`` as a program, and the provider's socket that it talks to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from papercutd.provider.cups.backends import (
    ANNOUNCE_S,
    BACKENDS_MAX,
    GO_S,
    LINE_MAX,
    UUID_MAX,
    VERSION,
    Announcement,
    Backend,
    BackendFactory,
)
from papercutd.provider.cups.queues import BACKEND

reactor: Any = _reactor
UUID = "urn:uuid:11111111-2222-3333-4444-555555555555"
OPTIONS = f"copies=2 sides=one-sided job-uuid={UUID} job-originating-host-name=desk"
#: A real backend: says how it was called and what it was given.
INNER = """#!/bin/sh
echo "DEVICE_URI=$DEVICE_URI" > {folder}/said
echo "argv=$0 $1 $2 $3 $4" >> {folder}/said
cat > {folder}/printed
exit 0
"""


class BackendCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pc-"))
        self.addCleanup(subprocess.run, ["rm", "-rf", str(self.folder)], check=True)
        backends = self.folder / "backend"
        backends.mkdir()
        (backends / "inner").write_text(INNER.format(folder=self.folder))
        (backends / "inner").chmod(0o755)
        self.socket = self.folder / "cups.sock"
        self.announced: list[Announcement] = []
        self.backends: list[Backend] = []
        self.answer: Callable[[Announcement, Backend], None] = lambda a, b: None
        self.factory = BackendFactory(reactor, "root", self._announced)

    def _announced(self, announcement: Announcement, backend: Backend) -> None:
        self.announced.append(announcement)
        self.backends.append(backend)
        self.answer(announcement, backend)

    def listen(self) -> None:
        port = reactor.listenUNIX(str(self.socket), self.factory)
        self.addCleanup(port.stopListening)

    def script(self, **constants: float) -> str:
        """The backend, with other times."""
        text = BACKEND.read_text()
        for name, value in constants.items():
            line = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
            text = text.replace(line, f"{name} = {value}")
        path = self.folder / "backend" / "papercut"
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    async def run_backend(
        self,
        *files: str,
        data: bytes = b"to be printed",
        uri: str = "papercut:inner://anna:secret@host/path",
        options: str = OPTIONS,
        **constants: float,
    ) -> subprocess.CompletedProcess[bytes]:
        words = [self.script(**constants), "7", "anna", "t\u00eft\udce4le 'x'", "2", options]
        done: subprocess.CompletedProcess[bytes] = await deferToThread(
            subprocess.run,
            [*words, *files],
            input=data,
            capture_output=True,
            timeout=45,
            env={
                **{"DEVICE_URI": uri, "PRINTER": "q1", "CUPS_SERVERBIN": str(self.folder)},
                **{"CONTENT_TYPE": "application/pdf", "FINAL_CONTENT_TYPE": "printer/q1"},
                **{"PAPERCUTD_SOCKET": str(self.socket), "TMPDIR": str(self.folder)},
            },
        )
        return done

    def said(self, name: str = "said") -> str:
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    async def until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            await deferLater(reactor, 0.01, lambda: None)


class ProgramTests(BackendCase):
    async def test_allowed_it_becomes_the_real_backend(self) -> None:
        went: list[bool] = []
        self.answer = lambda a, b: (
            Deferred.fromCoroutine(b.allow()).addCallback(went.append) and None
        )
        self.listen()
        done = await self.run_backend()
        self.assertEqual((done.returncode, done.stdout), (0, b""))
        self.assertIn("DEVICE_URI=inner://anna:secret@host/path", self.said())
        # Its words are for everybody to see.
        self.assertNotIn("secret", self.said().split("argv=")[1])
        self.assertIn("7 anna", self.said())
        self.assertEqual(self.said("printed"), "to be printed")
        self.assertEqual(went, [True])
        (found,) = self.announced
        self.assertEqual(
            (found.version, found.queue, found.job, found.uuid, found.user, found.copies),
            (VERSION, "q1", 7, UUID, "anna", 2),
        )
        self.assertEqual((found.host, found.uri), ("desk", "inner://anna:secret@host/path"))
        self.assertEqual((found.filtered, found.stream), (True, False))
        self.assertEqual(found.title, "t\u00eft?le 'x'")

    async def test_told_a_password(self) -> None:
        real = "inner://anna:secret@host/path"
        self.answer = lambda a, b: Deferred.fromCoroutine(b.allow(real)) and None
        self.listen()
        await self.run_backend(uri="papercut:inner://host/path")
        self.assertIn(f"DEVICE_URI={real}", self.said())

    async def test_answers(self) -> None:
        self.listen()
        for answer, code, words in (
            (lambda b: b.hold("account-limit-reached", "no money"), 3, "no money"),
            (lambda b: b.cancel("account-closed", "closed"), 5, "closed"),
            (lambda b: b.refuse("not now"), 6, "not now"),
            # One of a later release.
            (lambda b: b._answer("SING", {}), 6, "SING"),
        ):
            self.answer = lambda a, b, answer=answer: answer(b)  # type: ignore[misc]
            done = await self.run_backend()
            self.assertEqual(done.returncode, code)
            self.assertIn(words, done.stderr.decode())
            self.assertEqual(self.said(), "")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_no_answer_in_two_seconds_is_hold(self) -> None:
        self.listen()
        gone: list[Backend] = []
        self.answer = lambda a, b: setattr(b, "on_gone", gone.append)
        done = await self.run_backend(ANSWER_S=0.3)
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"JOBSTATE: account-info-needed", done.stderr)
        await self.until(lambda: gone)
        # Too late: it is not there to be allowed.
        self.assertFalse(await self.backends[0].allow())

    async def test_nobody_there_is_retry(self) -> None:
        done = await self.run_backend(PROVIDER_AWAY_S=0.5, AGAIN_S=0.1)
        self.assertEqual(done.returncode, 6)
        self.assertIn(b"Waiting for the print provider", done.stderr)

    async def test_it_waits_for_a_provider_that_comes_back(self) -> None:
        self.answer = lambda a, b: b.close()
        self.listen()
        running = self.run_backend(AGAIN_S=0.05)
        waiting = Deferred.fromCoroutine(running)
        await self.until(lambda: len(self.announced) > 1)
        self.answer = lambda a, b: Deferred.fromCoroutine(b.allow()) and None
        done = await waiting
        self.assertEqual((done.returncode, self.said("printed")), (0, "to be printed"))

    async def test_stream(self) -> None:
        """What goes to the printer is shown first, and printed whole all the same."""
        data = b"%!PS" + bytes(range(256)) * 20_000
        seen: list[bytes] = []

        def answer(announcement: Announcement, backend: Backend) -> None:
            if not announcement.stream:
                backend.ask_stream()
                return
            stream = backend.take_stream()
            assert stream is not None
            seen.append(os.pread(stream, len(data) + 1, 0))
            os.close(stream)
            Deferred.fromCoroutine(backend.allow())

        self.answer = answer
        self.listen()
        done = await self.run_backend(data=data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(seen, [data])
        self.assertEqual((self.folder / "printed").read_bytes(), data)
        # A file that CUPS names is shown as it is.
        path = self.folder / "document"
        path.write_bytes(b"%PDF-1.4")
        self.announced.clear()
        done = await self.run_backend(str(path), data=b"")
        self.assertEqual((done.returncode, seen[1]), (0, b"%PDF-1.4"))
        self.assertEqual([one.filtered for one in self.announced], [False, False])

    async def test_what_cannot_be_run(self) -> None:
        self.listen()
        done = await self.run_backend(uri="papercut:nothing://host")
        self.assertEqual((done.returncode, self.announced), (6, []))
        done = await self.run_backend(uri="papercut:../inner://host")
        self.assertEqual((done.returncode, self.announced), (1, []))
        done = await self.run_backend(uri="papercut:")
        self.assertEqual((done.returncode, self.announced), (1, []))

    def test_it_is_shown_among_backends(self) -> None:
        done = subprocess.run([self.script()], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith("direct papercut "))

    def test_never_stops_a_queue(self) -> None:
        text = BACKEND.read_text()
        self.assertIn("FAILED, HOLD, CANCEL, RETRY = 1, 3, 5, 6", text)


#: A listener on a socket that says something to each who connects: argv is path, seconds, words.
LISTENER = """\
import os, socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
listener.listen(16)
print("listens", flush=True)
while True:
    connection = listener.accept()[0]
    try:
        for word in sys.argv[3:]:
            connection.sendall(eval(word))
            time.sleep(float(sys.argv[2]))
        connection.recv(100_000)
    except OSError:
        pass
    connection.close()
"""


class OtherListenerTests(BackendCase):
    """Something else than the provider is at its socket: no document goes out by its word."""

    def other(self, *words: str, pause_s: float = 0.0, user: int | None = None) -> None:
        """The listener, which says ``words`` with a pause after each."""
        command = ["/usr/bin/python3", "-c", LISTENER, str(self.socket), str(pause_s), *words]
        listener = subprocess.Popen(command, stdout=subprocess.PIPE, user=user)
        stdout = listener.stdout
        assert stdout is not None

        def end() -> None:
            listener.kill()
            listener.wait()
            stdout.close()
            self.socket.unlink(missing_ok=True)

        self.end = end
        self.addCleanup(end)
        self.assertEqual(stdout.readline(), b"listens\n")

    async def test_answers_without_sense(self) -> None:
        for word in ("b'\\n'", "b'ALLOW [1]\\n'", "b'ALLOW {\\n'", "b'\\xff\\xfe \\0\\n'"):
            self.other(word)
            done = await self.run_backend(ANSWER_S=20.0)
            self.assertEqual((done.returncode, self.said()), (6, ""), (word, done.stderr))
            self.end()

    async def test_endless(self) -> None:
        self.other(*["b'x' * 4096"] * 500)
        done = await self.run_backend(ANSWER_S=20.0, PROVIDER_AWAY_S=0.5, AGAIN_S=0.1)
        self.assertEqual((done.returncode, self.said()), (6, ""))
        self.assertIn(b"does not end", done.stderr)

    async def test_a_byte_now_and_then(self) -> None:
        """Each comes in time, all of them do not."""
        self.other(*["b'A'"] * 1_000, pause_s=0.1)
        done = await self.run_backend(ANSWER_S=0.5)
        self.assertEqual((done.returncode, self.said()), (3, ""))

    async def test_of_another_user(self) -> None:
        self.assertEqual(os.geteuid(), 0, "a socket of another user needs root")
        self.folder.chmod(0o777)
        self.other("b'ALLOW {}\\n'", user=65534)
        done = await self.run_backend(PROVIDER_AWAY_S=0.5, AGAIN_S=0.1)
        self.assertEqual((done.returncode, self.said()), (6, ""))
        self.assertIn(b"not the provider's user", done.stderr)
        self.end()
        # Root's is heard, as is that of who owns the folder.
        self.other("b'ALLOW {}\\n'")
        self.assertEqual((await self.run_backend()).returncode, 0)


class SocketTests(BackendCase):
    """What comes over the socket, whoever says it."""

    async def exchange(self, *parts: bytes, descriptors: int = 0) -> bytes:
        """Send ``parts`` and read until the provider closes."""

        def talk() -> bytes:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(20)
                connection.connect(str(self.socket))
                heard = b""
                try:
                    for part in parts:
                        if descriptors:
                            socket.send_fds(connection, [part], [0] * descriptors)
                        else:
                            connection.sendall(part)
                    while block := connection.recv(4096):
                        heard += block
                except ConnectionError:
                    pass
                return heard

        found: bytes = await deferToThread(talk)
        return found

    def line(self, **fields: Any) -> bytes:
        whole = {
            **{"version": VERSION, "queue": "q1", "job": 7, "uuid": UUID, "user": "anna"},
            **{"title": "t", "copies": 1, "options": "", "host": "", "content_type": ""},
            **{"final_content_type": "", "uri": "inner:", **fields},
        }
        return b"ANNOUNCE " + json.dumps(whole).encode() + b"\n"

    async def test_others_are_not_heard(self) -> None:
        self.listen()
        self.factory.users = {12345}
        self.assertEqual(await self.exchange(self.line()), b"")
        self.assertEqual(self.announced, [])

    async def test_who_is_heard(self) -> None:
        self.assertEqual(self.factory.users, {0, os.geteuid()})
        self.assertEqual(
            BackendFactory(reactor, "no-such-user", self._announced).users, {0, os.geteuid()}
        )

    async def test_bad_announcements_are_sent_away(self) -> None:
        self.listen()
        for line in (
            b"\n",
            b"ANNOUNCE\n",
            b"ANNOUNCE {}\n",
            b"ANNOUNCE []\n",
            b"GO {}\n",
            b"\xff\xfe\n",
            self.line(job="seven"),
            self.line(version=VERSION + 1),
            self.line(uuid=""),
            self.line(uuid="u" * (UUID_MAX + 1)),
            b"ANNOUNCE " + b"x" * (LINE_MAX + 10) + b"\n",
        ):
            heard = await self.exchange(line)
            self.assertTrue(heard.startswith(b"RETRY {"), (line[:40], heard))
        self.assertEqual(self.announced, [])

    async def test_announced_once(self) -> None:
        self.listen()
        heard = await self.exchange(self.line(), self.line())
        self.assertTrue(heard.startswith(b"RETRY {"))
        self.assertEqual(len(self.announced), 1)

    async def test_one_open_file_at_most(self) -> None:
        self.listen()
        self.assertEqual(await self.exchange(self.line(), descriptors=2), b"")
        self.assertEqual(self.announced, [])
        self.assertFalse(self.factory.backends)

    async def test_hostile_and_silent_ones_keep_nobody_out(self) -> None:
        """Four megabytes in one line, 200 that never speak, one that says half a line."""
        self.answer = lambda a, b: b.hold("account-info-needed", "later")
        self.listen()
        heard = await self.exchange(b"ANNOUNCE " + b"x" * (4 << 20) + b"\n")
        self.assertIn(heard[:7], (b"", b"RETRY {"))
        silent = [socket.socket(socket.AF_UNIX) for _ in range(200)]
        for connection in silent:
            self.addCleanup(connection.close)
        await deferToThread(lambda: [one.connect(str(self.socket)) for one in silent])
        silent[0].sendall(b"ANNOUNCE {")
        await self.until(lambda: len(self.factory.backends) == 200)
        self.assertTrue((await self.exchange(self.line())).startswith(b"HOLD {"))
        for connection in silent:
            connection.close()
        await self.until(lambda: not self.factory.backends)

    async def test_silence_ends(self) -> None:
        self.patch(self.factory, "clock", Impatient())
        self.listen()
        self.assertEqual(await self.exchange(b"ANNOUNCE"), b"")

    def test_bounds(self) -> None:
        self.assertEqual((LINE_MAX, BACKENDS_MAX), (65_536, 500))


class Impatient:
    """A clock on which everything is due at once."""

    def callLater(self, seconds: float, call: Callable[..., object], *words: Any) -> Any:
        return reactor.callLater(0.05, call, *words)


class PageTests(BackendCase):
    """docs/protocols/backend.md is what runs."""

    PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocols" / "backend.md"

    def words(self, announcement: Announcement, backend: Backend) -> None:
        if announcement.user == "poor":
            backend.hold("account-limit-reached", "there is not enough money")
        elif announcement.user == "nobody":
            backend.cancel("account-authorization-failed", "the user is not known")
        else:
            Deferred.fromCoroutine(backend.allow()).addCallback(self.went.append)

    async def test_transcript(self) -> None:
        self.went: list[bool] = []
        self.answer = self.words
        self.listen()
        blocks = [
            block.splitlines()
            for block in self.PAGE.read_text().split("```")[1::2]
            if block.strip().startswith("B: ")
        ]
        self.assertEqual(len(blocks), 4)
        for block in blocks:
            await deferToThread(self.replay, [line for line in block if line])
        self.assertEqual(self.went, [True])

    def replay(self, lines: list[str]) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self.socket))
            stream = connection.makefile("rwb")
            for line in lines:
                who, _, words = line.partition(": ")
                if who == "B":
                    stream.write(words.encode() + b"\n")
                    stream.flush()
                else:
                    self.assertEqual(stream.readline().decode().rstrip("\n"), words)
            self.assertEqual(stream.read(), b"")

    def test_fields_and_limits(self) -> None:
        page = self.PAGE.read_text()
        rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| `")]
        fields = [row.strip("`") for row in rows if row.strip("`").islower()]
        self.assertEqual(fields, [field.name for field in attrs.fields(Announcement)])
        for words in (
            f"at most {LINE_MAX} bytes",
            f"At most {BACKENDS_MAX} backends",
            f"of 1 to {UUID_MAX} characters",
            f"Within {ANNOUNCE_S:.0f} s of connecting",
            f"`GO` within {GO_S:.0f} s",
        ):
            self.assertIn(words, page)
        program = BACKEND.read_text()
        for name, words in (
            ("PROVIDER_AWAY_S", "tries for {:.0f} s"),
            ("AGAIN_S", "every {:.2f} s"),
            ("ANSWER_S", "after {:.0f} s the backend ends with 3"),
        ):
            line = next(line for line in program.splitlines() if line.startswith(f"{name} = "))
            self.assertIn(words.format(float(line.split("=")[1])), page)
