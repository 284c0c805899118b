#!/bin/bash
# The broker is away, the buffer holds 1000 messages, exactly 5000 are made meanwhile; the broker comes back: exactly the
# newest 1000 arrive, in order, none twice, and the counters say the same. For QoS 0, 1 and 2 at the same time.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub socat
port=$(free_port)
gate=$(free_port)
tags=100
rounds=50

broker_start "$port"
# Received at QoS 0: what mosquitto 2.0.11 queues for a subscriber of QoS 1 and 2 it may deliver out of order.
subscribe "$work/got" "$port"
gate_open "$gate" "$port"
plant_start --tcp 0 --freeze

# A hundred registers, all in one request: set all of them, and there are a hundred messages a target.
registers() { # ROUND
	local i
	for ((i = 0; i < tags; i++)); do
		echo "set holding $((200 + i)) $(($1 * tags + i))"
	done
}

mapfile -t commands < <(registers 1)
plant "${commands[@]}"
{
	cat <<-END
		node: n
		targets:
	END
	for qos in 0 1 2; do
		echo "  - {name: q$qos, url: \"mqtt://127.0.0.1:$gate\", clean_start: false, session_expiry: 1h,"
		echo "     buffer: {messages: 1000}, reconnect: {base: 100ms, cap: 300ms}}"
	done
	cat <<-END
		lines:
		  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}}
		devices:
		  - name: m
		    line: plc
		    every: 5ms
		    timeout: 500ms
		    tags:
	END
	for ((i = 0; i < tags; i++)); do
		echo "      - {name: r$i, address: \"holding:$((200 + i))\", type: uint16}"
	done
	echo 'definitions:'
	for qos in 0 1 2; do
		echo "  - {name: d, target: q$qos, payload: text, tags: [\"m.*\"], topic: \"q$qos/{tag}\", qos: $qos}"
	done
} >"$work/outage.yaml"
daemon_start <"$work/outage.yaml"

all_made() { # MESSAGES A TARGET
	local qos
	for qos in 0 1 2; do
		status_is q$qos made "$1" || return 1
	done
}

all_are() { # FIELD VALUE
	status_is q0 "$1" "$2" && status_is q1 "$1" "$2" && status_is q2 "$1" "$2"
}

wait_for 5 'the first hundred arrive, three times' has_lines "$work/got" $((3 * tags))
wait_for 5 'nothing is on its way' all_are inflight 0
gate_close
wait_for 5 'the targets wait' all_are state waiting
expect 'made before the outage' "$(status_of q0 made)" $tags
: >"$work/got"

for ((round = 2; round < 2 + rounds; round++)); do
	mapfile -t commands < <(registers $round)
	plant "${commands[@]}"
	wait_for 5 "the messages of round $round" all_made $((round * tags))
done
for qos in 0 1 2; do
	expect "q$qos: made in the outage" "$(($(status_of q$qos made) - tags))" 5000
	expect "q$qos: buffered" "$(status_of q$qos buffered)" 1000
done

gate_open "$gate" "$port"
wait_for 10 'three thousand messages' has_lines "$work/got" 3000
wait_for 5 'nothing waits' all_are buffered 0
wait_for 5 'nothing is on its way' all_are inflight 0
# One more: whatever else was on its way is in the file before it.
plant 'set holding 200 65535'
wait_for 5 'the message after the outage' contains "$work/got" 'q2/r0 65535'
wait_for 5 'the message after the outage' contains "$work/got" 'q1/r0 65535'
wait_for 5 'the message after the outage' contains "$work/got" 'q0/r0 65535'

# Rounds are told apart by their hundreds; within one, one read brings the registers in their order.
for qos in 0 1 2; do
	grep "^q$qos/" "$work/got" | grep -v ' 65535$' >"$work/q$qos"
	expect "q$qos: messages" "$(line_count "$work/q$qos")" 1000
	expect "q$qos: the newest thousand, each once" "$(sed 's/.* //' "$work/q$qos" | sort -n | uniq |
		awk -v first=$(((rounds - 8) * tags)) '$1 == first + n { n++ } END { print n, NR }')" '1000 1000'
	expect "q$qos: out of order" "$(sed 's/.* //' "$work/q$qos" |
		awk '{ r = int($1 / 100); if (r < last) wrong++; last = r } END { print wrong + 0 }')" 0
	expect "q$qos: out of order within a tag" "$(tr '/' ' ' <"$work/q$qos" |
		awk '{ if ($3 <= last[$2]) wrong++; last[$2] = $3 } END { print wrong + 0 }')" 0
	expect "q$qos: overwritten" "$(status_of q$qos overwritten)" 4000
	expect "q$qos: sent" "$(($(status_of q$qos sent) - $(status_of q$qos resent)))" $((tags + 1000 + 1))
	expect "q$qos: dropped" "$(status_of q$qos dropped)" 0
done
daemon_stop
expect 'exit status' "$status" 0
