# SPDX-License-Identifier: BSD-2-Clause
# Sourced after lib.sh by scenarios under load: starts load.c, rsync and tar on a mount, asks what they were answered.

M=$W/mnt      # the mount
R=$W          # page, log and marker of the load
load=$(tool load) || fail 'compiling load'
acks=$(tool ackwriter) || fail 'compiling ackwriter'
big_mib=64
workers=32
[ -z "${BYOKFS_SHORT:-}" ] || { big_mib=16 workers=12; }
[ -z "$LONG" ] || big_mib=1024
head -c 16 /dev/urandom >"$R/marker"
as=''         # runs the load as somebody else
loader=''     # pid of `load run`
programs=()   # pids of the loops of rsync and tar
program_hangs=0

# load_start: 100 handles, readers, writers, mappings, listings, the big write in $M/load; returns when each was served
load_start() {
	local out
	$as mkdir -p "$M/load" || { fail 'mkdir of the load'; return 1; }
	rm -f "$R/page"
	$as "$load" run "$M/load" "$R/page" "$R/ack.log" "$R/marker" $big_mib $workers >>"$W/cli.log" 2>&1 &
	loader=$!
	await $HANG test -s "$R/page"
	sleep 0.1
	out=$("$load" wait "$R/page" served 40 2>&1) || { fail "the load does not start: $(head -n 5 <<<"$out") $("$load" report "$R/page" | grep -E '^(bad|wrong)' | head -n 5)"; return 1; }
}
phase() { "$load" phase "$R/page" "$1"; }
# each_answered TEXT: every worker was answered, whatever it was, since the phase began; who does not move for 20 s hangs
each_answered() {
	local out
	out=$("$load" wait "$R/page" answered 20 2>&1) && pass "$1: everybody is answered" || fail "$1: not answered, and has not moved for 20 s: $(head -n 6 <<<"$out")"
}
# each_served TEXT: the same, with data
each_served() {
	local out
	out=$("$load" wait "$R/page" served 20 2>&1) && pass "$1: everybody is served on the old handles" || fail "$1: nobody more was served for 20 s: $(head -n 6 <<<"$out")"
}
# last_of KIND...: the latest of these, ms after the announcement
last_of() {
	local k v most=0
	for k in "$@"; do
		v=$(sed -n "s/^$k=//p" "$W/last")
		[ "${v:-0}" -le $most ] || most=$v
	done
	echo $most
}
# take_last: $last_read, $last_written, $last_listed, $last_mapped
take_last() {
	"$load" last "$R/page" >"$W/last"
	last_read=$(last_of read read-record read-big)
	last_mapped=$(last_of load load-record store)
	last_written=$(last_of write)
	last_listed=$(last_of list stat open)
}
# load_stop TEXT: the workers end; what they were answered is in $W/report
load_stop() {
	local out
	out=$("$load" stop "$R/page" 20 2>&1) && pass "$1: the load ends" || { fail "$1: hung: $(head -n 6 <<<"$out")"; kill -9 $loader 2>/dev/null; }
	"$load" report "$R/page" >"$W/report" 2>&1
	same "$1: answers that the design does not have" '' "$(sed -n 's/^bad //p' "$W/report" | head -n 8 | tr '\n' ';')"
	same "$1: contents that are neither right nor refused" '' "$(sed -n 's/^wrong //p' "$W/report" | head -n 4 | tr '\n' ';')"
	wait $loader 2>/dev/null
	loader=''
}
# load_check TEXT: on a fresh mount, all that fsync, msync or close covered
load_check() {
	local out
	out=$($as "$load" check "$M/load" "$R/ack.log" "$R/marker" 2>&1) && pass "$1: files" || fail "$1: $(tail -n 4 <<<"$out")"
	out=$($as "$acks" check "$M/load" "$R/ack.log" 2>&1) && pass "$1: records" || fail "$1: $(tail -n 5 <<<"$out")"
	checked=$(tail -n 1 <<<"$out")
}

# --- rsync and tar beside it: they fail at each lock, and start again

programs_start() {
	: >"$W/programs"
	(
		while [ -e "$W/programs" ]; do
			timeout -k 2 60 $as rsync -a "$W/source/" "$M/rsync/"
			$as rm -rf "$M/rsync"
			sleep 0.2
		done
	) >/dev/null 2>&1 &
	programs=($!)
	(
		while [ -e "$W/programs" ]; do
			$as mkdir "$M/tar"
			timeout -k 2 60 $as tar -cf "$M/tar/archive" -C "$W" source; timeout -k 2 60 $as tar -xf "$M/tar/archive" -C "$M/tar"
			$as rm -rf "$M/tar"
			sleep 0.2
		done
	) >/dev/null 2>&1 &
	programs+=($!)
}
# program_pids: rsync, tar and rm of ours
program_pids() { pgrep -f -- "^(rsync|tar|rm) .*($M|$W/source)"; }
# programs_stop TEXT: they end, however slowly. What does not move any more: rsync 3.5.0 can lock itself up after many errors
# (50-kill.sh), which is not ours to judge, but a process inside a call to the mount is
programs_stop() {
	local p
	rm -f "$W/programs"
	for p in $(settle 15 program_pids); do
		if grep -qE 'fuse|request_wait' "/proc/$p/wchan" "/proc/$p/stack" 2>/dev/null; then
			fail "$1: $(tr '\0' ' ' <"/proc/$p/cmdline" | head -c 60) hangs in the mount: $(head -n 2 "/proc/$p/stack" | tr '\n' ' ')"
		fi
		program_hangs=$((program_hangs + 1))
		kill -9 "$p" 2>/dev/null
	done
	for p in "${programs[@]}"; do wait "$p" 2>/dev/null; done
	programs=()
}

# mount_pids: the processes of our mounts; our_daemons (lib.sh) looks at each process there is, which takes its time here
mount_pids() { pgrep -f -- "^$BYOKFS mount .*$W/" | tr '\n' ' '; }
no_mount_pids() { [ -z "$(mount_pids)" ]; }
# stuck: processes of ours in D state that have not moved for five seconds: `PID in WHERE, ` each
in_d_state() { ps -eo pid=,stat=,args= | awk '$2 ~ /^D/' | grep -F -e "$W/" | awk '{print $1}' | tr '\n' ' '; }
stuck() {
	local p
	for p in $(settle 5 in_d_state); do printf '%s in %s, ' "$p" "$(cat "/proc/$p/wchan" 2>/dev/null)"; done
}

# middle and most of the numbers given
middle() { tr ' ' '\n' <<<"$*" | grep . | sort -n | awk '{v[NR] = $1} END {print NR ? v[int((NR + 1) / 2)] : 0}'; }
most() { tr ' ' '\n' <<<"$*" | grep . | sort -n | tail -n 1; }

load_ended() {
	rm -f "$W/programs"
	[ -z "$loader" ] || kill -9 "$loader" 2>/dev/null
	for p in $(program_pids); do kill -9 "$p" 2>/dev/null; done
	end_scenario
}
trap load_ended EXIT
