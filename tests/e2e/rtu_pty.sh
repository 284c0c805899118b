#!/bin/bash
# Modbus RTU on a pseudo-terminal. A unit that stops answering is bad within its time-out, good again when it answers, and
# does not starve the other unit of the same bus.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
port=$(free_port)
broker_start "$port"
subscribe "$work/got" "$port"
plant_start --rtu "$work/bus" --units 1,2
daemon_start <<END
node: n
targets:
  - {name: plant, url: "mqtt://127.0.0.1:$port"}
lines:
  - {name: bus, modbus_rtu: {path: "$work/bus", baud: 115200, format: 8N1, mode: rs232}}
devices:
  - {name: a, line: bus, unit: 1, every: 100ms, timeout: 200ms, tags: [{name: ramp, address: "input:1", type: uint16}]}
  - {name: b, line: bus, unit: 2, every: 100ms, timeout: 200ms, tags: [{name: ramp, address: "input:1", type: uint16}]}
definitions:
  - {name: d, target: plant, tags: ["*.ramp"], topic: "{device}/{tag}"}
END

count() { grep -c "^$1/ramp .*\"quality\":\"$2\"" "$work/got"; }
more_than() { [ "$(count "$1" "$2")" -gt "$3" ]; }

wait_for 10 'values of unit 1' more_than a good 4
wait_for 10 'values of unit 2' more_than b good 4
expect 'bad values of unit 1' "$(count a bad)" 0

plant 'pause 1'
paused=$(now_ms)
wait_for 3 'unit 1 is bad' more_than a bad 0
took=$(($(now_ms) - paused))
[ $took -le 1500 ] || fail "unit 1 was bad after $took ms, its time-out is 200 ms"

# The simulator moves its values ten times a second, so one a message a tenth of a second is all there is.
before=$(count b good)
begun=$(now_ms)
wait_for 8 'unit 2 goes on while unit 1 is silent' more_than b good $((before + 14))
took=$(($(now_ms) - begun))
[ $took -le 4000 ] || fail "15 values of unit 2 took $took ms beside a silent unit"
expect 'bad values of unit 2' "$(count b bad)" 0

before=$(count a good)
plant 'resume 1'
wait_for 10 'unit 1 is good again' more_than a good $((before + 3))
daemon_stop
expect 'exit status' "$status" 0
