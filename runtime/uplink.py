"""What telemetryd says of the way to the fleet, for everyone else on the robot.

A small file, replaced whole: its readers are unhurried, and a telemetryd that died leaves a status
that grows old instead of one that looks well.
"""

from dataclasses import dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True)
class Uplink:
    """Times are monotonic. `last_heard_ns`: the fleet's last acknowledgement or answer."""

    connected: bool
    last_heard_ns: int | None
    at_ns: int


def write_uplink(path: Path, uplink: Uplink) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(
        orjson.dumps(
            {
                "connected": uplink.connected,
                "last_heard_ns": uplink.last_heard_ns,
                "at_ns": uplink.at_ns,
            }
        )
    )
    partial.replace(path)


def read_uplink(path: Path) -> Uplink | None:
    """None where there is none, or it says nothing sound."""
    try:
        raw = orjson.loads(path.read_bytes())
        heard = raw["last_heard_ns"]
        return Uplink(
            connected=raw["connected"] is True,
            last_heard_ns=None if heard is None else int(heard),
            at_ns=int(raw["at_ns"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
