"""docs/protocols/client.md against what a server does."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from papercutd.faces import client as face
from papercutd.identity import client_tokens
from papercutd.services import client_log_ins, clients, inboxes

PAGE = Path(__file__).parents[4] / "docs" / "protocols" / "client.md"
MODULES = (face, client_tokens, client_log_ins, clients, inboxes)


class PageTests(SynchronousTestCase):
    def test_bounds(self) -> None:
        text = PAGE.read_text().split("\n## Bounds\n", 1)[1].split("\n## ", 1)[0]
        documented = re.findall(r"^\| `([A-Z_]+)` \| ([0-9.]+) \|", text, re.MULTILINE)
        self.assertEqual(len(documented), 11)
        for name, value in documented:
            found = {str(vars(module)[name]) for module in MODULES if name in vars(module)}
            self.assertEqual(found, {value}, name)
