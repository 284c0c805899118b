#!/bin/bash
# on_connect and on_disconnect at a server that is slow to acknowledge: what it retains last says how the node is, and where
# on_disconnect finds no room any more the will is left in force.
. "${0%/*}/lib.sh"
need socat

# A server in a script, run a connection: its input is descriptor 3, and goes to NAME.N, N the number of the connection.
server() { # NAME SCRIPT
	local port
	port=$(free_port)
	cat >"$work/$1.sh" <<-END
		cd $work
		n=1
		until mkdir $1.\$n.seen 2>/dev/null; do n=\$((n + 1)); done
		exec 3<&0
		$2
	END
	socat "TCP-LISTEN:$port,fork,reuseaddr,bind=127.0.0.1" "EXEC:bash $work/$1.sh" 2>>"$work/socat.log" &
	children+=("$!")
	printf -v "$1" %s "$port"
	wait_for 5 "the server $1" matches /proc/net/tcp "$(printf ':%04X 00000000:0000 0A' "$port")"
}

# Acknowledges nothing on the first connection. On the second, which goes on with the session, both messages when they have come
# again.
# shellcheck disable=SC2016
server slow 'if [ $n = 1 ]; then printf "\x20\x02\x00\x00"; exec cat <&3 >slow.1; fi
printf "\x20\x02\x01\x00"
cat <&3 >slow.2 &
until grep -qa offline slow.2 2>/dev/null; do sleep 0.05; done
printf "\x40\x02\x00\x01\x40\x02\x00\x02"
wait'
# One message at a time, and no acknowledgement at all: 5.0 by Receive Maximum, 3.1.1 by max_inflight.
server full5 'printf "\x20\x06\x00\x00\x03\x21\x00\x01"; exec cat <&3 >full5.1'
server full3 'printf "\x20\x02\x00\x00"; exec cat <&3 >full3.1'

will='will: {topic: state, payload: dead, qos: 1, on_connect: online, on_disconnect: offline}'
daemon_start <<END
node: n
targets:
  - {name: slow, url: "mqtt://127.0.0.1:$slow", protocol: 3.1.1, clean_start: false, $will}
  - {name: full5, url: "mqtt://127.0.0.1:$full5", $will}
  - {name: full3, url: "mqtt://127.0.0.1:$full3", protocol: 3.1.1, max_inflight: 1, $will}
lines:
  - {name: load, synthetic: {tags: 1, rate: 1}}
definitions:
  - {name: d, target: slow, tags: ["load.*"], topic: "{tag}", qos: 0}
END

states() { # FILE: in the order of their coming
	grep -aoE 'online|offline' "$1" | tr '\n' ' '
}

last_is() { # FILE TEXT
	[[ "$(states "$1")" == *"$2 " ]]
}

for name in slow full5 full3; do
	wait_for 5 "on_connect of $name" last_is "$work/$name.1" online
	ctl disable "$name" >/dev/null || fail "disable: exit code $?"
done
for name in slow full5 full3; do
	wait_for 10 "$name is disabled" status_is "$name" state disabled
done
expect 'what the slow one has heard' "$(states "$work/slow.1")" 'online offline '
ctl enable slow >/dev/null || fail "enable: exit code $?"
wait_for 5 'both come again' contains "$work/slow.2" offline
wait_for 5 'then on_connect once more' last_is "$work/slow.2" online
expect 'what the slow one has heard' "$(states "$work/slow.2")" 'online offline online '

# The end of what each server has read, in hexadecimal: DISCONNECT has a reason in 5.0, and is left out in 3.1.1.
last_bytes() { # FILE COUNT
	tail -c "$2" "$1" | od -An -v -tx1 | tr -d ' \n'
}
for name in full5 full3; do
	expect "what $name has heard" "$(states "$work/$name.1")" 'online '
done
case $(last_bytes "$work/full5.1" 4) in
*e00104 | e0020400) ;;
*) fail "the last bytes of full5 are $(last_bytes "$work/full5.1" 4): no DISCONNECT with the will (0x04)" ;;
esac
expect 'the last bytes of full3, its on_connect' "$(last_bytes "$work/full3.1" 6)" 6f6e6c696e65
daemon_stop
expect 'exit status' "$status" 0
