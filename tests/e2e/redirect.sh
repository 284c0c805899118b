#!/bin/bash
# Where a target goes: a server that sends it to another one is obeyed (0x9C, 0x9D), but not round and round; and the first
# server of a list is taken again when it has come back.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub socat
good=$(free_port)
broker_start "$good"
subscribe "$work/got" "$good"

# CONNACK of MQTT 5 with a reason and a Server Reference.
connack() { # REASON_HEX REFERENCE
	local size=${#2}
	printf "\\x20\\x$(printf %02x $((6 + size)))\\x00\\x$1\\x$(printf %02x $((3 + size)))\\x1c\\x00\\x$(printf %02x "$size")%s" "$2"
}

fake() { # NAME REASON_HEX REFERENCE; "self" in the reference is its own address
	local port
	port=$(free_port)
	connack "$2" "${3/self/127.0.0.1:$port}" >"$work/$1.bytes"
	socat "TCP-LISTEN:$port,fork,reuseaddr,bind=127.0.0.1" "SYSTEM:cat $work/$1.bytes; cat >/dev/null" 2>/dev/null &
	children+=("$!")
	printf -v "$1" %s "$port"
	wait_for 5 "the server $1" matches /proc/net/tcp "$(printf ':%04X 00000000:0000 0A' "$port")"
}

fake another 9c "127.0.0.1:$good"
fake moved 9d "not/a/name [::x]:1 127.0.0.1:$good"
fake circle 9c self
fake nonsense 9c 'mqtt://x ::: :99 host:99999'

daemon_start <<END
node: n
targets:
$(for t in another moved circle nonsense; do
	echo "  - {name: $t, url: \"mqtt://127.0.0.1:${!t}\", reconnect: {base: 300ms, cap: 300ms}}"
done)
  - {name: obstinate, url: "mqtt://127.0.0.1:$another", follow_redirects: false, reconnect: {base: 300ms, cap: 300ms}}
lines:
  - {name: load, synthetic: {tags: 1, rate: 100}}
definitions:
$(for t in another moved circle nonsense obstinate; do
	echo "  - {name: d, target: $t, tags: [\"load.*\"], topic: \"$t/{tag}\", qos: 1}"
done)
END
for t in another moved; do
	wait_for 5 "$t is connected to where it was sent" status_is $t state connected
	expect "the URL of $t" "$(status_of $t url)" "mqtt://127.0.0.1:$good"
	wait_for 5 "values of $t" contains "$work/got" "$t/"
done
for t in nonsense obstinate circle; do
	wait_for 5 "$t is refused" status_is $t state refused
	wait_for 5 "$t says why" matches <(status_of $t reason) '[Uu]se another server'
done
# Four a pause of 300 ms (less its jitter), and the attempt itself: not hundreds.
before=$(status_of circle connect_failures)
sleep 2
after=$(status_of circle connect_failures)
[ $((after - before)) -ge 3 ] || fail "the one in a circle is tried no more: $before, then $after"
[ $((after - before)) -le 150 ] || fail "the one in a circle spins: $before, then $after attempts within two seconds"
daemon_stop
expect 'exit status' "$status" 0

# Back to the first.
first=$(free_port)
second=$good
daemon_start <<END
node: n
targets:
  - {name: plant, urls: ["mqtt://127.0.0.1:$first", "mqtt://127.0.0.1:$second"], failback: 1s, reconnect: {base: 100ms, cap: 300ms}}
lines:
  - {name: load, synthetic: {tags: 1, rate: 100}}
definitions:
  - {name: d, target: plant, tags: ["load.*"], topic: "{tag}", qos: 1}
END
wait_for 5 'connected to the second' status_is plant url "mqtt://127.0.0.1:$second"
wait_for 5 'connected to the second' status_is plant state connected
: >"$work/broker.log"
broker_start "$first"
subscribe "$work/first" "$first"
wait_for 8 'back at the first' status_is plant url "mqtt://127.0.0.1:$first"
wait_for 5 'values at the first' has_lines "$work/first" 20
sleep 1.5
expect 'it stays there' "$(status_of plant url) $(status_of plant state)" "mqtt://127.0.0.1:$first connected"
daemon_stop
expect 'exit status' "$status" 0
