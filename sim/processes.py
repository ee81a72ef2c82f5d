"""The rows of the process table that exist only where the robot is simulated, and the fleet's side.

They have the type of `runtime/processes.py`, so the development supervisor treats all rows alike.
An image holds them only where the profile plays its arm without a cell: a guest in emulation.
"""

from conf.schema import Config
from conf.schema.hardware import CameraSource, Plant, SimActuation
from conf.schema.telemetry import Store
from runtime.processes import Area, Budget, Policy, ProcessSpec, Scheduling


def simulated(config: Config) -> bool:
    """The whole cell is simulated, with what is in it and what sees it."""
    actuation = config.hardware.actuation
    return isinstance(actuation, SimActuation) and actuation.plant is Plant.MUJOCO


def bare(config: Config) -> bool:
    """The arm alone is simulated, by its rigid bodies."""
    actuation = config.hardware.actuation
    return isinstance(actuation, SimActuation) and actuation.plant is Plant.DYNAMICS


def replayed(config: Config) -> bool:
    return config.hardware.cameras.source is CameraSource.REPLAY


def wants_influxdb(config: Config) -> bool:
    return config.telemetry.store is Store.INFLUXDB


def wants_alertmanager(config: Config) -> bool:
    return config.alerts.notify.alertmanager


SIM_PROCESSES: tuple[ProcessSpec, ...] = (
    ProcessSpec(
        name="plant",
        area=Area.SIM,
        module="sim.plant",
        rate_hz=1000,
        scheduling=Scheduling(policy=Policy.FIFO, priority=60),
        budget=Budget(cpu_ratio=0.15, memory_mib=150),
        runs=simulated,
        start_order=5,
        writes=("hal.sensors",),
    ),
    ProcessSpec(
        name="cameras",
        area=Area.SIM,
        module="sim.cameras",
        rate_hz=30,
        scheduling=Scheduling(nice=5),
        budget=Budget(cpu_ratio=0.45, memory_mib=350),
        runs=simulated,
        start_order=6,
    ),
    ProcessSpec(
        name="dynamics",
        area=Area.SIM,
        command=("{dynamics}", "--control", "{control}", "--shm", "{shm}"),
        rate_hz=1000,
        scheduling=Scheduling(policy=Policy.FIFO, priority=60),
        budget=Budget(cpu_ratio=0.05, memory_mib=16),
        runs=bare,
        start_order=5,
        writes=("hal.sensors",),
        scheduled_by_unit=True,
        watchdog_ms=2000,
    ),
    ProcessSpec(
        name="replayd",
        area=Area.SIM,
        module="sim.replay.replayd",
        rate_hz=30,
        watchdog_ms=5000,
        budget=Budget(cpu_ratio=0.03, memory_mib=90),
        runs=replayed,
        start_order=15,
        writes=("people", "scene", "hal.gpu"),
    ),
    ProcessSpec(
        name="faultd",
        area=Area.SIM,
        module="sim.faultd",
        rate_hz=10,
        budget=Budget(cpu_ratio=0.03, memory_mib=90),
        runs=simulated,
        start_order=5,
        network=True,
        writes=("hal.gpu",),
    ),
)

FLEET_SIDE = ("--fleet-dir", "{fleet}")

FLEET_PROCESSES: tuple[ProcessSpec, ...] = (
    ProcessSpec(
        name="mosquitto",
        area=Area.FLEET,
        command=("{mosquitto}", "-c", "{fleet}/broker/mosquitto.conf"),
        budget=Budget(cpu_ratio=0.02, memory_mib=16),
        start_order=8,
        network=True,
    ),
    ProcessSpec(
        name="influxd",
        area=Area.FLEET,
        module="fleet.influxd",
        command=FLEET_SIDE,
        budget=Budget(cpu_ratio=0.10, memory_mib=350),
        runs=wants_influxdb,
        start_order=8,
        network=True,
    ),
    ProcessSpec(
        name="alertmanager",
        area=Area.FLEET,
        module="fleet.alerts.alertmanagerd",
        command=FLEET_SIDE,
        budget=Budget(cpu_ratio=0.02, memory_mib=60),
        runs=wants_alertmanager,
        start_order=8,
        network=True,
    ),
    ProcessSpec(
        name="ingestd",
        area=Area.FLEET,
        module="fleet.ingestd",
        command=FLEET_SIDE,
        budget=Budget(cpu_ratio=0.05, memory_mib=120),
        start_order=15,
        network=True,
    ),
    ProcessSpec(
        name="fleetd",
        area=Area.FLEET,
        module="fleet.fleetd",
        command=FLEET_SIDE,
        budget=Budget(cpu_ratio=0.08, memory_mib=150),
        start_order=16,
        network=True,
    ),
)
