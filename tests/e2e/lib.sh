# tests/e2e/lib.sh - what the end-to-end tests share: sourced by each, with BUILD_DIR as $1.
#
# Every test gets a folder of its own ($work), ports of its own, and ends what it started, by process id. A test passes
# with exit status 0, is skipped with 77, and fails with anything else; then `fail` has shown the logs.
# Nothing waits for a fixed time where it can wait for a condition: wait_for.
# shellcheck shell=bash
set -u
build=$(cd "${1:-build}" && pwd) || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/ringmain-e2e.XXXXXX") || exit 1
socket=$work/control.sock
children=()
broker_pid='' daemon_pid='' plant_pid='' gate_pid=''

# --- the end -----------------------------------------------------------------------------------------------------------

# Ends a process of ours and waits for it; one that does not end in five seconds is killed.
end_process() { # PID [SIGNAL]
	local pid=$1
	kill -"${2:-TERM}" "$pid" 2>/dev/null || { wait "$pid" 2>/dev/null; return; }
	wait_until 5 process_gone "$pid" || kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
}

process_gone() { # PID: ended, though perhaps not waited for
	local state
	read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" || return 0
	[ "$state" = Z ]
}

finish() {
	local pid
	gate_close
	for pid in "${children[@]}"; do
		end_process "$pid"
	done
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

# Says what went wrong, shows the logs, ends the test.
fail() {
	local log
	echo "FAILED: $*"
	for log in "$work"/*.log; do
		[ -s "$log" ] || continue
		echo "--- ${log##*/}, its last lines"
		tail -n 25 "$log"
	done
	if [ -n "$daemon_pid" ] && ! process_gone "$daemon_pid" && [ -x "$build/ringctl" ]; then
		echo '--- status'
		ctl --json status
	fi
	exit 1
}

skip() {
	echo "skipped: $*"
	exit 77
}

need() { # PROGRAM...
	local program
	for program in "$@"; do
		command -v "$program" >/dev/null || skip "there is no $program"
	done
}

# --- waiting -------------------------------------------------------------------------------------------------------------

# True as soon as the command is; false when the seconds are over.
wait_until() { # SECONDS COMMAND...
	local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@"; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$deadline" ] || return 1
		sleep 0.03
	done
}

# The same, but the test fails when the seconds are over.
wait_for() { # SECONDS WHAT COMMAND...
	local seconds=$1 what=$2
	shift 2
	wait_until "$seconds" "$@" || fail "not within $seconds s: $what"
}

contains() { # FILE TEXT
	grep -qF -- "$2" "$1" 2>/dev/null
}

matches() { # FILE EXTENDED_REGEX
	grep -qE -- "$2" "$1" 2>/dev/null
}

line_count() { # FILE
	if [ -e "$1" ]; then wc -l <"$1"; else echo 0; fi
}

has_lines() { # FILE COUNT: at least
	[ "$(line_count "$1")" -ge "$2" ]
}

now_ms() {
	local us=${EPOCHREALTIME/[.,]/}
	echo $((us / 1000))
}

expect() { # WHAT GOT WANTED
	[ "$2" = "$3" ] || fail "$1: got \`$2\`, wanted \`$3\`"
}

# --- ports ---------------------------------------------------------------------------------------------------------------

# A loopback port that is nobody's, below the range the kernel gives out by itself. Tests that run at the same time share
# $E2E_PORTS, where a folder a port says that it is taken.
free_port() {
	local taken=${E2E_PORTS:-$work} port
	while :; do
		port=$((20000 + RANDOM % 12000))
		mkdir "$taken/port-$port" 2>/dev/null || continue
		listens "$port" && continue
		echo "$port"
		return
	done
}

listens() { # PORT [ADDRESS]
	(exec 3<>"/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null
}

# --- the broker ----------------------------------------------------------------------------------------------------------

# Mosquitto with no persistence and no limit to what it queues for a subscriber.
broker_start() { # PORT [ADDRESS] [FURTHER LINES]
	local address=${2:-127.0.0.1}
	need mosquitto
	cat >"$work/broker.conf" <<-END
		listener $1 $address
		allow_anonymous true
		persistence false
		max_queued_messages 0
		user root
		log_dest stderr
		log_type error
		log_type warning
		log_type notice
		log_type subscribe
		${3:-}
	END
	mosquitto -c "$work/broker.conf" >>"$work/broker.log" 2>&1 &
	broker_pid=$!
	children+=("$broker_pid")
	wait_for 5 "the broker listens on $1" listens "$1" "$address"
}

broker_kill() { # [SIGNAL]
	end_process "$broker_pid" "${1:-KILL}"
}

# ejabberd with mod_mqtt as the only thing it does. No distribution, so no epmd and no port but the one asked for; whoever
# gives a user name at `localhost`, and any password, is let in. Its user names are part of what a session is known by: give each client one.
ejabberd_start() { # PORT [LINES FOR mod_mqtt]
	local root erlang home=$work/ejabberd
	root=$(cd "${BASH_SOURCE[0]%/*}/../../build/ejabberd" 2>/dev/null && pwd) || skip 'there is no ejabberd: make deps'
	erlang=$root/usr/lib/erlang
	mkdir -p "$home"
	cat >"$home/ejabberd.yml" <<-END
		hosts: [localhost]
		loglevel: info
		auth_method: anonymous
		anonymous_protocol: login_anon
		allow_multiple_connections: true
		listen:
		  - {port: $1, ip: "127.0.0.1", module: mod_mqtt, tls: false}
		modules:
		  mod_mqtt:
		    max_queue: 100000
		${2:-}
	END
	(
		export ROOTDIR=$erlang EMU=beam PROGNAME=erl HOME=$home ERL_CRASH_DUMP_SECONDS=0
		export ERL_LIBS LD_LIBRARY_PATH BINDIR EJABBERD_CONFIG_PATH=$home/ejabberd.yml EJABBERD_LOG_PATH=$home/file.log
		ERL_LIBS=$(echo "$root"/usr/lib/*-linux-gnu)
		LD_LIBRARY_PATH=$ERL_LIBS:$(echo "$root"/lib/*-linux-gnu)
		BINDIR=$(echo "$erlang"/erts-*/bin)
		cd "$home" || exit 1
		exec "$BINDIR/erlexec" -noinput -mnesia dir "\"$home/spool\"" -s ejabberd +sbwt none
	) >>"$work/ejabberd.log" 2>&1 &
	ejabberd_pid=$!
	children+=("$ejabberd_pid")
	wait_for 30 "ejabberd listens on $1" listens "$1"
}

# An MQTT server whose ledger survives a SIGKILL (recorder.c), and that holds its answers back for so many milliseconds.
recorder_start() { # PORT [HOLD_MS]
	"$build/tests/recorder" "$1" "$work/ledger" "${2:-0}" 2>>"$work/recorder.log" &
	recorder_pid=$!
	children+=("$recorder_pid")
}

# What the ledger says of a topic, or of `recorder`: messages, first, last, missing, twice, again, disorder, open;
# starts, connects, violations, discarded (QoS 2 messages that were open when their client began anew).
recorder_report() {
	"$build/tests/recorder" --report "$work/ledger" >"$work/report" || fail 'the report of the recorder'
}

report_of() { # TOPIC FIELD
	sed -nE "s#^$1 (.* )?$2=([0-9]+).*#\\2#p" "$work/report"
}

# What arrives goes to a file, a line a message: `TOPIC PAYLOAD`. Comes back when the broker has the subscription.
subscribe() { # FILE PORT [OPTION...]
	local file=$1 port=$2 id=sub-$RANDOM$RANDOM
	shift 2
	need mosquitto_sub
	[ $# -gt 0 ] || set -- -t '#'
	mosquitto_sub -h "${broker_host:-127.0.0.1}" -p "$port" -i "$id" -F '%t %p' "$@" >>"$file" 2>>"$work/sub.log" &
	sub_pid=$!
	children+=("$sub_pid")
	wait_for 5 "the broker has the subscription" contains "$work/broker.log" ": $id "
}

# A door between two ports that opens and closes: so a broker, subscribers and all, is there or away for the daemon alone.
gate_open() { # PORT BROKER_PORT
	need socat
	set -m
	socat "TCP-LISTEN:$1,fork,reuseaddr,bind=127.0.0.1" "TCP:127.0.0.1:$2" >>"$work/gate.log" 2>&1 &
	gate_pid=$!
	set +m
	# Not by a connection, which would reach the broker: by its entry in the kernel's table.
	wait_for 5 "the gate listens on $1" matches /proc/net/tcp "$(printf ':%04X 00000000:0000 0A' "$1")"
}

gate_close() {
	[ -n "$gate_pid" ] || return 0
	kill -KILL -- "-$gate_pid" 2>/dev/null
	wait "$gate_pid" 2>/dev/null
	gate_pid=''
}

# --- the plant -----------------------------------------------------------------------------------------------------------

# plantsim with these options; its standard input is descriptor 8. Sets plant_port if one was chosen (--tcp 0).
plant_start() { # OPTION...
	rm -f "$work/plant.in" "$work/plant.out"
	mkfifo "$work/plant.in" || fail 'mkfifo'
	exec 8<>"$work/plant.in"
	"$build/plantsim" --stdin "$@" <"$work/plant.in" >"$work/plant.out" 2>>"$work/plant.log" &
	plant_pid=$!
	children+=("$plant_pid")
	wait_for 5 'the plant is ready' contains "$work/plant.out" ready
	plant_port=$(sed -n 's/^tcp .*://p' "$work/plant.out" | head -n 1)
}

# Commands for the plant, a line each; comes back when it has answered all of them.
plant() { # COMMAND...
	local before command answers
	before=$(grep -c '^ok' "$work/plant.out")
	answers=$((before + $#))
	for command in "$@"; do
		echo "$command"
	done >&8
	wait_for 5 "the plant answers \`$1\`" plant_answered "$answers"
	contains "$work/plant.out" error && fail "the plant: $(grep error "$work/plant.out")"
	return 0
}

plant_answered() { # COUNT
	[ "$(grep -cE '^(ok|error)' "$work/plant.out")" -ge "$1" ]
}

# --- the daemon ------------------------------------------------------------------------------------------------------------

# The configuration on standard input; starts the daemon and waits for `ready`.
daemon_start() { # OPTION...
	cat >"$work/ringmain.yaml"
	"$build/ringmaind" -c "$work/ringmain.yaml" --control "$socket" --state-dir "$work" "$@" 2>>"$work/daemon.log" &
	daemon_pid=$!
	children+=("$daemon_pid")
	wait_for 10 'the daemon is ready' daemon_ready
}

daemon_ready() {
	contains "$work/daemon.log" ' ready' && return 0
	process_gone "$daemon_pid" && fail 'the daemon ended before it was ready'
	return 1
}

daemon_lives() {
	process_gone "$daemon_pid" && fail "the daemon has ended: $*"
	return 0
}

# Ends the daemon; sets status (of its exit) and took_ms.
daemon_stop() { # [SIGNAL]
	local started
	started=$(now_ms)
	kill -"${1:-TERM}" "$daemon_pid" || fail 'the daemon is gone already'
	wait_for 10 "the daemon ends at ${1:-TERM}" process_gone "$daemon_pid"
	wait "$daemon_pid"
	status=$?
	took_ms=$(($(now_ms) - started))
}

ctl() {
	"$build/ringctl" --socket "$socket" "$@"
}

# A field of the target, line, sampler or publisher with this name, from the status as it is now; not of its subscriptions
# and of where its files are.
status_of() { # NAME FIELD
	ctl --json status | tr -d '\n' | sed -E 's/\{"(filter|where)":[^{}]*\}//g' | grep -oE "\\{[^{}]*\"name\": ?\"$1\"[^{}]*\\}" |
		sed -nE "s/.*\"$2\": ?(\"([^\"]*)\"|([^,} ]*)).*/\\2\\3/p" | head -n 1
}

# Of a target: `where` or `state` of its `buffer` or `session`.
place_of() { # NAME buffer|session where|state
	ctl --json status | tr -d '\n' | sed -E 's/\{"filter":[^{}]*\}//g' | grep -oE "\"name\": ?\"$1\".*" |
		grep -oE "\"$2\": ?\{[^{}]*\}" | head -n 1 | sed -nE "s/.*\"$3\": ?\"([^\"]*)\".*/\\1/p"
}

status_is() { # NAME FIELD VALUE
	[ "$(status_of "$1" "$2")" = "$3" ]
}

status_exceeds() { # NAME FIELD NUMBER
	[ "$(status_of "$1" "$2")" -gt "$3" ]
}
