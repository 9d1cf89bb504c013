"""Operations on the application server's database while no server runs on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from papercutd.config.model import AppConfig
from papercutd.environment import real_environment
from papercutd.errors import NotFound
from papercutd.faces.control import WHO_MAX, name_of_user
from papercutd.identity.authority import Authority, pin_of
from papercutd.identity.joining import JoinService
from papercutd.identity.signing import Signer
from papercutd.identity.tls import Credentials
from papercutd.identity.web_certificate import WebCertificate
from papercutd.roles.common import DataDirectory
from papercutd.roles.stores import open_application_database
from papercutd.services.administration import StoreOperations
from papercutd.services.auditing import Caller, audited
from papercutd.services.import_operations import ImportOperations
from papercutd.services.operation import take
from papercutd.services.statements import Statements
from papercutd.storage.application_store import ApplicationStore
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.sqlite.writer import InlineReader, InlineWriter, result_of


def run_offline(
    config: AppConfig,
    name: str,
    arguments: dict[str, Any],
    progress: Callable[[dict[str, Any]], None],
    who: str | None = None,
) -> Any:
    """The result of operation ``name``; raises NotFound for one that needs a running server."""
    data = DataDirectory(config.data_dir)
    data.acquire()
    clock = Clock()
    env = real_environment(clock)
    connection = None
    try:
        connection = open_application_database(config.store, data.path)
        log = ChangeLog(env.wall_s)
        writer = InlineWriter(connection, clock, log)
        store = ApplicationStore(writer, InlineReader(writer), log, env.wall_s)
        credentials = Credentials.load(data.path / "identity")
        web = config.web
        certificate = (
            WebCertificate(env, web.certificate, web.key).certificate
            if web.certificate or web.key
            else credentials.certificate
        )
        authority = Authority.load(data.path / "ca")
        signer = Signer(env, authority, data.path / "signing")
        statements = Statements(env, store, signer, data.path / "heads")
        imports = ImportOperations(store, env, None)
        operations: dict[str, Any] = dict(StoreOperations(store, statements, imports).all())
        joining = JoinService(authority, store, env, lambda: pin_of(certificate))

        async def token(given: dict[str, Any], progress: Any) -> Any:
            found = take(given, "role", "name")
            return {"token": await joining.make_token(found["role"], found["name"])}

        operations["token"] = token
        user = name_of_user(os.getuid())
        caller = Caller((who or user)[:WHO_MAX], f"server not running, {user}")
        told: dict[str, Any] = dict(audited(operations, store, env, caller))
        if name not in told:
            raise NotFound("running server for", name)
        return result_of(clock, Deferred.fromCoroutine(told[name](arguments, progress)))
    finally:
        if connection is not None:
            connection.close()
        data.release()
