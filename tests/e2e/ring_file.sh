#!/bin/bash
# The ring in a file: what was collected while the broker was away arrives after a SIGKILL, all of it, in order, at QoS 2 once;
# under the topics it was made for, whatever the configuration says by then; a file that is not to be trusted is set aside, and the
# daemon goes on. ringdump says before what must arrive, and does so while the daemon has the file.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
port=$(free_port)
file=$work/plant.ring

# The topics carry the number of the run; the second run has neither the same topics nor the definition at QoS 1.
run_start() { # RUN [DEFINITION]
	: >"$work/daemon.log"
	daemon_start <<-END
		node: n
		targets:
		  - {name: plant, url: "mqtt://127.0.0.1:$port", client_id: e2e-ring, clean_start: false, session_expiry: 1h,
		     buffer: {messages: 100000, path: plant.ring, sync: interval, sync_interval: 100ms},
		     reconnect: {base: 20ms, cap: 100ms}}
		lines:
		  - {name: load, synthetic: {tags: 1, rate: 1000}}
		definitions:
		  - {name: b, target: plant, payload: text, tags: ["load.*"], topic: "$1/q2/{tag}", qos: 2}
		  ${2:-}
	END
}

# `TOPIC PAYLOAD` of what waits in the file, in its order.
waiting() { # FILE
	"$build/ringdump" --messages "$1" | sed -nE 's/^[0-9TZ:.-]+ lane [0-9]+ #[0-9]+ qos [0-9] (retain )?//p'
}

# --- collecting, and the kill ------------------------------------------------------------------------------------------------
run_start 0 '- {name: a, target: plant, payload: text, tags: ["load.*"], topic: "0/q1/{tag}", qos: 1}'
wait_for 10 '500 messages in the ring' status_exceeds plant buffered 500
"$build/ringdump" --json "$file" >"$work/live.json" || fail 'ringdump of a file in use'
matches "$work/live.json" "\"process\": $daemon_pid" || fail 'ringdump does not say who has the file'
matches "$work/live.json" '"waiting": [5-9][0-9]{2}|"waiting": [0-9]{4}' || fail "ringdump of a file in use: $(cat "$work/live.json")"
made=$(status_of plant made)
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
waiting "$file" >"$work/expected"
[ "$(line_count "$work/expected")" -ge "$made" ] ||
	fail "$made were made, $(line_count "$work/expected") are in the file"

# --- another configuration, and the broker ------------------------------------------------------------------------------------
broker_start "$port" 127.0.0.1 "max_inflight_messages 0" # else it may change the order itself
subscribe "$work/arrived" "$port" -q 2 -t '#'
run_start 1
all_of_run_0() {
	[ "$(grep -c '^0/' "$work/arrived")" -ge "$(line_count "$work/expected")" ]
}
wait_for 10 'what the first run left' all_of_run_0
contains "$work/daemon.log" "restored=$(line_count "$work/expected")" || fail 'the log does not say how many came back'
wait_for 5 'messages of the second run' matches "$work/arrived" '^1/q2/t0 '
daemon_stop
expect 'exit status' "$status" 0
for qos in 1 2; do
	grep "^0/q$qos/" "$work/expected" >"$work/expected.$qos"
	grep "^0/q$qos/" "$work/arrived" >"$work/arrived.$qos"
	cmp -s "$work/expected.$qos" "$work/arrived.$qos" ||
		fail "QoS $qos: $(diff "$work/expected.$qos" "$work/arrived.$qos" | head -n 5)"
done
contains "$work/arrived" '1/q1/' && fail 'the removed definition went on'
grep '^1/q2/' "$work/arrived" | sort -c -t ' ' -k 2n -u || fail 'the second run: twice, or out of order'

# --- a file that is not to be trusted --------------------------------------------------------------------------------------------
printf 'x' | dd of="$file" bs=1 seek=20 conv=notrunc status=none
"$build/ringdump" "$file" >"$work/dump" 2>"$work/dump.err"
expect 'exit status of ringdump for a broken file' $? 1
contains "$work/dump.err" 'its header is not what was written' || fail "ringdump said: $(cat "$work/dump.err")"
run_start 2
contains "$work/daemon.log" 'moved' || contains "$work/daemon.log" 'set_aside=' || fail 'the log does not say that the file was set aside'
[ -f "$file.bad" ] || fail 'there is no .bad file'
wait_for 5 'messages after a broken file' matches "$work/arrived" '^2/q2/t0 '
"$build/ringdump" "$file" >"$work/dump" || fail 'ringdump of the new file'
daemon_stop
expect 'exit status' "$status" 0

# --- messages that nothing in the configuration has room for ------------------------------------------------------------------------
broker_kill
run_start 3 '- {name: long, target: plant, payload: text, tags: ["load.*"], topic: "3/a/long/topic/for/the/ring/q1/{tag}", qos: 1}'
wait_for 10 'messages in the ring' status_exceeds plant buffered 1200 # more than may be in flight
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
waiting "$file" >"$work/expected"
: >"$work/broker.log"
broker_start "$port" 127.0.0.1 "max_inflight_messages 0" # else it may change the order itself
subscribe "$work/arrived.3" "$port" -q 2 -t '3/#'
: >"$work/daemon.log"
daemon_start <<-END # no definition for this target; QoS 0 for another
	node: n
	targets:
	  - {name: plant, url: "mqtt://127.0.0.1:$port", client_id: e2e-ring, clean_start: false, session_expiry: 1h,
	     max_inflight: 10, buffer: {messages: 100000, path: plant.ring}}
	  - {name: other, url: "mqtt://127.0.0.1:$port"}
	lines:
	  - {name: load, synthetic: {tags: 1, rate: 1}}
	definitions:
	  - {name: b, target: other, payload: text, tags: ["load.*"], topic: "other/{tag}"}
END
wait_for 5 'what nothing in the configuration has room for' has_lines "$work/arrived.3" "$(line_count "$work/expected")"
daemon_stop
expect 'exit status' "$status" 0
for qos in 1 2; do
	cmp -s <(grep "/q$qos/" "$work/expected") <(grep "/q$qos/" "$work/arrived.3") || fail "not what the file had, at QoS $qos"
done

# --- more in the file than its limit keeps --------------------------------------------------------------------------------------------
broker_kill
rm "$file"
: >"$work/daemon.log"
daemon_start <<-END
	node: n
	targets: [{name: plant, url: "mqtt://127.0.0.1:$port", buffer: {messages: 5, path: plant.ring}}]
	lines: [{name: load, synthetic: {tags: 1, rate: 1000}}]
	definitions: [{name: b, target: plant, payload: text, tags: ["load.*"], topic: "{tag}"}]
END
wait_for 10 'messages that are overwritten' status_exceeds plant made 100
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
all=$(waiting "$file" | wc -l)
[ "$all" -gt 5 ] || fail "of a segment only $all messages are there"
"$build/ringdump" "$file" >"$work/dump" || fail 'ringdump of a full ring'
contains "$work/dump" "$all wait ($((all - 5)) of them older than the newest 5, its limit)" || fail "ringdump said: $(cat "$work/dump")"
matches <("$build/ringdump" --json "$file") "\"past_limit\": $((all - 5))," || fail 'past_limit of ringdump --json'

# --- ringdump by itself ------------------------------------------------------------------------------------------------------------
"$build/ringdump" /dev/null 2>"$work/dump.err"
expect 'exit status of ringdump for what is no file' $? 1
"$build/ringdump" 2>/dev/null
expect 'exit status of ringdump without a file' $? 2
exit 0
