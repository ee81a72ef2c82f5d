"""What is recorded and sent must fit the spool and the uplink."""

from collections.abc import Iterator
from typing import Final

from conf.mistake import Mistake, unplaced
from conf.schema import Config

UPLINK_SHARE: Final = 0.8  # the rest is for resends and everything that is not telemetry
SPOOL_OVERHEAD: Final = 1.5  # indexes, pages half full, the write-ahead log


def check_spool(config: Config) -> Iterator[Mistake]:
    """What is recorded while the network is away fits the spool, and the spool fits its disk."""
    telemetry, network = config.telemetry, config.facility.network
    spool_mib = telemetry.spool.max_mib
    data_mib = config.hardware.storage.data_mib
    if 2 * spool_mib > data_mib:
        yield unplaced(
            "telemetry.spool.max_mib",
            f"{spool_mib} MiB",
            f"at most {data_mib // 2}, half of the data partition",
            "skills, models and keys need the other half",
            f"max_mib: {data_mib // 2}",
        )
    rate = sum(s.rate_hz * s.bytes_each for s in telemetry.streams.values() if s.durable)
    need_mib = rate * network.outage_h * 3600 * SPOOL_OVERHEAD / (1 << 20)
    if need_mib > spool_mib:
        fitting = spool_mib / need_mib * network.outage_h
        yield unplaced(
            "facility.network.outage_h",
            f"{network.outage_h:g} h at {rate:g} B/s, {need_mib:.0f} MiB",
            f"at most {spool_mib} MiB, the spool ({fitting:.1f} h)",
            "metrics of the first hours would be thinned before the network is back",
            f"outage_h: {int(fitting)}, a larger telemetry.spool.max_mib, or slower streams",
        )


def check_uplink(config: Config) -> Iterator[Mistake]:
    telemetry, network = config.telemetry, config.facility.network
    rates = {k: s.rate_hz * s.bytes_each * 8 / 1000 for k, s in telemetry.streams.items()}
    total, room = sum(rates.values()), network.uplink_kbps * UPLINK_SHARE
    if total > room:
        worst = max(rates, key=lambda name: rates[name])
        yield unplaced(
            f"telemetry.streams.{worst}.rate_hz",
            f"{total:.0f} kbit/s of telemetry in all, {rates[worst]:.0f} of them here",
            f"at most {room:.0f}, {UPLINK_SHARE:.0%} of facility.network.uplink_kbps",
            "the spool would fill although the network is there",
            f"telemetry: streams: {worst}: rate_hz: … in the facility's file",
        )
