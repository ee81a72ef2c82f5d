"""Loss, as one line for each robot: of all numbers it ever gave out, what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.store.books import Account


@dataclass(frozen=True)
class Loss:
    """sent = stored + refused + thinned + pending + missing; `missing` must be 0."""

    robot_id: str
    sent: int
    stored: int
    refused: int
    thinned: int
    pending: int
    missing: int
    dropped: int  # lost on the robot before they had a number: its own counters
    heard_ns: int  # the fleet's clock, at the newest word about it


_DROPPED = ("dropped_by_clients", "dropped_metric", "refused_datagrams")


def losses(accounts: Sequence[Account]) -> list[Loss]:
    """Over all spools of a robot; by name."""
    by_robot: dict[str, list[Account]] = {}
    for account in accounts:
        by_robot.setdefault(account.robot_id, []).append(account)
    return [_loss(robot_id, mine) for robot_id, mine in sorted(by_robot.items())]


def total(found: Sequence[Loss]) -> Loss:
    """Of the fleet."""
    names = ("sent", "stored", "refused", "thinned", "pending", "missing", "dropped")
    sums = {name: sum(getattr(item, name) for item in found) for name in names}
    return Loss("", **sums, heard_ns=max((item.heard_ns for item in found), default=0))


def _loss(robot_id: str, mine: Sequence[Account]) -> Loss:
    newest = max(mine, key=lambda account: account.at_ns)
    return Loss(
        robot_id=robot_id,
        sent=sum(account.head for account in mine),
        stored=sum(account.stored for account in mine),
        refused=sum(account.refused for account in mine),
        thinned=sum(account.thinned for account in mine),
        pending=sum(account.pending for account in mine),
        missing=sum(account.missing for account in mine),
        dropped=sum(newest.counters.get(name, 0) for name in _DROPPED),
        heard_ns=newest.at_ns,
    )
