"""Find-Me through CUPS: a queue that holds, printers of its group, a device beside one of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from papercutd.demo.network import free_port
from papercutd.demo.processes import Role, command
from papercutd.identity.authority import Authority
from tests.support.certificates import credentials
from tests.support.cups_case import TIMES, CupsCase
from tests.support.raw_link import RawLink, job_id

CARD = "04:A2:2B:91"


class FindMeCase(CupsCase):
    """``follow`` holds; ``one`` and ``two`` are printers of its group, a device stands at two.

    Nothing prints at ``follow`` itself: it has the driver of printer one.
    """

    def setUp(self) -> None:
        super().setUp()
        self.releases = 0
        self.one = self.cups.ipp_printer("one")
        self.two = self.cups.ipp_printer("two")
        self.queue("follow", self.one.uri, "everywhere", release="find-me", group="house")
        self.queue("q1", self.one.uri, "everywhere", group="house")
        self.queue("q2", self.two.uri, "everywhere", group="house")
        self.admin("user", "card", "anna", CARD)

    def add_site(self) -> Role:
        """Site ``north``, phased in under the running provider."""
        ports = free_port(), free_port(), free_port(), free_port()
        http, https, links, self.site_devices = ports
        site = Role(
            *("site", "site north", self.cups.folder / "site"),
            f'[application]\nhost = "127.0.0.1"\nport = {self.links}\nhttps = {self.https}\n'
            f'[listen]\ninterface = "127.0.0.1"\nhttp = {http}\nhttps = {https}\n'
            f"links = {links}\ndevices = {self.site_devices}\n{TIMES}",
        )
        added = self.admin("site", "add", "north", "--host", "127.0.0.1", "--port", str(links))
        server = f"127.0.0.1:{self.https}"
        command(site.config, "join", "--token", added["token"], "--server", server)
        site.start()
        self.addCleanup(site.stop)
        self.admin("provider", "set", "p1", "--site", "north")
        self.until(self.is_connected, "sessions to both servers")
        return site

    def is_connected(self) -> bool:
        """Every server that the provider knows is connected and trusted."""
        servers = self.provider.call("status")["servers"].values()
        return all(one["connected"] and not one["suspect"] for one in servers)

    def add_device(self, name: str = "mfd", printer: str = "q2", **site: str) -> Path:
        """A device and its identity."""
        words = [word for key, value in site.items() for word in (f"--{key}", value)]
        self.admin("device", "add", name, "--printer", printer, "--logins", "card", *words)
        identity = self.cups.folder / f"identity-{name}"
        identity.mkdir()
        authority = Authority.load(self.app.data / "ca")
        credentials(authority, "device", name, time.time()).save(identity)
        return identity

    def visit(self, identity: Path, port: int, site: str = "") -> Visit:
        """Anna logs in by her card at the device of that identity, which asks at ``port``."""
        server = ("site", site) if site else ("application", "application")
        link = RawLink(port, identity, server=server)
        self.addCleanup(link.close)
        word, welcome = link.hello(identity.name.removeprefix("identity-"), role="device")
        self.assertEqual(word, "OK", welcome)
        word, person = link.ask("LOGIN", method="card", card=CARD)
        self.assertEqual((word, person.get("user_name")), ("OK", "anna"), person)
        return Visit(self, link, person["login"])

    def hold(self, queue: str = "follow", pages: int = 3, *words: str) -> tuple[int, str]:
        """A job printed with lp and held: CUPS's number of it, and ours."""
        before = sum(job["state"] == "held" for job in self.jobs())
        number = self.cups.lp(queue, self.pdf(pages), *words)
        job = self.until_state("held", before + 1)[-1]
        self.assertEqual((job["cups"], job["reason"]), (f"{queue}-{number}", "release"))
        self.until_cups(number, "held")
        return number, job["job"]

    def until_cups(self, number: int, state: str) -> None:
        self.until(lambda: self.cups_state(number) == state, f"{state} at CUPS")

    def until_listed(self, count: int) -> list[dict[str, Any]]:
        """Held jobs as the application server knows them, once there are ``count``."""
        self.until(lambda: len(self.app.call("job.held")) == count, f"{count} jobs listed")
        found: list[dict[str, Any]] = self.app.call("job.held")
        return found

    def job(self, job: str) -> dict[str, Any]:
        return next(one for one in self.jobs() if one["job"] == job)


class Visit:
    """A person logged in at a device."""

    def __init__(self, case: FindMeCase, link: RawLink, login: str) -> None:
        self._case = case
        self.link = link
        self.login = login

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.link.ask("JOBS", login=self.login)[1]["jobs"]
        return found

    def until_jobs(self, count: int) -> list[dict[str, Any]]:
        """The person's jobs, once there are ``count``."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = self.jobs()
            return len(found) == count

        self._case.until(look, f"{count} jobs at the device")
        return found

    def release(self, job: str, release: str = "", **settings: Any) -> dict[str, Any]:
        """What the device is answered."""
        word, answer = self._ask("RELEASE", job, release, **settings)
        self._case.assertEqual(word, "OK", answer)
        return answer

    def try_release(self, job: str, release: str) -> str:
        """The answer, or the code of a refusal."""
        word, answer = self._ask("RELEASE", job, release)
        return str(answer["answer"]) if word == "OK" else word

    def discard(self, job: str) -> dict[str, Any]:
        word, answer = self._ask("DISCARD", job, "")
        self._case.assertEqual(word, "OK", answer)
        return answer

    def _ask(self, verb: str, job: str, release: str, **more: Any) -> tuple[str, dict[str, Any]]:
        self._case.releases += 1
        release = release or job_id(1000 + self._case.releases)
        return self.link.ask(verb, login=self.login, release=release, job=job, **more)
