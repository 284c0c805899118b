#!/bin/bash
# A server that keeps a session of ours which we know nothing of: it is left and asked again at once, but only once. A server
# that is gone by then is waited for like any other.
. "${0%/*}/lib.sh"
need socat
port=$(free_port)

# CONNACK of 3.1.1 with session present, to one connection; then nobody listens any more.
printf '\x20\x02\x01\x00' >"$work/connack"
socat "TCP-LISTEN:$port,reuseaddr,bind=127.0.0.1" "SYSTEM:cat $work/connack; cat >/dev/null" 2>/dev/null &
children+=("$!")
wait_for 5 'the server listens' matches /proc/net/tcp "$(printf ':%04X 00000000:0000 0A' "$port")"
daemon_start <<END
node: n
targets:
  - {name: plant, url: "mqtt://127.0.0.1:$port", protocol: 3.1.1, clean_start: false, reconnect: {base: 300ms, cap: 300ms}}
lines:
  - {name: load, synthetic: {tags: 1, rate: 10}}
definitions:
  - {name: d, target: plant, tags: ["load.*"], topic: "{tag}", qos: 1}
END
wait_for 5 'the old session is left' contains "$work/daemon.log" 'discarding it'
wait_for 5 'it is tried again' status_exceeds plant connect_failures 1
before=$(status_of plant connect_failures)
sleep 1
after=$(status_of plant connect_failures)
# A pause of 300 ms, less its jitter: not hundreds.
[ $((after - before)) -ge 1 ] || fail "it is tried no more: $before, then $after"
[ $((after - before)) -le 50 ] || fail "it spins: $before, then $after attempts within a second"
daemon_stop
expect 'exit status' "$status" 0
