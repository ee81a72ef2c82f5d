"""The tables of docs/scale.md, written by the run that measured them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fleet.bench.told import AS_A_ROBOT

FIRST, LAST = "<!-- figures: written by make bench-fleet -->", "<!-- end of the figures -->"
BUSY_LOAD = 1.5
KEPT_UP_MS = 10_000
NEXT = 10_000  # robots: the next order of magnitude


class PageError(RuntimeError):
    """The page has no place for them."""


def write_page(path: Path, figures: Mapping[str, Any]) -> None:
    text = path.read_text()
    before, found, rest = text.partition(FIRST)
    old, end, after = rest.partition(LAST)
    if not found or not end:
        raise PageError(f"{path}: {FIRST} and {LAST} must stand where the tables go")
    merged = {**_by_title(old), **_by_title(tables(figures))}
    path.write_text(f"{before}{FIRST}\n\n{''.join(merged.values())}{LAST}{after}")


def _by_title(text: str) -> dict[str, str]:
    """Tables, each with its title: what a run did not measure stays as it was."""
    parts = [f"### {part.strip()}\n\n" for part in text.split("### ")[1:]]
    return {part.splitlines()[0]: part for part in parts}


def tables(figures: Mapping[str, Any]) -> str:
    parts = [
        _paint(figures.get("paint")),
        _alone(figures.get("alone", [])),
        _peer(figures.get("peer", [])),
        _disk(figures.get("disk", [])),
        _live(figures.get("live", [])),
        _storm(figures.get("storm")),
        _next(figures.get("live", [])),
    ]
    return "\n".join(part for part in parts if part)


def _paint(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    head = (
        "robots", "first paint p50 / p95 / max ms", "an empty page's", "server's answer ms",
        "update ms", "fleetd, cores", "HTML KiB", "load average",
    )  # fmt: skip
    line = (
        found["robots"], _spread(found["paint_ms"]["page"]["paint"]),
        _spread(found["paint_ms"]["empty"]["paint"]), _spread(found["server"]["ms"]),
        _spread(found["update_ms"]), found["fleetd_cpu_ratio"],
        found["server"]["html_bytes"] / 1024, _load(found["load_average"]),
    )  # fmt: skip
    return _table("The fleet's page in Chromium (asked: paint 500, update 1,000 ms)", head, [line])


def _alone(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("samples a second", "points a message", "points per CPU-second", "messages per CPU-s")
    return _table(
        "Ingest in one process, embedded store, no network",
        head,
        (
            (r["samples"], r["points"] / r["messages"], r["points_per_core_s"],
             r["messages_per_core_s"])
            for r in rows
        ),
    )  # fmt: skip


def _peer(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of each kind the run whose ratio is in the middle, and how far the others lie apart."""
    head = (
        "samples", "points a message", "who", "points per CPU-second", "ratio (of runs)", "wall s",
        "lost", "acknowledged to robots", "consumer, influxd, broker, generator CPU s", "MiB",
        "load average",
    )  # fmt: skip
    lines: list[Sequence[Any]] = []
    for samples in dict.fromkeys(row["samples"] for row in rows):
        runs = sorted(
            (row for row in rows if row["samples"] == samples), key=lambda row: row["ratio"] or 0.0
        )
        row = runs[len(runs) // 2]
        for side, ratio in ((row["ours"], _ratios(runs)), (row["peer"], "")):
            if side is None:
                missing = f"no peer: {row['peer_missing']}"
                lines.append((_samples(samples), "", missing, *[""] * 8))
                continue
            costs = ("consumer_cpu_s", "influxd_cpu_s", "broker_cpu_s", "generator_cpu_s")
            shown = ", ".join(_word(side[name]) for name in costs)
            lines.append(
                (_samples(samples), side["points"] / side["messages"], side["name"],
                 side["points_per_core_s"], ratio, side["wall_s"], side["lost"],
                 side["acknowledged_to_the_robot"], shown, side["memory_mib"],
                 _load(side["load_average"]))
            )  # fmt: skip
    return _table("Ingest and Telegraf, the same points into the same InfluxDB", head, lines)


def _ratios(runs: Sequence[Mapping[str, Any]]) -> str:
    found = [row["ratio"] for row in runs if row["ratio"] is not None]
    if not found:
        return ""
    middle, spread = found[len(found) // 2], f"{found[0]:.2f} to {found[-1]:.2f}"
    return f"{middle:.2f}" if len(found) == 1 else f"{middle:.2f} ({spread} of {len(found)})"


def _samples(samples: int) -> str:
    return "as a robot sends" if samples == AS_A_ROBOT else str(samples)


def _disk(rows: Sequence[Mapping[str, Any]]) -> str:
    head = (
        "series in", "robots", "samples", "stretch s", "points", "series, MiB per robot-day",
        "rows, MiB per robot-day", "bytes a point",
    )  # fmt: skip
    lines = [
        (
            row["store"], row["robots"], _samples(row["samples"]), row["half_s"], row["points"],
            row["series_mib_robot_day"], row["rows_mib_robot_day"], row["bytes_a_point"],
        )
        for row in rows
    ]  # fmt: skip
    return _table("Disk of the stores", head, lines)


def _live(rows: Sequence[Mapping[str, Any]]) -> str:
    head = (
        "series in", "robots", "samples", "sent", "stored", "missing",
        "sent to stored p50 / p99 ms", "made to stored p50 / p99 ms", "robot to page p50 / p99 ms",
        "cores: ingest, broker, page, load", "ingest MiB", "disk MiB per robot-day", "load average",
    )  # fmt: skip
    lines = [
        (
            row["store"], row["robots"], row["samples"], row["sent"], row["stored"],
            row["missing"], _delay(row["sent_to_stored"]), _delay(row["made_to_stored"]),
            _delay(row["to_page"]),
            ", ".join(
                _word(row["cpu_ratio"][name]) for name in ("ingest1", "broker", "page", "load")
            ),
            row["memory_mib"]["ingest1"], row["disk_mib_robot_day"], _load(row["load_average"]),
        )
        for row in rows
    ]  # fmt: skip
    return _table("Robots at work, the page open", head, lines)


def _storm(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    head = (
        "robots back", "each away s", "points", "drained in s", "points/s", "missing",
        "live made to stored before, p50 / p99 ms", "meanwhile", "page meanwhile", "load average",
    )  # fmt: skip
    drained = row["drain_s"] if row["drained"] else f"not within {_word(row['drain_s'])}"
    line = (
        row["robots"], row["history_s"], row["backlog"], drained, row["points_per_s"],
        row["missing"], _delay(row["live_before"]), _delay(row["live_meanwhile"]),
        _delay(row["page_meanwhile"]), _load(row["load_average"]),
    )  # fmt: skip
    return _table("Robots that come back together", head, [line])


def _next(rows: Sequence[Mapping[str, Any]]) -> str:
    """On paper: what the largest measured fleet of each kind cost, times its size.

    Of those that kept up: who falls behind has done less than the work of so many robots.
    """
    largest: dict[tuple[str, int], Mapping[str, Any]] = {}
    for row in rows:
        kind = row["store"], row["samples"]
        if row["made_to_stored"]["p99_ms"] is None or row["made_to_stored"]["p99_ms"] > KEPT_UP_MS:
            continue
        if row["robots"] >= largest.get(kind, {"robots": 0})["robots"]:
            largest[kind] = row
    head = (
        "series in",
        "samples",
        "from robots",
        "cores of ingest",
        "of broker",
        "of page",
        "disk GiB a day",
    )
    lines = [
        (
            *kind,
            row["robots"],
            *(
                row["cpu_ratio"][name] * NEXT / row["robots"]
                for name in ("ingest1", "broker", "page")
            ),
            row["disk_mib_robot_day"] * NEXT / 1024,
        )
        for kind, row in sorted(largest.items())
    ]
    return _table(f"{NEXT:,} robots, on paper", head, lines)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(_word(cell) for cell in row)} |" for row in rows]
    if not lines:
        return ""
    rule = f"|{'---|' * len(head)}"
    return "\n".join([f"### {title}", "", f"| {' | '.join(head)} |", rule, *lines, ""])


def _spread(found: Mapping[str, Any]) -> str:
    return " / ".join(_word(float(found[name])) for name in ("p50", "p95", "max"))


def _delay(found: Mapping[str, Any]) -> str:
    return f"{_word(found['p50_ms'])} / {_word(found['p99_ms'])}"


def _load(average: float) -> str:
    return f"{average} (busy)" if average > BUSY_LOAD else str(average)


def _word(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
