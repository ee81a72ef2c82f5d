"""Where this robot's fleet is, as its enrolment said; without one the profile's broker counts."""

from dataclasses import dataclass
from pathlib import Path

import orjson

from conf.schema import Config
from conf.schema.hardware import Plant, SimActuation

FILE = "fleet.json"


@dataclass(frozen=True)
class Address:
    host: str
    port: int


def broker_of(config: Config, pki: Path) -> Address:
    """The broker to speak to: the enrolled one, else the profile's; by the simulator's relay only
    where the whole cell is simulated, for the relay belongs to it."""
    enrolled = read_address(pki)
    if enrolled is not None:
        return enrolled
    broker, actuation = config.telemetry.broker, config.hardware.actuation
    cell = isinstance(actuation, SimActuation) and actuation.plant is Plant.MUJOCO
    relayed = broker.via_relay and cell
    return Address(broker.host, broker.relay_port if relayed else broker.port)


def read_address(pki: Path) -> Address | None:
    """None where there is none, or it says nothing sound."""
    try:
        raw = orjson.loads((pki / FILE).read_bytes())
        host, port = raw["host"], raw["port"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sound = isinstance(host, str) and host and isinstance(port, int) and 0 < port < 65_536
    return Address(host, port) if sound and not isinstance(port, bool) else None


def address_bytes(address: Address) -> bytes:
    return orjson.dumps({"host": address.host, "port": address.port}) + b"\n"
