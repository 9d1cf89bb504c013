"""Gives back what a TLS handshake leaves in memory: a site holds thousands of idle sessions.

Between OpenSSL and the network lie two buffers, which grow to the most that was ever in them
and never shrink: 3.3 kB after a handshake. Neither OpenSSL nor pyOpenSSL offers to empty them
for good, so new ones are put in their place.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib


def release_buffers(connection: SSL.Connection) -> bool:
    """Whether ``connection`` has new, empty buffers now; nothing is lost of what was in them.

    False where something waits in them, or where this pyOpenSSL keeps them in another way.
    """
    held: Any = connection
    try:
        old = (held._into_ssl, held._from_ssl)
        if any(lib.BIO_get_mem_data(buffer, ffi.new("char **")) for buffer in old):
            return False
    except (AttributeError, TypeError):
        return False
    new = [lib.BIO_new(lib.BIO_s_mem()) for _ in old]
    # A pointer of another type is one that somebody else frees too.
    if ffi.NULL in new or any(type(one) is not type(new[0]) for one in old):
        for one in new:
            lib.BIO_free(one)
        return False
    # It frees the old ones, and at its end these.
    lib.SSL_set_bio(held._ssl, *new)
    held._into_ssl, held._from_ssl = new
    return True
