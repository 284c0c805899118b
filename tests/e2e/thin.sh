#!/bin/bash
# The broker is away, three targets thin what that leaves and a fourth does not: what arrives late are exactly the last, the
# smallest and the largest, and the averages of each second of what the fourth one sends; a fault of the device is never thinned
# away by values; and the ledger accounts for every number.
. "${0%/*}/lib.sh"
. "${0%/*}/thin.inc"
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
		  - {name: whole, url: "mqtt://127.0.0.1:$gate", clean_start: false, session_expiry: 1h,
		     reconnect: {base: 100ms, cap: 300ms}}
	END
	for keep in last min-max average; do
		cat <<-END
			  - {name: $keep, url: "mqtt://127.0.0.1:$gate", clean_start: false, session_expiry: 1h,
			     reconnect: {base: 100ms, cap: 300ms},
			     buffer: {replay: {order: live-first, rate: 200/s, topic_prefix: "late/",
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
		    timeout: 200ms
		    tags:
		      - {name: sine, address: "input:0", type: int16}
		      - {name: walk, address: "input:4", type: uint16}
		      - {name: float, address: "input:10", type: float32}
		definitions:
	END
	for target in whole last min-max average; do
		echo "  - {name: d, target: $target, tags: [\"m.*\"], topic: \"$target/{tag}\", qos: 2, sequence: true}"
	done
} >"$work/thin.yaml"
daemon_start <"$work/thin.yaml"
wait_for 5 'the first messages' has_lines "$work/got" 100

replay_of() { # TARGET FIELD
	ctl --json buffer "$1" | jq -r ".replay.$2"
}

lost_of() { # TARGET REASON
	ctl --json buffer "$1" | jq -r ".lost.$2"
}

is_drained() { # TARGET
	status_is "$1" buffered 0 && { [ "$1" = whole ] || [ "$(replay_of "$1" left)" = 0 ]; }
}

gate_close
wait_for 5 'the targets wait' status_is average state waiting
made=$(status_of whole made)
wait_for 20 'sixty messages' status_exceeds whole made $((made + 60))
# The device is silent for a moment: a bad value of each tag in the midst of a second's good ones.
kill -STOP "$plant_pid"
sleep 0.5
kill -CONT "$plant_pid"
wait_for 20 'a hundred more' status_exceeds whole made $((made + 160))
expect 'what is thinned while nothing is sent' "$(lost_of last thinned)" 0
gate_open "$gate" "$port"
for target in whole last min-max average; do
	wait_for 15 "nothing waits for $target" is_drained $target
	wait_for 5 "the target $target is connected" status_is $target state connected
done
thinned=()
for target in last min-max average; do
	thinned+=("$(lost_of $target thinned)")
	[ "${thinned[-1]}" -gt 0 ] || fail "$target: nothing was thinned: the test is not one"
	expect "$target: lost otherwise" "$(ctl --json buffer $target | jq '.lost | add')" "${thinned[-1]}"
	expect "$target: gaps" "$(ctl --json buffer $target | jq -r '[.gaps[] | .reason] | unique | join(" ")')" thinned
	expect "$target: in the gaps" "$(ctl --json buffer $target | jq '[.gaps[].count] | add')" "${thinned[-1]}"
	first[${#thinned[@]}]=$(ctl --json buffer $target | jq '[.gaps[].first] | min')
	last[${#thinned[@]}]=$(ctl --json buffer $target | jq '[.gaps[].last] | max')
	expect "$target: thinning" "$(replay_of $target thinning)" false
done
daemon_stop
expect 'exit status' "$status" 0
wait_for 5 'the subscriber has all' contains "$work/got" late/average/

# --- every number -----------------------------------------------------------------------------------------------------------

seqs() { # TARGET
	grep -E "^(late/)?$1/" "$work/got" | sed -E 's/.*"seq":([0-9]+),"source":0\}$/\1/' | sort -n
}

i=0
for target in last min-max average; do
	expect "$target: numbers that came twice" "$(seqs $target | uniq -d | wc -l)" 0
	seqs $target | awk -v thinned="${thinned[$i]}" -v first="${first[$((i + 1))]}" -v last="${last[$((i + 1))]}" '
		{ for (n = before + 1; n < $1; n++) { missing++; if (n < first || n > last) outside++ } before = $1 }
		END {
			if (missing != thinned) { print missing " are missing, " thinned " were thinned"; exit 1 }
			if (outside) { print outside " are missing outside the gaps"; exit 1 }
		}' || fail "$target: the numbers"
	i=$((i + 1))
done

# --- exactly these ----------------------------------------------------------------------------------------------------------

grep '^whole/' "$work/got" | fields >"$work/whole"
# Seconds of which some was sent before or after the outage are not looked at.
grep -hE '^late/' "$work/got" | fields | awk '{ print substr($2, 1, 19) }' | sort -u >"$work/seconds"
[ "$(line_count "$work/seconds")" -ge 5 ] || fail 'seconds in the outage: the test is not one'
sed '1d;$d' "$work/seconds" | sed '1d;$d' >"$work/inside"

for target in last min-max average; do
	expect_thinned $target
done
grep -q bad "$work/whole" || fail 'the device was never silent: the test is not one'
for target in min-max average; do
	expect "$target: faults" "$(grep -c bad "$work/$target.got")" "$(only_inside <"$work/whole" | grep -c bad)"
done
# Each topic's messages are in the order of their time.
for target in last min-max average; do
	for tag in sine walk float; do
		grep "^late/$target/$tag " "$work/got" | sed -E 's/.*"ts":"([^"]*)".*/\1/' >"$work/times"
		sort -c "$work/times" || fail "$target/$tag: out of order"
	done
done
