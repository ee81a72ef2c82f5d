#!/usr/bin/env bash
# Installs what a target needs on a fresh Debian 12 or 13, and builds what is built from this tree.
# Quick when nothing changed. As root it installs by itself, as an ordinary user through sudo;
# with neither it says which packages to ask for.
#
#   ./bootstrap.sh run     what `make run` needs
#   ./bootstrap.sh test    the same, and the browser and linters of `make test`
#   ./bootstrap.sh image   what `make image` and `make boot` need beside that of `make run`
set -euo pipefail
cd "$(dirname "$0")"

UV_VERSION=0.13.8
RUST_MINIMUM=1.85
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/bedplate"

# One package a line and what it is for; all from Debian's own archive.
packages_run() {
  cat <<'LIST'
ca-certificates  certificates of the package sources
gcc              links Rust programs
libc6-dev        headers for the same
libcap2-bin      lets an ordinary user's controld have real-time priority
libegl1          renders the simulated cameras
libegl-mesa0     the same
libgl1-mesa-dri  the same
libgles2         the same
libopengl0       the same
libosmesa6       renders where EGL does not work
mosquitto        the MQTT broker
python3-venv     the Python environment
LIST
}
packages_test() {
  cat <<'LIST'
chromium          the page, driven as a user would
dosfstools        a small EFI system partition for GRUB
e2fsprogs         small slots for the same
fdisk             its partition table
fonts-dejavu-core letters on that page
mender-artifact   reads what this tree packs for robots
mender-client     the robot's own update client, against a double of its server
grub-emu          the boot loader itself, as a program of this machine
mtools            fills that partition
openssh-client    makes a robot's host key, as its first start does
patch             lays patches over the sources that kernel tests build from
postgresql        rows of the fleet, in a cluster that the tests make
procps            tests that look at processes
prometheus-alertmanager groups alerts and passes them on, to a receiver that the tests make
xz-utils          packs those sources
LIST
}

# The image's own programs come from its lock; these start the build, compile the kernel, run the guest.
packages_image() {
  cat <<'LIST'
arch-test             whether arm64 programs run here
bc                    the kernel's build
binfmt-support        runs the robot's own dpkg while its root is made
bison                 the kernel's build
ca-certificates       certificates of the package sources
cryptsetup-bin        looks into an image's verified slot
e2fsprogs             the same
fdisk                 the same
flex                  the kernel's build
gcc-aarch64-linux-gnu the kernel's compiler
git                   says which files are the tree's
make                  the kernel's build
mmdebstrap            makes Debian's part of the root
openssh-client        into the guest
patch                 the kernel's build
perl                  the kernel's build
qemu-efi-aarch64      firmware of the guest
qemu-system-arm       the guest
qemu-user-static      runs the robot's own dpkg
qemu-utils            the guest's disk
uidmap                builds without root
util-linux            namespaces
xz-utils              the kernel's source
LIST
}

STEP=0
STARTED=$SECONDS
step() { STEP=$((STEP + 1)); printf '[%d] %s (at %d s)\n' "$STEP" "$*" "$((SECONDS - STARTED))"; }
refuse() { printf 'bootstrap: %s\n' "$1" >&2; shift; printf '  %s\n' "$@" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else refuse "this needs root: $*" "there is no sudo on this machine; run that line as root, then start again"; fi
}

missing_packages() {
  local name _why
  while read -r name _why; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"
  done
}

apt_install() {
  command -v apt-get >/dev/null || refuse "these Debian packages are missing: $*" \
    "this is not a Debian system: install what they hold, under its own names, and start again"
  if [ ! -e /var/cache/apt/pkgcache.bin ] || [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -print -quit 2>/dev/null)" ]; then
    as_root apt-get -qq update
  fi
  # Servers among them are for our own use: none starts to listen because it was installed.
  local policy=/usr/sbin/policy-rc.d own=""
  if [ ! -e "$policy" ]; then
    own=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  local failed=""
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null ||
    { as_root apt-get -qq update # the lists may be older than the archive
      as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null; } ||
    failed=yes
  if [ -n "$own" ]; then as_root rm -f "$policy"; fi
  if [ -n "$failed" ]; then refuse "could not install: $*" "look at the lines above; then: apt-get install $*"; fi
}

install_packages() {
  local missing
  missing=$("packages_run" | missing_packages)
  if [ "$1" = test ]; then missing="$missing $(packages_test | missing_packages)"; fi
  if [ "$1" = image ]; then missing="$missing $(packages_image | missing_packages)"; fi
  # shellcheck disable=SC2086 # a list of names
  set -- $missing
  if [ $# = 0 ]; then step "system packages: all there"; return; fi
  step "system packages: installing $*"
  apt_install "$@"
}

at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }
rust_version() { cargo --version 2>/dev/null | cut -d' ' -f2; }

install_rust() {
  if [ -d "$HOME/.cargo/bin" ]; then PATH="$HOME/.cargo/bin:$PATH"; fi
  local have
  have=$(rust_version || true)
  if [ -n "$have" ] && at_least "$have" "$RUST_MINIMUM"; then step "Rust $have: there"; return; fi
  # Debian 12 keeps a current Rust for its browsers under a name of its own; Debian 13's own is new enough.
  apt-cache show rustc-web >/dev/null 2>&1 || as_root apt-get -qq update
  if apt-cache show rustc-web >/dev/null 2>&1; then set -- rustc-web cargo-web; else set -- rustc cargo; fi
  step "Rust: installing $*"
  apt_install "$@"
  hash -r
  have=$(rust_version || true)
  if [ -z "$have" ] || ! at_least "$have" "$RUST_MINIMUM"; then
    refuse "Rust $RUST_MINIMUM or later is needed to build controld; this machine has ${have:-none}" \
      "install a newer one (rustup, or the distribution's), see that 'cargo --version' says so, and start again"
  fi
}

# The interpreter itself, not a launcher in front of it: uv takes the two for different Pythons, and would make
# the environment anew at every call.
find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(1) if sys.version_info < (3, 11) else print(sys.executable)'; then return; fi
  done
  refuse "Python 3.11 or later is needed" "install it (Debian 12 and 13 have it as python3) and start again"
}

install_python() {
  local python uv
  python=$(find_python)
  if command -v uv >/dev/null; then uv=$(command -v uv)
  else
    uv="$CACHE/uv-$UV_VERSION/bin/uv"
    if [ ! -x "$uv" ]; then
      step "uv $UV_VERSION: installing"
      rm -rf "$CACHE/uv-$UV_VERSION"
      "$python" -m venv "$CACHE/uv-$UV_VERSION"
      "$CACHE/uv-$UV_VERSION/bin/pip" install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    fi
  fi
  step "Python packages: as locked"
  local groups=()
  if [ "$1" != test ]; then groups=(--no-default-groups --group run); fi
  UV_PYTHON_DOWNLOADS=never "$uv" sync --frozen --inexact --quiet "${groups[@]}" --python "$python"
}

build_native() {
  step "controld and its Python module"
  runtime/controld/build.sh
  if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null &&
    ! getcap runtime/controld/target/bin/controld 2>/dev/null | grep -q cap_sys_nice; then
    sudo -n setcap cap_sys_nice,cap_ipc_lock+ep runtime/controld/target/bin/controld 2>/dev/null ||
      echo "    without the right to real-time priority controld will run best-effort, and every record will say so"
  fi
}

# Debian has no influxd that tests could use, so it is built from source, once; without Go the tests that need it say so.
build_influxd() {
  step "influxd"
  .venv/bin/python -m fleet.influxd --build || echo "    tests of the real InfluxDB are passed over"
}

# Debian registers the emulator where systemd runs; in a container or a bare machine it is done here.
enable_emulation() {
  [ "$(uname -m)" != aarch64 ] || return 0
  local folder=/proc/sys/fs/binfmt_misc
  if [ ! -e "$folder/register" ]; then as_root mount -t binfmt_misc none "$folder" || true; fi
  if [ ! -e "$folder/qemu-aarch64" ]; then as_root update-binfmts --enable qemu-aarch64 || true; fi
  if [ -e "$folder/qemu-aarch64" ]; then step "emulation of arm64: there"
  else echo "    arm64 programs do not run here; a root file system can only come from the cache"; fi
}

case "${1:-run}" in
  run | test | image) ;;
  *) sed -n '2,9p' "$0"; exit 2 ;;
esac
install_packages "${1:-run}"
if [ "${1:-run}" = image ]; then enable_emulation; fi
install_rust
install_python "${1:-run}"
build_native
if [ "${1:-run}" = test ]; then build_influxd; fi
step "ready"
