"""The acceptance in words: table, plot and verdict for a terminal or serial line; JSON to keep."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from conf.schema import Config
from runtime.acceptance.judge import Finding, Measured, Verdict, conclude
from runtime.acceptance.latency import Latencies

VERSION: Final = 1
QUANTILES: Final = (0.5, 0.99, 0.999, 0.9999)
PLOT_ROWS: Final = 16
PLOT_COLUMNS: Final = 30


def as_document(
    config: Config,
    kernel: str,
    parts: Iterable[Measured],
    findings: tuple[Finding, ...],
    shortened_to: int | None,
) -> dict[str, Any]:
    """Everything that led to the verdict, so that it can be judged again."""
    return {
        "version": VERSION,
        "config_hash": config.config_hash,
        "artifact_name": config.artifact_name,
        "hardware": config.hardware.name,
        "kernel_release": kernel,
        "limits": config.hardware.acceptance.model_dump(mode="json"),
        "shortened_to": shortened_to,
        "parts": [asdict(measured) for measured in parts],
        "findings": [asdict(finding) for finding in findings],
        "verdict": conclude(findings).value,
    }


def as_text(parts: Iterable[Measured], findings: tuple[Finding, ...]) -> str:
    blocks = [_part(measured) for measured in parts]
    return "\n\n".join([*blocks, _findings(findings), _sentence(conclude(findings))])


def _part(measured: Measured) -> str:
    head = f"{measured.part.value}: {measured.cycles} cycles, {measured.missed} missed"
    series = {"controld": measured.wakeup, "cyclictest": measured.peer}
    known = {name: found for name, found in series.items() if found is not None}
    if not known:
        return f"{head}\n  nothing was measured: {measured.problem}"
    return "\n".join([head, *_table(known), *plot(known)])


def _table(series: dict[str, Latencies]) -> list[str]:
    names = [f"p{ratio * 100:g}" for ratio in QUANTILES]
    lines = [f"  {'wake-up, µs':<14}" + "".join(f"{name:>9}" for name in (*names, "max", "count"))]
    for name, found in series.items():
        cells = [_number(found.quantile_us(ratio)) for ratio in QUANTILES]
        cells += [_number(found.max_us), str(found.count)]
        lines.append(f"  {name:<14}" + "".join(f"{cell:>9}" for cell in cells))
    return lines


def _number(value_us: float | None) -> str:
    return "–" if value_us is None else f"{value_us:.1f}"


def plot(series: dict[str, Latencies]) -> list[str]:
    """Counts over lateness, both on logarithmic scales: rare and late is what matters."""
    bounds = plot_bounds(max(found.max_us for found in series.values()))
    heights = {name: fold(found, bounds) for name, found in series.items()}
    most = max(max(counts) for counts in heights.values())
    head = "".join(f"  {name:<{PLOT_COLUMNS}}" for name in series)
    lines = [f"  {'up to µs':>9} {head}"]
    for row, bound in enumerate(bounds):
        bars = "".join(f"  {_bar(heights[name][row], most):<{PLOT_COLUMNS}}" for name in series)
        lines.append(f"  {bound:>9.1f} {bars}".rstrip())
    return lines


def plot_bounds(max_us: float) -> tuple[float, ...]:
    """From 1 µs to the latest, in equal ratios."""
    top = max(2.0, max_us)
    return (*(top ** (row / PLOT_ROWS) for row in range(1, PLOT_ROWS)), top)


def fold(found: Latencies, bounds: tuple[float, ...]) -> list[int]:
    """The counts, gathered into the plot's rows; none is lost."""
    counts = [0] * len(bounds)
    for upper_us, count in found.rows:
        row = next((i for i, bound in enumerate(bounds) if upper_us <= bound), len(bounds) - 1)
        counts[row] += count
    return counts


def _bar(count: int, most: int) -> str:
    """One sample is a mark of its own; the tallest fills the column."""
    if count == 0:
        return ""
    room = PLOT_COLUMNS - len(str(most)) - 2
    length = 1 + round((room - 1) * math.log(count) / math.log(most)) if most > 1 else 1
    return f"{'█' * length} {count}"


def _findings(findings: tuple[Finding, ...]) -> str:
    width = max((len(finding.item) for finding in findings), default=0)
    return "\n".join(
        f"{f.verdict.value:<8} {f.item:<{width}}  {f.found}   (wanted {f.wanted})" for f in findings
    )


def _sentence(verdict: Verdict) -> str:
    match verdict:
        case Verdict.PASSED:
            return "verdict: passed"
        case Verdict.FAILED:
            return "verdict: failed: this machine does not hold what its profile declares"
        case Verdict.UNKNOWN:
            return "verdict: unknown: not all of it could be measured, which never counts as passed"
