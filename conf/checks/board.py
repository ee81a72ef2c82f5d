"""What must hold between settings of the board: processors, disk, bus."""

from collections.abc import Iterator

from conf.canbus import BUS_LOAD_MAX, Bus, cycle_us, fits
from conf.mistake import Mistake, unplaced
from conf.schema import Config
from conf.schema.hardware import Cia402Actuation, Scheduling


def check_threads_exist(config: Config) -> Iterator[Mistake]:
    """The loop has a row, and its watchdog lives off its CPU where there is another."""
    realtime = config.hardware.realtime
    path = "hardware.realtime.threads"
    for name in ("controld", "controld_watchdog"):
        if name not in realtime.threads:
            yield unplaced(
                path,
                f"no row {name}",
                "a row for controld and one for controld_watchdog",
                "Tier 1 and what watches it are scheduled by the board's profile",
                f"{name}: {{policy: fifo, priority: 99, cpus: [1]}}",
            )
            return
    loop, watchdog = realtime.threads["controld"], realtime.threads["controld_watchdog"]
    if realtime.cpus > 1 and set(loop.cpus) & set(watchdog.cpus):
        yield unplaced(
            f"{path}.controld_watchdog.cpus",
            f"{list(watchdog.cpus)}, shared with controld",
            "another CPU than the loop's",
            "a loop that hangs at priority 99 starves a watchdog on its own CPU",
            f"cpus: [{next(cpu for cpu in range(realtime.cpus) if cpu not in loop.cpus)}]",
        )
    if len(loop.cpus) != 1:
        yield unplaced(
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
        yield unplaced(
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
            yield unplaced(
                path,
                str(sorted(cpus)),
                f"CPUs 0 to {realtime.cpus - 1}",
                "a thread cannot run on a CPU that the board lacks",
                f"cpus: {sorted(cpus & board) or [0]}",
            )
        elif thread.isolated and not (cpus and cpus <= isolated):
            yield unplaced(
                path,
                f"{sorted(cpus)} with isolated: true",
                f"inside the isolated CPUs {sorted(isolated)}",
                "a thread that claims isolation where the kernel keeps nothing away misses cycles",
                f"cpus: {sorted(isolated)[-1:]}" if isolated else "isolated: false",
            )
        elif not thread.isolated and cpus & isolated:
            yield unplaced(
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
            yield unplaced(
                path,
                f"{thread.priority} with policy {thread.policy.value}",
                "1 to 99 with fifo, 0 with other",
                "the kernel refuses every other pair",
                "priority: 50" if fifo else "priority: 0",
            )
        elif loop is not None and name != "controld" and fifo and thread.priority >= loop.priority:
            yield unplaced(
                path,
                str(thread.priority),
                f"below controld's {loop.priority}",
                "a thread at the loop's priority is not preempted by it",
                f"priority: {max(1, loop.priority - 1)}",
            )


def check_misses(config: Config) -> Iterator[Mistake]:
    control = config.hardware.control
    if control.miss_limit > control.miss_window_cycles:
        yield unplaced(
            "hardware.control.miss_limit",
            str(control.miss_limit),
            f"at most {control.miss_window_cycles}, the cycles of the window",
            "the reaction to misses could never come",
            f"miss_limit: {min(20, control.miss_window_cycles)}",
        )


def check_disk(config: Config) -> Iterator[Mistake]:
    storage, ota = config.hardware.storage, config.ota
    need = storage.esp_mib + 2 * storage.slot_mib + storage.data_mib
    if need > storage.disk_mib:
        yield unplaced(
            "hardware.storage.disk_mib",
            f"{storage.disk_mib} MiB",
            f"at least {need}: ESP, two slots and data",
            "the image could not be written to the disk",
            f"slot_mib: {(storage.disk_mib - storage.esp_mib - storage.data_mib) // 2}",
        )
    if ota.artifact_max_mib > storage.slot_mib:
        yield unplaced(
            "ota.artifact_max_mib",
            f"{ota.artifact_max_mib} MiB",
            f"at most {storage.slot_mib}, the size of a slot",
            "an update would be refused, or half written, on every robot of this board",
            f"artifact_max_mib: {storage.slot_mib}",
        )


def check_can(config: Config) -> Iterator[Mistake]:
    """All axes' process data fits the wire in one cycle."""
    actuation = config.hardware.actuation
    if not isinstance(actuation, Cia402Actuation):
        return
    axes = len(config.robot.model.links)
    bus = Bus(actuation.fd, actuation.bitrate_bps, actuation.data_bitrate_bps)
    period_us = config.hardware.control.period_us
    if not fits(axes, bus, period_us):
        helps = fits(axes, Bus(True, 1_000_000, 8_000_000), period_us)
        yield unplaced(
            "hardware.actuation.fd" if not actuation.fd else "hardware.actuation.data_bitrate_bps",
            f"{axes} axes that need {cycle_us(axes, bus):.0f} µs of the wire each cycle",
            f"at most {period_us * BUS_LOAD_MAX:.0f} µs, {BUS_LOAD_MAX:.0%} of the period",
            "frames would queue up and drives would act on targets that grow older each cycle",
            "fd: true, bitrate_bps: 1000000, data_bitrate_bps: 8000000"
            if helps
            else "fewer axes a bus, or a longer control.period_us",
        )
