"""The unit that brings a robot's CAN bus up: the profile's bit rates, before control looks for it.

A bus is not the network's business: it comes up without networkd, and control waits for it alone.
The device shows itself by udev; `ip` sets it (iproute2, `ip-link(8)`, type can).
"""

from conf.schema.hardware import Cia402Actuation
from runtime.sandbox import WITHOUT_TMP, for_root

UNIT = "bedplate-can.service"
RESTART_MS = 100  # after bus-off the controller tries again; the drives' own watchdogs are shorter


def device_unit(bus: Cia402Actuation) -> str:
    return f"sys-subsystem-net-devices-{bus.interface}.device"


def sections(bus: Cia402Actuation) -> dict[str, list[str]]:
    """Section → lines. The one capability is the network's administration, without a network."""
    rates = f"bitrate {bus.bitrate_bps}"
    if bus.fd:
        rates += f" dbitrate {bus.data_bitrate_bps} fd on"
    device = device_unit(bus)
    unit = [
        f"Description=Bedplate CAN: {bus.interface} with the profile's bit rates",
        "DefaultDependencies=no",
        f"BindsTo={device}",
        f"After={device}",
        "Before=bedplate-controld.service shutdown.target",
        "Conflicts=shutdown.target",
    ]
    service = [
        "Type=oneshot",
        "RemainAfterExit=yes",
        # Rates are set while it is down, which it is not when this unit is started again.
        f"ExecStartPre=/usr/sbin/ip link set {bus.interface} down",
        f"ExecStart=/usr/sbin/ip link set {bus.interface} up type can {rates}"
        f" restart-ms {RESTART_MS}",
        f"ExecStop=/usr/sbin/ip link set {bus.interface} down",
        *for_root(WITHOUT_TMP),
        "CapabilityBoundingSet=CAP_NET_ADMIN",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "RestrictAddressFamilies=AF_NETLINK",
        "IPAddressDeny=any",
        "RestrictRealtime=yes",
        "MemoryDenyWriteExecute=yes",
        "DevicePolicy=closed",
        "PrivateDevices=yes",
        "UMask=0077",
    ]
    return {"Unit": unit, "Service": service, "Install": ["WantedBy=bedplate.target"]}
