"""The administrator's own certificate on the HTTPS port, followed as its files change."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from papercutd.environment import Environment
from papercutd.errors import ConfigError
from papercutd.identity.authority import SigningKey
from papercutd.identity.tls import is_in_its_dates, new_context

_log = Logger()
#: Seconds between two looks at the files: an ACME client's renewal needs no restart.
LOOK_INTERVAL_S = 2.0
#: Days left at which status speaks of an alarm; ACME clients renew from 30 days left.
ALARM_DAYS = 14.0
#: What TLS 1.3 signs with, and browsers accept.
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
#: What tells a file from the one that replaced it.
_Stamp = tuple[int, int, int]


@attrs.frozen
class WebPair:
    """A certificate with its chain, and the context that shows them."""

    chain: tuple[x509.Certificate, ...]
    context: SSL.Context

    @classmethod
    def load(cls, certificate: Path, key: Path) -> WebPair:
        """From PEM files; raises ConfigError naming the key of the configuration and the file."""
        chain = _load_chain(certificate)
        private = _load_key(key)
        if private.public_key() != chain[0].public_key():
            raise _problem("certificate", certificate, _mismatch(private, chain, key))
        context = new_context()
        try:
            context.use_certificate(chain[0])
            for above in chain[1:]:
                context.add_extra_chain_cert(above)
            context.use_privatekey(private)
            context.check_privatekey()
        except SSL.Error:
            raise _problem(
                "certificate",
                certificate,
                "is too weak for TLS: RSA needs 2048 bits, signatures SHA-256",
            ) from None
        return cls(tuple(chain), context)

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    def warnings(self) -> list[str]:
        """What browsers will not like, in words; nothing of dates."""
        found = []
        for below, above in zip(self.chain, self.chain[1:], strict=False):
            try:
                below.verify_directly_issued_by(above)
            except Exception:
                # ValueError, TypeError or InvalidSignature, by what does not match.
                found.append("its chain is not in order: each certificate needs its issuer next")
                break
        if not _names(self.certificate):
            found.append("it has no DNS name or address: browsers refuse it")
        return found


def _both(certificate: str, key: str) -> tuple[Path, Path]:
    if certificate and key:
        return Path(certificate), Path(key)
    missing = "key" if certificate else "certificate"
    raise ConfigError([f"web.{missing}: certificate and key go together"])


def _problem(key: str, path: Path, words: str) -> ConfigError:
    return ConfigError([f"web.{key}: {path} {words}"])


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _problem(key, path, f"cannot be read: {error.strerror}") from None


def _load_chain(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read("certificate", path))
    except ValueError:
        raise _problem("certificate", path, "holds no certificate in PEM") from None


def _load_key(path: Path) -> SigningKey:
    data = _read("key", path)
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        raise _problem("key", path, "has a passphrase: give a copy without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _problem("key", path, "holds no private key in PEM") from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPrivateKey):
        return key
    raise _problem("key", path, "is neither an RSA key nor one of P-256, P-384 or P-521")


def _mismatch(private: SigningKey, chain: list[x509.Certificate], key: Path) -> str:
    if any(private.public_key() == above.public_key() for above in chain[1:]):
        return "does not begin with the server's own certificate: it first, then its chain"
    return f"is not the certificate of the key {key}"


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = [str(address) for address in extension.value.get_values_for_type(x509.IPAddress)]
    return [*extension.value.get_values_for_type(x509.DNSName), *addresses]


class WebCertificate:
    """What the HTTPS port shows to browsers, where the administrator gives it.

    Files that change are loaded at the next look. A pair that cannot be used (half of
    it replaced, most often) changes nothing: the one in force stays, the log and
    ``status`` say why, and the next look tries again.
    """

    def __init__(self, env: Environment, certificate: str, key: str) -> None:
        """Raises ConfigError unless both files can be used now."""
        self._env = env
        self._certificate, self._key = _both(certificate, key)
        self._timer: IDelayedCall | None = None
        self._is_dated = True
        #: Why the files as they are now cannot be used; empty: they can.
        self.problem = ""
        self._stamps = self._look_at_files()
        self._pair = WebPair.load(self._certificate, self._key)
        self._tell()

    @property
    def context(self) -> SSL.Context:
        """For the next connection."""
        return self._pair.context

    @property
    def certificate(self) -> x509.Certificate:
        """What browsers are shown now."""
        return self._pair.certificate

    def start(self) -> None:
        """Look at the files from now on."""
        self._timer = self._env.clock.callLater(LOOK_INTERVAL_S, self._look_again)

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def look(self) -> None:
        """Load the files if they changed, or could not be used when they last did."""
        stamps = self._look_at_files()
        if stamps != self._stamps or self.problem:
            self._stamps = stamps
            self._reload()
        self._tell_of_dates()

    def status(self) -> dict[str, Any]:
        """What an administrator wants to see of it."""
        ends = self.certificate.not_valid_after_utc.timestamp()
        days = (ends - self._env.wall_s()) / 86_400
        return {
            "names": _names(self.certificate),
            "days_left": round(days, 1),
            "alarm": days < ALARM_DAYS or bool(self.problem),
            "problem": self.problem,
        }

    def _look_again(self) -> None:
        self.start()
        self.look()

    def _reload(self) -> None:
        try:
            self._pair = WebPair.load(self._certificate, self._key)
        except ConfigError as error:
            if str(error) != self.problem:
                _log.error("the certificate of HTTPS stays as it is: {why}", why=str(error))
            self.problem = str(error)
        else:
            self.problem = ""
            _log.info("HTTPS shows another certificate: its files changed")
            self._tell()

    def _tell(self) -> None:
        for warning in self._pair.warnings():
            _log.warn(
                "web.certificate: {path}: {warning}", path=str(self._certificate), warning=warning
            )
        try:
            is_open = stat.S_IMODE(self._key.stat().st_mode) & 0o007
        except OSError:
            # Gone again: the next look says so.
            is_open = 0
        if is_open:
            _log.warn("web.key: everybody may read {path}", path=str(self._key))
        self._is_dated = True
        self._tell_of_dates()

    def _tell_of_dates(self) -> None:
        """Once, when it is found to be outside its dates: browsers refuse it, we do not."""
        was_dated = self._is_dated
        self._is_dated = is_in_its_dates(self.certificate, self._env.wall_s())
        if was_dated and not self._is_dated:
            _log.warn(
                "web.certificate: {path} is outside its dates ({first} to {last}):"
                " browsers refuse it",
                path=str(self._certificate),
                first=self.certificate.not_valid_before_utc.date().isoformat(),
                last=self.certificate.not_valid_after_utc.date().isoformat(),
            )

    def _look_at_files(self) -> list[_Stamp | None]:
        return [_stamp(path) for path in (self._certificate, self._key)]


def _stamp(path: Path) -> _Stamp | None:
    """None for a file that is not there; links (as of ACME clients) are followed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def check_web(certificate: str, key: str) -> None:
    """Raises ConfigError for what ``WebCertificate`` would refuse; nothing given is fine."""
    if certificate or key:
        WebPair.load(*_both(certificate, key))
