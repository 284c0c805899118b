#!/bin/bash
# A Modbus TCP slave is away at the start, comes, is killed and started again, twice: values are bad, then good, each told
# once; the daemon does not mind.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
port=$(free_port)
slave=$(free_port)
broker_start "$port"
subscribe "$work/got" "$port"
daemon_start <<END
node: n
targets:
  - {name: plant, url: "mqtt://127.0.0.1:$port"}
lines:
  - {name: plc, modbus_tcp: {address: "127.0.0.1:$slave", connect_timeout: 1s}, reconnect: {base: 100ms, cap: 300ms}}
devices:
  - {name: m, line: plc, every: 50ms, timeout: 200ms, tags: [{name: ramp, address: "input:1", type: uint16}]}
definitions:
  - {name: d, target: plant, tags: [m.ramp], topic: "{tag}"}
END

count() { grep -c "\"quality\":\"$1\"" "$work/got"; }
more_than() { [ "$(count "$1")" -gt "$2" ]; }

wait_for 5 'a slave that was never there is bad' more_than bad 0
wait_for 5 'and told, once' matches "$work/daemon.log" 'warn .*line .*name=plc state=waiting reason="[^"]*refused'
expect 'lines in the log about it' "$(grep -c 'name=plc' "$work/daemon.log")" 1
plant_start --tcp "$slave"
wait_for 5 'values' more_than good 3
expect 'bad values before the first good one' "$(count bad)" 1
for round in 1 2; do
	bad=$(count bad)
	end_process "$plant_pid" KILL
	wait_for 5 "bad values after kill $round" more_than bad "$bad"
	good=$(count good)
	plant_start --tcp "$slave"
	wait_for 5 "good values after start $round" more_than good $((good + 3))
	daemon_lives "kill $round of the slave"
done
wait_for 2 'a word of the loss' matches "$work/daemon.log" 'line .*name=plc state=lost'
daemon_stop
expect 'exit status' "$status" 0
