"""From a profile to a disk image: the table of contents. Each step has a file in image/steps/."""

from dataclasses import dataclass
from pathlib import Path

from image.disk_layout import Layout, check_fits, layout
from image.layers import Layer, join, write_layer
from image.plan import Plan
from image.progress import Step
from image.steps import code, python, robot, updates
from image.steps.base import Base, base
from image.steps.disk import assemble, make_data
from image.steps.extension import RUCKIG, compile_extension
from image.steps.fetch import fetch
from image.steps.kernel import Kernel, kernel
from image.steps.loader import (
    FIRMWARE_PATH,
    GRUB_CFG,
    environment_files,
    make_esp,
    make_loader,
)
from image.steps.manifest import Made, manifest_inside, sbom, seed, write_products
from image.steps.preflight import cold_steps, preflight
from image.steps.rust import CONTROLD, compile_crate
from image.steps.slot import Slot, check_libraries, make_slot
from image.steps.tools import Tools, tools
from image.steps.vendor import Vendor, vendor

STEPS = (
    Step("check this machine and the inputs", 2, 2),
    Step("fetch what is locked", 60, 0.5),
    Step("unpack the build's own tools", 10, 0.1),
    Step("build the kernel", 480, 1),
    Step("make Debian's root file system", 70, 0.3),
    Step("compile Tier 1 for the robot", 80, 0.5),
    Step("install Python packages", 60, 1),
    Step("add this tree and the profile", 3, 3),
    Step("make the slot and its hashes", 8, 8),
    Step("put the disk together", 6, 6),
)


@dataclass(frozen=True)
class Parts:
    """What a slot is made of, each from its own inputs."""

    kernel: Kernel
    debian: Base
    compiled: Path
    packages: Path
    extension: Path
    vendor: Vendor


def build(plan: Plan) -> Made:
    step = plan.progress.step
    plan.progress.begin(cold_steps(plan), plan.cache.root / "times.json")
    with step(STEPS[0].name) as say:
        preflight(plan, say)
        robot.check_board(plan.config)
        chosen = vendor(plan, say)
    with step(STEPS[1].name) as say:
        fetch(plan.lock.rows, plan.mirrors, plan.cache, say)
    with step(STEPS[2].name):
        used = tools(plan.lock.sets["tools"], plan.cache)
    parts = make_parts(plan, used, chosen)
    with plan.cache.workspace("image") as work:
        return put_together(plan, parts, used, work)


def make_parts(plan: Plan, used: Tools, chosen: Vendor) -> Parts:
    step, sets, cache = plan.progress.step, plan.lock.sets, plan.cache
    with step(STEPS[3].name) as say:
        made = kernel(plan, say)
    with step(STEPS[4].name):
        debian = base(sets["root"], used, cache, plan.epoch)
    with step(STEPS[5].name):
        compiled = compile_crate(plan.tree, CONTROLD, sets["toolchain"], cache, plan.jobs)
        extension = compile_extension(plan.tree, RUCKIG, sets["toolchain"], cache)
    with step(STEPS[6].name):
        packages = python.install(plan.tree, used, cache)
    return Parts(made, debian, compiled, packages, extension, chosen)


def put_together(plan: Plan, parts: Parts, used: Tools, work: Path) -> Made:
    step = plan.progress.step
    with step(STEPS[7].name):
        layers = make_layers(plan, parts, used, work)
        contents = join(layers, work / "contents.tar", plan.epoch)
        inside = manifest_inside(plan, parts.kernel, contents)
        listed = sbom(plan, parts.debian, parts.packages, parts.kernel, inside)
        last = [inside.entry, listed.entry]
        layers.append(write_layer("manifest", work / "manifest.tar", last, plan.epoch))
        join(layers, work / "root.tar", plan.epoch)
        check_libraries(work / "root.tar")
    disk = layout(plan.config.hardware.storage, seed(plan, contents), plan.config.hardware.name)
    with step(STEPS[8].name):
        extra = parts.kernel.arguments
        slot = make_slot(work / "root.tar", contents, used, work / "slot.img", plan.epoch, extra)
        check_fits(slot.size, plan.config.hardware.storage, plan.config.hardware.name)
    with step(STEPS[9].name) as say:
        make_disk(plan, disk, slot, used, work)
        return write_products(plan, inside, listed, slot, disk, used, work, say)


def make_layers(plan: Plan, parts: Parts, used: Tools, work: Path) -> list[Layer]:
    """Debian, the kernel, Python packages, the tree, and last what is this profile's alone."""
    last = [
        *robot.entries(plan.config, parts.debian.accounts, parts.debian.names),
        *updates.entries(plan.config, plan.update_key, parts.debian.names),
    ]
    robot.check_written(parts.debian.texts, last)
    chosen = {
        "kernel": parts.kernel.entries(),
        "python": [*python.entries(parts.packages), *python.extension_entries(parts.extension)],
        "tree": code.entries(plan.tree, plan.config, parts.compiled, used, work),
        "vendor": list(parts.vendor.entries),
        "robot": last,
    }
    made = [write_layer(n, work / f"{n}.tar", e, plan.epoch) for n, e in chosen.items() if e]
    return [parts.debian.layer, *made]


def make_disk(plan: Plan, disk: Layout, slot: Slot, used: Tools, work: Path) -> None:
    """ESP with GRUB, slot A, an empty slot B, data, in one sparse file."""
    files = {
        FIRMWARE_PATH: make_loader(plan.lock.sets["loader"], used, plan.cache, work),
        "bedplate/grub.cfg": GRUB_CFG,
        **environment_files(work),
    }
    make_esp(disk.partition("esp"), files, used, work / "esp.img", plan.epoch)
    make_data(disk.partition("data"), used, work / "data.img", plan.epoch, [], work)
    images = {"esp": work / "esp.img", "slot-a": slot.image, "data": work / "data.img"}
    assemble(disk, images, used, work / "disk.img")
