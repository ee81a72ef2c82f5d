"""What must hold between settings, each of which is valid alone. One pure function a rule."""

from collections.abc import Callable, Iterator
from typing import Final

from conf.canbus import BUS_LOAD_MAX, Bus, cycle_us
from conf.mistake import Mistake, Origin
from conf.schema import Config
from conf.schema.hardware import Cia402Actuation, ComputeRow, Execution, Placement, Scheduling

UPLINK_SHARE: Final = 0.8  # the rest is for resends and everything that is not telemetry
SPOOL_OVERHEAD: Final = 1.5  # indexes, pages half full, the write-ahead log
COMPUTE_ROWS: Final = ("level_1", "level_2", "level_3", "policy", "safety", "planning")

Check = Callable[[Config], Iterator[Mistake]]


def _problem(path: str, got: str, allowed: str, because: str, suggestion: str) -> Mistake:
    return Mistake(Origin("conf/robot.yaml"), path, got, allowed, because, suggestion)


def cross_check(config: Config) -> list[Mistake]:
    """Every problem that any check finds."""
    return [problem for check in CHECKS for problem in check(config)]


def check_threads_exist(config: Config) -> Iterator[Mistake]:
    """The loop has a row, and its watchdog lives off its CPU where there is another."""
    realtime = config.hardware.realtime
    path = "hardware.realtime.threads"
    for name in ("controld", "controld_watchdog"):
        if name not in realtime.threads:
            yield _problem(
                path,
                f"no row {name}",
                "a row for controld and one for controld_watchdog",
                "Tier 1 and what watches it are scheduled by the board's profile",
                f"{name}: {{policy: fifo, priority: 99, cpus: [1]}}",
            )
            return
    loop, watchdog = realtime.threads["controld"], realtime.threads["controld_watchdog"]
    if realtime.cpus > 1 and set(loop.cpus) & set(watchdog.cpus):
        yield _problem(
            f"{path}.controld_watchdog.cpus",
            f"{list(watchdog.cpus)}, shared with controld",
            "another CPU than the loop's",
            "a loop that hangs at priority 99 starves a watchdog on its own CPU",
            f"cpus: [{next(cpu for cpu in range(realtime.cpus) if cpu not in loop.cpus)}]",
        )
    if len(loop.cpus) != 1:
        yield _problem(
            f"{path}.controld.cpus",
            str(list(loop.cpus)),
            "one CPU",
            "a loop that migrates loses its cache in the middle of a cycle",
            "cpus: [1]",
        )


def check_affinity(config: Config) -> Iterator[Mistake]:
    """Threads lie on CPUs of the board, and inside the isolated ones exactly if they claim so."""
    realtime = config.hardware.realtime
    isolated = set(realtime.isolated_cpus)
    board = set(range(realtime.cpus))
    if not isolated <= board:
        yield _problem(
            "hardware.realtime.isolated_cpus",
            str(sorted(isolated)),
            f"CPUs 0 to {realtime.cpus - 1}",
            "the kernel drops the whole list if one CPU in it does not exist",
            "hardware.realtime.cpus is the number of processors",
        )
    for name, thread in realtime.threads.items():
        cpus = set(thread.cpus)
        path = f"hardware.realtime.threads.{name}.cpus"
        if not cpus <= board:
            yield _problem(
                path,
                str(sorted(cpus)),
                f"CPUs 0 to {realtime.cpus - 1}",
                "a thread cannot run on a CPU that the board lacks",
                f"cpus: {sorted(cpus & board) or [0]}",
            )
        elif thread.isolated and not (cpus and cpus <= isolated):
            yield _problem(
                path,
                f"{sorted(cpus)} with isolated: true",
                f"inside the isolated CPUs {sorted(isolated)}",
                "a thread that claims isolation where the kernel keeps nothing away misses cycles",
                f"cpus: {sorted(isolated)[-1:]}" if isolated else "isolated: false",
            )
        elif not thread.isolated and cpus & isolated:
            yield _problem(
                path,
                f"{sorted(cpus)} without isolated: true",
                f"outside the isolated CPUs {sorted(isolated)}",
                "it would run beside a thread that was promised a CPU of its own",
                "isolated: true, or another CPU",
            )


def check_priorities(config: Config) -> Iterator[Mistake]:
    threads = config.hardware.realtime.threads
    loop = threads.get("controld")
    for name, thread in threads.items():
        path = f"hardware.realtime.threads.{name}.priority"
        fifo = thread.policy is Scheduling.FIFO
        if fifo != (thread.priority > 0):
            yield _problem(
                path,
                f"{thread.priority} with policy {thread.policy.value}",
                "1 to 99 with fifo, 0 with other",
                "the kernel refuses every other pair",
                "priority: 50" if fifo else "priority: 0",
            )
        elif loop is not None and name != "controld" and fifo and thread.priority >= loop.priority:
            yield _problem(
                path,
                str(thread.priority),
                f"below controld's {loop.priority}",
                "a thread at the loop's priority is not preempted by it",
                f"priority: {max(1, loop.priority - 1)}",
            )


def check_compute(config: Config) -> Iterator[Mistake]:
    """Everything placed on the robot fits its accelerator when all of it fires at once."""
    compute = config.hardware.compute
    for name in COMPUTE_ROWS:
        if name not in compute.shares:
            yield _problem(
                "hardware.compute.shares",
                f"no row {name}",
                f"a row for each of {', '.join(COMPUTE_ROWS)}",
                "a demand that is not stated cannot be checked against the budget",
                f"{name}: {{tflops: …, rate_hz: …}}",
            )
    here = {k: row for k, row in compute.shares.items() if row.placement is Placement.ROBOT}
    together = {k: row for k, row in here.items() if row.execution is Execution.TOGETHER}
    total = sum(row.tflops for row in together.values())
    if total > compute.fp16_tflops:
        worst = max(together, key=lambda name: together[name].tflops)
        terms = " + ".join(f"{name} {row.tflops:g}" for name, row in together.items())
        yield _problem(
            f"hardware.compute.shares.{worst}.tflops",
            f"{total:g} TFLOPS when all fire at once ({terms})",
            f"at most {compute.fp16_tflops:g}, the board's",
            "late results are dropped, so the level would be blind exactly when all are wanted",
            f"{worst}: placement: edge, or execution: model_by_model with a deadline it can meet",
        )
        return
    for name, row in here.items():
        if row.execution is Execution.MODEL_BY_MODEL:
            yield from _model_by_model(config, name, row, compute.fp16_tflops - total)


def _model_by_model(
    config: Config, name: str, row: ComputeRow, free_tflops: float
) -> Iterator[Mistake]:
    """One model after the other on what is left: a pass takes longer, and must still be in time."""
    level = config.perception.levels.get(name)
    path = f"hardware.compute.shares.{name}.execution"
    if level is None:
        return
    pass_ms = 1000 * row.tflops / row.rate_hz / free_tflops if free_tflops > 0 else float("inf")
    allowed_ms = min(level.deadline_ms, 1000 / level.rate_hz)
    if pass_ms > allowed_ms:
        yield _problem(
            path,
            f"{pass_ms:.0f} ms a pass on the {free_tflops:g} TFLOPS that are left",
            f"at most {allowed_ms:.0f} ms, by deadline and rate of {name}",
            "every result would be late, and late results are dropped",
            f"{name}: placement: edge, or a lower rate_hz and a longer deadline_ms in perception",
        )


def check_compute_rows(config: Config) -> Iterator[Mistake]:
    """A row's models add up to it, and levels run no faster than the rate it is stated for."""
    for name, row in config.hardware.compute.shares.items():
        total = sum(model.tflops for model in row.models.values())
        if row.models and abs(total - row.tflops) > 1e-6 * row.tflops:
            yield _problem(
                f"hardware.compute.shares.{name}.tflops",
                f"{row.tflops:g}",
                f"{total:g}, the sum of its models",
                "the budget is checked with the row, and the schedule with its models",
                f"tflops: {total:g}",
            )
    for name, level in config.perception.levels.items():
        row = config.hardware.compute.shares.get(name)
        if row is not None and level.rate_hz > row.rate_hz:
            yield _problem(
                f"perception.levels.{name}.rate_hz",
                f"{level.rate_hz:g}",
                f"at most {row.rate_hz:g}, the rate its compute share is stated for",
                "the level would draw more than the budget knows of",
                f"rate_hz: {row.rate_hz:g}, or state hardware.compute.shares.{name} anew",
            )


def check_disk(config: Config) -> Iterator[Mistake]:
    storage, ota = config.hardware.storage, config.ota
    need = storage.esp_mib + 2 * storage.slot_mib + storage.data_mib
    if need > storage.disk_mib:
        yield _problem(
            "hardware.storage.disk_mib",
            f"{storage.disk_mib} MiB",
            f"at least {need}: ESP, two slots and data",
            "the image could not be written to the disk",
            f"slot_mib: {(storage.disk_mib - storage.esp_mib - storage.data_mib) // 2}",
        )
    if ota.artifact_max_mib > storage.slot_mib:
        yield _problem(
            "ota.artifact_max_mib",
            f"{ota.artifact_max_mib} MiB",
            f"at most {storage.slot_mib}, the size of a slot",
            "an update would be refused, or half written, on every robot of this board",
            f"artifact_max_mib: {storage.slot_mib}",
        )


def check_spool(config: Config) -> Iterator[Mistake]:
    """What is recorded while the network is away fits the spool, and the spool fits its disk."""
    telemetry, network = config.telemetry, config.facility.network
    spool_mib = telemetry.spool.max_mib
    data_mib = config.hardware.storage.data_mib
    if 2 * spool_mib > data_mib:
        yield _problem(
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
        yield _problem(
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
        yield _problem(
            f"telemetry.streams.{worst}.rate_hz",
            f"{total:.0f} kbit/s of telemetry in all, {rates[worst]:.0f} of them here",
            f"at most {room:.0f}, {UPLINK_SHARE:.0%} of facility.network.uplink_kbps",
            "the spool would fill although the network is there",
            f"telemetry: streams: {worst}: rate_hz: … in the facility's file",
        )


def check_can(config: Config) -> Iterator[Mistake]:
    """All axes' process data fits the wire in one cycle."""
    actuation = config.hardware.actuation
    if not isinstance(actuation, Cia402Actuation):
        return
    axes = len(config.robot.model.links)
    bus = Bus(actuation.fd, actuation.bitrate_bps, actuation.data_bitrate_bps)
    need_us = cycle_us(axes, bus)
    room_us = config.hardware.control.period_us * BUS_LOAD_MAX
    if need_us > room_us:
        faster = Bus(True, 1_000_000, 8_000_000)
        helps = cycle_us(axes, faster) <= room_us
        yield _problem(
            "hardware.actuation.fd" if not actuation.fd else "hardware.actuation.data_bitrate_bps",
            f"{axes} axes that need {need_us:.0f} µs of the wire each cycle",
            f"at most {room_us:.0f} µs, {BUS_LOAD_MAX:.0%} of the period",
            "frames would queue up and drives would act on targets that grow older each cycle",
            "fd: true, bitrate_bps: 1000000, data_bitrate_bps: 8000000"
            if helps
            else "fewer axes a bus, or a longer control.period_us",
        )


def check_ranges(config: Config) -> Iterator[Mistake]:
    """Lower ends lie below upper ends."""
    robot, facility = config.robot, config.facility
    for key, joint in robot.limits.joints.items():
        if not joint.position_min_rad < joint.position_max_rad:
            yield _empty(f"robot.limits.joints.{key}.position_min_rad", joint.position_min_rad)
    boxes = {"facility.workspace": facility.workspace}
    keep_out = {f"facility.keep_out.{name}": box for name, box in facility.keep_out.items()}
    for path, box in {**boxes, **keep_out}.items():
        for axis in range(3):
            if not box.min_m[axis] < box.max_m[axis]:
                yield _empty(f"{path}.min_m[{axis}]", box.min_m[axis])
    thermal, gripper = robot.safety.thermal, robot.gripper
    if not thermal.motor_limit_c < thermal.motor_stop_c:
        yield _empty("robot.safety.thermal.motor_limit_c", thermal.motor_limit_c)
    if not gripper.pressure_holding_kpa < gripper.pressure_max_kpa:
        yield _empty("robot.gripper.pressure_holding_kpa", gripper.pressure_holding_kpa)


def _empty(path: str, value: float) -> Mistake:
    return _problem(
        path,
        f"{value:g}",
        "below the upper value beside it",
        "nothing lies in a range that ends before it begins",
        "exchange the two",
    )


def check_reach(config: Config) -> Iterator[Mistake]:
    """Home lies within the limits, bin and tray within the workspace."""
    robot, workspace = config.robot, config.facility.workspace
    for index, (home, joint) in enumerate(zip(robot.home_rad, robot.limits.ordered, strict=True)):
        if not joint.position_min_rad <= home <= joint.position_max_rad:
            yield _problem(
                f"robot.home_rad[{index}]",
                f"{home:g}",
                f"between {joint.position_min_rad:g} and {joint.position_max_rad:g}",
                "the arm could never go home",
                f"robot.limits.joints.j{index + 1} holds the limits",
            )
    for name, tub in {"pick": robot.pick, "place": robot.place}.items():
        for axis in range(2):
            low = tub.center_m[axis] - tub.inner_m[axis] / 2
            high = tub.center_m[axis] + tub.inner_m[axis] / 2
            if not workspace.min_m[axis] <= low <= high <= workspace.max_m[axis]:
                yield _problem(
                    f"robot.{name}.center_m[{axis}]",
                    f"{low:.2f} to {high:.2f} m",
                    f"inside {workspace.min_m[axis]:g} to {workspace.max_m[axis]:g}, the workspace",
                    "parts at its edge could not be reached",
                    "move the box, or widen facility.workspace up to the base's",
                )


def check_model(config: Config) -> Iterator[Mistake]:
    joints = len(config.robot.model.links)
    for index, sphere in enumerate(config.robot.model.spheres):
        if sphere.link >= joints:
            yield _problem(
                f"robot.model.spheres[{index}].link",
                str(sphere.link),
                f"below {joints}",
                "there is no such link",
                "compile the model again",
            )
    offsets = config.unit.joint_offsets_rad
    if offsets and len(offsets) != joints:
        yield _problem(
            "unit.joint_offsets_rad",
            f"{len(offsets)} offsets",
            f"{joints}, one a joint, or none",
            "a joint would be calibrated with another one's offset",
            "calibrate again with this arm",
        )


def check_cameras(config: Config) -> Iterator[Mistake]:
    """Every stream has a mount; the cell, the bin and both eyes of the stereo pair are there."""
    streams, mounts = config.hardware.cameras.streams, config.robot.cameras
    for name in ("cell", "bin", "stereo_left", "stereo_right"):
        if name not in streams:
            yield _problem(
                "hardware.cameras.streams",
                f"no stream {name}",
                "streams cell, bin, stereo_left, stereo_right",
                "perception looks through these four",
                f"{name}: {{width_px: 160, height_px: 120, rate_hz: 30}}",
            )
    for name in (*streams, *config.unit.cameras):
        if name not in mounts:
            place = "hardware.cameras.streams" if name in streams else "unit.cameras"
            yield _problem(
                f"{place}.{name}",
                "a camera without a mount",
                f"one of {', '.join(mounts)}",
                "a picture from an unknown place says nothing about where people are",
                f"robot: cameras: {name}: {{pos_m: …, look_at_m: …, fovy_deg: …}}",
            )
    left, right = streams.get("stereo_left"), streams.get("stereo_right")
    if left and right and (left.width_px, left.height_px) != (right.width_px, right.height_px):
        yield _problem(
            "hardware.cameras.streams.stereo_right.width_px",
            f"{right.width_px}×{right.height_px}",
            f"{left.width_px}×{left.height_px}, as the left eye",
            "depth comes from comparing the two pictures pixel by pixel",
            f"width_px: {left.width_px}",
        )


def check_rates(config: Config) -> Iterator[Mistake]:
    """Perception is no faster than its camera; a command outlives the wait for the next."""
    camera = config.hardware.cameras.streams.get("cell")
    for name, level in config.perception.levels.items():
        if camera is not None and level.rate_hz > camera.rate_hz:
            yield _problem(
                f"perception.levels.{name}.rate_hz",
                f"{level.rate_hz:g}",
                f"at most {camera.rate_hz:g}, the rate of camera cell",
                "it would look at the same picture twice",
                f"rate_hz: {camera.rate_hz:g}",
            )
    expiry_ms, period_ms = config.robot.safety.command.expiry_ms, 1000 / config.policy.rate_hz
    if expiry_ms < 1.5 * period_ms:
        yield _problem(
            "robot.safety.command.expiry_ms",
            f"{expiry_ms} ms with a command every {period_ms:g} ms",
            f"at least {1.5 * period_ms:g}",
            "the arm would brake between any two commands",
            "policy.rate_hz: 100",
        )


CHECKS: Final[tuple[Check, ...]] = (
    check_threads_exist,
    check_affinity,
    check_priorities,
    check_compute,
    check_compute_rows,
    check_disk,
    check_spool,
    check_uplink,
    check_can,
    check_ranges,
    check_reach,
    check_model,
    check_cameras,
    check_rates,
)
