"""A TOML file into a model: every problem at once, each with the path of its key."""

from __future__ import annotations

import tomllib
from typing import Any, TypeVar, get_type_hints

import attrs

from papercutd.errors import ConfigError

T = TypeVar("T")
_KINDS: dict[Any, str] = {
    tuple[str, ...]: "a list of texts in quotes",
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def load_config(path: str, model: type[T]) -> T:
    """Raises ConfigError with all problems of the file."""
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from error
    problems: list[str] = []
    config = _build(found, model, "", problems)
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    return config


def _build(found: dict[str, Any], model: type[T], path: str, problems: list[str]) -> T:
    fields = {field.name: field for field in attrs.fields(model)}  # type: ignore[arg-type]
    kinds = get_type_hints(model)
    values: dict[str, Any] = {}
    for name, value in found.items():
        where = f"{path}{name}"
        field = fields.get(name)
        if field is None:
            problems.append(f"{where}: there is no such key")
        elif attrs.has(kinds[name]):
            if isinstance(value, dict):
                values[name] = _build(value, kinds[name], f"{where}.", problems)
            else:
                problems.append(f"{where}: is a section, write [{where}]")
        else:
            problem = _problem(value, kinds[name], field.metadata)
            if problem:
                problems.append(f"{where}: {problem}")
            else:
                values[name] = tuple(value) if isinstance(value, list) else kinds[name](value)
    return model(**values)


def _problem(value: Any, kind: Any, metadata: Any) -> str:
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            return f"is {value!r} and should be {_KINDS[kind]}"
        return ""
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
        return f"is {value!r} and should be {_KINDS[kind]}"
    least, among = metadata["least"], metadata["among"]
    if least is not None and value < least:
        return f"is {value} and should be at least {least}"
    if among and value not in among:
        return f"is {value!r} and should be one of {', '.join(repr(one) for one in among)}"
    return ""
