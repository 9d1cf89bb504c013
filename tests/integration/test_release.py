"""Held jobs released at a device: online, at a cut site, twice, by the wrong one, after a crash."""

from __future__ import annotations

import json
import time
import tomllib
from typing import Any

from papercutd.demo import measure
from papercutd.demo.documents import make_pdf
from papercutd.demo.scenario import is_ready
from tests.support.devices import DeviceCase
from tests.support.raw_link import RawLink, job_id
from tests.support.waiting import wait_for


class ReleaseTests(DeviceCase):
    def setUp(self) -> None:
        super().setUp()
        self.releases = 0

    def hold(self, user: str = "anna", pages: int = 2) -> str:
        """A job handed in and held."""
        self.handed_in += 1
        data = make_pdf(f"held {self.handed_in}", pages, False)
        job = self.branch.print_file(data, f"held {self.handed_in}", user)
        held = lambda: self.branch.job(job)["state"] == "held"  # noqa: E731
        self.assertTrue(wait_for("it is held", held), self.branch.job(job))
        self.accepted.append((self.branch, job))
        return job

    def release(
        self, link: RawLink, login: str, job: str, release: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        self.releases += 1
        release = release or job_id(1000 + self.releases)
        return link.ask("RELEASE", login=login, release=release, job=job)

    def listed(self, link: RawLink, login: str, count: int) -> list[dict[str, Any]]:
        """The person's jobs, once there are ``count``."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = link.ask("JOBS", login=login)[1]["jobs"]
            return len(found) == count

        self.assertTrue(wait_for(f"{count} jobs", look), found)
        return found

    def paper(self) -> int:
        return len(list(self.branch.printer.directory.glob("*.prn")))

    def printed(self, job: str) -> None:
        ended = lambda: self.branch.job(job)["state"] == "ended"  # noqa: E731
        self.assertTrue(wait_for("it is printed", ended), self.branch.job(job))

    def test_online(self) -> None:
        link = self.device(self.branch.site, self.branch)
        jobs = [self.hold(), self.hold(pages=3)]
        person = self.login(link)
        self.assertEqual((person["user_name"], person["state"]), ("anna", "online"))
        listed = self.listed(link, person["login"], 2)
        self.assertEqual([job["job"] for job in listed], jobs)
        self.assertEqual([job["pages"] for job in listed], [2, 3])
        self.assertEqual([job["amount_e4"] for job in listed], [1000, 1500])
        self.assertEqual(self.paper(), 0)
        word, answer = self.release(link, person["login"], jobs[0], job_id(1))
        self.assertEqual((word, answer["answer"], answer["amount_e4"]), ("OK", "released", 1000))
        self.printed(jobs[0])
        # Asked again under the same id, the answer is the same; another id gets none of it.
        word, again = self.release(link, person["login"], jobs[0], job_id(1))
        self.assertEqual((word, again), ("OK", answer))
        word, other = self.release(link, person["login"], jobs[0], job_id(3))
        self.assertEqual((word, other["answer"]), ("OK", "unknown-job"))
        word, answer = link.ask("DISCARD", login=person["login"], release=job_id(2), job=jobs[1])
        self.assertEqual((word, answer["answer"]), ("OK", "discarded"))
        self.listed(link, person["login"], 0)
        self.assertEqual(self.paper(), 1)
        self.assertEqual(link.ask("LOGOUT", login=person["login"])[0], "OK")
        self.assertEqual(link.ask("JOBS", login=person["login"])[0], "no-login")
        self.check()

    def test_at_a_cut_site(self) -> None:
        """People log in, see their jobs and print them; the centre hears of it afterwards."""
        link = self.device(self.branch.site, self.branch)
        early = self.hold("ben")
        self.branch.cut()
        cut = lambda: self.branch.site.call("status")["state"] == "cut"  # noqa: E731
        self.assertTrue(wait_for("it is cut", cut))
        late = self.hold("ben")
        person = self.login(link, method="password", user_name="BEN", password="correct horse")
        self.assertEqual((person["state"], person["available_e4"]), ("cut", 10_000))
        # The site hears of what is held a moment after it is.
        self.listed(link, person["login"], 2)
        for job in (early, late):
            word, answer = self.release(link, person["login"], job)
            self.assertEqual((word, answer["answer"]), ("OK", "released"), answer)
            self.printed(job)
        self.assertEqual(self.paper(), 2)
        # More than there is: refused, and held on.
        dear = self.hold("ben", pages=30)
        self.listed(link, person["login"], 1)
        word, answer = self.release(link, person["login"], dear)
        self.assertEqual((answer["answer"], answer["reason"]), ("refused", "funds"))
        self.assertEqual(self.branch.job(dear)["state"], "held")
        self.branch.heal()
        self.wait("everybody is back", is_ready)
        self.release(link, person["login"], dear)
        self.assertEqual(self.branch.job(dear)["state"], "held")
        self.accepted.pop()
        self.branch.provider.call("job.discard", job=dear)
        self.check_money()

    def test_cut_in_the_midst(self) -> None:
        """Both links of the branch go silent while the site forwards the question."""
        link = self.device(self.branch.site, self.branch)
        person = self.login(link)
        for delay_s in (0.0, 0.003, 0.01, 0.03, 0.1):
            job = self.hold()
            self.listed(link, person["login"], 1)
            fields = {"login": person["login"], "release": job_id(self.handed_in), "job": job}
            link.send(f"z RELEASE {json.dumps(fields)}\n".encode())
            time.sleep(delay_s)
            self.branch.cut()
            tag, word, answer = link.answer()
            self.assertEqual((tag, word, answer.get("answer")), ("z", "OK", "released"), delay_s)
            self.printed(job)
            # Asked again, cut as it is: the same.
            self.assertEqual(link.ask("RELEASE", **fields), ("OK", answer))
            self.branch.heal()
            self.wait("everybody is back", is_ready)
        self.assertEqual(self.paper(), 5)
        self.check()

    def check_money(self) -> None:
        journal = str(self.branch.provider.data / "provider.db")
        settled = lambda: (  # noqa: E731
            not any(self.branch.provider.call("status")["owed"].values())
            and self.branch.site.call("status")["waiting_records"] == 0
        )
        self.assertTrue(wait_for("all is settled", settled))
        verified = self.installation.app.call("verify", provider_journals=[journal])
        self.assertEqual(verified["problems"], [])
        connection = measure.open_read(self.installation.app.data / "application.db")
        keys = [row[0] for row in connection.execute("SELECT key FROM charge")]
        connection.close()
        self.assertEqual(sorted(keys), sorted(f"{job}/release-2" for _, job in self.accepted))

    def test_who_it_is(self) -> None:
        link = self.device(self.branch.site, self.branch)
        job = self.hold("anna")
        for shown in (
            {"method": "card", "card": "99"},
            {"method": "card", "card": "x" * 200},
            {"method": "card", "card": ""},
            {"method": "card-pin", "card": "0815", "pin": "0000"},
            {"method": "card-pin", "card": "0815", "pin": ""},
            {"method": "password", "user_name": "ben", "password": ""},
            {"method": "password", "user_name": "nobody", "password": "x"},
            {"method": "password", "user_name": "anna", "password": ""},
        ):
            self.assertEqual(link.ask("LOGIN", **shown)[0], "bad-credentials", shown)
        self.assertEqual(link.ask("LOGIN", method="card", card="x" * 5000)[0], "bad-fields")
        ben = self.login(link, method="card-pin", card=" 08-15 ", pin="4711")
        # Another's job: not listed, and not to be had.
        self.listed(link, ben["login"], 0)
        held = lambda: self.branch.site.call("job.held")  # noqa: E731
        self.assertTrue(wait_for("the site knows of it", held))
        self.assertEqual(self.release(link, ben["login"], job)[0], "not-yours")
        # Five wrong passwords close the door on ben, and on nobody else.
        for _ in range(5):
            link.ask("LOGIN", method="password", user_name="ben", password="wrong")
        word, fields = link.ask(
            "LOGIN", method="password", user_name="ben", password="correct horse"
        )
        self.assertEqual(word, "locked-out")
        self.assertGreater(fields["retry_after_s"], 60)
        self.login(link)

    def test_site_server_dead_on_a_working_network(self) -> None:
        """The device goes to the application server, which releases through the same owner."""
        job = self.hold()
        self.branch.site.kill()
        link = self.device(self.installation.app, self.branch)
        person = self.login(link)
        self.listed(link, person["login"], 1)
        word, answer = self.release(link, person["login"], job)
        self.assertEqual((word, answer["answer"]), ("OK", "released"))
        self.printed(job)
        self.branch.site.start()
        self.wait("everybody is back", is_ready)
        self.check()

    def test_from_two_places_at_once(self) -> None:
        """The site's device and the application server's command: one of them prints it."""
        link = self.device(self.branch.site, self.branch)
        person = self.login(link)
        for _ in range(4):
            job = self.hold()
            self.listed(link, person["login"], 1)
            number = 1000 + self.handed_in
            link.send(
                f'z RELEASE {{"login":"{person["login"]}","release":"{job_id(number)}",'
                f'"job":"{job}"}}\n'.encode()
            )
            try:
                self.installation.app.call("job.release", job=job)
            except Exception:
                # Already released by the other.
                pass
            self.assertEqual(link.answer()[:2], ("z", "OK"))
            self.printed(job)
        self.assertEqual(self.paper(), 4)
        self.check()

    def test_provider_killed_while_jobs_are_held(self) -> None:
        link = self.device(self.branch.site, self.branch)
        job = self.hold()
        person = self.login(link)
        self.listed(link, person["login"], 1)
        self.branch.provider.kill()
        # What its server says until it notices, and after: nothing is printed either way.
        word, _ = self.release(link, person["login"], job)
        self.assertIn(word, ("unreachable", "timeout"))
        self.branch.provider.start()
        self.wait("everybody is back", is_ready)
        self.listed(link, person["login"], 1)
        word, answer = self.release(link, person["login"], job)
        self.assertEqual((word, answer["answer"]), ("OK", "released"))
        self.printed(job)
        self.assertEqual(self.paper(), 1)
        self.check()

    def test_each_verb_in_a_wrong_state(self) -> None:
        """Without a log-in, with another device's, after the end, and by another role."""
        south = self.installation.branches[1]
        link = self.device(self.branch.site, self.branch)
        other = self.device(south.site, south)
        person = self.login(other)
        job = self.hold()
        for login in (job_id(1), person["login"]):
            for verb, fields in (
                ("JOBS", {}),
                ("RELEASE", {"release": job_id(2), "job": job}),
                ("DISCARD", {"release": job_id(2), "job": job}),
            ):
                self.assertEqual(link.ask(verb, login=login, **fields)[0], "no-login", verb)
        # That of another device is not ended by ours.
        self.assertEqual(link.ask("LOGOUT", login=person["login"])[0], "OK")
        self.assertEqual(other.ask("JOBS", login=person["login"])[0], "OK")
        mine = self.login(link)
        for verb, fields in (
            ("RELEASE", {"release": "x", "job": job}),
            ("RELEASE", {"release": job_id(2), "job": job, "copies": 0}),
            ("RELEASE", {"release": job_id(2), "job": job, "copies": -1}),
            ("DISCARD", {"release": job_id(2)}),
            ("LOGIN", {"method": "retina"}),
        ):
            word = link.ask(verb, login=mine["login"], **fields)[0]
            self.assertEqual(word, "bad-fields", (verb, fields))
        word, answer = self.release(link, mine["login"], job_id(77))
        self.assertEqual((word, answer["answer"]), ("OK", "unknown-job"))
        self.assertEqual(link.ask("AUTHORIZE")[0], "unknown-verb")
        self.assertEqual(self.branch.job(job)["state"], "held")

    def test_roles_keep_to_their_ports(self) -> None:
        """A provider is no device, and a device no provider; a device of another site neither."""
        south = self.installation.branches[1]
        ports = tomllib.loads(self.branch.site.config.read_text())["listen"]
        server = ("site", self.branch.name)
        for identity, port, hello, word in (
            (
                self.branch.provider.data / "identity",
                "devices",
                {"role": "provider"},
                "not-allowed",
            ),
            (self.branch.provider.data / "identity", "devices", {"role": "device"}, "identity"),
            (self.identity(self.branch), "links", {"role": "device"}, "not-allowed"),
            (self.identity(self.branch), "links", {"role": "provider"}, "identity"),
            (self.identity(south), "devices", {"role": "device"}, "not-yours"),
        ):
            link = RawLink(ports[port], identity, server=server)
            self.addCleanup(link.close)
            name = "south-mfd" if identity == self.identity(south) else "north-mfd"
            name = "north-provider" if "provider" in str(identity) else name
            self.assertEqual(link.hello(name, **hello)[0], word, (port, hello))

    def test_two_with_one_identity(self) -> None:
        """The newest counts, and whoever was logged in at the older is not any more."""
        first = self.device(self.branch.site, self.branch)
        person = self.login(first)
        second = self.device(self.branch.site, self.branch)
        self.assertEqual(first.answer()[:2], ("end", "replaced"))
        self.assertEqual(second.ask("JOBS", login=person["login"])[0], "no-login")
        self.login(second)
