"""Who a certificate speaks for: one role and one name, in its one DNS name.

``NAME.ROLE.papercut.internal``: the application server is
``application.application.papercut.internal``, a site ``north.site.papercut.internal``.
"""

from __future__ import annotations

import re

import attrs
from cryptography import x509
from service_identity import CertificateError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNSPattern

from papercutd.errors import InvalidValue, Rejected

DOMAIN = "papercut.internal"
ROLES = ("application", "site", "provider", "device")
#: The one name that the role ``application`` has.
APPLICATION = "application"
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
    if role == APPLICATION and name != APPLICATION:
        raise InvalidValue("name", f"of the application server is {APPLICATION!r}")
    return f"{check_name(name)}.{role}.{DOMAIN}"


def peer_of(certificate: x509.Certificate) -> CertificatePeer:
    """The identity of ``certificate``; raises Rejected ``identity`` for anything odd.

    Odd is: no name, several, a wildcard, a name of another kind, another domain, an
    unknown role, capital letters. Nobody's certificate of this installation has those.
    """
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        patterns = extract_patterns(certificate)
    except (x509.ExtensionNotFound, CertificateError, ValueError):
        raise Rejected("identity") from None
    names = list(extension.value)
    # extract_patterns leaves out kinds it does not know (mail addresses): count them all.
    if len(names) != 1 or len(patterns) != 1 or not isinstance(patterns[0], DNSPattern):
        raise Rejected("identity")
    whole = patterns[0].pattern.decode("ascii", "replace")
    name, _, rest = whole.partition(".")
    role, _, domain = rest.partition(".")
    try:
        is_ours = domain == DOMAIN and dns_name(role, name) == names[0].value
    except InvalidValue:
        is_ours = False
    if not is_ours:
        raise Rejected("identity")
    return CertificatePeer(role, name, f"{certificate.serial_number:x}")
