#!/usr/bin/env bash
# A FoundationDB cluster on this machine, for development and tests, from installed packages. All it
# keeps is in one directory; the processes listen on loopback only. `fdb-dev.sh help` says how.
set -euo pipefail
exec </dev/null
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Servers of a small machine: the defaults (8 GiB a process, 2 GiB of it cache) are for a large one.
memory=3GiB
cache_memory=512MiB
start_seconds=60
stop_seconds=10
releases=https://github.com/apple/foundationdb/releases

usage() {
  cat <<'TEXT'
usage: fdb-dev.sh COMMAND [--dir DIR] [options]

  start      starts the cluster, or what of it is not running, waits until it answers, and prints the
             path of its cluster file; the options below count when DIR is new
               --port PORT               first port; the others follow (default: free ones)
               --processes N             fdbserver processes (default: 1)
               --redundancy single|double
               --engine ssd|memory       (defaults: single, ssd)
  stop       ends all processes; the data stays
  status     says which processes run and whether the database answers; fails when it does not
  kill N     kills process N (from 1) with SIGKILL
  restart N  kills process N if it runs, and starts it
  check      fails with one line when FoundationDB is not installed

DIR is target/fdb-dev, or ringstone-fdb in the temporary directory where there is no target.
FDBSERVER and FDBCLI name the programs when they are in unusual places.
TEXT
}

fail() {
  echo "fdb-dev.sh: $*" >&2
  exit 1
}

# The program $1, or the first executable of the other arguments.
find_program() {
  local candidate
  for candidate in "$(command -v "$1" || true)" "${@:2}"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

find_library() {
  local folder
  local -a folders
  IFS=: read -ra folders <<<"${LD_LIBRARY_PATH:-}:/usr/lib:/usr/lib64:/usr/local/lib"
  for folder in "${folders[@]}"; do
    [ -n "$folder" ] && [ -e "$folder/libfdb_c.so" ] && return
  done
  { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true; } | grep -q 'libfdb_c\.so'
}

find_foundationdb() {
  local missing=()
  fdbserver=${FDBSERVER:-$(find_program fdbserver /usr/sbin/fdbserver \
    /usr/local/sbin/fdbserver /usr/lib/foundationdb/fdbserver)} || true
  fdbcli=${FDBCLI:-$(find_program fdbcli /usr/bin/fdbcli /usr/local/bin/fdbcli \
    /usr/lib/foundationdb/fdbcli)} || true
  [ -x "$fdbserver" ] || missing+=(fdbserver)
  [ -x "$fdbcli" ] || missing+=(fdbcli)
  find_library || missing+=(libfdb_c.so)
  [ "${#missing[@]}" = 0 ] || fail "FoundationDB is not installed (no ${missing[*]}): install the" \
    "packages foundationdb-clients and foundationdb-server 7.3 from $releases"
}

# Each process has a directory DIR/N with its port, its process id, its data and its logs.

process_pid() {
  local pid
  pid=$(cat "$dir/$1/pid" 2>/dev/null) || return 1
  # The number may be another process's by now.
  { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF "$dir/$1/data" && echo "$pid"
}

processes() {
  local folder
  for folder in "$dir"/[0-9]*/; do
    [ -f "$folder/port" ] && basename "$folder"
  done
  return 0
}

start_process() {
  local home=$dir/$1 port extra=()
  port=$(cat "$home/port")
  process_pid "$1" >/dev/null && return
  # Direct I/O, which the server otherwise insists on, is nothing tmpfs knows.
  [ "$(stat -f -c %T "$home")" = tmpfs ] && extra+=(--knob_disable_posix_kernel_aio=1)
  # A zone of its own for each process: copies of double redundancy go to different zones.
  setsid "$fdbserver" --cluster-file "$dir/fdb.cluster" --datadir "$home/data" \
    --logdir "$home/log" --listen-address "127.0.0.1:$port" --public-address "127.0.0.1:$port" \
    --locality-machineid "machine$1" --locality-zoneid "zone$1" \
    --memory "$memory" --cache-memory "$cache_memory" "${extra[@]}" \
    >"$home/output" 2>&1 &
  echo $! >"$home/pid"
  # Until then this is still the shell, which nobody would recognise as process $1.
  until process_pid "$1" >/dev/null || ! kill -0 $! 2>/dev/null; do
    sleep 0.01
  done
}

# Ends process $2 with signal $1 and waits until it is gone.
end_process() {
  local pid
  pid=$(process_pid "$2") || return 0
  kill "-$1" "$pid" 2>/dev/null || true
  timeout "$stop_seconds" tail --pid="$pid" -s 0.02 -f /dev/null
}

is_listening() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The first of $1 ports in a row on which nobody listens, below those of outgoing connections.
free_ports() {
  local first port
  for _ in {1..100}; do
    first=$((20000 + RANDOM % 12000))
    for ((port = first; port < first + $1; port++)); do
      is_listening "$port" && continue 2
    done
    echo "$first"
    return
  done
  fail "no free ports"
}

create_cluster() {
  local first number home coordinators=() wanted=1
  first=${port:-0}
  [ "$first" != 0 ] || first=$(free_ports "$count")
  # An odd number of coordinators survives the loss of the smaller half.
  [ "$count" -ge 3 ] && wanted=3
  for ((number = 1; number <= count; number++)); do
    home=$dir/$number
    mkdir -p "$home/data" "$home/log"
    echo $((first + number - 1)) >"$home/port"
    [ "$number" -le "$wanted" ] && coordinators+=("127.0.0.1:$((first + number - 1))")
  done
  echo "ringstone:$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')@$(
    IFS=,
    echo "${coordinators[*]}"
  )" >"$dir/fdb.cluster"
  echo "$redundancy $engine" >"$dir/configuration"
}

cli() {
  "$fdbcli" -C "$dir/fdb.cluster" --timeout 5 --exec "$1" 2>&1
}

is_available() {
  cli "status minimal" | grep -q "database is available"
}

# Repeats a check until it succeeds; gives up after a while, or when a process has ended.
wait_until() {
  local deadline=$((SECONDS + start_seconds)) number
  until "$@"; do
    for number in $(processes); do
      process_pid "$number" >/dev/null ||
        fail "process $number ended: $(tail -n 3 "$dir/$number/output"; echo "see $dir/$number/log")"
    done
    [ "$SECONDS" -lt "$deadline" ] ||
      fail "the cluster does not answer after $start_seconds s; see $dir/*/log"
    sleep 0.05
  done
}

is_configured() {
  cli "configure new $(cat "$dir/configuration")" | grep -qE 'Database created|already exists'
}

start() {
  local number
  mkdir -p "$dir"
  [ -f "$dir/configuration" ] || create_cluster
  for number in $(processes); do
    start_process "$number"
  done
  if [ ! -f "$dir/configured" ]; then
    wait_until is_configured
    touch "$dir/configured"
  fi
  wait_until is_available
  echo "$dir/fdb.cluster"
}

stop() {
  local number
  for number in $(processes); do
    end_process TERM "$number" || end_process KILL "$number"
  done
}

status() {
  local number pid state
  for number in $(processes); do
    pid=$(process_pid "$number") && state="running, pid $pid" || state=down
    echo "process $number, port $(cat "$dir/$number/port"): $state"
  done
  [ -f "$dir/fdb.cluster" ] || fail "no cluster in $dir"
  cli status
  is_available
}

command=${1:-help}
shift || true
dir='' port='' count=1 redundancy=single engine=ssd target=''
while [ $# -gt 0 ]; do
  case $1 in
    --dir | --port | --processes | --redundancy | --engine)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in
        --dir) dir=$2 ;;
        --port) port=$2 ;;
        --processes) count=$2 ;;
        --redundancy) redundancy=$2 ;;
        --engine) engine=$2 ;;
      esac
      shift 2
      ;;
    [0-9]*)
      target=$1
      shift
      ;;
    *) fail "unknown argument $1; see fdb-dev.sh help" ;;
  esac
done
[[ $count =~ ^[1-9][0-9]?$ ]] || fail "--processes is a number from 1 to 99"
[[ $port =~ ^[0-9]*$ ]] || fail "--port is a number"
[[ $redundancy =~ ^(single|double)$ ]] || fail "--redundancy is single or double"
[[ $engine =~ ^(ssd|memory)$ ]] || fail "--engine is ssd or memory"
if [ -z "$dir" ]; then
  dir=${TMPDIR:-/tmp}/ringstone-fdb
  [ ! -d "$repository/target" ] || dir=$repository/target/fdb-dev
fi
dir=$(realpath -m "$dir")
[ -z "${target:-}" ] || [[ $command =~ ^(kill|restart)$ ]] || fail "$command concerns all processes"

case $command in
  start | status)
    find_foundationdb
    "$command"
    ;;
  stop) stop ;;
  check) find_foundationdb ;;
  kill | restart)
    [ -f "$dir/${target:-none}/port" ] || fail "$command needs the number of a process in $dir"
    end_process KILL "$target"
    if [ "$command" = restart ]; then
      find_foundationdb
      start_process "$target"
    fi
    ;;
  help | --help | -h) usage ;;
  *) fail "unknown command $command; see fdb-dev.sh help" ;;
esac
