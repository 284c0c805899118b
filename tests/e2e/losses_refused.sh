#!/bin/bash
# The broker refuses a topic, and the one on which losses are told: what it refuses is in the ledger with its number, and a
# refused message about a loss is not told of in turn.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
port=$(free_port)

cat >"$work/acl" <<-END
	topic readwrite #
	topic deny v/r1
	topic deny loss/#
END
broker_start "$port" 127.0.0.1 "acl_file $work/acl"
subscribe "$work/got" "$port"
plant_start --tcp 0 --freeze
daemon_start <<-END
	node: n
	targets:
	  - {name: plant, url: "mqtt://127.0.0.1:$port", buffer: {messages: 100, loss_topic: "loss/{node}/{target}"},
	     reconnect: {base: 100ms, cap: 200ms}}
	lines:
	  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}}
	devices:
	  - name: m
	    line: plc
	    every: 5ms
	    timeout: 500ms
	    tags:
	      - {name: r0, address: "holding:200", type: uint16}
	      - {name: r1, address: "holding:201", type: uint16}
	definitions: [{name: d, target: plant, tags: ["m.*"], topic: "v/{tag}", qos: 1, sequence: true}]
END

# The gaps, oldest first, a line each: REASON COUNT SOURCE FIRST LAST
gaps() {
	ctl --json buffer plant | grep -oE '\{"gap"[^}]*\}' | tac |
		sed -E 's/.*"reason": ?"([^"]*)".*"count": ?([0-9]+).*"source": ?([0-9a-z]+).*"first": ?([0-9a-z]+).*"last": ?([0-9a-z]+).*/\1 \2 \3 \4 \5/'
}

wait_for 5 'the first of r0' has_lines "$work/got" 1
wait_for 5 'the second message and the one that tells of it are refused' status_is plant refused 2
expect 'made' "$(status_of plant made)" 3
expect 'gaps' "$(gaps)" $'refused 1 0 2 2\nrefused 1 1 1 1'
# This broker closes the connection after a refusal. Were the second gap told of, it would be so a second after the next one
# has begun.
wait_for 10 'the third connection' status_is plant connects 3
wait_for 5 'it stands' status_is plant state connected
sleep 2.5
expect 'connects' "$(status_of plant connects)" 3
expect 'refused' "$(status_of plant refused)" 2
plant 'set holding 200 7'
wait_for 5 'the next of r0' contains "$work/got" '"seq":3,'
expect 'lines' "$(line_count "$work/got")" 2
daemon_stop
expect 'exit status' "$status" 0
