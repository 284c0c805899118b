#!/bin/bash
# After `ready` no data thread allocates a byte: under load, with Modbus over TCP and RTU, QoS 0, 1 and 2, both protocol
# versions, outages of brokers and of slaves, all of it recorded.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub socat
ldd "$build/ringmaind" | grep -q jemalloc || skip 'without jemalloc nothing is counted'
port=$(free_port)
gate=$(free_port)
slave=$(free_port)
broker_start "$port"
subscribe "$work/got" "$port" -q 2 -t '#'
gate_open "$gate" "$port"
plant_start --tcp "$slave" --rtu "$work/bus"
daemon_start <<END
node: n
samplers: [{name: fast}, {name: slow}]
publishers: [{name: pub0}, {name: pub1}]
targets:
  - {name: five, urls: ["mqtt://localhost:$gate"], publisher: pub0, clean_start: false, session_expiry: 1h, trace: {memory: 64KiB},
     reconnect: {base: 50ms, cap: 200ms}}
  - {name: three, url: "mqtt://127.0.0.1:$gate", publisher: pub1, protocol: 3.1.1, trace: {memory: 64KiB}, reconnect: {base: 50ms, cap: 200ms}}
lines:
  - {name: load, sampler: fast, synthetic: {tags: 50, rate: 3000}}
  - {name: plc, sampler: slow, modbus_tcp: {address: "localhost:$slave"}, trace: {memory: 16KiB}, reconnect: {base: 50ms, cap: 200ms}}
  - {name: bus, sampler: slow, modbus_rtu: {path: "$work/bus", baud: 115200, format: 8N1, mode: rs232}, trace: {memory: 16KiB}, reconnect: {base: 50ms, cap: 200ms}}
devices:
  - {name: t, line: plc, every: 20ms, timeout: 100ms, tags: [{name: v, address: "input:1", type: uint16}]}
  - {name: r, line: bus, unit: 2, every: 20ms, timeout: 100ms, tags: [{name: v, address: "input:10", type: float32}]}
definitions:
  - {name: a, target: five, tags: ["load.*"], topic: "a/{tag}"}
  - {name: b, target: five, tags: ["load.t1", "t.v"], topic: "b/{device}/{tag}", qos: 1}
  - {name: c, target: five, tags: ["load.t2", "r.v"], topic: "c/{device}/{tag}", qos: 2}
  - {name: d, target: three, tags: ["load.t3", "t.v", "r.v"], topic: "d/{device}/{tag}", qos: 1}
  - {name: g, target: three, mode: periodic, cycle: 100ms, tags: ["*"], topic: "g/{node}"}
END

allocations() { # bytes of each thread that allocated any
	ctl --json status | tr -d '\n' | grep -oE '"allocated_bytes": ?[0-9]+' | grep -vE ': ?0$' | tr '\n' ' '
}

connected_times() { # COUNT
	status_exceeds five connects $(($1 - 1)) && status_exceeds three connects $(($1 - 1))
}

wait_for 5 'both are connected' connected_times 1
for round in 2 3 4; do
	: >"$work/got"
	wait_for 8 'a thousand messages' has_lines "$work/got" 1000
	gate_close
	end_process "$plant_pid" # orderly: a link left behind may lead to the pseudo-terminal of another test
	wait_for 5 'an outage' status_is five state waiting
	gate_open "$gate" "$port"
	plant_start --tcp "$slave" --rtu "$work/bus"
	wait_for 8 'both are back' connected_times $round
	wait_for 8 'the slave is back' status_is plc state up
	wait_for 8 'the bus is back' status_is bus state up
done
[ "$(ctl --json status | grep -oE '"allocated_bytes"' | wc -l)" -ge 4 ] || fail 'not four threads that count'
expect 'allocated by data threads' "$(allocations)" ''
daemon_stop
expect 'exit status' "$status" 0
