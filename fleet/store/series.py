"""What any store of series can do. SQLite and InfluxDB stand behind it and pass the same tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.telemetry.line import Point

EVENT = "event"


class StoreUnavailableError(RuntimeError):
    """Nothing was decided: the same lines must be written again later."""


@dataclass(frozen=True)
class Query:
    measurement: str
    robot_id: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 1000
    newest_first: bool = True


class SeriesStore(Protocol):
    """Equal measurement, tags and time are one point: writing it twice changes nothing."""

    def write(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        """Durable when it returns. Lines refused for good, by index, with the reason."""
        ...

    def points(self, query: Query) -> list[Point]: ...

    def close(self) -> None: ...
