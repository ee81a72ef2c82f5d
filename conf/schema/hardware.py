"""What a board is: its processors, its clock, its cameras, its disk, its way to the motors."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from conf.schema.base import Cpu, Key, Model, Safe, SafetyModel, Table, setting


class Arch(StrEnum):
    X86_64 = "x86_64"
    AARCH64 = "aarch64"


class Scheduling(StrEnum):
    FIFO = "fifo"
    OTHER = "other"


class MissReaction(StrEnum):
    """What N missed cycles in a window lead to; a later member is the stronger reaction."""

    REPORT = "report"
    CONTROLLED_STOP = "controlled_stop"
    POWER_OFF = "power_off"


class Placement(StrEnum):
    ROBOT = "robot"
    EDGE = "edge"


class Execution(StrEnum):
    TOGETHER = "together"  # all models of the component may be on the accelerator at once
    MODEL_BY_MODEL = "model_by_model"  # one after the other, each with all that is left over


class CameraSource(StrEnum):
    SIM = "sim"
    V4L2 = "v4l2"
    REPLAY = "replay"  # no pictures: recorded detections are told again (sim/replay)


class Meshes(StrEnum):
    COLLISION = "collision"
    VISUAL = "visual"


class Plant(StrEnum):
    """Who plays the arm where there is none."""

    MUJOCO = "mujoco"  # the whole cell, with contacts and pictures
    DYNAMICS = "dynamics"  # the arm's rigid bodies alone, for guests too slow for the cell


class SimActuation(Model):
    """Drives of the simulated plant, over shared memory.

    Only a simulated arm has a time of its own to slow down, so the setting lives here: no profile
    of a real arm can carry it.
    """

    kind: Literal["sim"]
    plant: Plant = setting("what plays the arm", default=Plant.MUJOCO)
    slow_motion: int = setting(
        "seconds of the machine's clock in one second of the robot's: all rates, lives and"
        " time-outs of the robot stretch alike",
        default=1,
        ge=1,
        le=100,
    )


class Cia402Actuation(Model):
    """CiA 402 drives on a CAN bus (SocketCAN)."""

    kind: Literal["cia402"]
    interface: str = setting("network interface of the bus", pattern=r"^[a-z][a-z0-9]{1,14}$")
    fd: bool = setting("CAN FD instead of classical CAN")
    bitrate_bps: int = setting("arbitration bit rate", ge=125_000, le=1_000_000)
    data_bitrate_bps: int = setting("bit rate of the FD data phase", ge=125_000, le=8_000_000)


Actuation = Annotated[SimActuation | Cia402Actuation, Field(discriminator="kind")]


class Gpio(Model):
    chip: str = setting("GPIO character device", pattern=r"^/dev/gpiochip[0-9]{1,3}$")
    line: int = setting("line of that chip", ge=0, le=511)


class Control(SafetyModel):
    """The 1 kHz cycle of Tier 1."""

    period_us: int = setting(
        "length of one control cycle",
        safe=Safe.FIXED,
        ge=500,
        le=10_000,
        because="shield, estimator and drives are all dimensioned for this period",
        suggest=1000,
    )
    lock_memory: bool = setting(
        "lock all pages before the first cycle",
        safe=Safe.HIGHER,
        because="a page fault in the cycle costs more than the cycle has",
    )
    miss_window_cycles: int = setting(
        "window in which missed cycles are counted", safe=Safe.HIGHER, ge=10, le=100_000
    )
    miss_limit: int = setting(
        "missed cycles in the window that trigger the reaction",
        safe=Safe.LOWER,
        ge=1,
        le=10_000,
        because="a loop that misses many cycles no longer moves the arm as it was told",
        suggest=20,
    )
    miss_reaction: MissReaction = setting("what too many missed cycles lead to", safe=Safe.FIXED)
    watchdog_check_ms: int = setting(
        "how often the watchdog looks at the heartbeat", safe=Safe.LOWER, ge=1, le=100, suggest=5
    )
    watchdog_timeout_ms: int = setting(
        "age of the heartbeat at which the watchdog acts",
        safe=Safe.LOWER,
        ge=1,
        le=1000,
        because="until the watchdog acts, a hung loop leaves the drives with their last command",
        suggest=5,
    )
    gpio: Gpio | None = setting("line toggled each cycle, for an oscilloscope", default=None)


class Thread(Model):
    """Scheduling of one process, or of one thread of it that has its own row."""

    policy: Scheduling = setting("scheduling policy", default=Scheduling.OTHER)
    priority: int = setting(
        "real-time priority, 0 without FIFO", default=0, ge=0, le=99, suggest=50
    )
    cpus: tuple[Cpu, ...] = setting("CPUs it may run on; empty: any", default=())
    isolated: bool = setting(
        "claims that nothing else runs on its CPUs (isolcpus, nohz_full)", default=False
    )


class Realtime(SafetyModel):
    """CPUs, and which rights are a precondition."""

    required: bool = setting(
        "refuse to start Tier 1 without FIFO, affinity and locked memory",
        safe=Safe.HIGHER,
        because="a control loop that runs best-effort holds no deadline",
    )
    kernel: Literal["preempt_rt", "any"] = setting("kernel the profile counts on", safe=Safe.FIXED)
    cpus: int = setting("processors of the board", safe=Safe.FIXED, ge=1, le=1024)
    isolated_cpus: tuple[Cpu, ...] = setting("CPUs kept free by kernel arguments", safe=Safe.FIXED)
    threads: Table[Key, Thread] = setting(
        "who runs where: rows are named as the processes are; controld_watchdog beside controld"
    )

    @property
    def shared_cpus(self) -> frozenset[int]:
        """For all that is not kept apart: the boot, interrupts, everything without a row."""
        return frozenset(range(self.cpus)) - frozenset(self.isolated_cpus)


class ComputeModel(Model):
    tflops: float = setting("FP16 TFLOPS at the component's rate", gt=0, le=10_000)


class ComputeRow(Model):
    """What one component draws from the accelerator when it runs at its rate."""

    tflops: float = setting(
        "FP16 TFLOPS the component draws at `rate_hz`",
        gt=0,
        le=10_000,
        because="the load check adds these up for all components that can run at once",
    )
    rate_hz: float = setting("rate for which `tflops` is stated", ge=0.1, le=1000)
    placement: Placement = setting("where it runs", default=Placement.ROBOT)
    execution: Execution = setting(
        "whether its models share the accelerator or take turns", default=Execution.TOGETHER
    )
    models: Table[Key, ComputeModel] = setting("its models, whose TFLOPS add up", default={})


class Compute(Model):
    """The compute budget: what the board has, and the shares of it."""

    fp16_tflops: float = setting("FP16 TFLOPS of the board", gt=0, le=10_000)
    accelerator: Literal["none", "cuda"] = setting("what inference runs on", default="none")
    shares: Table[Key, ComputeRow] = setting(
        "level_1, level_2, level_3, policy, safety, planning: the demand of each"
    )


class CameraStream(Model):
    width_px: int = setting("picture width", ge=32, le=4096, suggest=160)
    height_px: int = setting("picture height", ge=24, le=3072, suggest=120)
    rate_hz: float = setting("pictures a second", ge=0.1, le=240, suggest=30)
    depth: bool = setting("delivers depth beside colour", default=True)
    color: bool = setting("colour, else grey", default=True)
    device: str = setting("V4L2 device, empty in the simulator", default="")


class Cameras(Model):
    """Streams are named as the mounts in `robot.cameras`."""

    source: CameraSource = setting("who delivers pictures")
    meshes: Meshes = setting("what the simulator draws", default=Meshes.COLLISION)
    snapshot_rate_hz: float = setting("pictures a second for the page", default=4.0, ge=0.1, le=30)
    streams: Table[Key, CameraStream] = setting("size and rate of each camera")


class Storage(Model):
    """The disk and how it is cut up: ESP, two slots, data."""

    disk_mib: int = setting("size of the disk", ge=1024, le=16_777_216)
    esp_mib: int = setting("EFI system partition", default=128, ge=64, le=2048)
    slot_mib: int = setting("each of the two root slots", ge=512, le=65_536)
    data_mib: int = setting("what outlives updates: spool, skills, keys", ge=512, le=16_777_216)


class Load(StrEnum):
    """What runs beside the loop while it is judged; each inside the machine, none from outside."""

    DISK = "disk"
    MEMORY = "memory"
    NETWORK = "network"  # over the loopback interface
    PYTHON = "python"  # processes that start, work and end


class Acceptance(Model):
    """What `bedplate rt accept` measures, and what the board must hold."""

    quiet_cycles: int = setting(
        "control cycles judged without load", default=60_000, ge=1_000, le=100_000_000
    )
    loaded_cycles: int = setting(
        "control cycles judged under load", default=60_000, ge=1_000, le=100_000_000
    )
    peer_cycles: int = setting(
        "wake-ups of cyclictest beside each of them", default=30_000, ge=1_000, le=100_000_000
    )
    load: tuple[Load, ...] = setting(
        "the load, all of it at once",
        default=(Load.DISK, Load.MEMORY, Load.NETWORK, Load.PYTHON),
        min_length=1,
    )
    missed_max: int = setting("missed deadlines allowed in each part", default=0, ge=0, le=1000)
    wakeup_max_us: float = setting(
        "latest wake-up allowed",
        default=100.0,
        gt=0,
        le=10_000,
        because="what the wake-up takes is missing to the cycle: a tenth of it at most",
        suggest=100.0,
    )
    peer_ratio_max: float = setting(
        "latest wake-up allowed, in units of cyclictest's own in the same boot",
        default=1.5,
        gt=0,
        le=100,
        because="beyond cyclictest's the delay is the loop's own, not the kernel's",
        suggest=1.5,
    )


class Hardware(Model):
    name: Key = setting("name of the profile, as its file")
    arch: Arch = setting("instruction set")
    board: str = setting("what it is, for people", max_length=80)
    control: Control = setting("the 1 kHz cycle")
    realtime: Realtime = setting("CPUs and scheduling")
    compute: Compute = setting("the compute budget")
    cameras: Cameras = setting("camera streams")
    storage: Storage = setting("disk and partitions")
    actuation: Actuation = setting("how commands reach the motors")
    acceptance: Acceptance = setting("the real-time acceptance", default=Acceptance())
