#!/bin/bash
# Every script of perf/probes traces a daemon at work, all at the same time, and each shows what it is there to show; the
# daemon goes on as if nothing had happened. Where bpftrace may not trace (no root, no BPF), this is skipped.
. "${0%/*}/lib.sh"
need bpftrace
root=$(cd "${0%/*}/../.." && pwd)
timeout 20 bpftrace -e 'BEGIN { exit(); }' >"$work/bpftrace.log" 2>&1 || skip 'bpftrace may not trace here'
readelf -n "$build/ringmaind" 2>/dev/null | grep -q stapsdt || skip 'built without <sys/sdt.h>'

port=$(free_port) broker_port=$(free_port)
broker_start "$broker_port"
gate_open "$port" "$broker_port"
plant_start --tcp 0
daemon_start <<END
node: traced
samplers: [{name: fast}]
publishers: [{name: pub0}]
targets:
  - name: hall
    url: mqtt://127.0.0.1:$port
    client_id: traced
    reconnect: {base: 200ms, cap: 500ms}
    buffer: {messages: 1000}
lines:
  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}, sampler: fast}
devices:
  - {name: meter, line: plc, unit: 3, every: 20ms, timeout: 500ms, order: CDAB, tags: [{name: power, address: "input:52", type: float32}]}
definitions:
  - {name: all, target: hall, mode: periodic, cycle: 20ms, tags: ["meter.*"], topic: "t/all", qos: 1}
  - {name: brief, target: hall, mode: periodic, cycle: 20ms, tags: ["meter.*"], topic: "t/brief", expiry: 1s}
END
wait_for 5 'messages are acknowledged' status_exceeds hall acknowledged 10

# trace NAME: what it prints goes to a log that a failure shows. All print every five seconds, or as things happen.
trace() {
	bpftrace -p "$daemon_pid" "$root/perf/probes/$1.bt" >"$work/$1.log" 2>&1 &
	children+=("$!")
}
for script in "$root"/perf/probes/*.bt; do
	name=${script##*/}
	trace "${name%.bt}"
done

histogram='^\[[0-9]+[KMG]?(, [0-9]+[KMG]?)?[])] +[1-9][0-9]* +\|@'
shows() { # NAME REGEX...
	local name=$1 regex
	shift
	for regex in "$@"; do
		wait_for 25 "$name.bt shows $regex" matches "$work/$name.log" "$regex"
	done
}
shows latency '^@latency_us\[hall\]: $' "$histogram"
shows batches '^@messages_a_send\[hall\]: $' '^@bytes_a_send\[hall\]: $' '^@messages_a_take: $' '^@messages\[hall\]: [1-9]' "$histogram"
shows acks '^@round_trip_us\[hall\]: $' "$histogram"
shows lanes '^@messages_a_second\[hall, 0\]: [1-9]' '^@bytes_a_second\[hall, 0\]: [1-9]'
shows lateness '^@late_us\[plc\]: $' "$histogram"
shows modbus '^@requests\[plc, 3\]: [1-9]' '^@response_us\[plc, 3\]: $' "$histogram"
wait_for 5 'states.bt is attached' contains "$work/states.log" 'Attaching'

# A connection that breaks: states as they happen, and then what has waited too long.
gate_close
shows states '^[0-9:]+ target hall: connected -> waiting mqtt://127\.0\.0\.1:'"$port"' .+'
wait_for 10 'messages that are too old wait' status_exceeds hall buffered 200
gate_open "$port" "$broker_port"
shows states '^[0-9:]+ target hall: connecting -> connected '
shows losses '^@lost\[hall, expired\]: [1-9]' '^@age_ms\[hall, expired\]: $' "$histogram"
end_process "$plant_pid"
shows states '^[0-9:]+ line plc: up -> '

daemon_lives 'while it was traced'
daemon_stop
expect 'exit status' "$status" 0
