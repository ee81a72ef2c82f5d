"""The YAML files behind a configuration: where each value stands, and what may not stand there."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import yaml

from conf.mistake import COMMAND_LINE, Mistake, Origin
from conf.plain import Path as KeyPath
from conf.plain import dotted

FILE_SIZE_MAX: Final = 1 << 20
DEPTH_MAX: Final = 32
FORBIDDEN_KEYS: Final = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_", "hydra")
# A reference to another setting is the one interpolation there is.
REFERENCE: Final = re.compile(r"\$\{[A-Za-z0-9_.]+\}")
INTERPOLATION: Final = re.compile(r"\$\{[^}]*")
PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value")
)
# What libyaml makes of a file, with line numbers. Only nodes are made, never objects.
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


Places = dict[KeyPath, tuple[Origin, bool]]
"""What a file sets and where; True marks a table, which merges with what it is laid over."""


@dataclass(frozen=True)
class Source:
    """One composed file: its name for people, where it lies, and under which path it is put."""

    name: str
    file: Path
    package: KeyPath


@dataclass
class Origins:
    """For every path the last place that set it."""

    places: dict[KeyPath, Origin] = field(default_factory=dict[KeyPath, Origin])

    def find(self, path: KeyPath) -> Origin | None:
        """The place that set the path, or the nearest table around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return None

    def overlaid(self, places: Places) -> "Origins":
        """These origins with those of a later file on top."""
        merged = dict(self.places)
        for path, (origin, is_table) in places.items():
            if is_table:
                merged.setdefault(path, origin)
            else:
                if path in merged:
                    for below in [p for p in merged if p[: len(path)] == path]:
                        del merged[below]
                merged[path] = origin
        return Origins(merged)


def places_of(source: Source) -> Places:
    """Every path a file sets. The file was composed already, so it is known to parse."""
    found: Places = {}
    node = read_node(source.file)
    if isinstance(node, yaml.MappingNode):
        _walk(node, source, source.package, found)
    found.pop((*source.package, "defaults"), None)
    return found


def places_of_overrides(keys: list[str]) -> Places:
    return {tuple(key.split(".")): (COMMAND_LINE, False) for key in keys}


def read_node(file: Path) -> yaml.Node | None:
    text = file.read_bytes().decode("utf-8")
    compose = cast("Callable[..., yaml.Node | None]", yaml.compose)  # pyright: ignore[reportUnknownMemberType]
    return compose(text, Loader=LOADER)


def _walk(node: yaml.Node, source: Source, path: KeyPath, found: Places) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, key.value)
            line = key.start_mark.line + 1
            is_table = isinstance(value, yaml.MappingNode)
            found[below] = (Origin(source.name, line), is_table and bool(value.value))
            if below[len(source.package) :] != ("defaults",):
                _walk(value, source, below, found)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            below = (*path, index)
            found[below] = (Origin(source.name, item.start_mark.line + 1), True)
            _walk(item, source, below, found)


def scan(source: Source) -> list[Mistake]:
    """What may not be in a file, whatever the schema says; a file that does not parse is one."""
    try:
        if source.file.stat().st_size > FILE_SIZE_MAX:
            return [_unreadable(source, 1, f"a file above {FILE_SIZE_MAX} bytes")]
        node = read_node(source.file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return [_unreadable(source, line, error.problem or "broken YAML")]
    except (yaml.YAMLError, UnicodeDecodeError, OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [_unreadable(source, 1, reason)]
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
        return []
    if not isinstance(node, yaml.MappingNode):
        return [_unreadable(source, 1, "a file that is no table of keys")]
    return list(_scan_node(node, source, source.package, seen=set()))


def _unreadable(source: Source, line: int, reason: str) -> Mistake:
    return Mistake(
        Origin(source.name, line),
        "the file",
        reason,
        "YAML with one table of keys",
        "nothing in a file that does not parse can be trusted",
        f"open {source.name} at line {line}",
    )


def _scan_node(node: yaml.Node, source: Source, path: KeyPath, seen: set[int]) -> Iterator[Mistake]:
    problem = _node_problem(node, path, seen)
    if problem is not None:
        yield problem(Origin(source.name, node.start_mark.line + 1))
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield from _scan_mapping(node, source, path, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _scan_node(item, source, (*path, index), seen)


def _scan_mapping(
    node: yaml.MappingNode, source: Source, path: KeyPath, seen: set[int]
) -> Iterator[Mistake]:
    keys: set[str] = set()
    for key, value in node.value:
        origin = Origin(source.name, key.start_mark.line + 1)
        name = key.value if isinstance(key, yaml.ScalarNode) else "a list or table"
        below: KeyPath = (*path, str(name))
        if not isinstance(key, yaml.ScalarNode) or not key.tag.endswith(":str"):
            yield _bad_key(origin, below)
        elif name in keys:
            yield _twice(origin, below)
        elif name in FORBIDDEN_KEYS:
            yield _forbidden_key(origin, below)
        else:
            keys.add(name)
            if below[len(source.package) :] != ("defaults",):
                yield from _scan_node(value, source, below, seen)


def _node_problem(
    node: yaml.Node, path: KeyPath, seen: set[int]
) -> Callable[[Origin], Mistake] | None:
    if id(node) in seen:
        return lambda origin: _alias(origin, path)
    if len(path) > DEPTH_MAX:
        return lambda origin: _deep(origin, path)
    if node.tag not in PLAIN_TAGS:
        return lambda origin: _tag(origin, path, node.tag)
    if isinstance(node, yaml.ScalarNode) and node.value == "???":
        return lambda origin: _open_value(origin, path)
    if isinstance(node, yaml.ScalarNode):
        foreign = INTERPOLATION.search(REFERENCE.sub("", node.value))
        if foreign is not None:
            text = foreign.group()
            return lambda origin: _resolver(origin, path, text)
    return None


def _alias(origin: Origin, path: KeyPath) -> Mistake:
    return Mistake(
        origin,
        dotted(path),
        "an alias of another place in the file",
        "a value of its own",
        "an alias hides which line a value comes from",
        "write the value, or refer to it as ${the.other.path}",
    )


def _deep(origin: Origin, path: KeyPath) -> Mistake:
    return Mistake(
        origin,
        dotted(path[:3]) + " …",
        f"{len(path)} levels of nesting",
        f"at most {DEPTH_MAX} levels",
        "no setting lies that deep",
        "look for a bracket that is not closed",
    )


def _tag(origin: Origin, path: KeyPath, tag: str) -> Mistake:
    return Mistake(
        origin,
        dotted(path),
        f"the YAML tag {tag}",
        "plain text, a number, true or false, a list or a table",
        "configuration is data and never makes objects",
        "remove the tag",
    )


def _open_value(origin: Origin, path: KeyPath) -> Mistake:
    return Mistake(
        origin,
        dotted(path),
        "??? (a value left open)",
        "a value",
        "the composer would keep what stood there before, without a word",
        "write the value, or remove the key",
    )


def _resolver(origin: Origin, path: KeyPath, text: str) -> Mistake:
    return Mistake(
        origin,
        dotted(path),
        f"the interpolation {text[:60]}}}",
        "a value, or ${path.of.another.setting}",
        "the same files must give the same robot on every machine, so nothing is read from the"
        " environment or computed",
        "write the value into the facility's file",
    )


def _forbidden_key(origin: Origin, path: KeyPath) -> Mistake:
    return Mistake(
        origin,
        dotted(path),
        f"the key {path[-1]}",
        "a setting of the schema",
        "configuration is data: it names no Python object and does not configure the composer",
        "remove the key; variants are chosen by `kind`",
    )


def _bad_key(origin: Origin, path: KeyPath) -> Mistake:
    return Mistake(
        origin,
        dotted(path),
        f"the key {path[-1]}, which YAML does not read as text",
        "a key of letters, digits and underscores",
        "every setting has a plain name",
        f"quote it if it is meant: '{path[-1]}'",
    )


def _twice(origin: Origin, path: KeyPath) -> Mistake:
    return Mistake(
        origin,
        dotted(path),
        "the same key a second time",
        "each key once",
        "one of the two values would be dropped in silence",
        "keep one of them",
    )
