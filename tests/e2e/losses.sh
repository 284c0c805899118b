#!/bin/bash
# The broker is away, the buffer holds 100 messages, 1000 are made meanwhile: the ledger says exactly which are missing; the
# broker comes back: the newest 100 arrive with their numbers, what is missing between them is what the messages about losses
# say, and delivered + lost = made.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub socat
port=$(free_port)
gate=$(free_port)
tags=100
rounds=10

broker_start "$port"
subscribe "$work/got" "$port"
gate_open "$gate" "$port"
plant_start --tcp 0 --freeze

registers() { # ROUND
	local i
	for ((i = 0; i < tags; i++)); do
		echo "set holding $((200 + i)) $(($1 * tags + i))"
	done
}

buffer_of() { # FIELD
	ctl --json buffer plant | grep -oE "\"$1\": ?[^,}]*" | head -n 1 | sed 's/.*: *//; s/"//g'
}

# The gaps, oldest first, a line each: REASON COUNT SOURCE FIRST LAST
gaps() {
	ctl --json buffer plant | grep -oE '\{"gap"[^}]*\}' | tac |
		sed -E 's/.*"reason": ?"([^"]*)".*"count": ?([0-9]+).*"source": ?([0-9a-z]+).*"first": ?([0-9a-z]+).*"last": ?([0-9a-z]+).*/\1 \2 \3 \4 \5/'
}

mapfile -t commands < <(registers 1)
plant "${commands[@]}"
{
	cat <<-END
		node: n
		targets:
		  - {name: plant, url: "mqtt://127.0.0.1:$gate", clean_start: false, session_expiry: 1h,
		     buffer: {messages: 100, loss_topic: "loss/{node}/{target}"}, reconnect: {base: 100ms, cap: 300ms}}
		lines:
		  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}}
		devices:
		  - name: m
		    line: plc
		    every: 5ms
		    timeout: 500ms
		    tags:
	END
	for ((i = 0; i < tags; i++)); do
		echo "      - {name: r$i, address: \"holding:$((200 + i))\", type: uint16}"
	done
	echo 'definitions: [{name: d, target: plant, tags: ["m.*"], topic: "v/{tag}", qos: 1, sequence: true}]'
} >"$work/losses.yaml"
daemon_start <"$work/losses.yaml"
wait_for 5 'the first hundred' has_lines "$work/got" $tags
wait_for 5 'nothing is on its way' status_is plant inflight 0
expect 'gaps while all is well' "$(gaps)" ''
gate_close
wait_for 5 'the target waits' status_is plant state waiting

for ((round = 2; round < 2 + rounds; round++)); do
	mapfile -t commands < <(registers $round)
	plant "${commands[@]}"
	wait_for 5 "the messages of round $round" status_is plant made $((round * tags))
done
expect 'buffered' "$(buffer_of buffered)" 100
expect 'full' "$(buffer_of full)" true
expect 'lost, and not known which' "$(buffer_of unlocated)" 900
has_rate() { [ "$(buffer_of rate)" != 0.0 ]; }
wait_for 5 'a rate' has_rate
[ "$(buffer_of holds_s)" != null ] || fail 'no forecast'
contains <(ctl buffer plant) 'full, the oldest give way' || fail 'the buffer for people does not say that it is full'

gate_open "$gate" "$port"
wait_for 10 'the newest hundred, and what was lost' has_lines "$work/got" $((tags + 100 + 1))
wait_for 5 'nothing waits' status_is plant buffered 0
wait_for 5 'nothing is on its way' status_is plant inflight 0
expect 'the gap' "$(gaps)" 'overwritten 900 0 101 1000'
expect 'lost' "$(buffer_of overwritten)" 900
expect 'lost, and not known which' "$(buffer_of unlocated)" 0

# As a consumer proves it: the numbers that arrived and those that are reported are all, each once.
seqs() { grep '^v/' "$work/got" | sed -E 's/.*"seq":([0-9]+),"source":0\}$/\1/' | sort -n; }
lost() { # from the messages about losses
	grep '^loss/n/plant ' "$work/got" |
		sed -E 's/.*"source":0,"first":([0-9]+),"last":([0-9]+),.*/\1 \2/' | while read -r first last; do seq "$first" "$last"; done
}
expect 'messages about losses' "$(grep -c '^loss/n/plant ' "$work/got")" 1
matches "$work/got" '^loss/n/plant \{"target":"plant","reason":"overwritten","count":900,"source":0,"first":101,"last":1000,"from":"20[^"]*Z","to":"20[^"]*Z","own_seq":1,"own_source":1\}$' ||
	fail "the message about the loss: $(grep '^loss' "$work/got")"
expect 'delivered' "$(seqs | wc -l)" $((tags + 100))
expect 'delivered and lost' "$({ seqs; lost; } | sort -n | uniq | awk '$1 == NR' | wc -l)" $((tags * (rounds + 1)))

# A second outage in which nothing is lost tells of nothing.
gate_close
wait_for 5 'the target waits' status_is plant state waiting
plant 'set holding 200 65535'
wait_for 5 'one more message' status_is plant buffered 1
gate_open "$gate" "$port"
wait_for 10 'it arrives' contains "$work/got" '"value":65535'
wait_for 5 'nothing is on its way' status_is plant inflight 0
expect 'gaps' "$(gaps | wc -l)" 1
matches "$work/got" '"value":65535,.*"seq":1101,"source":0\}$' || fail 'its number'
expect 'metrics' "$(ctl --json metrics target_lost | grep -oE '"value": ?900' | wc -l)" 1
daemon_stop
expect 'exit status' "$status" 0
