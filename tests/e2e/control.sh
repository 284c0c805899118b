#!/bin/bash
# ringctl: its verbs, tables and JSON, exit codes, the log level, and the orderly end.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub mosquitto_pub
port=$(free_port)

ctl status >/dev/null 2>"$work/err"
expect 'exit code when there is no daemon' $? 3
contains "$work/err" "$socket" || fail 'the message does not name the socket'
ctl no-such-verb >/dev/null 2>"$work/err"
expect 'exit code of a wrong verb' $? 2
ctl --help >"$work/out"
expect 'exit code of --help' $? 0
contains "$work/out" usage || fail 'no usage in --help'

broker_start "$port"
plant_start --tcp 0 --freeze
plant 'set holding 0 1234' 'set holding 1 65535'
daemon_start <<END
node: hall
targets:
  - {name: plant, url: "mqtt://127.0.0.1:$port", reconnect: {base: 100ms, cap: 200ms}}
  - {name: off, url: "mqtt://127.0.0.1:$port", enabled: false}
  - {name: bridge, url: "mqtt://127.0.0.1:$port", reconnect: {base: 100ms, cap: 200ms}}
lines:
  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}}
devices:
  - name: m
    line: plc
    every: 50ms
    tags:
      - {name: a, address: "holding:0", type: uint16, unit: kW, scale: 0.1}
      - {name: b, address: "holding:1", type: int16}
definitions:
  - {name: d, target: plant, tags: ["m.*"], topic: "{tag}"}
  - {name: pass, target: bridge, mode: subscribe, topic: "cmd/#", qos: 1, forward: {target: plant, topic: "from/{1}"}}
END
wait_for 5 'the subscription' status_is bridge subscribed 1
wait_for 5 'the connection' status_is plant state connected
wait_for 5 'the values are sent' status_is plant sent 2

# One JSON object a line, whatever the verb; checked by a parser where there is one.
json_of() { # VERB...
	ctl --json "$@" >"$work/json" 2>"$work/err" || fail "ringctl --json $*: exit code $?: $(cat "$work/err")"
	matches "$work/json" '^\{.*\}$' || fail "ringctl --json $*: not an object: $(head -c 300 "$work/json")"
	if command -v python3 >/dev/null; then
		python3 -c 'import json, sys
for line in sys.stdin: json.loads(line)' <"$work/json" || fail "ringctl --json $*: not JSON"
	fi
}

json_of status
matches "$work/json" '"ok": ?true' || fail 'not ok'
for key in targets lines samplers publishers node version uptime_s; do
	matches "$work/json" "\"$key\":" || fail "no $key in the status"
done
expect 'state of the one that is off' "$(status_of off state)" disabled
expect 'state of the line' "$(status_of plc state)" up
expect 'buffered' "$(status_of plant buffered)" 0
json_of targets
matches "$work/json" '"filter":"cmd/#","state":"subscribed","qos":1,"code":1,"reason":"Granted QoS 1","definitions":\["pass"\]' ||
	fail "the subscription is not shown: $(cat "$work/json")"
json_of subscriptions bridge
matches "$work/json" '"total":1,.*"filter":"cmd/#","state":"subscribed"' || fail "subscriptions bridge: $(cat "$work/json")"
mosquitto_pub -p "$port" -t cmd/x -m 1 || fail 'mosquitto_pub'
passed_one() {
	ctl --json definitions pass | grep -q '"received":1,.*"forwarded":1,.*"forward":"plant"'
}
wait_for 5 'the message is passed on' passed_one
json_of definitions
json_of packages
matches "$work/json" '"name":"core","description":"","enabled":true,"targets":3,"targets_enabled":2,"targets_connected":2' ||
	fail "packages: $(cat "$work/json")"
json_of tags
matches "$work/json" 'm\.a' || fail 'the tag is not listed'
json_of read m.a
matches "$work/json" '123\.4' || fail "m.a is not 123.4: $(cat "$work/json")"
json_of read 'm.*'
matches "$work/json" '"value": ?-1[,}]' || fail "m.b is not -1: $(cat "$work/json")"
json_of metrics
json_of metrics --describe
json_of log-level
json_of version

# The tables for people.
ctl status >"$work/out" || fail 'status'
matches "$work/out" 'plant.*connected' || fail "the table has no connected plant: $(cat "$work/out")"
ctl read m.a >"$work/out" || fail 'read'
matches "$work/out" 'm\.a.*123\.4.*good' || fail "read m.a: $(cat "$work/out")"
for verb in targets definitions subscriptions packages tags metrics log-level version; do
	ctl $verb >"$work/out" || fail "ringctl $verb: exit code $?"
	[ -s "$work/out" ] || fail "ringctl $verb says nothing"
done
ctl definitions >"$work/out"
matches "$work/out" '^d +plant +on-change +2 .*\{tag\}$' || fail "no published definition: $(cat "$work/out")"
matches "$work/out" '^pass +bridge +1 +1 .* plant +1 +0 +cmd/#$' || fail "no subscription: $(cat "$work/out")"
ctl subscriptions >"$work/out"
matches "$work/out" '^bridge +cmd/# +subscribed +1 +pass +Granted QoS 1$' || fail "subscriptions: $(cat "$work/out")"
ctl subscriptions brigde >"$work/out" 2>&1
expect 'exit code of a target that is not there' $? 4
contains "$work/out" 'did you mean bridge?' || fail "it says: $(cat "$work/out")"
for wrong in enable disable 'enable --package' 'disable a b' 'status --package' read; do
	# shellcheck disable=SC2086
	ctl $wrong >/dev/null 2>"$work/err"
	expect "exit code of ringctl $wrong" $? 2
done
ctl read m.zzz >"$work/out" 2>&1
expect 'exit code of a tag that is not there' $? 4

# watch: the present values, then each change, as it comes; until it is ended, or has told so many.
ctl watch 'm.*' >"$work/watch" 2>&1 &
watch_pid=$!
children+=("$watch_pid")
wait_for 5 'the present values in watch' matches "$work/watch" 'm\.a.*123\.4'
plant 'set holding 0 5555'
wait_for 5 'a change in watch' matches "$work/watch" 'm\.a.*555\.5'
end_process "$watch_pid"
ctl watch 'm.*' --count 2 >"$work/watch2" 2>&1 &
watch_pid=$!
children+=("$watch_pid")
wait_for 5 'the end of watch --count 2' process_gone "$watch_pid"
expect 'lines of watch --count 2' "$(line_count "$work/watch2")" 2

# The log level, at run time.
ctl log-level debug >/dev/null || fail 'log-level debug'
ctl log-level >"$work/out"
matches "$work/out" debug || fail "the log level is $(cat "$work/out")"
ctl log-level loud >/dev/null 2>"$work/err"
got=$?
case $got in 2 | 4) ;; *) fail "exit code of a wrong level: $got" ;; esac
: >"$work/daemon.log"
broker_kill KILL
wait_for 5 'debug lines' contains "$work/daemon.log" ' debug '

# The broker is away: not ok, exit code 1, and the reason.
wait_for 5 'the state is waiting' status_is plant state waiting
ctl --json status >"$work/json"
expect 'exit code while the broker is away' $? 1
matches "$work/json" '"ok": ?false' || fail 'ok while the broker is away'
[ -n "$(status_of plant reason)" ] || fail 'no reason'
ctl status >"$work/out"
expect 'exit code of the table' $? 1
: >"$work/broker.log"
broker_start "$port"
wait_for 5 'all is well again' status_is plant state connected

# Rubbish on the socket does not matter.
if command -v socat >/dev/null; then
	head -c 100000 /dev/urandom | socat -t 1 - "UNIX-CONNECT:$socket" >/dev/null 2>&1
	printf '{}\n[\n{"jsonrpc":"2.0","id":1,"method":"no"}\n' | socat -t 1 - "UNIX-CONNECT:$socket" >"$work/out" 2>&1
	contains "$work/out" -32601 || fail "no error for a method that is not there: $(cat "$work/out")"
fi
daemon_lives 'after rubbish on its socket'

# A second daemon with the same socket is refused; the first goes on.
"$build/ringmaind" -c "$work/ringmain.yaml" --control "$socket" --state-dir "$work" >"$work/out" 2>&1
expect 'exit status of a second daemon' $? 1
contains "$work/out" 'another ringmaind' || fail "the second one says: $(cat "$work/out")"
ctl status >/dev/null || fail 'the first one has lost its socket'

ctl stop >/dev/null || fail "stop: exit code $?"
wait_for 5 'the end' process_gone "$daemon_pid"
wait "$daemon_pid"
expect 'exit status after stop' $? 0
[ -e "$socket" ] && fail 'the socket is left over'
ctl status >/dev/null 2>&1
expect 'exit code after the end' $? 3
