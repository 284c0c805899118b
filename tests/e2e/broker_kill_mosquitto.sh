#!/bin/bash
# Mosquitto is ended every second under 6,000 messages a second (20,000 are more than it can take on a
# busy machine), half of the times with SIGTERM, then with SIGKILL.
# What can be claimed through a broker that forgets: at SIGTERM it saves its sessions, so nothing is missing for a
# subscriber whose session it keeps; at SIGKILL it forgets what it has acknowledged, so nothing but that the daemon lives,
# comes back each time, loses nothing by itself, and that new values flow. Who received what twice cannot be told from here:
# the broker sends again too. (broker_kill.sh has the proof, with the recorder.) KILL_SECONDS: how often, default 8.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
seconds=${KILL_SECONDS:-8}
port=$(free_port)
saved="persistence true
persistence_location $work/
max_inflight_messages 0"
mosquitto_start() {
	broker_start "$port" '' "$saved"
}
mosquitto_start
# At QoS 1: at QoS 2 mosquitto_sub 2.0.11 ends with a protocol error when it comes back to messages that are half done.
subscribe "$work/got" "$port" -V 5 -c -x 3600 -q 1 -t '#'
daemon_start <<END
node: n
targets:
  - {name: five, url: "mqtt://127.0.0.1:$port", clean_start: false, session_expiry: 1h, max_inflight: 1000,
     buffer: {messages: 100000}, reconnect: {base: 20ms, cap: 100ms}}
  - {name: three, url: "mqtt://127.0.0.1:$port", protocol: 3.1.1, clean_start: false, max_inflight: 1000,
     buffer: {messages: 100000}, reconnect: {base: 20ms, cap: 100ms}}
lines:
  - {name: load, synthetic: {tags: 1, rate: 1500}}
definitions:
  - {name: a, target: five, payload: text, tags: ["load.*"], topic: "q1/{target}/{tag}", qos: 1}
  - {name: b, target: five, payload: text, tags: ["load.*"], topic: "q2/{target}/{tag}", qos: 2}
  - {name: c, target: three, payload: text, tags: ["load.*"], topic: "q1/{target}/{tag}", qos: 1}
  - {name: d, target: three, payload: text, tags: ["load.*"], topic: "q2/{target}/{tag}", qos: 2}
END

connected_times() { # COUNT
	status_exceeds five connects $(($1 - 1)) && status_exceeds three connects $(($1 - 1))
}

drained() {
	[ "$(status_of five buffered)" -lt 1000 ] && [ "$(status_of three buffered)" -lt 1000 ]
}

rounds=1
end_mosquitto() { # SIGNAL TIMES
	local i
	for ((i = 0; i < $2; i++)); do
		sleep 0.$((RANDOM % 400 + 500))
		broker_kill "$1"
		mosquitto_start
		rounds=$((rounds + 1))
		wait_for 5 "connection $rounds" connected_times $rounds
		daemon_lives "end $rounds of the broker"
	done
}

wait_for 5 'the first connections' connected_times 1
# Mosquitto 2.0.11 saves a session only if it began with Clean Start 0, and the first of version 5 begins with 1. With the
# session it forgets the messages of QoS 2 that it had taken and not yet passed on: they are counted from here.
end_mosquitto TERM 1
oldest=$(status_of load values)
end_mosquitto TERM $((seconds / 2))
wait_for 40 'what is left over is through' drained
newest=$(($(status_of load values) - 1))

# The number of the newest message of a topic, and how many are missing from $oldest to $newest.
received() { # TOPIC
	grep -a "^$1/t0 [0-9.]*$" "$work/got" | awk -v oldest="$oldest" -v newest="$newest" '
		{ n = int($2 * 1000 + 0.5); if (n > last) last = n; if (n >= oldest && n <= newest && !seen[n]++) count++ }
		END { print last + 0, newest - oldest + 1 - count }'
}

is_there() { # TOPIC
	local last
	read -r last _ < <(received "$1")
	[ "$last" -ge "$newest" ]
}

for target in five three; do
	for qos in 1 2; do
		wait_for 10 "message $newest of $target at QoS $qos" is_there q$qos/$target
		read -r _ missing < <(received q$qos/$target)
		# What the source skipped, when the machine stood still for 50 ms, was never a message.
		[ "$missing" -le "$(status_of load missed)" ] || fail "$target, QoS $qos: $missing are missing"
	done
done
end_process "$sub_pid" KILL

end_mosquitto KILL $((seconds / 2))
wait_for 40 'what is left over is through' drained
for target in five three; do
	expect "$target: overwritten" "$(status_of $target overwritten)" 0
	expect "$target: dropped" "$(status_of $target dropped)" 0
done
newest=$(status_of load values)
: >"$work/got"
: >"$work/broker.log"
subscribe "$work/got" "$port" -t '#'
for topic in q1/five q2/five q1/three q2/three; do
	wait_for 5 "new values on $topic" is_there $topic
done
daemon_stop
expect 'exit status' "$status" 0
