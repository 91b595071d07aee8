#!/usr/bin/env bash
# Measures ringstone beside Debian's redis-server on this machine, at equal durability, and prints
# ratios; with `--store foundationdb` it measures ringstone on a FoundationDB cluster instead, beside
# one transaction per command and a bare client; with `--plot` first it draws benches/latency.svg.
# All options go to bench.py, bench_fdb.py or bench_plot.py; `scripts/bench.sh --help`,
# `scripts/bench.sh --store foundationdb --help` and `scripts/bench.sh --plot --help` list them.
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
cargo build --release --quiet --bins --example paced
if [ "${1:-}" = --plot ]; then
    exec python3 scripts/bench_plot.py "${@:2}"
fi
exec python3 scripts/bench.py --binary target/release/ringstone "$@"
