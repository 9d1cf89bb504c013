"""Who a certificate speaks for: one role and one name, in its one DNS name.

``NAME.ROLE.papercut.internal``: the application server is
``application.application.papercut.internal``, a site ``north.site.papercut.internal``.
"""

from __future__ import annotations

import re

import attrs
from cryptography import x509

from papercutd.errors import InvalidValue, Rejected

DOMAIN = "papercut.internal"
ROLES = ("application", "site", "provider")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@attrs.frozen
class CertificatePeer:
    """The other end of a link, as its certificate proves it."""

    role: str
    name: str
    #: Hexadecimal.
    serial: str


def check_name(name: str) -> str:
    """``name`` itself; raises InvalidValue unless it can stand in a certificate."""
    if not _NAME.fullmatch(name):
        raise InvalidValue(
            "name", "use 1 to 63 lower-case letters, digits and hyphens, no hyphen at an end"
        )
    return name


def dns_name(role: str, name: str) -> str:
    """The DNS name of an identity; raises InvalidValue for a role or name that cannot be one."""
    if role not in ROLES:
        raise InvalidValue("role", f"is one of {', '.join(ROLES)}")
    return f"{check_name(name)}.{role}.{DOMAIN}"


def peer_of(certificate: x509.Certificate) -> CertificatePeer:
    """The identity of ``certificate``; raises Rejected ``identity`` for anything odd."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        raise Rejected("identity") from None
    names = list(extension.value)
    if len(names) != 1 or not isinstance(names[0], x509.DNSName):
        raise Rejected("identity")
    name, _, rest = names[0].value.partition(".")
    role, _, domain = rest.partition(".")
    if domain != DOMAIN or role not in ROLES or not _NAME.fullmatch(name):
        raise Rejected("identity")
    return CertificatePeer(role, name, f"{certificate.serial_number:x}")
