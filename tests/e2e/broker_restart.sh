#!/bin/bash
# The broker is killed and started again under load, three times: the daemon lives, reconnects, and new values flow.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
port=$(free_port)
broker_start "$port"
daemon_start <<END
node: n
targets:
  - {name: plant, url: "mqtt://127.0.0.1:$port", clean_start: false, session_expiry: 1h, reconnect: {base: 50ms, cap: 300ms}}
lines:
  - {name: load, synthetic: {tags: 10, rate: 2000}}
definitions:
  - {name: zero, target: plant, tags: ["load.*"], topic: "q0/{tag}"}
  - {name: one, target: plant, tags: ["load.t1"], topic: "q1/{tag}", qos: 1}
  - {name: two, target: plant, tags: ["load.t2"], topic: "q2/{tag}", qos: 2}
END

flows() { # FILE: every quality of service
	[ "$(grep -c ^q0/ "$1")" -gt 500 ] && [ "$(grep -c ^q1/ "$1")" -gt 50 ] && [ "$(grep -c ^q2/ "$1")" -gt 50 ]
}

# The source counts up, so what is newer is larger.
last_of() { sed -n 's/^q0.*"value":\([0-9]*\).*/\1/p' "$1" | tail -n 1; }

earlier=-1
for round in 1 2 3 4; do
	: >"$work/broker.log"
	[ $round = 1 ] || broker_start "$port"
	subscribe "$work/got$round" "$port" -q 2 -t '#'
	wait_for 10 "values after start $round of the broker" flows "$work/got$round"
	daemon_lives "start $round of the broker"
	end_process "$sub_pid" # it would come back with the broker
	last=$(last_of "$work/got$round")
	[ "$last" -ge "$earlier" ] || fail "values went back from $earlier to $last"
	earlier=$last
	[ $round = 4 ] || broker_kill KILL
done
# The log is written a moment after what it tells of.
connected_four_times() { [ "$(grep -c 'name=plant state=connected' "$work/daemon.log")" -ge 4 ]; }
wait_for 5 'the fourth connection in the log' connected_four_times
expect 'connections' "$(grep -c 'name=plant state=connected' "$work/daemon.log")" 4
daemon_stop
expect 'exit status' "$status" 0
