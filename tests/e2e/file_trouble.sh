#!/bin/bash
# A ring's and a session's file when the file system is full, when the file is removed, and when the file system fails at run time:
# sampling and publishing go on from memory, an outage of the broker loses nothing, and the status says what is the matter. The last
# parts need root and a loop device, and are skipped without.
. "${0%/*}/lib.sh"
need mosquitto mosquitto_sub
port=$(free_port)
gate=$(free_port)
mounted=''

unmount() {
	[ -n "$mounted" ] && umount -l "$mounted"
	mounted=''
}
trap 'unmount; finish' EXIT

mount_image() { # OPTIONS SIZE
	local folder=$work/disk
	mkdir -p "$folder"
	rm -f "$work/image"
	truncate -s "$2" "$work/image" || fail 'truncate'
	mkfs.ext4 -q "$work/image" || fail 'mkfs.ext4'
	mount -o "loop,$1" "$work/image" "$folder" || return 1
	mounted=$folder
}

run_start() { # RING_PATH STATE_DIR [SYNC]: an interval of 100 ms without
	: >"$work/daemon.log"
	: >"$work/got"
	daemon_start --state-dir "$2" <<-END
		node: n
		targets:
		  - {name: plant, url: "mqtt://127.0.0.1:$gate", client_id: e2e-file, clean_start: false, session_expiry: 1h,
		     buffer: {messages: 20000, path: "$1", sync: ${3:-interval, sync_interval: 100ms}},
		     reconnect: {base: 20ms, cap: 100ms}}
		lines:
		  - {name: load, synthetic: {tags: 1, rate: 1000}}
		definitions:
		  - {name: a, target: plant, tags: ["load.*"], topic: "q1/{tag}", qos: 1, sequence: true}
	END
}

place_is() { # buffer|session where|state TEXT: what it says has this in it
	case $(place_of plant "$1" "$2") in *"$3"*) return 0 ;; esac
	return 1
}

metric_is() { # NAME VALUE
	ctl --json metrics "$1" | tr -d '\n' | grep -qE "\"value\": ?$2\b"
}

# More messages than before arrive, and those of an outage too: each number of the source, from the first that came.
goes_on() { # WHAT
	local before
	before=$(line_count "$work/got")
	wait_for 10 "messages $1" has_lines "$work/got" $((before + 200))
	gate_close
	wait_for 5 "the outage $1" status_exceeds plant buffered 300
	gate_open "$gate" "$port"
	before=$(status_of plant made)
	wait_for 10 "what the outage $1 held back" all_arrived "$before"
	daemon_lives "$1"
}

all_arrived() { # COUNT: of the messages made
	[ "$(sort -u "$work/got" | wc -l)" -ge "$1" ]
}

# The numbers of the messages go up by one from 1: none is missing.
nothing_lost() { # WHAT
	sed -nE 's/.*"seq": ?([0-9]+).*/\1/p' "$work/got" | sort -n -u |
		awk '$1 != last + 1 { print "after", last, "comes", $1; exit 1 } { last = $1 } END { exit last == 0 }' || fail "lost $1"
}

broker_start "$port" 127.0.0.1 'max_inflight_messages 0'
subscribe "$work/got" "$port" -q 1 -t 'q1/#'
gate_open "$gate" "$port"

# --- all is well ---------------------------------------------------------------------------------------------------------------
mkdir "$work/state"
run_start plant.ring "$work/state"
place_is buffer where file || fail "the ring is in $(place_of plant buffer where)"
expect 'state of the ring' "$(place_of plant buffer state)" ok
expect 'state of the session' "$(place_of plant session state)" ok
expect 'where the session is' "$(place_of plant session where)" file
metric_is ring_in_file 1 || fail 'ring_in_file is not 1'
goes_on 'with a file'

# --- removed while it runs -------------------------------------------------------------------------------------------------------
mv "$work/state/plant.ring" "$work/state/elsewhere"
wait_for 5 'the ring file was moved, and the status says so' place_is buffer state 'was removed or replaced'
metric_is ring_file_trouble 1 || fail 'ring_file_trouble is not 1'
mv "$work/state/elsewhere" "$work/state/plant.ring"
wait_for 5 'the ring file is back, and the status says so' place_is buffer state ok
rm "$work/state/plant.ring" "$work/state/plant.session"
wait_for 5 'the ring file is gone, and the status says so' place_is buffer state 'was removed or replaced'
wait_for 5 'the session file is gone, and the status says so' place_is session state 'was removed or replaced'
expect 'where a removed ring is' "$(place_of plant buffer where)" memory
metric_is ring_in_file 0 || fail 'ring_in_file is not 0'
metric_is ring_session_trouble 1 || fail 'ring_session_trouble is not 1'
ctl buffer plant | grep -q 'buffer     in memory: the ring file was removed' || fail "buffer: $(ctl buffer plant)"
ctl status >"$work/status.txt"
contains "$work/status.txt" 'plant: the session file was removed' || fail 'the table of status does not say it'
goes_on 'without the file'
daemon_stop
expect 'lines in the log, one a transition' "$(grep -c 'the ring file was removed' "$work/daemon.log")" 2
expect 'exit status' "$status" 0
nothing_lost 'around the removal'

# --- no room at start --------------------------------------------------------------------------------------------------------------
[ "$(id -u)" = 0 ] || skip 'the rest needs root: what came before is well'
mkdir "$work/disk"
mount -t tmpfs -o size=256k none "$work/disk" 2>"$work/mount.log" || skip 'the rest needs mount: what came before is well'
mounted=$work/disk
run_start plant.ring "$work/disk"
place_is buffer where memory || fail 'a full disk, and the ring is not in memory'
place_is buffer state 'cannot be made: No space left on device' || fail "state: $(place_of plant buffer state)"
metric_is ring_file_trouble 1 || fail 'ring_file_trouble is not 1'
goes_on 'with a full disk'
daemon_stop
expect 'exit status' "$status" 0
nothing_lost 'with a full disk'
unmount

# --- the disk fills up while it runs --------------------------------------------------------------------------------------------------
need mkfs.ext4 perl
mount_image noatime 32M 2>>"$work/mount.log" || skip 'the rest needs a loop device: what came before is well'
run_start "$work/disk/plant.ring" "$work/disk"
place_is buffer where file || fail "on a loop device: $(place_of plant buffer state)"
dd if=/dev/zero of="$work/disk/other" bs=64k 2>/dev/null && fail 'the disk is not full'
goes_on 'with a disk that became full'
expect 'state with a full disk' "$(place_of plant buffer state)" ok
daemon_stop
expect 'exit status' "$status" 0
nothing_lost 'with a disk that became full'
unmount

# --- the file system fails while it runs --------------------------------------------------------------------------------------------
# EXT4_IOC_SHUTDOWN without a flush of the journal: as if the device had been pulled out.
shut_down() { # FOLDER
	perl -e 'use Fcntl; my $flags = pack("L", 2); sysopen(my $f, $ARGV[0], O_RDONLY | O_DIRECTORY) or die "$!\n";
		ioctl($f, 0x8004587D, $flags) or die "$!\n"' "$1"
}

# Without data=journal, ext4 lets a store to blocks that are there pass; xfs, for one, does not.
fails() { # MOUNT_OPTIONS SYNC STATE
	mount_image "$1" 32M 2>>"$work/mount.log" || fail "mount -o $1"
	run_start "$work/disk/plant.ring" "$work/disk" "$2"
	expect 'where the ring is' "$(place_of plant buffer where)" file
	wait_for 10 'messages and syncs' status_exceeds plant sent 500
	shut_down "$work/disk" 2>>"$work/mount.log" || skip 'the kernel does not shut a file system down: what came before is well'
	goes_on "with $1 and a failed file system"
	wait_for 5 "the state with $1" place_is buffer state "$3"
	goes_on "once more with $1"
	daemon_stop
	expect 'exit status' "$status" 0
	nothing_lost "with $1 and a failed file system"
	unmount
}
fails noatime never 'takes no more writes'
fails data=journal each 'has failed, or is full: in memory since then'
exit 0
