#!/bin/bash
# The connection is cut five times in the midst of QoS 1 and 2 traffic, the broker keeps the session: at QoS 1 everything
# arrives, at QoS 2 everything arrives once and in order. For both versions of the protocol.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub socat
port=$(free_port)
gate=$(free_port)
broker_start "$port"
# Received at QoS 0: what mosquitto 2.0.11 queues for a subscriber of QoS 1 and 2 it may deliver out of order.
subscribe "$work/got" "$port"
gate_open "$gate" "$port"
daemon_start <<END
node: n
targets:
  - {name: five, url: "mqtt://127.0.0.1:$gate", clean_start: false, session_expiry: 1h, buffer: {messages: 100000}, reconnect: {base: 50ms, cap: 200ms}}
  - {name: three, url: "mqtt://127.0.0.1:$gate", protocol: 3.1.1, clean_start: false, buffer: {messages: 100000}, reconnect: {base: 50ms, cap: 200ms}}
lines:
  - {name: load, synthetic: {tags: 1, rate: 500}}
definitions:
  - {name: a, target: five, tags: ["load.*"], topic: "q1-five/{tag}", qos: 1}
  - {name: b, target: five, tags: ["load.*"], topic: "q2-five/{tag}", qos: 2}
  - {name: c, target: three, tags: ["load.*"], topic: "q1-three/{tag}", qos: 1}
  - {name: d, target: three, tags: ["load.*"], topic: "q2-three/{tag}", qos: 2}
END

connected_times() { # COUNT
	status_exceeds five connects $(($1 - 1)) && status_exceeds three connects $(($1 - 1))
}

acknowledged_more() { # FIVE THREE
	status_exceeds five acknowledged "$1" && status_exceeds three acknowledged "$2"
}

for round in 1 2 3 4 5 6; do
	wait_for 8 "connection $round" connected_times $round
	five=$(status_of five acknowledged)
	three=$(status_of three acknowledged)
	wait_for 8 'hundreds are through' acknowledged_more $((five + 300)) $((three + 300))
	[ $round = 6 ] || { gate_close && gate_open "$gate" "$port"; }
done
resent=$(($(status_of five resent) + $(status_of three resent)))
expect 'overwritten' "$(($(status_of five overwritten) + $(status_of three overwritten)))" 0
daemon_stop
expect 'exit status' "$status" 0
[ "$took_ms" -le 6000 ] || fail "the end took $took_ms ms"

# The source counts in thousandths. (It skips what it cannot make up for after a stop of the machine of 50 ms; a gap across
# so much time is not the daemon's.)
sequence() { # TOPIC: number, and time of the day in seconds
	sed -nE "s|^$1/t0 .*\"value\":([0-9.]*),.*\"ts\":\"[^\"]*T(..):(..):([0-9.]*)Z\".*|\1 \2 \3 \4|p" "$work/got" |
		awk '{ print int($1 * 1000 + 0.5), ($2 * 60 + $3) * 60 + $4 }'
}

missing() {
	awk 'NR > 1 && $1 > last && $1 != last + 1 && $2 - t < 0.045 { n++ } { last = $1; t = $2 } END { print n + 0 }'
}

for version in five three; do
	sequence q1-$version | sort -n | uniq >"$work/q1"
	sequence q2-$version >"$work/q2"
	[ "$(line_count "$work/q2")" -ge 500 ] || fail "$version: too few messages to tell"
	expect "$version, QoS 1: missing" "$(missing <"$work/q1")" 0
	expect "$version, QoS 2: missing" "$(sort -n "$work/q2" | missing)" 0
	expect "$version, QoS 2: twice" "$(sort -n "$work/q2" | uniq -d | wc -l)" 0
	expect "$version, QoS 2: out of order" "$(awk '$1 <= last && NR > 1 { n++ } { last = $1 } END { print n + 0 }' "$work/q2")" 0
	expect "$version: the same at QoS 1 and 2" "$(line_count "$work/q1")" "$(line_count "$work/q2")"
done
[ "$resent" -gt 0 ] || fail 'nothing was under way at any cut: the test is not one'
