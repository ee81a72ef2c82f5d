"""How long CiA 402 process data occupies a CAN bus in one control cycle.

Worst case by bit stuffing, per ISO 11898-1. Tier 1 computes the same before it opens the bus.
"""

from dataclasses import dataclass
from typing import Final

# Room for emergency messages, service data and one repeated frame.
BUS_LOAD_MAX: Final = 0.80
# Controlword 2, target position 4, torque 2; CAN FD adds a velocity of 4. Back: statusword 2,
# position 4, torque 2; CAN FD adds a velocity of 4.
CLASSICAL_BYTES: Final = 8
FD_BYTES: Final = 12


@dataclass(frozen=True)
class Bus:
    fd: bool
    bitrate_bps: int
    data_bitrate_bps: int


def classical_frame_bits(payload_bytes: int) -> int:
    """Bits of a frame with an 11-bit identifier, stuffed at worst, with the pause after it."""
    stuffed = 34 + 8 * payload_bytes
    return stuffed + 13 + (stuffed - 1) // 4


def fd_frame_ns(payload_bytes: int, bus: Bus) -> float:
    """Time of a CAN FD frame with bit-rate switch and an 11-bit identifier, stuffed at worst."""
    arbitration = 17 + (17 - 1) // 4 + 13
    counted = 5 + 8 * payload_bytes
    crc = 17 + 6 if payload_bytes <= 16 else 21 + 7  # with its fixed stuff bits
    data = counted + counted // 4 + 4 + crc
    return 1e9 * (arbitration / bus.bitrate_bps + data / bus.data_bitrate_bps)


def frame_ns(payload_bytes: int, bus: Bus) -> float:
    if bus.fd:
        return fd_frame_ns(payload_bytes, bus)
    return 1e9 * classical_frame_bits(payload_bytes) / bus.bitrate_bps


def cycle_ns(axes: int, bus: Bus) -> float:
    """SYNC, then for each axis one frame of commands and one of feedback."""
    payload = FD_BYTES if bus.fd else CLASSICAL_BYTES
    return frame_ns(0, bus) + 2 * axes * frame_ns(payload, bus)
