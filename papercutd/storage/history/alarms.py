"""Alarms of cut sites, for the statement: how old a replica became, how much was spent by it."""

from __future__ import annotations

from papercutd.domain.policy import alarms, resolve
from papercutd.domain.policy_words import show_time
from papercutd.storage.administration.directory import decode_prices
from papercutd.storage.administration.listed import list_item
from papercutd.storage.administration.policies import read_rules
from papercutd.storage.engine import Connection


def list_alarms(connection: Connection, number: int, wall_s: float, site: str, stream: str) -> None:
    """The site has told all of the time in which it was cut: list what its policy calls unusual.

    ``number`` is that of the change under way. As the policy is now: the statement stands
    whatever it says later.
    """
    down = connection.execute(
        "SELECT id, at, number FROM link_event WHERE identity = ? AND event = 'down'"
        " ORDER BY id DESC LIMIT 1",
        (f"site:{site}",),
    ).fetchone()
    found = connection.execute("SELECT id FROM site WHERE name = ?", (site,)).fetchone()
    if down is None or found is None:
        return
    (up_at,) = connection.execute(
        "SELECT COALESCE(MIN(at), ?) FROM link_event WHERE identity = ? AND id > ?"
        " AND event = 'up'",
        (wall_s, f"site:{site}", down[0]),
    ).fetchone()
    cut_s = max(0.0, up_at - down[1])
    (spent_e4,) = connection.execute(
        "SELECT COALESCE(SUM(amount_e4), 0) FROM charge WHERE decider = ? AND number >= ?",
        (stream, down[2]),
    ).fetchone()
    price = connection.execute("SELECT body FROM price ORDER BY version DESC LIMIT 1").fetchone()
    grey_a4_e4 = 0 if price is None else decode_prices(price[0]).grey_a4_e4
    policy = resolve(read_rules(connection), found[0], (), grey_a4_e4)
    for alarm in alarms(policy, spent_e4, cut_s):
        list_item(
            *(connection, number, wall_s, f"alarm-{alarm}", "", f"site:{site}"),
            *(f"cut for {show_time(cut_s)}", spent_e4),
        )
