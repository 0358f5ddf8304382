#!/usr/bin/env bash
# Makes the Debian package: builds the binary, has it write its man pages and completions, and packs them.
# Needs cargo-deb (cargo install cargo-deb). Prints the path of the package.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked
resident=${CARGO_TARGET_DIR:-target}/release/resident
made=target/deb
rm -rf "$made"
mkdir -p "$made"
"$resident" man --dir "$made/man" >&2
"$resident" completions bash > "$made/resident.bash"
"$resident" completions zsh > "$made/_resident"
"$resident" completions fish > "$made/resident.fish"
cargo deb --no-build --no-strip --locked
