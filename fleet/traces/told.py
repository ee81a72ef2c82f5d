"""One journey for people and programs: its bars on one line of time, and its words. Pure.

The robot's clock and the fleet's are two. The line is the robot's; a step of the fleet that lies
beyond its end, because the robot was offline, stands at the edge and says how far away it is, and
one that lies before its beginning says that the clocks differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fleet.traces.tree import Node, Step, Trace
from runtime.telemetry.span import Status

NS_PER_S = 1e9
CLOCKS_AGREE_NS = 1_000_000_000


@dataclass(frozen=True)
class Bar:
    """One line of the drawing. Shares are of the whole width, within 0 and 1."""

    depth: int
    node: Node
    left: float
    right: float
    beyond_ns: int = 0  # after the line's end; negative: before its beginning

    @property
    def step(self) -> Step | None:
        return self.node.step


@dataclass(frozen=True)
class Drawing:
    begin_ns: int
    end_ns: int
    bars: tuple[Bar, ...]

    @property
    def lasts_s(self) -> float:
        return (self.end_ns - self.begin_ns) / NS_PER_S


def draw(trace: Trace) -> Drawing:
    begin_ns, end_ns = _line(trace)
    return Drawing(begin_ns, end_ns, tuple(_bars(trace, begin_ns, end_ns)))


def _line(trace: Trace) -> tuple[int, int]:
    """From the robot's first step to its last; of the fleet's where there is nothing else."""
    steps = [step for step in trace.steps if step.on_robot] or trace.steps
    begin_ns = min((step.start_ns for step in steps), default=0)
    if trace.root.step is not None:
        begin_ns = trace.root.step.start_ns
    ends = [step.start_ns if step.end_ns is None else step.end_ns for step in steps]
    if trace.root.step is not None and trace.root.step.end_ns is not None:
        return begin_ns, max(trace.root.step.end_ns, begin_ns + 1)
    return begin_ns, max([*ends, begin_ns + 1])


def _bars(trace: Trace, begin_ns: int, end_ns: int) -> Iterator[Bar]:
    def share(at_ns: int) -> float:
        return min(max((at_ns - begin_ns) / (end_ns - begin_ns), 0.0), 1.0)

    for depth, node in trace.root.walk():
        step = node.step
        if step is None:
            inner = [child.step for _, child in node.walk() if child.step is not None]
            first_ns = min((one.start_ns for one in inner), default=begin_ns)
            ends = (end_ns if one.end_ns is None else one.end_ns for one in inner)
            last_ns = max(ends, default=end_ns)
            yield Bar(depth, node, share(first_ns), share(last_ns))
            continue
        until_ns = end_ns if step.end_ns is None else step.end_ns
        beyond_ns = 0
        if step.start_ns > end_ns:
            beyond_ns = step.start_ns - end_ns
        elif until_ns < begin_ns - CLOCKS_AGREE_NS:
            beyond_ns = until_ns - begin_ns
        yield Bar(depth, node, share(step.start_ns), share(until_ns), beyond_ns)


def beyond_words(beyond_ns: int) -> str:
    if not beyond_ns:
        return ""
    if beyond_ns < 0:
        return f"{span_words(-beyond_ns)} before the task: the clocks differ"
    return f"{span_words(beyond_ns)} after the task"


def span_words(lasted_ns: int | None) -> str:
    """A length of time with as many digits as one can use."""
    if lasted_ns is None:
        return "no end yet"
    seconds = lasted_ns / NS_PER_S
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 2 * 86_400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds / 86_400:,.0f} days"


def name_of(node: Node) -> str:
    step = node.step
    if step is None:
        return "not told"
    number = step.attributes.get("attempt") if step.name == "attempt" else None
    numbered = f" {number:.0f}" if isinstance(number, int | float) else ""
    return f"{step.name.replace('_', ' ')}{numbered}"


def as_lines(trace: Trace) -> Iterator[str]:
    """For a terminal."""
    drawing, wide = draw(trace), 40
    for bar in drawing.bars:
        left = round(bar.left * (wide - 1))
        right = max(left, round(bar.right * (wide - 1)))
        mark = _mark(bar)
        drawn = " " * left + mark * (right - left + 1) + " " * (wide - 1 - right)
        step = bar.step
        length = "lost, thinned, or on its way" if step is None else span_words(step.lasted_ns)
        label = f"{'  ' * bar.depth}{name_of(bar.node)}"
        note = beyond_words(bar.beyond_ns)
        yield f"{label:<28} |{drawn}| {length:>12}  {note or _why(step)}".rstrip()


def _mark(bar: Bar) -> str:
    if bar.step is None:
        return "?"
    if bar.beyond_ns:
        return ">" if bar.beyond_ns > 0 else "<"
    if bar.step.end_ns is None:
        return "."
    return "x" if bar.step.status is Status.ERROR else "="


def _why(step: Step | None) -> str:
    if step is None:
        return ""
    shown = {key: value for key, value in step.attributes.items() if value not in ("", "none")}
    return " ".join(f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
                    for key, value in shown.items())  # fmt: skip


def as_rows(trace: Trace) -> Iterator[dict[str, Any]]:
    """For programs, as they are drawn; a place without a step has neither name nor times."""
    parents: list[str] = []
    for depth, node in trace.root.walk():
        del parents[depth:]
        step = node.step
        yield {
            "span_id": node.span_id,
            "parent_id": parents[-1] if parents else None,
            "depth": depth,
            "missing": step is None,
            "name": None if step is None else step.name,
            "source": None if step is None else step.source,
            "on_robot": None if step is None else step.on_robot,
            "start_ns": None if step is None else step.start_ns,
            "end_ns": None if step is None else step.end_ns,
            "status": None if step is None else step.status.value,
            "attributes": {} if step is None else dict(step.attributes),
        }
        parents.append(node.span_id)
