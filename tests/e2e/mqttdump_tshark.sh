#!/bin/sh
# mqttdump beside Wireshark: real traffic of mosquitto's clients, both versions, captured on the loopback. Every packet
# has to be valid for mqttdump, and in each direction of each connection the packet types have to be those that tshark
# sees. Usage: mqttdump_tshark.sh BUILD_DIR. Exit status: 0 passed, 77 skipped (no tshark, mosquitto or right to
# capture), 1 failed. (All types but PINGREQ, PINGRESP and AUTH: those clients take too long to ping.)
set -u
dump=${1:-build}/mqttdump
work=$(mktemp -d) || exit 1
broker='' capture=''

finish() {
	[ -n "$capture" ] && kill "$capture" 2>/dev/null
	[ -n "$broker" ] && kill "$broker" 2>/dev/null
	wait
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

skip() {
	echo "mqttdump_tshark: skipped: $*"
	exit 77
}

fail() {
	echo "mqttdump_tshark: $*"
	exit 1
}

# Waits until the file has the text, for ten seconds at most, as long as the process lives.
wait_for() { # FILE TEXT PID
	for _ in $(seq 200); do
		grep -q "$2" "$1" 2>/dev/null && return 0
		kill -0 "$3" 2>/dev/null || return 1
		sleep 0.05
	done
	return 1
}

for tool in tshark mosquitto mosquitto_pub mosquitto_sub; do
	command -v "$tool" >/dev/null || skip "no $tool"
done
[ -x "$dump" ] || fail "$dump is not built"

# A broker on a free port: the first one that it can bind.
for port in $(shuf -i 20000-29999 -n 10); do
	printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$work/broker.conf"
	mosquitto -v -c "$work/broker.conf" >"$work/broker.log" 2>&1 &
	broker=$!
	wait_for "$work/broker.log" 'running$' $broker && break
	kill $broker 2>/dev/null
	broker=''
done
[ -n "$broker" ] || fail "mosquitto does not start: $(cat "$work/broker.log")"

tshark -i lo -f "tcp port $port" -w "$work/cap.pcapng" >"$work/tshark.log" 2>&1 &
capture=$!
wait_for "$work/tshark.log" 'Capture started' $capture || skip "cannot capture: $(tail -n 1 "$work/tshark.log")"

# Retained messages first, so that each subscriber finds at once what it waits for.
at="-h 127.0.0.1 -p $port"
for version in 5 311; do
	for qos in 0 1 2; do
		# shellcheck disable=SC2086 # $at is two options
		mosquitto_pub $at -V "mqttv$version" -q $qos -r -t "t$version/$qos/päron" -m "value $qos" ||
			fail "publishing failed"
	done
	# shellcheck disable=SC2086
	mosquitto_sub $at -V "mqttv$version" -q 2 -t "t$version/+/#" -t 'other/#' -U 'none/#' -C 3 -W 20 -k 30 \
		--will-topic gone --will-payload bye --will-qos 1 -i "subscriber$version" -u user -P secret \
		>"$work/got" || fail "subscribing failed"
	[ "$(wc -l <"$work/got")" = 3 ] || fail "the subscriber got $(cat "$work/got")"
done
# shellcheck disable=SC2086
mosquitto_pub $at -V mqttv5 -q 1 -t props -m '{}' -D connect session-expiry-interval 60 -D connect receive-maximum 10 \
	-D connect user-property a b -D publish message-expiry-interval 60 -D publish content-type text/json \
	-D publish response-topic re/ply -D publish correlation-data 12 -D publish user-property k1 v1 \
	-D publish user-property k2 v2 -D publish payload-format-indicator 1 -D publish topic-alias 3 \
	-D disconnect reason-string done || fail "publishing with properties failed"
head -c 200000 /dev/zero | tr '\0' x >"$work/large"
# shellcheck disable=SC2086
mosquitto_pub $at -V mqttv5 -q 2 -t large -f "$work/large" || fail "publishing a large message failed"

# The capture runs behind: it is complete when the last connection's end is in the file.
for _ in $(seq 100); do
	tshark -r "$work/cap.pcapng" -d "tcp.port==$port,mqtt" -Y 'mqtt.msgtype == 14' 2>/dev/null |
		wc -l >"$work/ends"
	[ "$(cat "$work/ends")" -ge 10 ] && break
	sleep 0.1
done
kill -INT $capture
wait $capture
capture=''

tshark -r "$work/cap.pcapng" -d "tcp.port==$port,mqtt" -Y mqtt -T fields -E occurrence=a \
	-e tcp.stream -e tcp.dstport -e mqtt.msgtype -e mqtt.ver >"$work/seen" 2>/dev/null
[ -s "$work/seen" ] || fail "tshark saw no MQTT"

# A stream of hexadecimal digits becomes one packet a line: the only thing known here is the Remaining Length.
split='
function hex(at) {
	return index("0123456789abcdef", substr(all, at, 1)) * 16 + index("0123456789abcdef", substr(all, at + 1, 1)) - 17
}
{ all = all $0 }
END {
	for (at = 1; at < length(all); at += size) {
		value = 0; scale = 1; next_at = at + 2
		do {
			byte = hex(next_at); next_at += 2
			value += byte % 128 * scale; scale *= 128
		} while (byte >= 128)
		size = next_at - at + 2 * value
		print substr(all, at, size)
	}
}'
names='BEGIN { split("CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH", name, " ") }'
total=0
for stream in $(cut -f 1 "$work/seen" | sort -nu); do
	version=$(awk -F '\t' -v s="$stream" '$1 == s && $4 { print $4 == 5 ? "5" : "3.1.1"; exit }' "$work/seen")
	tshark -r "$work/cap.pcapng" -q -z "follow,tcp,raw,$stream" 2>/dev/null |
		grep -E '^	?[0-9a-f]+$' >"$work/raw"
	for from in client server; do
		if [ $from = client ]; then
			grep -v '^	' "$work/raw" | awk "$split" >"$work/packets"
			to_broker='=='
		else
			grep '^	' "$work/raw" | tr -d '\t' | awk "$split" >"$work/packets"
			to_broker='!='
		fi
		"$dump" --version "$version" --from $from <"$work/packets" >"$work/json" ||
			fail "stream $stream from the $from: $(grep '"ok":false' "$work/json" | head -n 3)"
		sed 's/.*"type":"\([A-Z]*\)".*/\1/' "$work/json" >"$work/ours"
		awk -F '\t' -v s="$stream" -v p="$port" "$names"' $1 == s && $2 '"$to_broker"' p {
			n = split($3, type, ","); for (i = 1; i <= n; i++) print name[type[i]] }' "$work/seen" \
			>"$work/theirs"
		diff "$work/theirs" "$work/ours" >"$work/diff" ||
			fail "stream $stream from the $from: tshark (<) and mqttdump (>): $(cat "$work/diff")"
		total=$((total + $(wc -l <"$work/ours")))
		cat "$work/ours" >>"$work/types"
	done
done
kinds=$(sort -u "$work/types" | wc -l)
[ "$kinds" -ge 12 ] || fail "only $kinds kinds of packets: $(sort -u "$work/types" | tr '\n' ' ')"
echo "mqttdump_tshark: $total packets of $kinds types, as tshark sees them"
