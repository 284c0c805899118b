#!/bin/bash
# The daemon starts while the broker is away: it is ready at once, says why it waits, and connects when there is one.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
port=$(free_port)
daemon_start <<END
node: early
targets:
  - {name: plant, url: "mqtt://127.0.0.1:$port", reconnect: {base: 100ms, cap: 500ms}}
lines:
  - {name: load, synthetic: {tags: 4, rate: 200}}
definitions:
  - {name: d, target: plant, tags: ["load.*"], topic: "early/{tag}"}
END
wait_for 5 'it says that it waits, and why' matches "$work/daemon.log" 'target.*name=plant state=waiting.*reason="[^"]*[Rr]efused'
ctl --json status >"$work/status"
expect 'exit code while the broker is away' $? 1
matches "$work/status" '"ok": ?false' || fail "status: $(cat "$work/status")"
expect state "$(status_of plant state)" waiting

broker_start "$port"
subscribe "$work/got" "$port"
wait_for 10 'values arrive' has_lines "$work/got" 100
wait_for 2 'a word of the connection' contains "$work/daemon.log" state=connected
expect 'one line about the outage' "$(grep -c 'name=plant state=waiting' "$work/daemon.log")" 1
ctl --json status >"$work/status"
expect 'exit code when all is well' $? 0
daemon_stop
expect 'exit status' "$status" 0
