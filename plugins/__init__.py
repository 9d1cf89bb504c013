"""Replaceable parts, loaded by their configured name.

The registry is explicit: a name, and where its factory is. Nothing is found by scanning.
"""

from __future__ import annotations

from typing import Any

from twisted.python.reflect import namedAny
from zope.interface import Interface
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from papercutd.errors import ConfigError

#: Configured name -> factory, which takes the plugin's settings as keywords.
USER_SOURCES: dict[str, str] = {
    "local": "plugins.source_local.LocalSource",
    "csv": "plugins.source_csv.CsvSource",
}


def load(registry: dict[str, str], name: str, interface: type[Interface], **settings: Any) -> Any:
    """The plugin called ``name``, made with ``settings`` and checked against ``interface``.

    Raises ConfigError for a name that is not registered, settings it does not take, or
    an object that is not what it should be.
    """
    if name not in registry:
        raise ConfigError([f"{name}: is one of {', '.join(sorted(registry))}"])
    try:
        made = namedAny(registry[name])(**settings)
        verifyObject(interface, made)
    except TypeError as error:
        raise ConfigError([f"{name}: {error}"]) from error
    except Invalid as error:
        raise ConfigError([f"{name}: is not a {interface.__name__}: {error}"]) from error
    return made
