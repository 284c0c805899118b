#!/bin/bash
# The daemon is killed, SIGKILL, about every second under 20,000 messages a second, and started again: what was in flight
# arrives all the same, at QoS 1 at least once, at QoS 2 exactly once, for both versions of the protocol. What waited in the
# memory ring is lost with it. So of the messages of each run the first so many arrive, at least all that the daemon has
# told us it sent, without a hole, in their order, and every QoS 2 exchange that the server has seen begin is seen to end. The server is the recorder (recorder.c), which knows
# its side exactly; it holds answers back for 10 ms, so that there is much in flight. KILL_SECONDS: how often, default 8.
# With ring=file (daemon_kill_file.sh) the rings are in files: all that was made arrives, sent before the kill or not.
. "${0%/*}/lib.sh"
ring=${ring:-memory}
seconds=${KILL_SECONDS:-8}
port=$(free_port)
recorder_start "$port" 10

# The source counts from zero in each run, whose number is in the topic; the session is the same.
run_start() { # RUN
	local five='' three=''
	[ $ring = file ] && five=', path: five.ring' three=', path: three.ring, sync: interval, sync_interval: 50ms'
	: >"$work/daemon.log"
	daemon_start --log-level debug <<-END
		node: n
		targets:
		  - {name: five, url: "mqtt://127.0.0.1:$port", client_id: e2e-five, clean_start: false, session_expiry: 1h,
		     max_inflight: 1000, buffer: {messages: 100000$five}, reconnect: {base: 20ms, cap: 100ms}}
		  - {name: three, url: "mqtt://127.0.0.1:$port", client_id: e2e-three, protocol: 3.1.1, clean_start: false,
		     max_inflight: 1000, buffer: {messages: 100000$three}, reconnect: {base: 20ms, cap: 100ms}}
		lines:
		  - {name: load, synthetic: {tags: 1, rate: 5000}}
		definitions:
		  - {name: a, target: five, payload: text, tags: ["load.*"], topic: "{target}/q1/$1/{tag}", qos: 1}
		  - {name: b, target: five, payload: text, tags: ["load.*"], topic: "{target}/q2/$1/{tag}", qos: 2}
		  - {name: c, target: three, payload: text, tags: ["load.*"], topic: "{target}/q1/$1/{tag}", qos: 1}
		  - {name: d, target: three, payload: text, tags: ["load.*"], topic: "{target}/q2/$1/{tag}", qos: 2}
	END
}

acknowledged() { # COUNT
	status_exceeds five acknowledged "$1" && status_exceeds three acknowledged "$1"
}

backlog() {
	status_exceeds five buffered 1000 && status_exceeds three buffered 1000
}

drained() {
	[ "$(status_of five buffered)" -lt 1000 ] && [ "$(status_of three buffered)" -lt 1000 ]
}

# What must arrive: in memory what was sent, in a file what was made, but for what it brought along.
due() { # TARGET
	local restored
	if [ $ring = file ]; then
		restored=$(sed -nE "s#.* file=[^ ]*/$1\.ring restored=([0-9]+) .*#\1#p" "$work/daemon.log")
		brought=$((brought + ${restored:-0}))
		due=$(($(status_of "$1" made) - ${restored:-0}))
	else
		due=$(($(status_of "$1" sent) - $(status_of "$1" resent)))
	fi
}

brought=0 # messages that the files gave to the next run
sent=() missed=() # of each run, as the daemon has last said; due of both targets
for ((run = 0; run < seconds; run++)); do
	run_start $run
	wait_for 5 "messages in run $run" acknowledged 1000
	sleep 0.$((RANDOM % 500 + 200))
	if [ $ring = file ] && ((run % 2)); then # much waits in the ring, too
		kill -STOP "$recorder_pid"
		wait_for 5 'messages in the ring' backlog
	fi
	for target in five three; do
		due $target
		sent[run]+="$due "
	done
	missed[run]=$(status_of load missed)
	kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	kill -CONT "$recorder_pid"
done
run_start $run
wait_for 5 'messages in the last run' acknowledged 1000
wait_for 40 'what is left over is through' drained
missed[run]=$(status_of load missed)
for target in five three; do
	expect "$target: overwritten" "$(status_of $target overwritten)" 0
done
daemon_stop
expect 'exit status' "$status" 0

sent[run]='0 0 '
recorder_report
expect 'violations' "$(report_of recorder violations)" 0
expect 'QoS 2 messages left open' "$(report_of recorder discarded)" 0
again=0
for target in five three; do
	for ((run = 0; run <= seconds; run++)); do
		for qos in 1 2; do
			topic=$target/q$qos/$run/t0
			expect "$topic: first" "$(report_of $topic first)" 0
			expect "$topic: out of order" "$(report_of $topic disorder)" 0
			expect "$topic: open" "$(report_of $topic open)" 0
			# What the source skipped, when the machine stood still for 50 ms, was never a message.
			expect "$topic: missing" "$(report_of $topic missing)" "${missed[run]}"
		done
		expect "$topic: twice" "$(report_of $topic twice)" 0
		read -r -d ' ' wanted <<<"${sent[run]}"
		arrived=0 # different ones: they begin with 0
		for qos in 1 2; do
			arrived=$((arrived + $(report_of $target/q$qos/$run/t0 last) + 1 - $(report_of $target/q$qos/$run/t0 missing)))
		done
		[ $arrived -ge "$wanted" ] || fail "$target, run $run: $wanted had to arrive, $arrived did"
		sent[run]=${sent[run]#* }
		again=$((again + $(report_of $topic again)))
	done
done
[ $again -gt 0 ] || fail 'no QoS 2 message was open at any end: the test is not one'
[ $ring = memory ] || [ $brought -gt 1000 ] || fail 'no file had much to give to the next run: the test is not one'
