#!/bin/bash
# The connection is cut again and again while a thinned backlog goes out, at QoS 0, 1 and 2, in buffers that are small against
# the buckets: what is kept back never stops the way, and every number is delivered, thinned away or overwritten, none twice at
# QoS 0 and 2.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub socat jq
port=$(free_port)
gate=$(free_port)

broker_start "$port"
subscribe "$work/got" "$port"
gate_open "$gate" "$port"
plant_start --tcp 0
{
	cat <<-END
		node: n
		targets:
	END
	for keep in last min-max average; do
		for qos in 0 1 2; do
			cat <<-END
				  - {name: $keep-$qos, url: "mqtt://127.0.0.1:$gate", clean_start: false, session_expiry: 1h,
				     reconnect: {base: 100ms, cap: 300ms}, max_inflight: 20,
				     buffer: {messages: 400,
				              replay: {order: live-first, rate: 40/s, thin: {keep: $keep, bucket: 10s, within: 0s}}}}
			END
		done
	done
	cat <<-END
		lines:
		  - {name: syn, synthetic: {tags: 40, rate: 100}}
		  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}}
		devices:
		  - name: m
		    line: plc
		    every: 20ms
		    tags:
	END
	# Bit i changes every i + 1 tenths of a second: their last messages lie all over a bucket, and so all over the ring.
	for ((i = 0; i < 150; i++)); do
		echo "      - {name: b$i, address: \"discrete:$i\", type: bool}"
	done
	echo 'definitions:'
	for keep in last min-max average; do
		for qos in 0 1 2; do
			echo "  - {name: d, target: $keep-$qos, tags: [\"syn.*\", \"m.*\"], topic: \"$keep-$qos/{tag}\", qos: $qos, sequence: true}"
		done
	done
} >"$work/thin_cut.yaml"
daemon_start <"$work/thin_cut.yaml"
wait_for 5 'the first messages' has_lines "$work/got" 100

buffer_of() { # TARGET JQ_PATH
	ctl --json buffer "$1" | jq -r "$2"
}

is_drained() { # TARGET
	status_is "$1" buffered 0 && status_is "$1" state connected && [ "$(buffer_of "$1" .replay.left)" = 0 ]
}

interrupted=0
for round in 1 2 3 4; do
	gate_close
	wait_for 5 'the targets wait' status_is average-2 state waiting
	made=$(status_of last-2 made)
	wait_for 20 "a backlog in round $round" status_exceeds last-2 made $((made + 300))
	gate_open "$gate" "$port"
	wait_for 5 'the targets are connected' status_is average-2 state connected
	sent=$(status_of average-2 sent)
	wait_for 5 'something goes' status_exceeds average-2 sent $((sent + 10))
	left=$(buffer_of min-max-2 .replay.left)
	[ "$left" -gt 0 ] && interrupted=$((interrupted + 1))
done
[ "$interrupted" -gt 0 ] || fail 'no backlog was interrupted: the test is not one'
for keep in last min-max average; do
	for qos in 0 1 2; do
		wait_for 60 "nothing waits for $keep-$qos" is_drained $keep-$qos
	done
done
for keep in last min-max average; do
	for qos in 0 1 2; do
		buffer_of $keep-$qos '"\(.lost.thinned) \(.lost.overwritten) \(.lost | add)"' >"$work/$keep-$qos.lost"
	done
done
daemon_stop
expect 'exit status' "$status" 0

for keep in last min-max average; do
	for qos in 0 1 2; do
		target=$keep-$qos
		read -r thinned overwritten lost <"$work/$target.lost"
		[ "$thinned" -gt 0 ] || fail "$target: nothing was thinned"
		expect "$target: lost otherwise" "$lost" $((thinned + overwritten))
		grep "^$target/" "$work/got" | sed -E 's/.*"seq":([0-9]+),"source":0\}$/\1/' | sort -n >"$work/seqs"
		[ $qos = 1 ] || expect "$target: twice" "$(uniq -d "$work/seqs" | wc -l)" 0
		missing=$(uniq "$work/seqs" | awk '{ missing += $1 - before - 1; before = $1 } END { print missing }')
		# QoS 0 may lose what the kernel had taken when the connection was cut.
		if [ $qos = 0 ]; then
			[ "$missing" -ge "$lost" ] || fail "$target: missing $missing, lost $lost"
		else
			expect "$target: missing" "$missing" "$lost"
		fi
	done
done
