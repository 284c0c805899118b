#!/bin/bash
# Several addresses of one broker: the first that answers is taken, the next when that is lost, IPv6 too.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
dead=$(free_port)
first=$(free_port)
second=$(free_port)

broker_start "$first"
first_pid=$broker_pid
subscribe "$work/first" "$first"
daemon_start <<END
node: n
targets:
  - {name: plant, urls: ["mqtt://127.0.0.1:$dead", "mqtt://localhost:$first", "mqtt://[::1]:$second"],
     reconnect: {base: 100ms, cap: 300ms}}
lines:
  - {name: load, synthetic: {tags: 2, rate: 200}}
definitions:
  - {name: d, target: plant, tags: ["load.*"], topic: "{tag}"}
END
wait_for 5 'values at the second address, by name' has_lines "$work/first" 20
wait_for 2 'the log names the second address' contains "$work/daemon.log" "state=connected url=mqtt://localhost:$first"

: >"$work/broker.log"
if [ -e /proc/net/if_inet6 ] && grep -q '^0*1 ' /proc/net/if_inet6; then
	broker_host=::1
	broker_start "$second" ::1
	subscribe "$work/second" "$second"
	end_process "$first_pid" KILL
	wait_for 10 'values at the third address, IPv6' has_lines "$work/second" 20
	wait_for 2 'the log names the third address' contains "$work/daemon.log" "state=connected url=mqtt://[::1]:$second"
	# Back: ordered means from the first again after a loss.
	broker_host=127.0.0.1
	second_pid=$broker_pid
	: >"$work/broker.log"
	broker_start "$first"
	subscribe "$work/third" "$first"
	end_process "$second_pid" KILL
	wait_for 10 'values at the second address again' has_lines "$work/third" 20
else
	echo 'no IPv6 here: not tried'
fi
daemon_stop
expect 'exit status' "$status" 0
