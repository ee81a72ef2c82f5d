"""What the fleet's books say, for the rules that look at the fleet rather than at one robot."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson
import sqlalchemy as sql
from sqlalchemy.engine import Engine

from conf.schema.alerts import Alerts
from fleet.alerts.sources import FleetFacts, Running, disk_free_ratio
from fleet.events.tables import EVENT_LOG
from fleet.metrics.now import snapshot
from fleet.metrics.query import Dimension, Span, robots, tally_by
from fleet.store.books import Books
from fleet.store.rows import read


@dataclass(frozen=True)
class Presence:
    """How many robots there are, and how many of them are not heard."""

    robots: int
    offline: int


def gather(
    rows: Engine, books: Books, rules: Alerts, folder: Path, presence: Presence, now_ns: int
) -> FleetFacts:
    """StoreUnavailableError: then nothing is known, and nothing is sampled."""
    slots = booted_slots(rows)
    running = {
        one.robot_id: Running(
            one.hardware, one.version, one.config_hash, *slots.get(one.robot_id, (None, None))
        )
        for one in robots(rows)
    }
    span = Span.last(rules.window_s, now_ns)
    missing: dict[str, int] = {}
    for account in books.accounts():
        missing[account.robot_id] = missing.get(account.robot_id, 0) + account.missing
    return FleetFacts(
        now=snapshot(rows, now_ns, rules.window_s),
        by_robot=tally_by(rows, span, Dimension.ROBOT),
        missing=missing,
        running=running,
        offline=presence.offline,
        robots=presence.robots,
        disk_free_ratio=disk_free_ratio(folder),
    )


def booted_slots(rows: Engine) -> dict[str, tuple[str | None, str | None]]:
    """Robot → slot of its last boot, and the one that was expected."""
    name = EVENT_LOG.c.name == "boot.reported"
    newest = (
        sql.select(EVENT_LOG.c.robot, sql.func.max(EVENT_LOG.c.at_ns).label("at_ns"))
        .where(name)
        .group_by(EVENT_LOG.c.robot)
        .subquery()
    )
    same = sql.and_(EVENT_LOG.c.robot == newest.c.robot, EVENT_LOG.c.at_ns == newest.c.at_ns)
    query = sql.select(EVENT_LOG.c.robot, EVENT_LOG.c.fields).join(newest, same).where(name)
    return {row.robot: slots_of(row.fields) for row in read(rows, query)}


def slots_of(fields: str) -> tuple[str | None, str | None]:
    """`unstated` is how a boot says that it does not know."""
    try:
        raw = orjson.loads(fields)
        words = (raw.get("slot"), raw.get("slot_expected"))
    except (ValueError, AttributeError):
        return None, None
    slot, expected = (
        word if isinstance(word, str) and word not in ("", "unstated") else None for word in words
    )
    return slot, expected


def presence_of(offline: Iterable[bool]) -> Presence:
    found = list(offline)
    return Presence(len(found), sum(found))
