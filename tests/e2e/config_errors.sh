#!/bin/bash
# ringmaind --check: ten mistakes in one file are ten lines, each with its place and what to write instead, exit status 2;
# a good file is told its memory, exit status 0.
. "${0%/*}/lib.sh"
cat >"$work/bad.yaml" <<'END'
node: hall
targets:
  - {name: plant, url: "http://127.0.0.1:1883"}
  - {name: other, url: "mqtt://127.0.0.1:1883", keep_alive: 60}
  - {name: third, url: "mqtt://127.0.0.1:1883", buffer: {mesages: 1000}}
lines:
  - {name: plc, modbus_tcp: {address: "127.0.0.1:99999"}}
  - {name: bus, modbus_rtu: {path: /dev/ttyS9, format: 9X1}}
devices:
  - name: m
    line: plcc
    tags:
      - {name: a, address: "input:70000", type: uint16}
      - {name: b, address: "input:1", type: float23}
definitions:
  - {name: d, target: third, mode: periodic, tags: ["m.*"], topic: "t/{node}"}
  - {name: e, target: third, tags: [m.zzz], topic: "t/+/x"}
END
"$build/ringmaind" -c "$work/bad.yaml" --check >"$work/out" 2>"$work/err"
expect 'exit status of a bad file' $? 2
cp "$work/err" "$work/err.log"

# Line, and a word that the message must have: what is wrong, or what is right.
while read -r line word; do
	matches "$work/err" "^[^:]*bad\.yaml:$line:[0-9]+: .*$word" || fail "no message about line $line with \`$word\`"
done <<'END'
3 mqtt://
4 (60s|unit)
5 did you mean .messages
7 65535
8 8[NE]1
11 did you mean .plc
13 65535
14 did you mean .float32
16 cycle
17 m\.zzz
END
has_lines "$work/err" 10 || fail "fewer than ten messages"
while read -r text; do
	case $text in
	*bad.yaml:*:*\;* | *bad.yaml:*:*write* | *bad.yaml:*:*expected* | *bad.yaml:*:*mean* | *bad.yaml:*:*) ;;
	*) fail "a line without its place: $text" ;;
	esac
done <"$work/err"
[ -s "$work/out" ] && fail 'something on standard output'

# Started with that file, it does not start.
"$build/ringmaind" -c "$work/bad.yaml" --control "$socket" --state-dir "$work" >/dev/null 2>&1
expect 'exit status when started with a bad file' $? 2
"$build/ringmaind" -c "$work/none.yaml" --check >"$work/out" 2>"$work/err"
expect 'exit status of a file that is not there' $? 2
contains "$work/err" none.yaml || fail 'the message does not name the file'

# What comes by subscription: the same, in a file of its own.
cat >"$work/bad.yaml" <<'END'
packages: [{name: cloud}]
targets:
  - {name: a, url: "mqtt://127.0.0.1:1883", package: clout}
  - {name: b, url: "mqtt://127.0.0.1:1883", protocol: 3.1.1, user_properties: {site: hall}}
  - {name: c, url: "mqtt://127.0.0.1:1883", failback: 1min}
lines: [{name: load, synthetic: {tags: 1}}]
devices: [{name: in, every: 1s, tags: [{name: x}]}]
definitions:
  - {name: d1, target: a, mode: subscribe, tags: in.x, topic: "a/#/b"}
  - {name: d2, target: a, mode: subscribe, tags: load.t0, topic: a}
  - {name: d3, target: a, mode: subscribe, topic: "+/b", forward: {target: a}}
  - {name: d4, target: a, mode: subscribe, topic: "+/b", forward: {target: b, topic: "{2}"}}
  - {name: d5, target: a, mode: subscribe, topic: a, tags: in.x, retain: true}
  - {name: d6, target: a, mode: subscribe, topic: a, tags: in.x, value: a/b}
END
"$build/ringmaind" -c "$work/bad.yaml" --check >"$work/out" 2>"$work/err"
expect 'exit status of bad subscriptions' $? 2
while read -r line word; do
	matches "$work/err" "^[^:]*bad\.yaml:$line:[0-9]+: .*$word" || fail "no message about line $line with \`$word\`"
done <<'END'
3 did you mean .cloud
4 protocol: 5
5 more than one URL
7 needs a device with .line
9 last level
10 writing to devices is not supported
11 go round for ever
12 fewer
13 retain_handling
14 JSON pointer
END
has_lines "$work/err" 10 || fail "fewer than ten messages"

cat >"$work/good.yaml" <<'END'
targets: [{name: plant, url: "mqtt://127.0.0.1:1883"}]
lines: [{name: load, synthetic: {tags: 10, rate: 100}}]
definitions: [{name: d, target: plant, tags: ["load.*"], topic: "t/{tag}"}]
END
"$build/ringmaind" -c "$work/good.yaml" --check >"$work/out" 2>"$work/err"
expect 'exit status of a good file' $? 0
matches "$work/out" 'rings +[1-9][0-9]* bytes' || fail "no memory of the rings: $(cat "$work/out")"
matches "$work/out" 'total +[1-9][0-9]* bytes' || fail "no total: $(cat "$work/out")"
"$build/ringmaind" -c tools/demo/ringmain.yaml --check >"$work/out" 2>&1 || fail "the demo's file: $(cat "$work/out")"
"$build/ringmaind" --no-such-option >/dev/null 2>&1
expect 'exit status of a bad option' $? 1
