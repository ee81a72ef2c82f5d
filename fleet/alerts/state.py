"""A lane as text and back. A rule that is gone is forgotten; a new one begins with what comes."""

from collections.abc import Mapping
from typing import Any

import orjson

from conf.schema.alerts import RobotMode, Rule, Signal
from fleet.alerts.fold import Phase, Track
from fleet.alerts.lane import Lane, Past, Tracks
from fleet.alerts.sample import Sample

VERSION = 1


class StateError(ValueError):
    """No lane of this version; the alert starts anew."""


def write_lane(lane: Lane) -> bytes:
    return orjson.dumps({"v": VERSION, **lane.__dict__}, default=sorted)


def read_lane(text: bytes | str, rules: Mapping[str, Rule]) -> Lane:
    try:
        raw: Any = orjson.loads(text)
        if raw.pop("v") != VERSION:
            raise StateError("written by another version")
        return Lane(
            newest_ns=raw["newest_ns"],
            done_ns=raw["done_ns"],
            folded_ns=raw["folded_ns"],
            tracks=_tracks(raw["tracks"], rules),
            waiting=_samples(raw["waiting"]),
            gap=_past(raw["gap"], rules),
            past=_past(raw["past"], rules),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"no state of an alert: {error!r:.200}") from error


def _tracks(raw: Mapping[str, Any], rules: Mapping[str, Rule]) -> Tracks:
    return {
        key: Track(**{**row, "phase": Phase(row["phase"]), "edges": tuple(row["edges"])})
        for key, row in raw.items()
        if key in rules
    }


def _samples(raw: list[dict[str, Any]]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            row["subject"],
            Signal(row["signal"]),
            row["at_ns"],
            row["value"],
            frozenset(RobotMode(mode) for mode in row["modes"]),
        )
        for row in raw
    )


def _past(raw: dict[str, Any] | None, rules: Mapping[str, Rule]) -> Past | None:
    if raw is None:
        return None
    fields = {**raw, "tracks": _tracks(raw["tracks"], rules), "waiting": _samples(raw["waiting"])}
    return Past(**fields)
