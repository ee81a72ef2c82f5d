"""The kernel as the image takes it: rt_kernel makes it, here it finds its place in the slot."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from image.layers import Entry
from image.plan import Plan
from image.refusal import BuildRefused, Problem
from rt_kernel.boot_args import boot_arguments
from rt_kernel.build import KernelBuild, build_kernel, current_recipe, find_build
from rt_kernel.problem import KernelError

# The last console is the one that systemd talks to and offers a login on.
CONSOLES: dict[str, tuple[str, ...]] = {
    "qemu_arm64": ("console=ttyAMA0",),
    "qemu_arm64_icount": ("console=ttyAMA0",),
    "jetson_agx_orin": ("console=tty0", "console=ttyTCU0,115200"),
    "jetson_thor": ("console=tty0", "console=ttyUTC0,115200"),
}
QUIET = ("loglevel=4", "systemd.show_status=error")


@dataclass(frozen=True)
class Kernel:
    build: KernelBuild
    arguments: tuple[str, ...]

    def entries(self) -> list[Entry]:
        """Image, its configuration, and the device trees for a board that names one itself."""
        trees = sorted(self.build.device_trees.glob("*.dtb"))
        return [
            Entry.copy("boot/Image", self.build.image),
            Entry.copy(f"boot/config-{self.build.release}", self.build.kconfig),
            *(Entry.copy(f"boot/dtb/{tree.name}", tree) for tree in trees),
        ]


def kernel_cache(plan: Plan) -> Path:
    return plan.cache.root.parent / "kernel"


def is_cached(plan: Plan) -> bool:
    try:
        return find_build(current_recipe(), kernel_cache(plan)) is not None
    except KernelError:
        return False


def kernel(plan: Plan, say: Callable[[str], None]) -> Kernel:
    try:
        build = build_kernel(
            plan.config,
            kernel_cache(plan),
            plan.jobs,
            say,
            relock=os.environ.get("RELOCK") == "scratch",
        )
        realtime = boot_arguments(plan.config)
    except KernelError as error:
        problem = Problem(error.where, error.got, error.because, error.suggestion)
        raise BuildRefused([problem]) from error
    board = plan.config.hardware.name
    consoles = CONSOLES.get(board, ("console=ttyAMA0",))
    return Kernel(build, (*consoles, *QUIET, *realtime))
