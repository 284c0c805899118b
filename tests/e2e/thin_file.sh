#!/bin/bash
# The daemon is killed in the midst of an outage, its rings are in files: what they bring back, which has its topics with it, is
# thinned like anything else, and nothing else is lost.
. "${0%/*}/lib.sh"
. "${0%/*}/thin.inc"
need mosquitto mosquitto_sub socat jq
port=$(free_port)
gate=$(free_port)

broker_start "$port"
subscribe "$work/got" "$port"
plant_start --tcp 0
{
	cat <<-END
		node: n
		targets:
		  - {name: whole, url: "mqtt://127.0.0.1:$gate", clean_start: false, session_expiry: 1h,
		     reconnect: {base: 100ms, cap: 300ms}, buffer: {path: whole.ring}}
	END
	for keep in last min-max average; do
		cat <<-END
			  - {name: $keep, url: "mqtt://127.0.0.1:$gate", clean_start: false, session_expiry: 1h,
			     reconnect: {base: 100ms, cap: 300ms},
			     buffer: {path: $keep.ring, replay: {order: live-first, rate: 200/s, topic_prefix: "late/",
			              thin: {keep: $keep, bucket: 1s, within: 0s}}}}
		END
	done
	cat <<-END
		lines:
		  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}}
		devices:
		  - name: m
		    line: plc
		    every: 20ms
		    tags:
		      - {name: sine, address: "input:0", type: int16}
		      - {name: walk, address: "input:4", type: uint16}
		      - {name: float, address: "input:10", type: float32}
		definitions:
	END
	for target in whole last min-max average; do
		echo "  - {name: d, target: $target, tags: [\"m.*\"], topic: \"$target/{tag}\", qos: 2}"
	done
} >"$work/thin_file.yaml"
daemon_start <"$work/thin_file.yaml"
wait_for 20 'a hundred and fifty messages' status_exceeds whole made 150
daemon_stop KILL
rm -f "$work/daemon.log"
daemon_start <"$work/thin_file.yaml"
restored=$(ctl --json buffer average | jq .file.restored)
[ "$restored" -ge 140 ] || fail "brought back: $restored"
nothing_left() { # TARGET
	[ "$(ctl --json buffer "$1" | jq '.replay.left // 0')" = 0 ]
}

gate_open "$gate" "$port"
for target in whole last min-max average; do
	wait_for 15 "the target $target is connected" status_is $target state connected
	wait_for 15 "nothing waits for $target" status_is $target buffered 0
	wait_for 15 "nothing is left of $target" nothing_left $target
done
for target in last min-max average; do
	thinned=$(ctl --json buffer $target | jq .lost.thinned)
	[ "$thinned" -ge $((restored / 3)) ] || fail "$target: thinned only $thinned of $restored"
	expect "$target: lost otherwise" "$(ctl --json buffer $target | jq '.lost | add')" "$thinned"
done
daemon_stop
expect 'exit status' "$status" 0

# The second of the kill is not looked at: values of it were made by both.
grep '^whole/' "$work/got" | fields | uniq >"$work/whole"
grep '^late/last/' "$work/got" | fields | awk '{ print substr($2, 1, 19) }' | sort -u | head -n 5 | sed '1d;$d' >"$work/inside"
[ "$(line_count "$work/inside")" -ge 3 ] || fail 'seconds in the outage: the test is not one'
for target in last min-max average; do
	expect_thinned $target
done
