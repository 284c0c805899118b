#!/bin/bash
# Three samplers into one target, whose server goes away while its ring is full: some messages are overwritten, some expire, some
# arrive. At each quiet moment delivered + overwritten + expired + buffered = made; at the end each number of each source was
# delivered or is in exactly one gap of the ledger, none in both, and the messages about losses told of the same gaps.
# variants: oldest bytes limits (losses_samplers_live.sh: live).
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub socat
port=$(free_port)
gate=$(free_port)
tags=20 # a line, and so a sampler
a_round=$((3 * tags))
live_prefix='' round=0
outages='' # numbers of each source up to which messages were made when the server was back

broker_start "$port"
plant_start --tcp 0 --freeze

# A value that no register has had: a message from each of them.
change_all() {
	local i commands=()
	round=$((round + 1))
	for ((i = 0; i < a_round; i++)); do
		commands+=("set holding $((200 + i)) $round")
	done
	plant "${commands[@]}"
}

# Messages of the samplers, without those about losses.
sampled() {
	ctl --json status | tr -d '\n' | grep -oE '"samplers": ?\[[^]]*' | grep -oE '"messages": ?[0-9]+' | awk '{ sum += $2 } END { print sum + 0 }' FS=:
}
all_is_sampled() { [ "$(sampled)" = $((round * a_round)) ]; }

# So many rounds, each of which has become messages.
rounds() { # COUNT
	local i
	for ((i = 0; i < $1; i++)); do
		change_all
		wait_for 10 "the messages of round $round" all_is_sampled
	done
}

begin() { # BUFFER
	local s i
	round=0 live_prefix='' outages=''
	[[ $1 != *topic_prefix* ]] || live_prefix=replayed/
	: >"$work/got"
	subscribe "$work/got" "$port"
	change_all
	gate_open "$gate" "$port"
	rm -f "$work/daemon.log"
	{
		cat <<-END
			node: n
			samplers: [{name: s0}, {name: s1}, {name: s2}]
			targets:
			  - {name: plant, url: "mqtt://127.0.0.1:$gate", clean_start: false, session_expiry: 1h, client_id: "$variant-$RANDOM",
			     buffer: {$1, loss_topic: "loss/{target}"}, reconnect: {base: 50ms, cap: 200ms}}
			lines:
		END
		for s in 0 1 2; do
			echo "  - {name: l$s, modbus_tcp: {address: \"127.0.0.1:$plant_port\"}, sampler: s$s}"
		done
		echo 'devices:'
		for s in 0 1 2; do
			echo "  - name: m$s"
			echo "    line: l$s"
			echo '    every: 5ms'
			echo '    timeout: 500ms'
			echo '    tags:'
			for ((i = 0; i < tags; i++)); do
				echo "      - {name: r$i, address: \"holding:$((200 + s * tags + i))\", type: uint16}"
			done
		done
		echo 'definitions:'
		for s in 0 1 2; do
			echo "  - {name: d$s, target: plant, tags: [\"m$s.*\"], topic: \"v/{device}/{tag}\", qos: 1, sequence: true}"
		done
	} >"$work/plant.yaml"
	daemon_start <"$work/plant.yaml"
	wait_for 10 'the first round' has_lines "$work/got" $a_round
	quiet
}

# The connection breaks with messages on their way: they come again, and some of them twice.
break_off() {
	change_all
	gate_close
	wait_for 10 'the target waits' status_is plant state waiting
	wait_for 10 'the last round is whole' all_is_sampled
}

come_back() {
	gate_open "$gate" "$port"
	outages+=" $((round * tags))"
	wait_for 10 'the target is back' status_is plant state connected
}

nothing_is_left() {
	status_is plant buffered 0 && status_is plant inflight 0 && status_is plant state connected
}

quiet() {
	wait_for 20 'nothing is left' nothing_is_left
}

# --- the accounts --------------------------------------------------------------------------------------------------------

# Each delivery, in its order: TOPIC SOURCE NUMBER
deliveries() {
	sed -nE 's/^([^ ]+) .*"(own_)?seq":([0-9]+),"(own_)?source":([0-9]+)\}$/\1 \5 \3/p' "$work/got"
}

# The gaps of the ledger: REASON COUNT SOURCE FIRST LAST
gaps() {
	ctl --json buffer plant | grep -oE '\{"gap"[^}]*\}' |
		sed -E 's/.*"reason": ?"([^"]*)".*"count": ?([0-9]+).*"source": ?([0-9a-z]+).*"first": ?([0-9a-z]+).*"last": ?([0-9a-z]+).*/\1 \2 \3 \4 \5/' | sort
}

# The same as the server was told; the source of the messages about losses is the publisher's, 3.
gaps_told() {
	grep '^loss/plant ' "$work/got" |
		sed -E 's/.*"reason":"([^"]*)","count":([0-9]+),"source":([0-9]+),"first":([0-9]+),"last":([0-9]+).*/\1 \2 \3 \4 \5/' | sort
}

all_gaps_are_told() {
	[ "$(gaps | awk '$3 != 3')" = "$(gaps_told)" ]
}

# From one answer: FIELD=VALUE, a line each.
counts() {
	ctl --json status | tr -d '\n' | grep -oE '"name": ?"plant".*' | grep -oE '"(made|buffered|overwritten|expired|dropped|inflight|resent)": ?[0-9]+' |
		head -n 7 | sed -E 's/"([a-z]+)": ?([0-9]+)/\1=\2/'
}

adds_up() { # while the target is away, and nothing is on its way
	local made buffered overwritten expired dropped inflight resent
	eval "$(counts)"
	[ $((delivered + overwritten + expired + dropped + buffered)) = "$made" ]
}

# In an outage: what went out before, and arrived or will arrive, is the rest.
expect_sum() { # SENT
	local delivered=$1
	wait_for 10 "$delivered delivered and the counters add up: $(counts | tr '\n' ' ')" adds_up
}

account() {
	local made buffered overwritten expired dropped inflight resent verdict
	quiet
	wait_for 20 "the gaps are told: $(gaps | tr '\n' ';')" all_gaps_are_told
	quiet
	eval "$(counts)"
	gaps >"$work/gaps"
	deliveries >"$work/deliveries"
	verdict=$(awk -v made="$made" -v overwritten="$overwritten" -v expired="$expired" -v resent="$resent" \
		-v dropped="$dropped" -v prefix="$live_prefix" -v outages="$outages" '
		function say(text) { if (!said++) printf "%s", text }
		# Some of what a second outage leaves may go before the rest of the first: each has its order.
		function era(n, e) { for (e = 1; e <= outage_count && n > outage[e]; e++); return e }
		BEGIN { outage_count = split(outages, outage, " ") }
		FILENAME ~ /gaps$/ {
			if ($2 != $5 - $4 + 1) say("a gap of " $2 " from " $4 " to " $5)
			if ($1 != "overwritten" && $1 != "expired") say("a gap with the reason " $1)
			for (n = $4; n <= $5; n++) if (lost[$3, n]++) say($3 ":" n " is in two gaps")
			if ($5 > newest[$3]) newest[$3] = $5
			by_reason[$1] += $2
			next
		}
		{
			stream = prefix != "" && index($1, prefix) == 1 ? "replayed " era($3) : "live"
			if (got[$2, $3]++) { again++; next }
			distinct++
			if ($3 < last[$2, stream]) say($2 ":" $3 " came after " last[$2, stream])
			last[$2, stream] = $3
			if ($3 > newest[$2]) newest[$2] = $3
		}
		END {
			for (s in newest) {
				sum += newest[s]
				for (n = 1; n <= newest[s]; n++) {
					if (got[s, n] && lost[s, n]) say(s ":" n " was delivered and is in a gap")
					if (!got[s, n] && !lost[s, n]) say(s ":" n " is nowhere")
				}
			}
			if (sum != made) say(sum " numbers, " made " made")
			if (by_reason["overwritten"] + 0 != overwritten) say(by_reason["overwritten"] + 0 " overwritten in gaps, " overwritten " by the counter")
			if (by_reason["expired"] + 0 != expired) say(by_reason["expired"] + 0 " expired in gaps, " expired " by the counter")
			if (dropped != 0) say(dropped " dropped")
			if (distinct + overwritten + expired != made) say(distinct " delivered, " overwritten " overwritten, " expired " expired, " made " made")
			if (again > resent) say(again " came twice, " resent " were sent again")
			if (!said) print "exact"
		}' "$work/gaps" "$work/deliveries")
	expect "$variant: the account" "$verdict" exact
	printf '%s: made %s, overwritten %s, expired %s, gaps %s, sent again %s\n' \
		"$variant" "$made" "$overwritten" "$expired" "$(line_count "$work/gaps")" "$resent"
}

finish_variant() {
	daemon_stop
	expect 'exit status' "$status" 0
	gate_close
	end_process "$sub_pid"
}

buffer_of() { # FIELD
	ctl --json buffer plant | grep -oE "\"$1\": ?[^,}]*" | head -n 1 | sed 's/.*: *//; s/"//g'
}

set_buffer() { # OPTION...
	ctl buffer plant "$@" >"$work/set.out" 2>&1 || fail "ringctl buffer plant $*: $(cat "$work/set.out")"
}

refused() { # TEXT OPTION...
	local text=$1 code
	shift
	ctl buffer plant "$@" >"$work/set.out" 2>&1
	code=$?
	expect "ringctl buffer plant $*" $code 4
	contains "$work/set.out" "$text" || fail "ringctl buffer plant $*: $(cat "$work/set.out")"
}

# --- the variants ----------------------------------------------------------------------------------------------------------

# Full, then partly too old, then some that are in time.
overwritten_and_expired() {
	local sent
	rounds 2
	quiet
	sent=$(status_of plant made)
	gate_close
	wait_for 10 'the target waits' status_is plant state waiting
	rounds 4
	expect_sum "$sent"
	wait_for 10 'some expire' status_exceeds plant expired 0
	rounds 1
	expect_sum "$sent"
	come_back
	account
	# Again, and now with messages on their way.
	break_off
	rounds 5
	come_back
	account
	[ "$(status_of plant overwritten)" -gt 0 ] || fail 'nothing was overwritten'
}

run_oldest() {
	begin 'messages: 150, max_age: 2s'
	overwritten_and_expired
}

run_bytes() {
	begin 'messages: 1000, bytes: 16KiB, max_age: 2s'
	overwritten_and_expired
}

run_limits() {
	local sent largest
	begin 'messages: 100, messages_max: 300, bytes: 64KiB'
	quiet
	sent=$(status_of plant made)
	gate_close
	wait_for 10 'the target waits' status_is plant state waiting
	rounds 3
	expect 'buffered' "$(status_of plant buffered)" 100
	set_buffer --messages 40
	contains "$work/set.out" 'of 40 messages' || fail "the answer: $(cat "$work/set.out")"
	expect 'buffered, of 40' "$(status_of plant buffered)" 40
	expect_sum "$sent"
	wait_for 10 'what is past the new limit goes' status_is plant overwritten $((3 * a_round - 40))
	set_buffer --messages 300
	rounds 3
	expect 'buffered, of 300' "$(status_of plant buffered)" $((40 + 3 * a_round))
	expect 'capacity' "$(status_of plant capacity)" 300
	refused 'from 1 to 300: there is memory for no more' --messages 301
	refused 'to 65536: there is memory for no more' --bytes 1MiB
	refused 'to 65536: there is memory for no more' --bytes 0
	refused 'for one largest message' --bytes 10
	expect 'still' "$(status_of plant capacity)" 300
	set_buffer --bytes 8KiB
	wait_for 10 'fewer than a hundred fit' eval '[ "$(status_of plant buffered)" -lt 100 ]'
	[ "$(status_of plant buffered_bytes)" -le 8192 ] || fail 'more than 8 KiB are buffered'
	[ "$(buffer_of bytes)" = 8192 ] || fail 'bytes'
	expect_sum "$sent"
	largest=$(status_of plant overwritten)
	set_buffer --max-age 500ms --bytes 64KiB
	wait_for 10 'all of it expires' status_is plant buffered 0
	expect 'overwritten' "$(status_of plant overwritten)" "$largest"
	expect_sum "$sent"
	set_buffer --max-age 0
	rounds 4
	expect 'buffered' "$(status_of plant buffered)" $((4 * a_round))
	set_buffer --messages 100 # on the way out, too
	come_back
	account
	expect 'metrics' "$(ctl --json metrics ring_limit_messages | grep -oE '"value": ?100' | wc -l)" 1
	# It is so until the next start.
	finish_variant
	rm -f "$work/daemon.log"
	gate_open "$gate" "$port"
	daemon_start <"$work/plant.yaml"
	expect 'capacity after a restart' "$(status_of plant capacity)" 100
	subscribe "$work/got" "$port"
}

live_lines() { grep -c '^v/' "$work/got"; }
has_live() { [ "$(live_lines)" -ge "$1" ]; }

# Live messages go first while more than that of the backlog waits.
live_first() {
	local live
	come_back
	live=$(live_lines)
	rounds 1
	wait_for 10 'the live round' has_live $((live + a_round))
	status_exceeds plant buffered 20 || fail 'the live round came after the backlog'
}

run_live() {
	begin 'messages: 200, replay: {order: live-first, rate: 20/s, topic_prefix: "replayed/"}'
	break_off
	rounds 5
	live_first
	# In the middle of the backlog the second outage begins, right into a round.
	break_off
	rounds 2
	live_first
	# What is left of it becomes too old.
	set_buffer --max-age 300ms
	account
	[ "$(status_of plant overwritten)" -gt 0 ] || fail 'nothing was overwritten'
	[ "$(status_of plant expired)" -gt 0 ] || fail 'nothing has expired'
}

for variant in ${variants:-oldest bytes limits}; do
	"run_$variant"
	finish_variant
done
