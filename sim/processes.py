"""The rows of the process table that exist only where the robot is simulated, and the fleet's side.

They have the type of `runtime/processes.py`, so the development supervisor treats all rows alike;
none of them is ever rendered into a robot's image.
"""

from conf.schema import Config
from runtime.processes import Area, Budget, Policy, ProcessSpec, Scheduling

RENDERING = (("MUJOCO_GL", "egl"),)


def simulated(config: Config) -> bool:
    return config.hardware.actuation.kind == "sim"


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
        environment=RENDERING,
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
    ),
)

FLEET_PROCESSES: tuple[ProcessSpec, ...] = (
    ProcessSpec(
        name="ingestd",
        area=Area.FLEET,
        module="fleet.ingestd",
        budget=Budget(cpu_ratio=0.05, memory_mib=120),
        start_order=15,
        network=True,
    ),
    ProcessSpec(
        name="fleetd",
        area=Area.FLEET,
        module="fleet.fleetd",
        budget=Budget(cpu_ratio=0.08, memory_mib=150),
        start_order=16,
        network=True,
    ),
)
