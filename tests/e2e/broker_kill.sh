#!/bin/bash
# The server is killed, SIGKILL, every second under 20,000 messages a second: at QoS 1 nothing is missing, at QoS 2
# nothing is missing and nothing comes twice, for both versions of the protocol, for as long as the ring holds what is
# made while the server is away. The server is one that remembers (recorder.c): it is killed between taking a message and
# its answer as often as not, and knows afterwards what it took. KILL_SECONDS: how often, default 12.
. "${0%/*}/lib.sh"
seconds=${KILL_SECONDS:-12}
port=$(free_port)
recorder_start "$port" 2
daemon_start <<END
node: n
targets:
  - {name: five, url: "mqtt://127.0.0.1:$port", clean_start: false, session_expiry: 1h, max_inflight: 1000,
     buffer: {messages: 100000}, reconnect: {base: 20ms, cap: 100ms}}
  - {name: three, url: "mqtt://127.0.0.1:$port", protocol: 3.1.1, clean_start: false, max_inflight: 1000,
     buffer: {messages: 100000}, reconnect: {base: 20ms, cap: 100ms}}
lines:
  - {name: load, synthetic: {tags: 1, rate: 5000}}
definitions:
  - {name: a, target: five, payload: text, tags: ["load.*"], topic: "q1-five/{tag}", qos: 1}
  - {name: b, target: five, payload: text, tags: ["load.*"], topic: "q2-five/{tag}", qos: 2}
  - {name: c, target: three, payload: text, tags: ["load.*"], topic: "q1-three/{tag}", qos: 1}
  - {name: d, target: three, payload: text, tags: ["load.*"], topic: "q2-three/{tag}", qos: 2}
END

connected_times() { # COUNT
	status_exceeds five connects $(($1 - 1)) && status_exceeds three connects $(($1 - 1))
}

drained() {
	[ "$(status_of five buffered)" -lt 1000 ] && [ "$(status_of three buffered)" -lt 1000 ]
}

wait_for 5 'the first connections' connected_times 1
for ((round = 1; round <= seconds; round++)); do
	sleep 0.$((RANDOM % 400 + 500))
	end_process "$recorder_pid" KILL
	sleep 0.$((RANDOM % 200 + 100))
	recorder_start "$port" 2
	wait_for 5 "connection $((round + 1))" connected_times $((round + 1))
	daemon_lives "end $round of the server"
done
wait_for 40 'what is left over is through' drained
made=$(($(status_of five made) + $(status_of three made)))
missed=$(status_of load missed)
for target in five three; do
	expect "$target: overwritten" "$(status_of $target overwritten)" 0
	expect "$target: dropped" "$(status_of $target dropped)" 0
	status_exceeds $target resent 0 || fail "$target: nothing was under way at any end: the test is not one"
done
daemon_stop
expect 'exit status' "$status" 0

recorder_report
expect 'violations' "$(report_of recorder violations)" 0
expect 'starts' "$(report_of recorder starts)" $((seconds + 1))
arrived=0
for target in five three; do
	for qos in 1 2; do
		topic=q$qos-$target/t0
		# What the source skipped, when the machine stood still for 50 ms, was never a message.
		expect "$topic: missing" "$(report_of $topic missing)" "$missed"
		expect "$topic: first" "$(report_of $topic first)" 0
		expect "$topic: out of order" "$(report_of $topic disorder)" 0
		expect "$topic: open" "$(report_of $topic open)" 0
		arrived=$((arrived + $(report_of $topic messages)))
	done
	expect "$target, QoS 2: twice" "$(report_of q2-$target/t0 twice)" 0
	expect "$target: as many at QoS 1 as at QoS 2" "$(report_of q1-$target/t0 messages)" "$(report_of q2-$target/t0 messages)"
	[ "$(report_of q2-$target/t0 again)" -gt 0 ] || fail "$target: nothing was open at any end: the test is not one"
done
[ "$arrived" -ge "$made" ] || fail "$arrived messages arrived, $made were made"
