"""Configuration: every problem at once, by its path; etc/ is the models."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from papercutd.config.load import load_config
from papercutd.config.model import MODELS, AppConfig, SiteConfig
from papercutd.config.render import render
from papercutd.errors import ConfigError

ROOT = Path(__file__).resolve().parents[4]


class LoadTests(SynchronousTestCase):
    def load(self, text: str, model: type = AppConfig) -> object:
        path = self.mktemp()
        Path(path).write_text(text)
        return load_config(path, model)

    def problems(self, text: str, model: type = AppConfig) -> list[str]:
        with self.assertRaises(ConfigError) as caught:
            self.load(text, model)
        return [problem.split(": ", 1)[1] for problem in caught.exception.problems]

    def test_empty_is_all_defaults(self) -> None:
        self.assertEqual(self.load(""), AppConfig())

    def test_values(self) -> None:
        config = self.load('forward_budget_s = 1\n[application]\nhost = "a"\n', SiteConfig)
        self.assertEqual((config.forward_budget_s, config.application.host), (1.0, "a"))

    def test_all_problems_at_once(self) -> None:
        text = (
            'x = 1\ndata_dir = 5\n[listen]\nhttp = "a"\nhttps = -1\ny = 2\n[debug]\nsabotage = "z"'
        )
        found = self.problems(text)
        for path in ("x:", "data_dir:", "listen.http:", "listen.https:", "listen.y:", "debug.sab"):
            self.assertTrue(any(one.startswith(path) for one in found), (path, found))
        self.assertEqual(len(found), 6)

    def test_section_as_value_and_true_as_number(self) -> None:
        self.assertEqual(len(self.problems("listen = 1\nbatch_max = true")), 2)

    def test_lists(self) -> None:
        config = self.load('[plain]\naddresses = ["192.0.2.7", "::1"]')
        assert isinstance(config, AppConfig)
        self.assertEqual(config.plain.addresses, ("192.0.2.7", "::1"))
        for odd in ('"192.0.2.7"', "[1]", "{}"):
            (problem,) = self.problems(f"[plain]\naddresses = {odd}")
            self.assertIn("should be a list of texts", problem)

    def test_not_toml_and_not_there(self) -> None:
        self.assertIn("is not TOML", self.problems("= 1")[0])
        with self.assertRaises(ConfigError):
            load_config(os.devnull + "/none", AppConfig)

    def test_etc_is_the_models(self) -> None:
        for role, model in MODELS.items():
            path = ROOT / "etc" / f"papercut-{role}.toml"
            self.assertEqual(path.read_text(), render(model))
            self.assertEqual(load_config(str(path), model), model())
