"""Where every sequence number ended: stored by the fleet, thinned on purpose, or missing."""

from __future__ import annotations

from runtime.telemetry.ranges import SeqSet
from sim.drills.drill import Report, Robot

DRAIN_TIMEOUT_S = 900.0
NEARLY_EMPTY = 200  # the robot goes on writing while its spool drains


def held(it: Robot) -> int:
    return sum(it.telemetry.journal.active.depth().records.values())


def drain(it: Robot, report: Report) -> None:
    """Runs until the spool holds no more than what a working robot always has on its way."""
    before = held(it)
    took_s = it.run_until(lambda: held(it) <= NEARLY_EMPTY, DRAIN_TIMEOUT_S)
    report.figures["drained_in_s"] = "not" if took_s is None else round(took_s, 2)
    report.figures["drained_records"] = before - held(it)
    report.expect("the spool drains after reconnection", took_s is not None, f"{held(it)} left")


def account_for_everything(it: Robot, report: Report) -> None:
    """Every number the robot gave out is stored by the fleet, still held, or thinned and named."""
    spool = it.telemetry.journal.active
    depth = spool.depth()
    stored = it.fleet.stored.get(spool.epoch, SeqSet())
    waiting = SeqSet(spool.pending(1_000_000))
    thinned = sum(count for name, count in depth.counters.items() if "thinned" in name)
    numbers = range(1, depth.committed + 1)
    missing = [seq for seq in numbers if seq not in stored and seq not in waiting]
    report.figures |= {
        "numbers_given": depth.committed,
        "stored": len(stored),
        "still_held": len(waiting),
        "thinned": thinned,
        "missing": max(0, len(missing) - thinned),
        "sent_again": len(it.fleet.replayed),
    }
    report.expect("records were given numbers", depth.committed > 0, depth.committed)
    report.expect(
        "every sequence number is accounted for",
        len(missing) <= thinned,
        f"{len(missing)} not stored, {thinned} of them thinned",
    )
