"""Every port a robot listens on and every one it calls, beside those of the runtime's own table.

The firewall is made of these rows, and a test on the running image compares them with what
listens there.
"""

from dataclasses import dataclass
from enum import StrEnum

from runtime.processes import LISTENERS, PROCESSES


class Direction(StrEnum):
    IN = "in"
    OUT = "out"


@dataclass(frozen=True, kw_only=True)
class Port:
    direction: Direction
    protocol: str
    port: int
    purpose: str


SYSTEM: tuple[Port, ...] = (
    Port(direction=Direction.IN, protocol="tcp", port=22, purpose="SSH, keys only"),
    Port(direction=Direction.IN, protocol="udp", port=68, purpose="address by DHCP"),
    Port(direction=Direction.IN, protocol="udp", port=546, purpose="address by DHCPv6"),
    Port(direction=Direction.OUT, protocol="udp", port=67, purpose="address by DHCP"),
    Port(direction=Direction.OUT, protocol="udp", port=547, purpose="address by DHCPv6"),
    Port(direction=Direction.OUT, protocol="udp", port=53, purpose="names"),
    Port(direction=Direction.OUT, protocol="tcp", port=53, purpose="names, long answers"),
    Port(direction=Direction.OUT, protocol="udp", port=123, purpose="time"),
    Port(direction=Direction.OUT, protocol="tcp", port=443, purpose="Mender server"),
)


# Rows of the table that a robot has to do with; the others are of a development machine alone.
FLEET_SIDE = frozenset({"fleetd", "mosquitto"})


def ports() -> tuple[Port, ...]:
    """The system's rows and the runtime's: who listens at the fleet is called from here."""
    on_robot = {spec.name for spec in PROCESSES}
    rows = [
        Port(
            direction=Direction.IN if row.process in on_robot else Direction.OUT,
            protocol="tcp",
            port=row.port,
            purpose=f"{row.process}: {row.purpose}",
        )
        for row in LISTENERS
        if row.process in on_robot | FLEET_SIDE
    ]
    return (*SYSTEM, *rows)


def rules(direction: Direction, rows: tuple[Port, ...]) -> str:
    lines = [
        f"    {row.protocol} dport {row.port}{_limit(row)} accept  # {row.purpose}"
        for row in rows
        if row.direction is direction
    ]
    return "\n".join(lines)


def _limit(row: Port) -> str:
    """Nobody gets to try many keys."""
    return " ct state new limit rate 30/minute burst 20 packets" if row.port == 22 else ""


def firewall(template: str, rows: tuple[Port, ...]) -> str:
    return template.replace("@INPUT@", rules(Direction.IN, rows)).replace(
        "@OUTPUT@", rules(Direction.OUT, rows)
    )
