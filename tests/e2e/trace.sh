#!/bin/bash
# The flight recorders: what `ringctl trace` writes is what tshark, without any setting, dissects as the packets and frames that
# went over the connections: CONNECT without its password, every PUBLISH with its PUBACK, Modbus TCP and RTU with the
# registers' values; after the ring has gone round, after the server is lost, and what it says when there is nothing to write.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub tshark
port=$(free_port)
secret=Tr0ub4dor-and-3
broker_start "$port"
subscribe "$work/got" "$port"
plant_start --tcp 0 --rtu "$work/bus" --freeze --units 3
plant 'set holding 0 1234' 'set holding 1 65535' 'set coil 0 1'
echo "$secret" >"$work/plant.pw"
daemon_start <<END
node: hall
trace: {freeze: true, after: 0s} # so the timeouts below are long: a device that is given up freezes too
targets:
  - {name: plant, url: "mqtt://127.0.0.1:$port", user: gw1, password: "file:$work/plant.pw", client_id: recorded,
     trace: {memory: 1MiB, snap: 128B}, reconnect: {base: 100ms, cap: 200ms}}
  - {name: around, url: "mqtt://127.0.0.1:$port", trace: {memory: 16KiB}, reconnect: {base: 100ms, cap: 200ms}}
  - {name: later, url: "mqtt://127.0.0.1:$port", trace: {memory: 64KiB, record: false}, reconnect: {base: 100ms, cap: 200ms}}
  - {name: bare, url: "mqtt://127.0.0.1:$port"}
lines:
  - {name: plc, modbus_tcp: {address: "127.0.0.1:$plant_port"}, trace: {memory: 64KiB}}
  - {name: bus, modbus_rtu: {path: "$work/bus", baud: 115200, format: 8N1, mode: rs232}, trace: {memory: 64KiB}}
  - {name: load, synthetic: {tags: 1, rate: 200}}
devices:
  - {name: m, line: plc, unit: 3, every: 100ms, timeout: 5s, tags: [{name: a, address: "holding:0", type: uint16}, {name: b, address: "holding:1", type: int16}]}
  - {name: s, line: bus, unit: 3, every: 100ms, timeout: 5s, tags: [{name: a, address: "holding:0", type: uint16}, {name: c, address: "coil:0", type: bool}]}
definitions:
  - {name: values, target: plant, mode: periodic, cycle: 100ms, tags: [m.a, s.a], topic: "v/{device}/{tag}", qos: 1, payload: text}
  - {name: group, target: plant, mode: periodic, cycle: 200ms, tags: ["m.*", "s.*"], topic: "group/all", qos: 1}
  - {name: many, target: around, tags: ["load.*"], topic: "load/{tag}", qos: 1, payload: text}
  - {name: late, target: later, mode: periodic, cycle: 100ms, tags: [m.a], topic: late, payload: text}
END
# What tshark sees in a file: a line a packet, fields by tabs, several of one field by commas.
seen() { # FILE FILTER FIELD...
	local file=$1 filter=$2 field
	local -a fields=()
	shift 2
	for field in "$@"; do
		fields+=(-e "$field")
	done
	tshark -r "$file" -Y "$filter" -T fields "${fields[@]}" 2>"$work/tshark.err" || fail "tshark: $(cat "$work/tshark.err")"
}

one_a_line() {
	tr ',' '\n' | sed '/^$/d'
}

# Each PUBLISH has its PUBACK, in the same order; the last few may have been on their way when the connection ended, and the first
# acknowledgements may be of messages that are overwritten.
acknowledged() { # FILE
	local sent answered first
	sent=$(seen "$1" 'mqtt.msgtype == 3' mqtt.msgid | one_a_line)
	first=$(head -n 1 <<<"$sent")
	answered=$(seen "$1" 'mqtt.msgtype == 4' mqtt.msgid | one_a_line | sed -n "/^$first\$/,\$p")
	expect "acknowledgements in ${1##*/}" "$answered" "$(head -n "$(wc -l <<<"$answered")" <<<"$sent")"
	[ $(($(wc -l <<<"$sent") - $(wc -l <<<"$answered"))) -le 4 ] || fail "not acknowledged in ${1##*/}: $sent, $answered"
}

topic_count_is() { # TOPIC COUNT
	[ "$(grep -c "^$1 " "$work/got")" = "$2" ]
}

# Fields of `ringctl trace`, by the name of the target or line.
recorder_of() { # NAME FIELD
	ctl --json trace | grep -oE "\\{[^{}]*\"name\": ?\"$1\"[^{}]*\\}" | sed -nE "s/.*\"$2\": ?\"?([^,\"}]*).*/\\1/p"
}
recorder_exceeds() { # NAME FIELD NUMBER
	[ "$(recorder_of "$1" "$2")" -gt "$3" ]
}

refused() { # STATUS TEXT ARGUMENT...: of ringctl trace
	local wanted=$1 text=$2
	shift 2
	ctl trace "$@" >"$work/out" 2>"$work/err"
	expect "exit code of trace $*" $? "$wanted"
	contains "$work/err" "$text" || fail "trace $*: no \`$text\` in: $(cat "$work/err")"
}

wait_for 10 'messages with values of both lines' has_lines "$work/got" 60
wait_for 10 'the small recorder has gone round' recorder_exceeds around overwritten 500
expect 'what is not recorded' "$(recorder_of later recording) $(recorder_of later records)" 'false 0'
expect 'what has no memory' "$(recorder_of bare name)$(recorder_of load name)" ''

# --- what cannot be had

refused 4 'there is no target or line plnt; did you mean plant?' plnt
refused 4 'target bare has no recorder: give it' bare
refused 4 'line load is synthetic' plant load
refused 5 "cannot write $work/no/such.pcapng: No such file or directory" plant --out "$work/no/such.pcapng"
refused 5 'cannot write /dev/full: No space left on device' plant --out /dev/full
refused 2 '--seconds is a whole number from 1' plant --seconds 0
refused 2 '--out and --seconds go with' --out "$work/x"
refused 0 'later: no frames; it is not recorded: ringctl trace --start later' later --out "$work/none.pcapng"
expect 'packets of nothing' "$(seen "$work/none.pcapng" frame frame.number)" ''

# --- recorded from now on: in the midst of a connection

ctl trace --start later >/dev/null || fail 'trace --start'
wait_for 5 'frames of what was started' recorder_exceeds later records 5
ctl trace --stop later >/dev/null || fail 'trace --stop'
ctl trace later --out - >"$work/later.pcapng" || fail 'trace to standard output'
# Wireshark knows the version, and finds the topic, which went over the connection earlier, beside the packet.
expect 'what was recorded later' "$(seen "$work/later.pcapng" 'mqtt.msgtype == 3' frame.comment mqtt.property_id mqtt.msg | sort -u)" $'late\t0x23\t31323334'
expect 'CONNECT that is made up' "$(seen "$work/later.pcapng" 'mqtt.msgtype == 1' mqtt.ver frame.comment | cut -c 1-10)" $'5\tmade up:'
records=$(recorder_of later records)
before=$(line_count "$work/got")
wait_for 5 'more messages' has_lines "$work/got" $((before + 30))
expect 'records after --stop' "$(recorder_of later records)" "$records"

# --- the last seconds

begun=${EPOCHREALTIME/[.,]/}
ctl trace plant bus --seconds 1 --out "$work/second.pcapng" >/dev/null || fail 'trace --seconds'
times=$(seen "$work/second.pcapng" 'mqtt or modbus' frame.time_epoch | tr -d .)
first=$(head -n 1 <<<"$times")
[ "${first:0:16}" -ge $((begun - 1000001)) ] || fail "the last second begins at $first, now is $begun"
[ "$(wc -l <<<"$times")" -ge 20 ] || fail "the last second has few frames: $(wc -l <<<"$times")"
ctl --json trace plc --seconds 2 >"$work/plc.json"
matches "$work/plc.json" '"name":"plc","event":"received","length":13,"bytes":"[0-9a-f]{4}0000000703030404d2ffff"' ||
	fail "no answer of the line: $(head -n 3 "$work/plc.json")"

# --- all of it, up to the good-bye

for target in plant around; do
	ctl disable $target >/dev/null
	wait_for 5 "$target is disconnected" status_is $target state disabled
done
all=$work/all.pcapng
: >"$all" && chmod 644 "$all" # of an earlier time, and everybody's
ctl trace plant plc bus --out "$all" >"$work/out" || fail 'trace --out'
matches "$work/out" "^$all: [0-9]+ frames, 20.*Z to 20.*Z\$" || fail "what was written: $(cat "$work/out")"
expect 'rights of the file' "$(stat -c %a "$all")" 600
expect 'what tshark makes nothing of' "$(seen "$all" _ws.malformed frame.number)" ''
expect 'gaps of the streams' "$(seen "$all" tcp.analysis.flags frame.number)" ''

hidden=$(printf '%s' "$secret" | sed 's/./*/g')
expect CONNECT "$(seen "$all" 'mqtt.msgtype == 1' mqtt.clientid mqtt.username mqtt.passwd mqtt.ver)" "recorded"$'\t'"gw1"$'\t'"$hidden"$'\t'"5"
expect CONNACK "$(seen "$all" 'mqtt.msgtype == 2' mqtt.msgtype tcp.srcport)" $'2\t1883'
ctl --json trace plant >"$work/plant.json"
for form in "$secret" "$(printf '%s' "$secret" | od -An -tx1 | tr -d ' \n')"; do
	grep -qaF -- "$form" "$all" "$work/plant.json" "$work/daemon.log" && fail "the password is in a recording: $form"
done

# Every message that the subscriber has, and every acknowledgement.
seen "$all" 'mqtt.msgtype == 3' mqtt.topic mqtt.msgid >"$work/sent"
for topic in v/m/a v/s/a group/all; do
	count=$(cut -f1 "$work/sent" | one_a_line | grep -cx "$topic")
	wait_for 3 "the subscriber has what was recorded on $topic, $count" topic_count_is "$topic" "$count"
done
acknowledged "$all"
expect 'payloads' "$(seen "$all" 'mqtt.topic == "v/m/a" and not mqtt.topic == "group/all"' mqtt.msg | tr ',' '\n' | sort -u)" 31323334
# The group is longer than what is kept of a message.
[ "$(seen "$all" 'frame.cap_len < frame.len and mqtt.topic == "group/all"' frame.number | wc -l)" -ge 5 ] || fail 'no message was cut'
matches "$work/got" '^group/all .{130}' || fail 'the group is shorter than what is kept'

# The end says who and why; the beginning where to.
expect 'the end of plant' "$(seen "$all" 'tcp.port == 1883 and tcp.flags.fin == 1' tcp.dstport | tail -n 1)" 1883
matches <(seen "$all" 'tcp.flags.syn == 1 and tcp.flags.ack == 0 and tcp.dstport == 1883' frame.comment) "port $port of the server is shown as 1883" ||
	fail 'the true port is not said'

# A slave that was late for one question may answer two in one piece.
expect 'questions over TCP' "$(seen "$all" 'mbtcp and modbus.word_cnt' modbus.func_code mbtcp.unit_id modbus.reference_num modbus.word_cnt | sort -u)" \
	$'3\t3\t0\t2'
expect 'answers over TCP' "$(seen "$all" 'mbtcp and modbus.regval_uint16' modbus.func_code mbtcp.unit_id modbus.regval_uint16 |
	sed 's/^3,3\t3,3\t\(1234,65535\),\1$/3\t3\t\1/' | sort -u)" $'3\t3\t1234,65535'
expect 'questions of the bus' "$(seen "$all" 'mbrtu and modbus.reference_num and (modbus.word_cnt or modbus.bit_cnt)' mbrtu.unit_id modbus.func_code modbus.word_cnt modbus.bit_cnt | sort -u)" \
	$'3\t1\t\t1\n3\t3\t1\t'
expect 'answers of the bus' "$(seen "$all" 'mbrtu and (modbus.regval_uint16 or modbus.bitval)' mbrtu.unit_id modbus.func_code modbus.regval_uint16 modbus.bitval | sort -u)" \
	$'3\t1\t\t1\n3\t3\t1234\t'
expect 'checksums of the bus that are wrong' "$(tshark -o mbrtu.crc_verification:TRUE -r "$all" -Y 'mbrtu.crc16.status == 0' 2>/dev/null)" ''

# --- a recorder that has gone round: the newest, whole

ctl trace around --out "$work/around.pcapng" >/dev/null || fail 'trace around'
expect 'what tshark makes nothing of' "$(seen "$work/around.pcapng" '_ws.malformed or tcp.analysis.flags' frame.number)" ''
expect 'the CONNECT that is made up' "$(seen "$work/around.pcapng" 'mqtt.msgtype == 1' frame.number mqtt.ver)" $'1\t5'
seen "$work/around.pcapng" 'mqtt.msgtype == 3' mqtt.msgid frame.comment mqtt.msg >"$work/sent"
[ "$(wc -l <"$work/sent")" -ge 20 ] || fail "few messages: $(wc -l <"$work/sent")"
acknowledged "$work/around.pcapng"
[ "$(grep -vc $'\tload/t0' "$work/sent")" = 0 ] || fail "a message without its topic: $(grep -v $'\tload/t0' "$work/sent" | head -n 2)"
last=$(tail -n 1 "$work/sent" | cut -f3 | sed 's/.*,//')
newest=$(grep '^load/' "$work/got" | tail -n 1 | cut -d' ' -f2)
expect 'the newest message' "$last" "$(printf '%s' "$newest" | od -An -tx1 | tr -d ' \n')"
expect 'the memory' "$(recorder_of around memory_bytes)" 16384

# --- an incident: what led to it stays

for target in plant around; do
	ctl enable $target >/dev/null
	wait_for 5 "$target is connected again" status_is $target state connected
done
before=$(recorder_of plant records)
wait_for 5 'messages before the incident' recorder_exceeds plant records $((before + 10))
broker_kill
frozen() { ctl --json trace | grep -qE '"frozen": ?true'; }
wait_for 5 'the recorders are frozen' frozen
ctl trace >"$work/out"
matches "$work/out" '^recording stopped at 20.*Z: (plant|around) was lost; ringctl trace --resume goes on$' || fail "$(cat "$work/out")"
contains "$work/daemon.log" 'freezes_after_ms=0' || fail 'the log does not say that it froze'
records=$(recorder_of plc records)
sent=$(status_of plc values)
wait_for 5 'the line goes on' status_exceeds plc values $((sent + 10))
expect 'records after the freeze' "$(recorder_of plc records)" "$records"
ctl trace plant around --out "$work/lost.pcapng" >/dev/null || fail 'trace after the loss'
cause=$(sed -nE 's/^recording stopped.*: ([a-z]*) was lost.*/\1/p' "$work/out")
matches <(seen "$work/lost.pcapng" "frame.interface_name == \"$cause\" and (tcp.flags.reset == 1 or tcp.flags.fin == 1)" frame.comment | tail -n 1) . ||
	fail "no reason at the end of $cause"
ctl trace --resume >"$work/out" || fail 'trace --resume'
wait_for 5 'records after --resume' recorder_exceeds plc records $((records + 5))
ctl trace --freeze >/dev/null || fail 'trace --freeze'
wait_for 5 'the recorders are frozen by hand' frozen

daemon_stop
expect 'exit status' "$status" 0
