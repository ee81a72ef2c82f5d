"""Which Debian packages are wanted; what those need is found by apt and written to the lock."""

from dataclasses import dataclass

SUITE = "trixie"


@dataclass(frozen=True)
class Wanted:
    """A set of packages and the machine they are for."""

    architecture: str
    names: tuple[str, ...]
    essential: bool = False  # and everything that Debian marks as essential
    alone: bool = False  # without what they need: only files of theirs are of use
    foreign: tuple[str, ...] = ()


# On the robot. No apt: what is in a slot changes by replacing the slot.
ROOT = Wanted(
    architecture="arm64",
    essential=True,
    names=(
        "ca-certificates",
        "dbus",
        "dosfstools",  # checks the EFI system partition
        "e2fsprogs",  # checks and grows data
        "fdisk",  # grows its partition
        "iproute2",
        "libstdc++6",  # what compiled Python packages are linked with
        "mender-client",  # installs updates
        "nftables",
        "openssh-server",
        "procps",
        "python3",
        "rt-tests",  # cyclictest, beside the control loop in its acceptance
        "sudo",
        "systemd-sysv",
        "systemd-resolved",
        "systemd-timesyncd",
        "udev",
    ),
)

# On the machine that builds, from the same release as the robot, so that two hosts build the same.
TOOLS = Wanted(
    architecture="amd64",
    names=(
        "base-files",
        "bash",
        "coreutils",
        "cryptsetup-bin",  # veritysetup
        "dash",
        "debconf",
        "debianutils",
        "diffutils",
        "dosfstools",
        "dpkg",
        "e2fsprogs",
        "fdisk",
        "findutils",
        "grep",
        "grub-common",  # grub-mkimage
        "gzip",
        "hostname",
        "init-system-helpers",
        "libarchive13t64",  # lets mke2fs read a tar file
        "libpam-modules-bin",
        "libpam-runtime",
        "login.defs",
        "mawk",
        "mount",
        "mtools",
        "ncurses-bin",
        "openssh-client",
        "openssl",
        "passwd",
        "perl-base",
        "procps",
        "python3-minimal",
        "python3",
        "sed",
        "systemd",
        "sysvinit-utils",
        "tar",
        "udev",
        "util-linux",
        "xz-utils",
        "zstd",
    ),
)

# What compiles for the robot.
TOOLCHAIN = Wanted(
    architecture="amd64",
    foreign=("arm64",),
    names=(
        "base-files",
        "cargo",
        "coreutils",
        "dash",
        "g++-aarch64-linux-gnu",  # Python packages without a wheel for the robot
        "gcc",  # build scripts run where the build runs
        "gcc-aarch64-linux-gnu",
        "libc6-dev",
        "libc6-dev:arm64",
        "libpython3.13-dev:arm64",
        "libstd-rust-dev",
        "libstd-rust-dev:arm64",
        "nanobind-dev",
        "rustc",
    ),
)

# The boot loader's modules exist for the robot's architecture only; they are unpacked, not run.
LOADER = Wanted(architecture="arm64", names=("grub-efi-arm64-bin",), alone=True)

SETS: dict[str, Wanted] = {
    "loader": LOADER,
    "root": ROOT,
    "toolchain": TOOLCHAIN,
    "tools": TOOLS,
}
