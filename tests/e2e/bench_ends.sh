#!/bin/bash
# A benchmark that fails, or that a signal ends, says so by its status and leaves no process and no file behind; what it did not
# measure it does not write down.
. "${0%/*}/lib.sh"
need mosquitto
folder=$work/of_benchmarks
mkdir "$folder" "$work/no"

# What it starts inherits this environment.
bench() { # NAME OPTION...
	local name=$1
	shift
	TMPDIR=$folder exec "$build/perf/bench_$name" "$@" >"$work/$name.log" 2>&1
}

running() {
	grep -lsF "TMPDIR=$folder" /proc/[0-9]*/environ
}

runs() { # REGEX: a program of the benchmark
	local file
	for file in $(running); do
		tr '\0' ' ' 2>/dev/null <"${file%/environ}/cmdline" | grep -qE -- "$1" && return
	done
	return 1
}

nothing_runs() {
	[ -z "$(running)" ]
}

nothing_is_left() { # WHAT
	local file
	if ! wait_until 10 nothing_runs; then
		for file in $(running); do
			children+=("$(basename "${file%/environ}")")
		done
		fail "$1: processes are left"
	fi
	expect "$1: files that are left" "$(ls -A "$folder")" ''
}

ended_by() { # SIGNAL STATUS PROGRAM NAME OPTION...
	local signal=$1 wanted=$2 program=$3 pid
	shift 3
	bench "$@" &
	pid=$!
	children+=("$pid")
	wait_for 20 "$1 has started $program" runs "$program"
	kill "-$signal" "$pid"
	wait "$pid"
	expect "status of $1 after SIG$signal" $? "$wanted"
	nothing_is_left "$1 after SIG$signal"
}
ended_by TERM 143 'ringmaind .*--state-dir' idle --rounds 1 --seconds 1000
ended_by HUP 129 'ringmaind .*--state-dir' scale --axis tags --seconds 1000
ended_by TERM 143 '^mosquitto ' latency --rounds 1 --scale 1000 --rate 100
ended_by TERM 143 '/peer_' peers --rounds 20 --seconds 1 --qos 1

(bench latency --rounds 1 --publisher 'nonsense: 1')
expect 'status where a run cannot begin' $? 1
contains "$work/latency.log" 'unknown key `nonsense`' || fail 'why it cannot begin'
nothing_is_left 'a run that cannot begin'

(PATH=$work/no bench latency --rounds 1)
expect 'status without a broker' $? 1
contains "$work/latency.log" 'mosquitto: No such file or directory' || fail 'what there is not'
nothing_is_left 'without a broker'

# What was not measured has no line in the history.
(bench matrix --case 2 --rounds 1 --seconds 0.05 --json "$work/history")
expect 'status of one case' $? 0
expect 'lines of one case' "$(line_count "$work/history")" 1
matches "$work/history" '"figures":\{"[a-z_]+":\[[0-9.e+]+,' || fail "figures: $(cat "$work/history")"

for name in latency matrix peers scale; do
	option=--seconds
	[ $name = latency ] && option=--scale
	(bench $name $option nan)
	expect "status of $name $option nan" $? 2
	matches "$work/$name.log" "^usage: bench_$name " || fail "$name $option nan: no usage"
done
