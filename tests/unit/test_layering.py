"""The layers of the project: imports point down only, nothing goes in a circle."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
#: Each layer may import itself and what stands before it.
LAYERS = {
    "papercutd.errors": 0,
    "papercutd.environment": 0,
    "papercutd.interfaces": 0,
    "papercutd.points": 0,
    "papercutd": 0,
    "papercutd.domain": 1,
    "papercutd.storage": 2,
    "papercutd.identity": 2,
    "papercutd.config": 2,
    "papercutd.services": 3,
    "papercutd.provider": 4,
    "papercutd.device": 4,
    "papercutd.client": 4,
    "papercutd.faces": 4,
    "papercutd.roles": 5,
    "papercutd.commands": 6,
    "papercutd.demo": 7,
}
#: Only where processes are wired.
MAY_IMPORT_REACTOR = ("papercutd.roles", "papercutd.commands", "papercutd.demo")
#: Where threads, wall time and chance come in; everything else takes an Environment.
FORBIDDEN = {"time", "random", "uuid", "threading", "secrets"}
MAY_TOUCH_THE_WORLD = (
    "papercutd.environment",
    "papercutd.storage.sqlite.writer",
    "papercutd.commands",
    "papercutd.demo",
)


@cache
def modules() -> dict[str, Path]:
    found = {}
    for top in ("papercutd", "protocols", "plugins"):
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Modules that ``path`` imports when it is imported (not inside functions)."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        for inner in ast.walk(node) if not isinstance(node, ast.FunctionDef) else ():
            if isinstance(inner, ast.Import):
                found.update(alias.name for alias in inner.names)
            elif isinstance(inner, ast.ImportFrom) and inner.module:
                for alias in inner.names:
                    whole = f"{inner.module}.{alias.name}"
                    found.add(whole if whole in known else inner.module)
    return found


@cache
def imports_of_all() -> dict[str, set[str]]:
    """Read once, for all tests: it takes two seconds."""
    return {name: imports(name, path, modules()) for name, path in modules().items()}


def layer_of(name: str) -> int | None:
    while name:
        if name in LAYERS:
            return LAYERS[name]
        name = name.rpartition(".")[0]
    return None


class LayeringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.modules = modules()

    def test_imports_point_down(self) -> None:
        wrong = []
        for name, imported in imports_of_all().items():
            for other in imported:
                if name.startswith("protocols") and other.startswith(("papercutd", "plugins")):
                    wrong.append((name, other))
                if not name.startswith("papercutd") or not other.startswith("papercutd."):
                    continue
                mine, theirs = layer_of(name), layer_of(other)
                assert mine is not None and theirs is not None, (name, other)
                if theirs > mine:
                    wrong.append((name, other))
        self.assertEqual(wrong, [])

    def test_no_circle(self) -> None:
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            self.assertNotIn(name, path, f"circle: {' -> '.join((*path, name))}")
            if name in done:
                return
            for other in sorted(imports_of_all()[name]):
                if other in self.modules and other != name:
                    visit(other, (*path, name))
            done.add(name)

        for name in sorted(self.modules):
            visit(name, ())

    def test_the_reactor_is_passed_in(self) -> None:
        for name, path in self.modules.items():
            if not name.startswith(MAY_IMPORT_REACTOR):
                self.assertNotIn("import reactor", path.read_text(), name)

    def test_time_and_chance_are_passed_in(self) -> None:
        for name, imported in imports_of_all().items():
            if not name.startswith(MAY_TOUCH_THE_WORLD):
                self.assertEqual(imported & FORBIDDEN, set(), name)

    def test_twisted_is_not_shadowed(self) -> None:
        self.assertFalse((ROOT / "twisted" / "__init__.py").exists())
        self.assertFalse((ROOT / "twisted" / "plugins" / "__init__.py").exists())

    def test_protocols_is_ours(self) -> None:
        import papercutd
        import protocols

        self.assertEqual(
            Path(protocols.__file__).parent.parent, Path(papercutd.__file__).parent.parent
        )
