#!/bin/bash
# A target, and a package of two, off and on while the daemon runs: the server is told, nobody gets a will, messages wait in
# the ring and arrive afterwards, and the exit code follows.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
port=$(free_port)

broker_start "$port"
subscribe "$work/got" "$port"
plant_start --tcp 0 --freeze
plant 'set holding 0 1'
daemon_start <<END
node: hall
packages: [{name: core}, {name: far, description: the other hall}]
targets:
  - name: plant
    url: "mqtt://127.0.0.1:$port"
    client_id: the-plant
    reconnect: {base: 100ms, cap: 200ms}
    will: {topic: state/plant, payload: dead, qos: 1, on_connect: online, on_disconnect: offline}
  - name: f1
    package: far
    url: "mqtt://127.0.0.1:$port"
    client_id: far-one
    reconnect: {base: 100ms, cap: 200ms}
    will: {topic: state/f1, payload: dead, on_disconnect: offline}
  - name: f2
    package: far
    protocol: 3.1.1
    url: "mqtt://127.0.0.1:$port"
    client_id: far-two
    reconnect: {base: 100ms, cap: 200ms}
    will: {topic: state/f2, payload: dead, on_disconnect: offline}
lines:
  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}}
devices:
  - {name: m, line: plc, every: 30ms, tags: [{name: a, address: "holding:0", type: uint16}]}
definitions:
  - {name: p, target: plant, tags: [m.a], topic: "plant/{tag}", payload: text, qos: 1}
  - {name: f1, target: f1, tags: [m.a], topic: "f1/{tag}", payload: text}
  - {name: f2, target: f2, tags: [m.a], topic: "f2/{tag}", payload: text, qos: 2}
END
for name in plant f1 f2; do
	wait_for 5 "the first value of $name" contains "$work/got" "$name/a 1"
done
wait_for 5 'on_connect' contains "$work/got" 'state/plant online'
ctl status >/dev/null || fail "status: exit code $?"

# What mosquitto writes of a client that has sent DISCONNECT; of others it says that they closed the connection.
left() { # CLIENT TIMES
	[ "$(grep -cE "Client $1( \[[^]]*\])? disconnected\.?\$" "$work/broker.log")" = "$2" ]
}

buffered() { # COUNT NAME...
	local count=$1 name
	shift
	for name in "$@"; do
		status_is "$name" buffered "$count" || return 1
	done
}

# --- a target ----------------------------------------------------------------------------------------------------------

ctl disable plant >"$work/out" || fail "disable: exit code $?"
contains "$work/out" 'plant: disabled' || fail "disable says: $(cat "$work/out")"
wait_for 5 'the state is disabled' status_is plant state disabled
expect 'enabled' "$(status_of plant enabled)" false
wait_for 5 'on_disconnect' contains "$work/got" 'state/plant offline'
wait_for 5 'DISCONNECT' left the-plant 1
ctl status >"$work/out" || fail "exit code $? though all that are enabled are connected"
matches "$work/out" '^ok: ' || fail "not ok: $(cat "$work/out")"
matches "$work/out" '^plant +disabled ' || fail "the table says: $(cat "$work/out")"
contains "$work/daemon.log" 'target=plant switch=off enabled=0' || fail 'the log does not say it'

# Each value is seen by the others before the next one is set.
for value in 2 3 4 5; do
	plant "set holding 0 $value"
	wait_for 5 "the value $value at f1" contains "$work/got" "f1/a $value"
done
wait_for 5 'messages wait in the ring' buffered 4 plant
contains "$work/got" 'plant/a 2' && fail 'a disabled target has sent'
ctl disable plant >/dev/null || fail 'to disable again is no error'

ctl --json enable plant >"$work/json" || fail "enable: exit code $?"
contains "$work/json" '"name":"plant","enabled":true' || fail "enable says: $(cat "$work/json")"
wait_for 5 'the last message that waited' contains "$work/got" 'plant/a 5'
wait_for 5 'connected again' status_is plant state connected
expect 'what arrived of plant' "$(grep '^plant/a' "$work/got" | cut -d' ' -f2 | tr '\n' ' ')" '1 2 3 4 5 '
said() { # TOPIC PAYLOAD TIMES
	[ "$(grep -cxF "$1 $2" "$work/got")" = "$3" ]
}
wait_for 5 'on_connect again' said state/plant online 2
expect 'connects' "$(status_of plant connects)" 2

# --- a package ---------------------------------------------------------------------------------------------------------

wait_for 5 'nothing of f2 is in flight' status_is f2 inflight 0
ctl disable --package far >"$work/out" || fail "disable --package: exit code $?"
contains "$work/out" 'far: disabled; enabled targets: 0 of 2' || fail "disable --package says: $(cat "$work/out")"
for name in f1 f2; do
	wait_for 5 "$name is disabled" status_is "$name" state disabled
	wait_for 5 "on_disconnect of $name" contains "$work/got" "state/$name offline"
done
wait_for 5 'DISCONNECT of f1' left far-one 1
wait_for 5 'DISCONNECT of f2' left far-two 1
status_is plant state connected || fail 'a target of another package is not connected'
ctl status >"$work/out" || fail "exit code $? with a package that is off"
matches "$work/out" '^f1 +disabled .* its package is disabled$' || fail "the table says: $(cat "$work/out")"
ctl packages >"$work/out" || fail 'packages'
matches "$work/out" '^far +disabled +2 +0 +0 +the other hall$' || fail "packages: $(cat "$work/out")"
ctl enable f1 >"$work/out" || fail 'enable f1'
contains "$work/out" 'f1: enabled, but not connected: its package is disabled: far' || fail "it says: $(cat "$work/out")"
for value in 6 7 8; do
	plant "set holding 0 $value"
	wait_for 5 "the value $value at plant" contains "$work/got" "plant/a $value"
done
wait_for 5 'messages wait in both rings' buffered 3 f1 f2

# One of its targets off by itself stays off when the package comes back.
ctl disable f2 >/dev/null || fail 'disable f2'
ctl enable --package far >/dev/null || fail "enable --package: exit code $?"
wait_for 5 'f1 has sent what waited' contains "$work/got" 'f1/a 8'
wait_for 5 'f1 is connected' status_is f1 state connected
expect 'state of f2' "$(status_of f2 state)" disabled
ctl enable f2 >/dev/null || fail 'enable f2'
wait_for 5 'f2 has sent what waited' contains "$work/got" 'f2/a 8'
for name in f1 f2; do
	expect "what arrived of $name" "$(grep "^$name/a" "$work/got" | cut -d' ' -f2 | tr '\n' ' ')" '1 2 3 4 5 6 7 8 '
done
contains "$work/got" dead && fail "a will was sent: $(grep dead "$work/got")"

# --- the exit code, and what is not there ------------------------------------------------------------------------------

ctl disable plamt >/dev/null 2>"$work/err"
expect 'exit code of a target that is not there' $? 4
contains "$work/err" 'did you mean plant?' || fail "it says: $(cat "$work/err")"
ctl enable --package fat >/dev/null 2>"$work/err"
expect 'exit code of a package that is not there' $? 4
contains "$work/err" 'did you mean far?' || fail "it says: $(cat "$work/err")"

broker_kill KILL
for name in plant f1 f2; do
	wait_for 5 "$name waits" status_is "$name" state waiting
done
ctl status >/dev/null
expect 'exit code while the broker is away' $? 1
ctl disable --package far >/dev/null
ctl status >/dev/null
expect 'exit code with one that is enabled' $? 1
ctl disable plant >/dev/null
ctl status >/dev/null
expect 'exit code with none that is enabled' $? 0
for name in plant f1 f2; do
	wait_for 5 "$name is disabled" status_is "$name" state disabled
done
ctl enable plant >/dev/null
ctl status >/dev/null
expect 'exit code as soon as one is enabled' $? 1
: >"$work/broker.log"
broker_start "$port"
wait_for 5 'it is connected' status_is plant state connected
ctl status >/dev/null || fail "exit code $? when it is connected"

daemon_stop
expect 'exit status' "$status" 0
