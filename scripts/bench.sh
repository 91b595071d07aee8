#!/usr/bin/env bash
# Measures ringstone beside Debian's redis-server on this machine, at equal durability, and prints
# ratios; with `--store foundationdb` it measures ringstone on a FoundationDB cluster instead, beside
# one transaction per command and a bare client. All options go to bench.py, or bench_fdb.py;
# `scripts/bench.sh --help` and `scripts/bench.sh --store foundationdb --help` list them.
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
case " $* " in
    *" --store foundationdb "* | *" --store=foundationdb "*)
        scripts/fdb-dev.sh check
        cargo build --release --quiet --features fdb --bins --examples
        exec python3 scripts/bench_fdb.py "$@"
        ;;
esac
cargo build --release --quiet
exec python3 scripts/bench.py --binary target/release/ringstone "$@"
