"""Spans put together: the same tree whatever their order, with a place for what is missing. Pure.

A span whose parent was lost, thinned, or is still on its way hangs under a node that says so.
No span is left out, whatever its parents are said to be.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from runtime.telemetry.client import Value
from runtime.telemetry.span import Status, root_id_of


@dataclass(frozen=True)
class Step:
    """A span as it is stored; times are of whoever made it."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    robot: str
    site: str
    version: str
    source: str
    on_robot: bool  # else of the fleet: another clock
    task_id: int
    start_ns: int
    end_ns: int | None
    status: Status
    attributes: Mapping[str, Value]

    @property
    def lasted_ns(self) -> int | None:
        return None if self.end_ns is None else self.end_ns - self.start_ns


@dataclass(frozen=True)
class Node:
    """A step and what happened within it. Without a step: others name it, and it is not here."""

    span_id: str
    step: Step | None
    children: "tuple[Node, ...]" = ()

    def walk(self, depth: int = 0) -> "Iterator[tuple[int, Node]]":
        """Depth first, as people read it; without recursion, whatever the depth."""
        waiting: list[tuple[int, Node]] = [(depth, self)]
        while waiting:
            level, node = waiting.pop()
            yield level, node
            waiting.extend((level + 1, child) for child in reversed(node.children))


@dataclass(frozen=True)
class Trace:
    trace_id: str
    root: Node

    @property
    def steps(self) -> list[Step]:
        return [node.step for _, node in self.root.walk() if node.step is not None]

    @property
    def missing(self) -> int:
        """Places that others name and that are not here."""
        return sum(node.step is None for _, node in self.root.walk())


def build(trace_id: str, steps: Iterable[Step]) -> Trace:
    known = {step.span_id: step for step in sorted(steps, key=_order)}
    root_id = root_id_of(trace_id)
    below: dict[str, list[str]] = {}
    for span_id, step in known.items():
        if span_id != root_id:
            below.setdefault(step.parent_id or root_id, []).append(span_id)
    hung = sorted(parent for parent in below if parent not in known and parent != root_id)
    below.setdefault(root_id, []).extend(hung)
    placed = _reach(root_id, below)
    for span_id, step in known.items():  # what is left goes round in a circle: cut it open
        if span_id not in placed:
            below[step.parent_id].remove(span_id)
            below[root_id].append(span_id)
            placed |= _reach(span_id, below)
    return Trace(trace_id, _node(root_id, known, below))


def _reach(start: str, below: Mapping[str, list[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        for child in below.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _node(root_id: str, known: Mapping[str, Step], below: Mapping[str, list[str]]) -> Node:
    order = [root_id]
    for span_id in order:  # grows while it is read: parents come before their children
        order.extend(below.get(span_id, ()))
    made: dict[str, Node] = {}
    for span_id in reversed(order):
        children = sorted((made[child] for child in below.get(span_id, ())), key=_begun)
        made[span_id] = Node(span_id, known.get(span_id), tuple(children))
    return made[root_id]


def _order(step: Step) -> tuple[int, int, str]:
    return (0 if step.on_robot else 1, step.start_ns, step.span_id)


def _begun(node: Node) -> tuple[int, int, str]:
    """The robot's steps in order, then the fleet's; a missing one where its first child is."""
    if node.step is not None:
        return _order(node.step)
    return min((_begun(child) for child in node.children), default=(2, 0, node.span_id))
