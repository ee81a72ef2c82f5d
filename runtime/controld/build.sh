#!/bin/sh
# Builds the control process and its Python module, in release, and puts them where the robot's processes look:
#   runtime/controld/target/bin/controld     runtime/shm/_native.abi3.so     runtime/shm/enums.py
#   runtime/controld/target/bin/dynamics     (the simulated arm without its cell, sim/dynamics)
# Does nothing when the sources are those of the last build. Honours CARGO_TARGET_DIR. "--debug" builds without optimising.
set -eu
cd "$(dirname "$0")"
profile=release
[ "${1:-}" = "--debug" ] && profile=debug
# An ordinary build tree unless told otherwise; the results always end in the same places.
build_dir=${CARGO_TARGET_DIR:-$PWD/target}
bin_dir=$PWD/target/bin
shm_dir=$PWD/../shm
stamp=$bin_dir/.built-from

if ! command -v cargo >/dev/null 2>&1; then
    echo "build: cargo is not installed; the control process is written in Rust (1.85 or later): https://rustup.rs, or on Debian 12 rustc-web and cargo-web" >&2
    exit 1
fi

sources_hash() {
    { echo "$profile $(rustc --version)"
      find . ../../sim/dynamics -path ./target -prune -o -type f \( -name '*.rs' -o -name 'Cargo.toml' -o -name 'Cargo.lock' -o -name 'drives.json' \) -print | LC_ALL=C sort | xargs sha256sum
    } | sha256sum | cut -d' ' -f1
}

mkdir -p "$bin_dir"
# One build at a time per tree; whoever waited finds it done.
exec 9>"$bin_dir/.lock"
flock 9
hash=$(sources_hash)
if [ -x "$bin_dir/controld" ] && [ -x "$bin_dir/dynamics" ] && [ -f "$shm_dir/_native.abi3.so" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ]; then
    echo "build: controld is up to date (${hash%"${hash#????????}"})"
    exit 0
fi

echo "build: controld and its Python module, $profile, into $build_dir"
set -- --locked -p controld -p python -p dynamics
[ "$profile" = release ] && set -- --release "$@"
cargo build "$@"
cargo run --quiet --locked -p layout --example python >"$shm_dir/.enums.py.new"

# Renamed into place, so that a running process keeps the file it has mapped.
install_file() { cp "$1" "$2.new" && mv -f "$2.new" "$2"; }
install_file "$build_dir/$profile/controld" "$bin_dir/controld"
install_file "$build_dir/$profile/dynamics" "$bin_dir/dynamics"
install_file "$build_dir/$profile/lib_native.so" "$shm_dir/_native.abi3.so"
if cmp -s "$shm_dir/.enums.py.new" "$shm_dir/enums.py"; then rm "$shm_dir/.enums.py.new"; else mv "$shm_dir/.enums.py.new" "$shm_dir/enums.py"; fi
echo "$hash" >"$stamp"
echo "build: done"
