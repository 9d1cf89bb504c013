"""``twistd papercut-site``."""

from __future__ import annotations

from twisted.application.service import IService

from papercutd.config.model import SiteConfig
from papercutd.environment import keep_time
from papercutd.roles.common import RoleOptions


class Options(RoleOptions):
    """Options of ``twistd papercut-site``."""

    model = SiteConfig
    default_config = "/etc/papercutd/papercut-site.toml"


def makeService(options: Options) -> IService:
    """The role's service; nothing is opened before it starts."""
    from twisted.internet import reactor

    from papercutd.roles.site_server import build

    keep_time(reactor)
    return build(options["loaded"], reactor)
