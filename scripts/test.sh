#!/usr/bin/env bash
# Everything a change must pass: format, lints, tests, real clients. Installs what is missing (Debian
# packages; needs root or sudo for that), can be run again at any time, from any directory.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:$HOME/.cargo/bin"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
node_major_min=20

step() {
  printf '\n== %s (%ds)\n' "$1" "$SECONDS"
}

fail() {
  echo "test.sh: $*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo -n env DEBIAN_FRONTEND=noninteractive "$@" || fail "cannot run as root: $*"
  fi
}

# Not libclang-cpp, which is something else.
has_libclang() {
  local folder
  for folder in "${LIBCLANG_PATH:-}" /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64; do
    compgen -G "$folder/libclang.so*" >/dev/null && return
    compgen -G "$folder/libclang-[0-9]*.so*" >/dev/null && return
  done
  return 1
}

install_missing() {
  local packages=()
  command -v redis-server >/dev/null || packages+=(redis-server)
  command -v redis-cli >/dev/null || packages+=(redis-tools)
  command -v openssl >/dev/null || packages+=(openssl)
  { command -v prometheus && command -v promtool; } >/dev/null || packages+=(prometheus)
  command -v prometheus-redis-exporter >/dev/null || packages+=(prometheus-redis-exporter)
  command -v cc >/dev/null || packages+=(gcc libc6-dev)
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
  command -v node >/dev/null || packages+=(nodejs)
  command -v npm >/dev/null || packages+=(npm)
  # What builds the FoundationDB client's bindings.
  has_libclang || packages+=(libclang-dev)
  if [ "${#packages[@]}" -gt 0 ]; then
    as_root apt-get update -qq
    # RUNLEVEL=1: the packages must not start a server of their own.
    as_root RUNLEVEL=1 apt-get install -qq -y --no-install-recommends "${packages[@]}"
  fi
  command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs"
  cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
  cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
  local node_major
  node_major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$node_major" -ge "$node_major_min" ] ||
    fail "node $node_major_min or later is needed for the current Redis clients, this is $node_major"
  redis-server --version | grep -q 'v=7\.0\.' ||
    fail "the scenarios compare with Redis 7.0, this is: $(redis-server --version)"
}

step "Tools"
install_missing
step "Format"
cargo fmt --check
step "Lints"
cargo clippy --quiet --locked --all-targets -- -D warnings
cargo clippy --quiet --locked --all-targets --features fdb,otlp -- -D warnings
step "Known vulnerabilities"
if cargo audit --version >/dev/null 2>&1 && [ -d "${CARGO_HOME:-$HOME/.cargo}/advisory-db" ]; then
  cargo audit --no-fetch --stale
else
  echo "skipped: cargo-audit and its advisories are not here (cargo install cargo-audit && cargo audit)"
fi
features=()
if scripts/fdb-dev.sh check; then
  features=(--features fdb)
  cluster=$(mktemp -d)
  trap 'scripts/fdb-dev.sh stop --dir "$cluster"; rm -rf "$cluster"' EXIT
  RINGSTONE_TEST_FDB_CLUSTER_FILE=$(scripts/fdb-dev.sh start --dir "$cluster")
  export RINGSTONE_TEST_FDB_CLUSTER_FILE
  step "Tests, with FoundationDB"
else
  step "Tests; those of FoundationDB are skipped"
fi
cargo test --quiet --locked --profile quick "${features[@]}"
step "Tests of the OTLP exporter"
cargo test --quiet --locked --profile quick --features otlp --test otlp
step "Clients"
tests/clients/install.sh
cargo test --quiet --locked --profile quick "${features[@]}" --test clients -- --include-ignored
step "All passed"
