#!/bin/sh
# protoc, wherever it comes from: a real one if there is one on PATH, otherwise the stand-in in tools/protoc,
# built on first use. `.cargo/config.toml` names this script in PROTOC, so build scripts run it.
set -eu

if command -v protoc >/dev/null 2>&1; then
    exec protoc "$@"
fi

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# What the cargo that runs the build script (and tools around it) sets for itself must not reach the one
# below: its flags would rebuild the stand-in each time they change, its wrappers (clippy, coverage) would
# replace the compiler, its target would make a program that cannot run here, and its job tokens are not
# inherited.
unset CARGO_ENCODED_RUSTFLAGS RUSTFLAGS CARGO_BUILD_RUSTFLAGS \
    RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_RUSTC_WRAPPER CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER \
    RUSTC_LINKER CLIPPY_ARGS LLVM_PROFILE_FILE \
    CARGO_BUILD_TARGET CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR CARGO_BUILD_BUILD_DIR \
    CARGO_MAKEFLAGS MAKEFLAGS MFLAGS

exec "${CARGO:-cargo}" run --quiet --locked \
    --manifest-path "$root/tools/protoc/Cargo.toml" --target-dir "$root/target/protoc" -- "$@"
