#!/usr/bin/env bash
# Measures ringstone beside Debian's redis-server on this machine, at equal durability, and prints
# ratios. All options go to bench.py; `scripts/bench.sh --help` lists them.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in redis-server redis-benchmark; do
    if ! command -v "$tool" >/dev/null; then
        sudo=$([ "$(id -u)" = 0 ] || echo sudo)
        $sudo apt-get update -qq
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq redis-server redis-tools
        break
    fi
done
cargo build --release --quiet
exec python3 scripts/bench.py --binary target/release/ringstone "$@"
