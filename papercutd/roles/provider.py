"""``twistd papercut-provider``."""

from __future__ import annotations

from twisted.application.service import IService

from papercutd.config.model import ProviderConfig
from papercutd.environment import keep_time
from papercutd.roles.common import RoleOptions


class Options(RoleOptions):
    """Options of ``twistd papercut-provider``."""

    model = ProviderConfig
    default_config = "/etc/papercutd/papercut-provider.toml"


def makeService(options: Options) -> IService:
    """The role's service; nothing is opened before it starts."""
    from twisted.internet import reactor

    from papercutd.roles.print_provider import build

    keep_time(reactor)
    return build(options["loaded"], reactor)
