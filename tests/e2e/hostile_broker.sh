#!/bin/bash
# Brokers that refuse, send garbage, hang up, or never answer: each target says its state and why, the daemon lives, and
# the one good broker is served all the while.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub socat
good=$(free_port)
broker_start "$good"
subscribe "$work/got" "$good"

# A broker of a few bytes: for each connection it sends what the command prints, and then listens for ever.
fake() { # NAME COMMAND [AFTERWARDS]
	local port
	port=$(free_port)
	eval "$2" >"$work/$1.bytes"
	socat "TCP-LISTEN:$port,fork,reuseaddr,bind=127.0.0.1" "SYSTEM:cat $work/$1.bytes; ${3:-cat >/dev/null}" 2>/dev/null &
	children+=("$!")
	printf -v "$1" %s "$port"
	wait_for 5 "the fake broker $1" matches /proc/net/tcp "$(printf ':%04X 00000000:0000 0A' "$port")"
}

fake password "printf '\x20\x03\x00\x86\x00'" # CONNACK of MQTT 5: bad user name or password
fake identity "printf '\x20\x02\x00\x05'"     # CONNACK of MQTT 3.1.1: not authorized
fake garbage 'head -c 65536 /dev/urandom'
fake zeros 'head -c 65536 /dev/zero'
fake hangs_up true true
fake silent true
fake half "printf '\x20\x03\x00\x00\x00\x30\xff\xff\xff\x7f'" # accepts, and begins the largest packet there is
nobody=$(free_port)

daemon_start <<END
node: n
targets:
  - {name: good, url: "mqtt://127.0.0.1:$good"}
$(for t in password garbage zeros hangs_up silent half nobody; do
	echo "  - {name: $t, url: \"mqtt://127.0.0.1:${!t}\", connect_timeout: 1s, reconnect: {base: 50ms, cap: 200ms}}"
done)
  - {name: identity, url: "mqtt://127.0.0.1:$identity", protocol: 3.1.1, connect_timeout: 1s, reconnect: {base: 50ms, cap: 200ms}}
lines:
  - {name: load, synthetic: {tags: 10, rate: 1000}}
definitions:
$(for t in good password identity garbage zeros hangs_up silent half nobody; do
	echo "  - {name: d, target: $t, tags: [\"load.*\"], topic: \"$t/{tag}\", qos: 1}"
done)
END

# In the log, which has each outage once; or in the status, since lines in excess of ten a second are left out of the log.
seen() { # TARGET STATE REASON
	matches "$work/daemon.log" "target name=$1 state=$2 .*reason=\"[^\"]*$3" && return 0
	status_is "$1" state "$2" && [[ $(status_of "$1" reason) =~ $3 ]]
}

while read -r target state reason; do
	wait_for 8 "$target is $state: $reason" seen "$target" "$state" "$reason"
done <<'END'
password refused ([Uu]ser|[Pp]assword)
identity refused ([Aa]uthori[sz]ed)
garbage waiting .
zeros waiting .
hangs_up waiting closed
silent waiting CONNACK
half waiting .
nobody waiting [Rr]efused
END

attempted() { # TARGET COUNT
	status_exceeds "$1" connect_failures "$2"
}

for target in password identity garbage zeros hangs_up nobody; do
	wait_for 8 "$target is tried again" attempted $target 2
done
wait_for 8 'the one that refuses says so in the status' status_is password state refused
has_reason() { [ -n "$(status_of "$1" reason)" ]; }
wait_for 8 'it says why in the status' has_reason password
daemon_lives 'among hostile brokers'
expect 'the good one' "$(status_of good state)" connected
before=$(line_count "$work/got")
wait_for 5 'the good one goes on' has_lines "$work/got" $((before + 1000))
ctl --json status >/dev/null
expect 'exit code while some are away' $? 1

# An outage is a line in the log, not thousands. (Each time that `half` accepts and then fails is an outage of its own.)
[ "$(grep -vc name=half "$work/daemon.log")" -le 40 ] || fail "$(line_count "$work/daemon.log") lines in the log"
daemon_stop
expect 'exit status' "$status" 0
[ "$took_ms" -le 6000 ] || fail "the end took $took_ms ms"
