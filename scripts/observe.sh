#!/usr/bin/env bash
# Watches ringstone on this machine: starts a Prometheus that scrapes it, with the alerts of grafana/, and
# says how to look at the dashboard. ^C ends it. `observe.sh --help` lists the options.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
port=9090
data=''
target=127.0.0.1:9121

usage() {
  cat <<'TEXT'
usage: observe.sh [--port PORT] [--data DIR] [--target ADDR:PORT]

  --port PORT         where Prometheus listens on 127.0.0.1 (default: 9090)
  --data DIR          where it keeps what it collects (default: a temporary directory, removed at the end)
  --target ADDR:PORT  the --metrics-listen address of ringstone (default: 127.0.0.1:9121)
TEXT
}

fail() {
  echo "observe.sh: $*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo -n env DEBIAN_FRONTEND=noninteractive "$@" || fail "cannot run as root: $*"
  fi
}

while [ $# -gt 0 ]; do
  case $1 in
    --port | --data | --target)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in
        --port) port=$2 ;;
        --data) data=$2 ;;
        --target) target=$2 ;;
      esac
      shift 2
      ;;
    --help | -h)
      usage
      exit
      ;;
    *) fail "unknown argument $1; see observe.sh --help" ;;
  esac
done
[[ $port =~ ^[0-9]+$ ]] || fail "--port is a number"
[[ $target =~ ^[^[:space:]\"]+:[0-9]+$ ]] || fail "--target is ADDR:PORT"

if ! command -v prometheus >/dev/null; then
  as_root apt-get update -qq
  # RUNLEVEL=1: the package must not start a server of its own.
  as_root RUNLEVEL=1 apt-get install -qq -y --no-install-recommends prometheus
fi

temporary=$(mktemp -d)
prometheus=''
end() {
  [ -z "$prometheus" ] || { kill "$prometheus" 2>/dev/null && wait "$prometheus"; } || true
  rm -rf "$temporary"
}
trap end EXIT
trap 'exit 0' INT TERM
data=${data:-$temporary/data}
# The configuration names files beside it.
cp "$repository/grafana/alerts.yml" "$temporary/"
sed "s|127\.0\.0\.1:9121|$target|" "$repository/grafana/prometheus.yml" >"$temporary/prometheus.yml"

is_listening() {
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}
! is_listening || fail "something listens on 127.0.0.1:$port already; choose another --port"
prometheus --config.file="$temporary/prometheus.yml" --storage.tsdb.path="$data" \
  --web.listen-address="127.0.0.1:$port" --log.level=warn &
prometheus=$!
until is_listening; do
  kill -0 "$prometheus" 2>/dev/null || fail "Prometheus has ended; its last lines above say why"
  sleep 0.1
done

container="The container's data source is 127.0.0.1:9090."
[ "$port" = 9090 ] || container="The container's data source is 127.0.0.1:9090, not this Prometheus: change the port in
$repository/grafana/provisioning/datasources/ringstone.yml first."

cat <<TEXT
Prometheus scrapes http://$target/metrics and keeps it in $data.

  graphs    http://127.0.0.1:$port/graph
  alerts    http://127.0.0.1:$port/alerts
  scrapes   http://127.0.0.1:$port/targets    (down: is ringstone running, with this --metrics-listen?)

The dashboard needs Grafana 10 or later, which Debian has not: https://grafana.com/grafana/download, or a container
that finds everything by itself (http://127.0.0.1:3000, admin/admin):

  docker run --rm --network host \\
    -v $repository/grafana/provisioning:/etc/grafana/provisioning:ro \\
    -v $repository/grafana/ringstone.json:/var/lib/grafana/dashboards/ringstone.json:ro \\
    grafana/grafana

$container
In a Grafana of your own: add this Prometheus as a data source, then Dashboards, New, Import, and upload
$repository/grafana/ringstone.json. ^C ends this Prometheus.
TEXT
wait "$prometheus"
