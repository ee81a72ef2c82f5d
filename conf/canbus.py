"""How long CiA 402 process data occupies a CAN bus in one control cycle.

Bit by bit, with the worst stuffing there can be (ISO 11898-1). Tier 1 counts the same way before it
opens the bus (runtime/controld/src/hal/cia402/schedule.rs); tests/conf/test_bus_schedule.py holds
the two together, down to the order of the floating-point operations.
"""

from dataclasses import dataclass
from typing import Final

# Above this there is no room for emergencies, frames sent again, and the cycle's own time.
BUS_LOAD_MAX: Final = 0.9
COMMAND_BYTES: Final = 8
STATUS_BYTES_CLASSICAL: Final = 8
STATUS_BYTES_FD: Final = 12
FD_LENGTHS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)


@dataclass(frozen=True)
class Bus:
    fd: bool
    bitrate_bps: int
    data_bitrate_bps: int


def classical_bits(payload_bytes: int) -> int:
    """A frame with base identifier, worst stuffing and the gap behind it."""
    stuffed = 34 + 8 * payload_bytes
    return stuffed + (stuffed - 1) // 4 + 13


def fd_bits(payload_bytes: int) -> tuple[int, int]:
    """Bits at the nominal and at the data rate of an FD frame with bit-rate switch."""
    # Start to the bit-rate switch: stuffed. Acknowledge, end of frame and gap: not.
    nominal = 17 + (17 - 1) // 4 + 12
    # Error state indicator, length code and data: stuffed as before.
    stuffed = 5 + 8 * payload_bytes
    # Stuff count and checksum carry a fixed stuff bit in front and after every four bits.
    fixed = 4 + (17 if payload_bytes <= 16 else 21)
    return nominal, stuffed + stuffed // 4 + fixed + 1 + -(-fixed // 4) + 1


def cycle_us(axes: int, bus: Bus) -> float:
    """SYNC, all commands, and an answer of every axis. FD carries all commands in one frame."""

    def classical_us(payload_bytes: int) -> float:
        return classical_bits(payload_bytes) * 1e6 / bus.bitrate_bps

    def fd_us(payload_bytes: int) -> float:
        length = next((size for size in FD_LENGTHS if size >= payload_bytes), FD_LENGTHS[-1])
        nominal, data = fd_bits(length)
        return (nominal / bus.bitrate_bps + data / bus.data_bitrate_bps) * 1e6

    if bus.fd:
        return classical_us(0) + fd_us(COMMAND_BYTES * axes) + axes * fd_us(STATUS_BYTES_FD)
    pair = classical_us(COMMAND_BYTES) + classical_us(STATUS_BYTES_CLASSICAL)
    return classical_us(0) + axes * pair


def fits(axes: int, bus: Bus, period_us: int) -> bool:
    return cycle_us(axes, bus) / period_us <= BUS_LOAD_MAX
