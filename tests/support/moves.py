"""Roles that do not run, with databases to move: in a data directory, as the command finds them."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from papercutd.commands.move_progress import Progress
from papercutd.commands.store_move import migrate_store, plan_of
from papercutd.config.model import AppConfig, SiteConfig
from tests.support.postgres import shared_cluster
from tests.support.stores import Branch, Centre, Turner, completion, job_id, request

_names = itertools.count()
#: Texts that a copy may stumble over.
ODD = ["tab\there", "two\nlines", "back\\slash", "\\N", "", "quote'\"%s", "Zoë 頁 \U0001f5a8", "\r"]
Image = tuple[bytes, ...]


@cache
def application_image() -> bytes:
    """A database with people, jobs in every state, and rows of unusual kinds."""
    turner, path = Turner(), Path(f"image-{next(_names)}.db").absolute()
    _fill(Centre(turner), turner)[0].query("VACUUM INTO ?", str(path))
    return _taken(path)


@cache
def site_image() -> Image:
    """A site's journal and replica, with jobs that were decided there."""
    turner = Turner()
    centre, _ = _fill(Centre(turner), turner)
    branch = Branch(turner, stream=job_id(0xABC))
    branch.load_snapshot(centre)
    centre.user("late")
    branch.follow(centre)
    branch.query("DELETE FROM replica.gone")
    branch.query("INSERT INTO replica.gone VALUES ('user', 5, 2), ('card', '77', 3)")
    asker = branch.provider()
    for number in range(20, 24):
        asked = request(number, 2)
        decision = turner.result(branch.store.decide(asker, asked))
        if number < 22:
            turner.result(branch.store.complete(asker, completion(asked, decision)))
    paths = [Path(f"image-{next(_names)}.db").absolute() for _ in range(2)]
    for schema, path in zip(("main", "replica"), paths, strict=True):
        branch.query(f"VACUUM {schema} INTO ?", str(path))
    return tuple(map(_taken, paths))


def _taken(path: Path) -> bytes:
    # As a server leaves it.
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    data = path.read_bytes()
    path.unlink()
    return data


def _fill(centre: Centre, turner: Turner) -> tuple[Centre, int]:
    store = centre.store
    for number, odd in enumerate(ODD):
        centre.user(f"person{number}", full_name=odd)
    user = centre.user()
    turner.result(store.ensure_secret("card-key", "ab" * 32))
    turner.result(store.link_card(user, "12345678", ""))
    asker = centre.provider()
    for number in range(1, 7):
        asked = request(number, number)
        decision = turner.result(store.authorize(asker, asked))
        if number < 4:
            turner.result(store.complete(asker, completion(asked, decision)))
        elif number == 4:
            turner.result(store.cancel(asker, asked.key, "superseded"))
    for id, table, key in (("a", "user", 7), ("b", "card", "0077"), ("c", "adjusted", "3.4")):
        centre.query(
            "INSERT INTO lost_edit VALUES (?, ?, ?, '', 'null', '', 1, 2.5, 0)", id, table, key
        )
    assert turner.result(store.verify()) == []
    return centre, user


class Role:
    """A data directory that looks like a role's, and its configuration."""

    def __init__(self, directory: str, store: str = "") -> None:
        self.data = Path(directory)
        (self.data / "identity").mkdir(parents=True)
        (self.data / "identity" / "key.pem").write_text("")
        self.store = store

    def config(self) -> Any:
        return AppConfig(data_dir=str(self.data), store=self.store)

    def move(self, *words: str, rehearse: bool = False) -> dict[str, Any]:
        config = self.config()
        progress = Progress(1)
        return migrate_store(config, plan_of(config, list(words), None), rehearse, progress)


class Application(Role):
    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.path = self.data / "application.db"
        self.path.write_bytes(application_image())


class Site(Role):
    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.path, self.replica = self.data / "journal.db", self.data / "replica-1.db"
        journal, replica = site_image()
        self.path.write_bytes(journal)
        self.replica.write_bytes(replica)

    def config(self) -> Any:
        return SiteConfig(data_dir=str(self.data), store=self.store)


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a file, table by table; its indexes and rules too."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        found = {
            name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"').fetchall()))
            for (name,) in tables.fetchall()
        }
        schema = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    return {**found, "": sorted(map(repr, schema))}  # type: ignore[dict-item]


def empty_database() -> str:
    return shared_cluster().create_database(f"moved{next(_names)}")
