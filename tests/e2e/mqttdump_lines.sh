#!/bin/sh
# mqttdump as a filter: what it prints for good and bad lines, and its exit status.
# Usage: mqttdump_lines.sh BUILD_DIR. Exit status: 0 passed, 1 failed.
set -u
dump=${1:-build}/mqttdump
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Runs the tool on the lines of standard input; checks exit status and output, byte for byte.
expect() { # NAME STATUS EXPECTED_OUTPUT [OPTION...]
	name=$1 status=$2 output=$3
	shift 3
	"$dump" "$@" >"$work/out" 2>"$work/err"
	got=$?
	printf '%s' "$output" >"$work/expected"
	if [ $got != "$status" ] || ! cmp -s "$work/expected" "$work/out"; then
		echo "mqttdump_lines: $name: status $got instead of $status, output:"
		diff "$work/expected" "$work/out"
		: >"$work/failed" # a file: most of these run behind a pipe, in a shell of their own
	fi
}

ping='{"ok":true,"type":"PINGREQ"}
'
[ -x "$dump" ] || { echo "mqttdump_lines: $dump is not built"; exit 1; }

expect 'nothing in, nothing out' 0 '' </dev/null
printf '# a comment\n\n \t \nc000\n' | expect 'comments and empty lines are skipped' 0 "$ping"
printf 'C 0 0\t0\r\n' | expect 'blanks and capitals do not matter' 0 "$ping"
printf 'c000' | expect 'the last line may lack its end' 0 "$ping"
printf 'c000\nxyz\nc000\n' | expect 'a bad line does not hide the others' 1 "$ping"'{"ok":false,"reason":null,"statement":null,"error":"not hexadecimal: a line may hold 0-9, a-f, A-F and blanks"}
'"$ping"
printf 'c00\n' | expect 'half a byte' 1 '{"ok":false,"reason":null,"statement":null,"error":"an odd number of hexadecimal digits"}
'
printf 'c0\n' | expect 'incomplete' 1 '{"ok":false,"reason":129,"statement":"2.1.4","error":"the packet is incomplete"}
'
printf 'c0\n' | expect 'incomplete in 3.1.1' 1 '{"ok":false,"reason":null,"statement":"2.2.3","error":"the packet is incomplete"}
' --version 3.1.1
printf 'c000c000\n' | expect 'two packets on a line' 1 '{"ok":false,"reason":129,"statement":"2.1.4","error":"more bytes follow the packet on its line"}
'
printf '3006000161006200\n' | expect 'U+0000 in a payload is valid JSON' 0 '{"ok":true,"type":"PUBLISH","DUP":false,"QoS":0,"RETAIN":false,"Topic Name":"a","Properties":{},"Payload":"b\u0000"}
'
printf '3005000161ff00\n' | expect 'binary payload' 0 '{"ok":true,"type":"PUBLISH","DUP":false,"QoS":0,"RETAIN":false,"Topic Name":"a","Payload (hex)":"ff00"}
' --version 3.1.1 --from server
printf '300a000161060b012600000000\n' | expect 'a property that goes past its length' 1 '{"ok":false,"reason":129,"statement":"2.2.2.1","error":"a property goes past the Property Length"}
' --from server
printf '300c000161070b01260000000078\n' | expect 'properties by their names' 0 '{"ok":true,"type":"PUBLISH","DUP":false,"QoS":0,"RETAIN":false,"Topic Name":"a","Properties":{"Subscription Identifier":[1],"User Property":[["",""]]},"Payload":"x"}
' --from server
printf '20020005\n' | expect 'the words of 3.1.1' 0 '{"ok":true,"type":"CONNACK","Session Present":false,"Return Code":5,"Return Code Name":"Connection Refused, not authorized"}
' --version 3.1.1 --from server
printf '2003008700\n' | expect 'the words of 5.0' 0 '{"ok":true,"type":"CONNACK","Session Present":false,"Reason Code":135,"Reason Code Name":"Not authorized","Properties":{}}
' --from server
printf 'e00100\n' | expect 'reason codes are null in 3.1.1' 1 '{"ok":false,"reason":null,"statement":"2.2.3","error":"the packet is longer than its fields"}
' -V 3.1.1 -f client
{
	head -c 40000000 /dev/zero | tr '\0' a
	printf '\nc000\n'
} | expect 'a line of 20 MB' 1 '{"ok":false,"reason":null,"statement":null,"error":"the packet is longer than the 16 MiB that fit here"}
'"$ping"
printf '30ffffff7f00\n' | expect 'the largest packet, hardly begun' 1 '{"ok":false,"reason":129,"statement":"2.1.4","error":"the packet is incomplete"}
'
expect 'a version that is none' 2 '' --version 4 </dev/null
expect 'a side that is none' 2 '' --from broker </dev/null
expect 'an argument' 2 '' file </dev/null
expect 'an unknown option' 2 '' --verbose </dev/null
"$dump" --help </dev/null | grep -q '^usage: mqttdump' || { echo "mqttdump_lines: no help"; : >"$work/failed"; }

[ -e "$work/failed" ] && exit 1
echo "mqttdump_lines: passed"
