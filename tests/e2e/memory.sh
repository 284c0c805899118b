#!/bin/bash
# What --check prints is what the daemon takes: its resident size is within 5 % of it at `ready`, when every ring has been
# overwritten because no broker is there, and when all that goes out. Locked, as far as that is allowed (memory_unlocked.sh: where
# it is not). Data threads meet no page fault in all that time, but for those that a ring in a file has after a write-back.
. "${0%/*}/lib.sh"
locked=${locked:-1}
need mosquitto
if [ "$locked" = 0 ]; then
	need setpriv
elif [ "$(id -u)" != 0 ] && [ "$(ulimit -H -l)" != unlimited ]; then
	skip 'not allowed to lock memory'
fi

launch() { # CONFIG: the daemon, with the rights of this test
	rm -f "$work/daemon.log" "$socket"
	local -a as=()
	# Without the capability, and with a limit that only the queues of io_uring fit: they count, too.
	[ "$locked" = 1 ] || as=(bash -c 'ulimit -l 4096 && exec "$@"' -)
	[ "$locked" = 1 ] || [ "$(id -u)" != 0 ] || as+=(setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock)
	"${as[@]}" "$build/ringmaind" -c "$1" --control "$socket" --state-dir "$work" 2>>"$work/daemon.log" &
	daemon_pid=$!
	children+=("$daemon_pid")
	wait_for 20 'the daemon is ready' daemon_ready
}

status_kb() { # FIELD
	awk -v field="$1:" '$1 == field { print $2 }' "/proc/$daemon_pid/status"
}

within() { # WHAT
	local resident=$(($(status_kb VmRSS) * 1024))
	local off=$((resident - counted))
	printf '%-8s %-22s counted %11d resident %11d off %8d\n' "$name" "$1" "$counted" "$resident" "$off"
	[ $((${off#-} * 20)) -le "$counted" ] || fail "$name, $1: resident $resident, counted $counted"
}

# Page faults so far of the threads that sample and publish; a line a thread.
faults() {
	local task line
	for task in "/proc/$daemon_pid/task/"*; do
		case $(<"$task/comm") in
		fast | pub0)
			line=$(<"$task/stat")
			line=${line##*) }
			# shellcheck disable=SC2086
			set -- $line
			echo "$(<"$task/comm") $8"
			;;
		esac
	done
}

measure() { # NAME LAST_TARGET; the configuration on standard input, with PORT for the broker's
	local port before
	name=$1
	port=$(free_port)
	sed "s/PORT/$port/" >"$work/$name.yaml"
	counted=$("$build/ringmaind" -c "$work/$name.yaml" --check | awk '$1 == "total" { print $2 }')
	[ "${counted:-0}" -gt 0 ] || fail "$name: no total"
	expect "$name: counted again" "$("$build/ringmaind" -c "$work/$name.yaml" --check | awk '$1 == "total" { print $2 }')" "$counted"

	launch "$work/$name.yaml"
	within 'at ready'
	contains "$work/daemon.log" 'present=1' || fail "$name: not present"
	if [ "$locked" = 1 ]; then
		[ "$(status_kb VmLck)" -ge "$(status_kb VmRSS)" ] || [ $(($(status_kb VmLck) * 1024)) -ge $((counted * 9 / 10)) ] ||
			fail "$name: locked $(status_kb VmLck) kB"
		contains "$work/daemon.log" 'memory locked=1' || fail "$name: not said that it is locked"
	else
		expect "$name: locked" "$(status_kb VmLck)" 0
		expect "$name: lines about that" "$(grep -c 'memory locked=0 wanted_bytes=[0-9]* limit_bytes=4194304 ' "$work/daemon.log")" 1
	fi
	before=$(faults)
	[ "$(wc -l <<<"$before")" = 2 ] || fail "$name: not two data threads: $before"
	wait_for 25 "$name: the ring of $2 is full" status_exceeds "$2" overwritten 0
	within 'rings full'
	broker_start "$port"
	wait_for 20 "$name: $2 is connected" status_exceeds "$2" sent 100
	within 'connected'
	[ "$name" = file ] || expect "$name: page faults of data threads" "$(faults)" "$before"
	broker_kill
	daemon_stop KILL
}

measure tiny only <<-END
	node: n
	samplers: [{name: fast}]
	publishers: [{name: pub0}]
	targets: [{name: only, url: "mqtt://127.0.0.1:PORT", trace: {memory: 4MiB}, reconnect: {base: 50ms, cap: 200ms}}]
	lines: [{name: load, synthetic: {tags: 10, rate: 5000}}]
	definitions: [{name: d, target: only, tags: ["load.*"], topic: "d/{tag}", qos: 1}]
END

{
	cat <<-END
		node: n
		samplers: [{name: fast}]
		publishers: [{name: pub0}]
		lines: [{name: load, synthetic: {tags: 10, rate: 2000}}]
		targets:
	END
	for i in {1..200}; do
		echo "  - {name: t$i, url: \"mqtt://127.0.0.1:PORT\", clean_start: $([ $((i % 2)) = 0 ] && echo true || echo false)," \
			"session_expiry: 1h, buffer: {messages: 100}, reconnect: {base: 50ms, cap: 200ms}}"
	done
	echo 'definitions:'
	for i in {1..200}; do
		echo "  - {name: d$i, target: t$i, tags: [load.t1], topic: \"d/$i\", qos: 1}"
	done
} | measure many t200

measure large only <<-END
	node: n
	samplers: [{name: fast}]
	publishers: [{name: pub0}]
	targets: [{name: only, url: "mqtt://127.0.0.1:PORT", buffer: {messages: 600000}, reconnect: {base: 50ms, cap: 200ms}}]
	lines: [{name: load, synthetic: {tags: 10, rate: 400000}}]
	definitions: [{name: d, target: only, tags: ["load.*"], topic: "d/{tag}"}]
END

measure file only <<-END
	node: n
	samplers: [{name: fast}]
	publishers: [{name: pub0}]
	targets:
	  - {name: only, url: "mqtt://127.0.0.1:PORT", clean_start: false, session_expiry: 1h, reconnect: {base: 50ms, cap: 200ms},
	     buffer: {messages: 50000, path: only.ring, sync: interval}}
	lines: [{name: load, synthetic: {tags: 10, rate: 100000}}]
	definitions: [{name: d, target: only, tags: ["load.*"], topic: "d/{tag}", qos: 1}]
END
