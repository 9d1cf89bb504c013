"""The files of etc/ from the models: ``python -m papercutd.config.render DIRECTORY``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import attrs

from papercutd.config.model import MODELS


def render(model: type[Any]) -> str:
    """Every key of ``model``, commented out, at its default."""
    head = f"# {(model.__doc__ or '').strip().splitlines()[0]} Every key is shown at its default."
    return "\n".join([head, "", *_section(model, "")]) + "\n"


def _section(model: type[Any], path: str) -> list[str]:
    lines: list[str] = []
    sections: list[str] = []
    for field in attrs.fields(model):
        if "doc" in field.metadata:
            lines += [f"# {field.metadata['doc']}", f"#{field.name} = {json.dumps(field.default)}"]
        else:
            inner = field.default.factory
            name = f"{path}{field.name}"
            doc = (inner.__doc__ or "").strip().splitlines()[0]
            sections += ["", f"# {doc}", f"[{name}]", *_section(inner, f"{name}.")]
    return lines + sections


if __name__ == "__main__":
    for role, role_model in MODELS.items():
        Path(sys.argv[1], f"papercut-{role}.toml").write_text(render(role_model))
