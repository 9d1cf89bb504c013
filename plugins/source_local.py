"""The users of the server's own database: nobody comes from anywhere else."""

from __future__ import annotations

from zope.interface import implementer

from papercutd.interfaces import IUserSource, SourceUsers


@implementer(IUserSource)
class LocalSource:
    """Users are made by administrators; there is nothing to read."""

    description = "users made by administrators"

    def read(self) -> SourceUsers:
        return SourceUsers(())
