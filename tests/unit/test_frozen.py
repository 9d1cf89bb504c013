"""What this release says and keeps, against the frozen version 1: which additions are declared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.frozen import ARCHIVES, NOW, unpacked

#: Run by either release: the messages of each protocol with their fields, the replicated
#: columns, and the fields of records.
DESCRIBE = """
import json
import attrs
from papercutd.faces.links import LINKS
try:
    from papercutd.storage.replication.records import Record
    from papercutd.storage.replication.replicated import TABLES
except ImportError:  # before storage had rooms
    from papercutd.storage.records import Record
    from papercutd.storage.replicated import TABLES
from protocols.device.spec import DEVICE
from protocols.provider.spec import PROVIDER
from protocols.site.spec import SITE

found = {"messages": {}, "rows": {}, "values": {}}

def describe_parts(hint):
    if isinstance(hint, type) and attrs.has(hint):
        describe(hint)
    for part in getattr(hint, "__args__", ()):
        describe_parts(part)

def fields_of(cls):
    attrs.resolve_types(cls)
    for one in attrs.fields(cls):
        describe_parts(one.type)
    return {one.name: one.default is attrs.NOTHING for one in attrs.fields(cls)}

def describe(cls):
    # Messages by their protocol; our own values wherever their module stands now.
    module = cls.__module__
    room = module.rpartition(".")[2] if module.startswith("papercutd.") else module
    name = f"{room}.{cls.__name__}"
    if name not in found["values"]:
        found["values"][name] = {}
        found["values"][name] = fields_of(cls)

for spec in (PROVIDER, SITE, DEVICE, LINKS):
    for part in ("client_requests", "server_requests", "client_events", "server_events"):
        for cls in getattr(spec, part):
            describe(cls)
            if hasattr(cls, "ANSWER"):
                describe(cls.ANSWER)
            word = getattr(cls, "VERB", None) or cls.EVENT
            found["messages"][f"{spec.name} {part} {word}"] = getattr(cls, "SINCE", 1)
    describe(spec.hello)
    describe(spec.welcome)
describe(Record)
for table, spec in TABLES.items():
    at_1 = spec.columns_at(1) if hasattr(spec, "columns_at") else spec.columns
    found["rows"][table] = [getattr(spec, "since", 1), list(at_1), spec.key]
print(json.dumps(found))
"""


def described(release: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": release},
        cwd=release,
        timeout=60,
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class ArchiveTests(SynchronousTestCase):
    def test_what_is_in_it(self) -> None:
        """What a node runs on and no more: it is in every copy of the repository."""
        for archive in ARCHIVES.glob("*.tar.xz"):
            self.assertLess(archive.stat().st_size, 300 * 1024)
            with tarfile.open(archive) as opened:
                members = opened.getmembers()
            tops = {member.name.partition("/")[0] for member in members}
            self.assertEqual(tops, {"papercutd", "protocols", "plugins", "twisted"})
            self.assertEqual({(m.mtime, m.uid, m.uname) for m in members}, {(0, 0, "")})


class FrozenTests(SynchronousTestCase):
    """A peer one release older understands all that it is sent, and sends all that is needed."""

    def test_nothing_came_undeclared(self) -> None:
        old, new = described(unpacked("version1")), described(NOW)
        self.messages(old["messages"], new["messages"])
        self.rows(old["rows"], new["rows"])
        for name, fields in old["values"].items():
            self.fields(name, fields, new["values"][name])

    def messages(self, old: dict[str, int], new: dict[str, int]) -> None:
        """Every message of before is there; what was added says since when."""
        self.assertEqual({name for name, since in new.items() if since == 1}, set(old))

    def rows(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Tables and columns that were added say since when: digests are of what both have."""
        self.assertEqual({name: row for name, row in new.items() if row[0] == 1}, old)

    def fields(self, name: str, old: dict[str, bool], new: dict[str, bool]) -> None:
        """None went, and none is needed that an older peer does not send."""
        self.assertLessEqual(set(old), set(new), name)
        self.assertEqual({f for f, needed in new.items() if needed and not old.get(f)}, set(), name)
