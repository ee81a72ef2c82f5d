"""How the server counts: a counter per status, moved by what devices report; and when it ends."""

from collections import Counter

from tests.ota.mender_double.state import (
    FINISHED,
    Deployment,
    DeviceDeployment,
    DeviceStatus,
)


def new_statistics(devices: int) -> dict[DeviceStatus, int]:
    """All thirteen, zeros included; pending are as many as there are identifiers, twice is two."""
    return dict.fromkeys(DeviceStatus, 0) | {DeviceStatus.PENDING: devices}


def set_status(
    deployment: Deployment, mine: DeviceDeployment, status: DeviceStatus, now: float
) -> None:
    deployment.statistics[mine.status] -= 1
    deployment.statistics[status] += 1
    mine.status = status
    if mine.started is None:
        mine.started = now
    if status in FINISHED and mine.finished is None:
        mine.finished = now


def settle(deployment: Deployment, now: float) -> None:
    """Over once as many have finished as identifiers were given; never open again after that."""
    done = sum(count for status, count in deployment.statistics.items() if status in FINISHED)
    if deployment.finished is None and done >= deployment.max_devices:
        deployment.finished = now


def recount(deployment: Deployment) -> None:
    """From the devices that have polled, and from them alone."""
    seen = Counter(mine.status for mine in deployment.devices.values())
    deployment.statistics = {status: seen[status] for status in DeviceStatus}
