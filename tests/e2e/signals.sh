#!/bin/bash
# SIGTERM and SIGINT: what waits goes out, the daemon says DISCONNECT (so the will stays unpublished), and exits 0 soon.
# SIGKILL, for comparison: the broker publishes the will.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
port=$(free_port)
broker_start "$port"
subscribe "$work/got" "$port"
plant_start --tcp 0 --freeze

# Messages wait ten seconds for company, so one made just now is sure to be waiting when the signal comes.
config() { # FLUSH
	cat <<-END
		node: n
		publishers:
		  - {name: pub0, flush: $1, flush_bytes: 1MiB}
		targets:
		  - {name: plant, url: "mqtt://127.0.0.1:$port", will: {topic: "will", payload: lost, qos: 1}}
		lines:
		  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}}
		  - {name: load, synthetic: {tags: 1, rate: 1000}}
		devices:
		  - {name: m, line: plc, every: 20ms, tags: [{name: v, address: "holding:0", type: uint16}]}
		definitions:
		  - {name: change, target: plant, tags: [m.v], topic: "change", qos: $2}
		  - {name: load, target: plant, tags: ["load.*"], topic: "load/{tag}", qos: 1}
	END
}

round=0
for signal in TERM INT; do
	for qos in 0 1 2; do
		round=$((round + 1))
		: >"$work/daemon.log"
		daemon_start < <(config 10s $qos)
		wait_for 5 'the connection' contains "$work/daemon.log" state=connected
		plant "set holding 0 $((7000 + round))"
		wait_for 3 'messages wait' status_exceeds plant made $(($(status_of plant made) + 100))
		contains "$work/got" "\"value\":$((7000 + round))," && fail 'nothing waits: the test is not one'
		daemon_stop $signal
		expect "exit status after SIG$signal" "$status" 0
		[ "$took_ms" -le 5000 ] || fail "SIG$signal took $took_ms ms"
		wait_for 3 "QoS $qos: what waited arrives" contains "$work/got" "\"value\":$((7000 + round)),"
		contains "$work/daemon.log" 'state=stopped' || fail 'no word of the end'
	done
done
grep '^will' "$work/got" && fail 'the will was published after an orderly end'

# Nothing is missing in what was sent: the source counts in thousandths. (It skips what it cannot make up for after a stop
# of the machine of 50 ms; a gap across so much time is not the daemon's.)
gaps=$(sed -nE 's/^load.t0 .*"value":([0-9.]*),.*"ts":"[^"]*T(..):(..):([0-9.]*)Z".*/\1 \2 \3 \4/p' "$work/got" |
	awk '{ n = int($1 * 1000 + 0.5); t = ($2 * 60 + $3) * 60 + $4 }
		NR > 1 && n > last && n != last + 1 && t - last_t < 0.045 { gaps++ }
		{ last = n; last_t = t }
		END { print (NR > 600 ? gaps + 0 : "too few messages, " NR) }')
expect 'gaps in what was sent under QoS 1' "$gaps" 0

: >"$work/daemon.log"
daemon_start < <(config 0s 0)
wait_for 5 'the connection' contains "$work/daemon.log" state=connected
kill -KILL "$daemon_pid"
wait_for 5 'the will after SIGKILL' contains "$work/got" 'will lost'
