#!/usr/bin/env bash
# redis-cli against the server at HOST PORT: its scanning and statistics modes and --pipe.
# Usage: redis_cli.sh HOST PORT. Over TLS if RINGSTONE_TEST_CA names a file with the CA. Ends with status 0 when every check held.
set -euo pipefail
cli=(redis-cli -h "$1" -p "$2")
[ -z "${RINGSTONE_TEST_CA:-}" ] || cli+=(--tls --cacert "$RINGSTONE_TEST_CA")

fail() {
  echo "redis-cli: $*" >&2
  exit 1
}

# expect TEXT COMMAND...: the command's output contains the text.
expect() {
  local text=$1 output
  shift
  output=$(timeout 60 "$@" 2>&1) || fail "$* ended with status $?: $output"
  [[ $output == *"$text"* ]] || fail "$*: no '$text' in: $output"
}

expect OK "${cli[@]}" FLUSHALL
expect OK "${cli[@]}" SET k v
expect v "${cli[@]}" GET k
expect PONG "${cli[@]}" -3 PING
expect "unknown command" "${cli[@]}" NOSUCH
expect OK "${cli[@]}" -n 5 SET k five
expect five "${cli[@]}" -n 5 GET k

# Mass insertion, as inline commands and as protocol.
for i in $(seq 1 2000); do printf 'SET pipe:%d value\r\n' "$i"; done >"$TMPDIR/commands"
expect "errors: 0, replies: 2000" "${cli[@]}" --pipe <"$TMPDIR/commands"
for i in $(seq 1 500); do
  printf '*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n'
done >"$TMPDIR/protocol"
expect "errors: 0, replies: 500" "${cli[@]}" --pipe <"$TMPDIR/protocol"
expect 500 "${cli[@]}" GET counter

found=$("${cli[@]}" --scan --pattern 'pipe:*' | sort -u | wc -l)
[ "$found" = 2000 ] || fail "--scan found $found keys instead of 2000"
head -c 100000 /dev/zero | tr '\0' x | "${cli[@]}" -x SET biggest >/dev/null
expect "biggest" "${cli[@]}" --bigkeys
expect "biggest" "${cli[@]}" --memkeys
# Every type, two keys of each: the larger one is found.
expect OK "${cli[@]}" FLUSHALL
for n in $(seq 1 200); do
  printf 'RPUSH list:big %s\r\nSADD set:big %s\r\nZADD zset:big %s m%s\r\nHSET hash:big f%s v\r\n' "$n" "$n" "$n" "$n" "$n"
done >"$TMPDIR/types"
printf 'RPUSH list:small 1\r\nSADD set:small 1\r\nZADD zset:small 1 m\r\nHSET hash:small f v\r\n' >>"$TMPDIR/types"
printf 'SET string:small v\r\nSET string:big 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\r\n' >>"$TMPDIR/types"
expect "errors: 0, replies: 806" "${cli[@]}" --pipe <"$TMPDIR/types"
for mode in --bigkeys --memkeys; do
  output=$("${cli[@]}" "$mode")
  for type in string list set zset hash; do
    [[ $output == *"Biggest"*"$type found"*"\"$type:big\""* ]] || fail "$mode found no $type: $output"
  done
done
# matches PATTERN COMMAND...: the command's output matches the whole regular expression.
matches() {
  local pattern=$1 output
  shift
  output=$(timeout 20 "$@" 2>&1) || fail "$* ended with status $?: $output"
  [[ $output =~ ^$pattern$ ]] || fail "$*: not like '$pattern': $output"
}

# first LINES COMMAND...: that many lines of a command that does not end by itself.
first() {
  local lines=$1
  shift
  timeout 10 stdbuf -oL "$@" 2>&1 | head -n "$lines" || true
}

# Not on a terminal --latency measures for a second, and prints the least, most and average, and how often.
number='[0-9]+(\.[0-9]+)?'
matches "[0-9]+ [0-9]+ $number [0-9]+" "${cli[@]}" --latency
matches "[0-9]+ [0-9]+ $number [0-9]+" "${cli[@]}" --latency --raw
matches "[0-9]+,[0-9]+,$number,[0-9]+" "${cli[@]}" --latency --csv
output=$(first 1 "${cli[@]}" --latency-history -i 1)
[[ $output =~ ^[0-9]+\ [0-9]+\ $number\ [0-9]+$ ]] || fail "--latency-history printed: $output"
output=$(first 9 "${cli[@]}" --latency-dist -i 0.1)
[[ $output == *"From 0 to 100%"* ]] || fail "--latency-dist printed: $output"

# --stat prints a heading, and then a line of figures each time.
size=$("${cli[@]}" DBSIZE)
output=$(first 4 "${cli[@]}" --stat -i 0.1)
stat="^$size +$number[BKMG] +[1-9][0-9]* +0 +[0-9]+ \\(\\+[0-9]+\\) +[1-9][0-9]* *$"
[[ $(head -n 2 <<<"$output" | tail -n 1) =~ ^keys\ +mem\ +clients\ +blocked\ +requests\ +connections ]] ||
  fail "--stat's heading is not there: $output"
[[ $(tail -n 1 <<<"$output") =~ $stat ]] || fail "--stat printed: $output"

# Without counts of use there are no hot keys; Redis says why, and redis-cli ends.
output=$("${cli[@]}" --hotkeys 2>&1) && fail "--hotkeys found some: $output"
[[ $output == *"Error: ERR An LFU maxmemory policy is not selected"* ]] || fail "--hotkeys: $output"

expect "used_memory_human:" "${cli[@]}" INFO
expect "# Commandstats" "${cli[@]}" INFO everything
expect "db0:keys=$size,expires=0" "${cli[@]}" INFO keyspace
expect "keys.count" "${cli[@]}" MEMORY STATS
expect "cmd=client|list" "${cli[@]}" CLIENT LIST
expect "1) \"list:big\"" "${cli[@]}" --no-raw KEYS list:big
# monitor does not end by itself either.
"${cli[@]}" monitor >"$TMPDIR/monitored" &
monitor=$!
trap 'kill $monitor 2>/dev/null || true' EXIT
shows() {
  for _ in $(seq 1 200); do
    if grep -q "$1" "$TMPDIR/monitored"; then return; fi
    sleep 0.05
  done
  fail "monitor does not show $1: $(cat "$TMPDIR/monitored")"
}
shows OK
expect OK "${cli[@]}" SET monitored 'a "b"'
shows '"SET" "monitored" "a \\"b\\""'
kill $monitor
echo "redis-cli $(redis-cli --version | cut -d' ' -f2): ok"
