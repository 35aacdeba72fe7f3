# SPDX-License-Identifier: BSD-2-Clause
# Sourced by every scenario: scratch directory, checks, keystore, stores, mounts, and a clean end whatever happened.
#
# A scenario runs as root in a mount namespace of its own (tests/run.sh makes it), with an empty /var/lib/byokfs.
# BYOKFS   the program            TEST_BIN  compiled helpers (made on demand)
# BYOKFS_LONG=1  every byte, 50 rounds, large files       KEEP=1  leave the scratch directory
set -u
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/../.." && pwd)
: "${BYOKFS:?path of the program}"
TEST_BIN=${TEST_BIN:-$(dirname "$BYOKFS")/../test-bin}
LONG=${BYOKFS_LONG:-}
scenario=$(basename "$0" .sh)
W=$(mktemp -d "${TMPDIR:-/tmp}/byokfs-$scenario.XXXXXX") || exit 2
checks=0
failures=0
skips=0
HANG=120  # seconds without an end after which something hangs: no bound of the product
umask 022
ulimit -c 0

byokfs() { "$BYOKFS" "$@"; }
say() { printf '  %s\n' "$*"; }
figure() { printf '  figure: %s\n' "$*"; }
pass() { checks=$((checks + 1)); [ -z "${VERBOSE:-}" ] || say "ok: $*"; }
fail() {
	checks=$((checks + 1))
	failures=$((failures + 1))
	printf '  FAIL: %s\n' "$*"
}
skip() {
	skips=$((skips + 1))
	printf '  skipped: %s\n' "$*"
}

# expect TEXT COMMAND...: the command succeeds; its output is shown only when it does not
expect() {
	local text=$1 out rc
	shift
	out=$("$@" 2>&1)
	rc=$?
	if [ $rc -eq 0 ]; then pass "$text"; else fail "$text (exit $rc): $(tail -c 1500 <<<"$out")"; fi
	return $rc
}

# refused TEXT PATTERN CODE COMMAND...: exit code CODE (empty: any but 0, and below 124) and a message that matches PATTERN
refused() {
	local text=$1 pattern=$2 code=$3 out rc
	shift 3
	out=$(timeout $HANG "$@" </dev/null 2>&1)
	rc=$?
	if [ $rc -eq 0 ] || [ $rc -ge 124 ]; then
		fail "$text: exit $rc, a refusal was expected: $(tail -c 500 <<<"$out")"
	elif [ -n "$code" ] && [ $rc -ne "$code" ]; then
		fail "$text: exit $rc, expected $code: $(tail -c 500 <<<"$out")"
	elif ! grep -qiE -e "$pattern" <<<"$out"; then
		fail "$text: the message does not say /$pattern/: $(tail -c 500 <<<"$out")"
	else
		pass "$text"
		[ -z "${VERBOSE:-}" ] || say "   $(head -n 1 <<<"$out")"
	fi
}

# same TEXT A B: the two strings are equal
same() {
	if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: [$2] is not [$3]"; fi
}

# flip FILE OFFSET: another byte there, whatever it is now
flip() {
	python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]))
    b = f.read(1)[0]
    f.seek(int(sys.argv[2]))
    f.write(bytes([b ^ 0x20]))' "$1" "$2"
}

# tool NAME: path of tests/mount/NAME.c compiled
tool() {
	local out=$TEST_BIN/$1
	mkdir -p "$TEST_BIN"
	if [ ! -x "$out" ] || [ "$here/$1.c" -nt "$out" ]; then
		"${CC:-gcc}" -std=gnu17 -O2 -g -Wall -Wextra -D_GNU_SOURCE -pthread -o "$out.$$" "$here/$1.c" >&2 && mv "$out.$$" "$out" || {
			echo "cannot compile $1.c" >&2
			return 1
		}
	fi
	printf '%s\n' "$out"
}

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# fuse_for_users: what a plain user's mount needs and a bare system may lack, in this mount namespace only: a /dev/fuse that
# is open to him, and an /etc/mtab, without which fusermount3 unmounts nothing (systemd makes it at the first boot)
fuse_for_users() {
	mkdir "$W/dev" && mount -t tmpfs -o mode=755,dev none "$W/dev" && mknod -m 666 "$W/dev/fuse" c 10 229 &&
		mount --bind "$W/dev/fuse" /dev/fuse || fail 'a /dev/fuse for users'
	[ ! -e /etc/mtab ] || return 0
	mkdir "$W/etc" && mount -t tmpfs -o mode=755 none "$W/etc" && mkdir "$W/etc/upper" "$W/etc/work" &&
		mount -t overlay -o "lowerdir=/etc,upperdir=$W/etc/upper,workdir=$W/etc/work" none /etc &&
		ln -s /proc/self/mounts /etc/mtab || fail 'an /etc/mtab'
}

# --- waiting, and bounds in time

# await SECONDS COMMAND...: until it succeeds; SECONDS are a bound of nothing, they only end a test that would wait for ever
await() {
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(now_ms)" -lt $end ] || return 1
		sleep 0.05
	done
}
# awaited TEXT SECONDS COMMAND...: the same as a check
awaited() {
	local text=$1
	shift
	if await "$@"; then pass "$text"; else fail "$text: not after $1 s"; return 1; fi
}
# beside_start: a mount of a store of its own, which nobody locks, asked all the while (beside.py): a bound that a slow
# machine breaks is measured against what this mount was held up at the same time
beside_start() {
	beside=$(mktemp -d "${TMPDIR:-/tmp}/beside-$scenario.XXXXXX") && mkdir -m 700 "$beside/state" "$beside/mnt" || exit 2
	(
		export BYOKFS_STATE_DIR=$beside/state
		byokfs keystore init "$beside/ks" --no-passphrase && byokfs keystore create "$beside/ks" kek &&
			byokfs init "$beside/store" --kms "local:$beside/ks/kek" && byokfs mount "$beside/store" "$beside/mnt"
	) </dev/null >>"$W/cli.log" 2>&1 || fail "the mount beside: $(tail -n 3 "$W/cli.log")"
	BYOKFS_STATE_DIR=$beside/state python3 "$here/beside.py" "$BYOKFS" "$beside/mnt" "$beside/log" 2>>"$W/cli.log" &
	beside_pid=$!
	beside_program=$BYOKFS
	disown $beside_pid
	awaited 'the mount beside serves' $HANG test -s "$beside/log"
}
beside_end() {
	local p
	[ -n "${beside:-}" ] || return 0
	kill -9 $beside_pid 2>/dev/null
	BYOKFS_STATE_DIR=$beside/state timeout 30 "$beside_program" umount "$beside/mnt" >/dev/null 2>&1 || umount -l "$beside/mnt" 2>/dev/null
	await 20 eval '[ -z "$(daemons_of "$beside")" ]' || for p in $(daemons_of "$beside"); do kill -9 "$p" 2>/dev/null; done
	rm -rf --one-file-system "$beside"
	beside=
}
# slack_ms SINCE: three times the slowest that the mount beside took since then (ms since the epoch); 0 without one
slack_ms() {
	local asked
	[ -n "${beside:-}" ] || { echo 0; return; }
	asked=$(now_ms)
	# what it is at counts too
	await $HANG eval '[ "$(tail -n 1 "$beside/log" | cut -d" " -f1)" -ge '"$asked"' ]'
	awk -v since="$1" '$1 + $2 >= since && $2 > most {most = $2} END {print 3 * most}' "$beside/log"
}
# within TEXT MS BOUND SINCE: MS are not more than BOUND, and than a machine that is slow since SINCE adds to it
within() {
	local slack
	[ "$2" -gt "$3" ] || { pass "$1"; return 0; }
	slack=$(slack_ms "$4")
	if [ "$2" -le $(($3 + slack)) ]; then
		pass "$1"
		say "note: $1: $2 ms, at most $3 on a machine that does nothing else: $slack ms are added"
	else
		fail "$1: $2 ms, at most $3, and $slack for a slow machine"
		return 1
	fi
}
is_mounted() { grep -q " $1 fuse" /proc/self/mounts; }

# new_keystore [DIR]: a keystore without passphrase, one key `kek`
new_keystore() {
	local ks=${1:-$W/ks}
	byokfs keystore init "$ks" --no-passphrase >>"$W/cli.log" 2>&1 && byokfs keystore create "$ks" kek >>"$W/cli.log" 2>&1 ||
		fail "keystore: $(tail -n 3 "$W/cli.log")"
}
# new_store NAME [init options]: $W/NAME under local:$W/ks/kek
new_store() {
	local name=$1
	shift
	[ -d "$W/ks" ] || new_keystore
	byokfs init "$W/$name" --kms "local:$W/ks/kek" "$@" >>"$W/cli.log" 2>&1 || fail "init $name $*: $(tail -n 3 "$W/cli.log")"
}
# mount_store NAME [mount options]: $W/NAME on $W/mnt (made if need be)
mount_store() {
	local name=$1 rc
	shift
	mkdir -p "$W/mnt" 2>/dev/null # a dead mount is there, and is cleared
	timeout $HANG "$BYOKFS" mount "$W/$name" "$W/mnt" "$@" </dev/null >>"$W/cli.log" 2>&1
	rc=$?
	[ $rc -eq 0 ] && is_mounted "$W/mnt" && return 0
	fail "mount $name $*: exit $rc: $(tail -n 3 "$W/cli.log")"
	return 1
}
mounted_or_ended() { is_mounted "$W/mnt" || ! kill -0 "$daemon" 2>/dev/null; }
# mount_logged NAME LOG [options]: in the foreground, in the background of this shell, log into LOG; the supervisor is $daemon
mount_logged() {
	local name=$1 log=$2
	shift 2
	mkdir -p "$W/mnt"
	"$BYOKFS" mount "$W/$name" "$W/mnt" -f "$@" </dev/null >>"$log" 2>&1 &
	daemon=$!
	await $HANG mounted_or_ended
	is_mounted "$W/mnt" && timeout $HANG stat "$W/mnt" >/dev/null 2>&1 && return 0
	fail "mount -f $name $*: $(tail -n 3 "$log")"
	return 1
}
umount_store() {
	timeout $HANG "$BYOKFS" umount "$W/mnt" >>"$W/cli.log" 2>&1 || {
		fail "umount: $(tail -n 2 "$W/cli.log")"
		return 1
	}
	# the daemon seals and marks the session clean after the kernel has let go
	await $HANG no_daemons || {
		fail "umount: the daemon is still there after $HANG s: $(our_daemons)"
		return 1
	}
}
state_of() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE 's/.*"state": *"([^"]*)".*/\1/p'; }
pid_of() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE 's/.*"pid": *([0-9]+).*/\1/p'; }
worker_of() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE 's/.*"worker_pid": *([0-9]+).*/\1/p'; }
key() { # key disable|enable [NAME]
	byokfs keystore "$1" "$W/ks" "${2:-kek}" >>"$W/cli.log" 2>&1 || fail "keystore $1: $(tail -n 2 "$W/cli.log")"
}
in_state() { [ "$(state_of)" = "$1" ]; }
# wait_state STATE SECONDS: it comes, within so long
wait_state() {
	local t0
	t0=$(now_ms)
	await $(($2 + 60)) in_state "$1" || {
		fail "state is not $1 after $(($2 + 60)) s but [$(state_of)]"
		return 1
	}
	within "state $1" $(($(now_ms) - t0)) $(($2 * 1000)) "$t0"
}
# rows SCRIPT.py: a table of rows that run side by side (causes.py); ROWS chooses some of them by a pattern
rows() {
	local kind text rc
	timeout 900 python3 "$here/$1" "$W" --rows "${ROWS:-}" >"$W/rows.out" 2>"$W/rows.err"
	rc=$?
	while IFS=$'\t' read -r kind text; do
		case $kind in
		ok) pass "$text" ;;
		figure) figure "$text" ;;
		*) fail "$text" ;;
		esac
	done <"$W/rows.out"
	# a row that breaks says so itself; what else is there is Python's own warnings
	[ $rc -eq 0 ] || fail "$1: exit $rc: $(tail -n 5 "$W/rows.err")"
	[ ! -s "$W/rows.err" ] || say "note: $1 also said: $(tail -n 5 "$W/rows.err")"
}

# daemons_of DIR: pids of processes of the program whose arguments name DIR
daemons_of() {
	local p program
	program=$(readlink -f "$BYOKFS")
	for p in /proc/[0-9]*; do
		[ "$(readlink "$p/exe" 2>/dev/null)" = "$program" ] || continue
		tr '\0' '\n' <"$p/cmdline" 2>/dev/null | grep -qF -e "$1" && printf '%s ' "${p#/proc/}"
	done
}
# our_daemons: those that this scenario started, without the mount beside
our_daemons() { daemons_of "$W"; }
no_daemons() { [ -z "$(our_daemons)" ]; }
unmounted() { ! is_mounted "$W/mnt"; }

# kill_daemons: SIGKILL to supervisor and worker at once, and wait until both are gone
kill_daemons() {
	kill -9 $(our_daemons) 2>/dev/null
	await $HANG no_daemons || fail "killed, and still there: $(our_daemons)"
}

# --- who hangs: whoever does not move at all, however slowly the others do

# moves PID: figures that change whenever it runs: its state, its switches, its time on the processor
moves() {
	awk '/^State/ {printf "%s ", $2} /ctxt_switches/ {printf "%s ", $2}' "/proc/$1/task"/*/status 2>/dev/null
	sed 's/.*) //' "/proc/$1/task"/*/stat 2>/dev/null | cut -d' ' -f12,13 | tr '\n' ' '
}
# settle SECONDS COMMAND: waits until COMMAND names no process any more, as long as one of those that it names goes on (five
# minutes at most: one that turns in circles goes on as well); what it names then has stood still, and is printed
settle() {
	local left was='' is since end
	since=$(now_ms)
	end=$((since + 300000))
	while left=$($2) || :; [ -n "$left" ]; do # its exit status is that of the last process it looked at
		is="$left $(for p in $left; do moves "$p"; done)"
		[ "$is" = "$was" ] || since=$(now_ms)
		was=$is
		[ $(($(now_ms) - since)) -lt $(($1 * 1000)) ] && [ "$(now_ms)" -lt $end ] || break
		sleep 0.2
	done
	printf '%s' "$left"
}

# --- a store that is slow while it is mounted: as slow as it is told to be

# slow_store: $slow_lib, for LD_PRELOAD at a mount; `slow READ WRITE [FSYNC]` says how many microseconds more each takes from now on
slow_store() {
	slow_lib=$W/slowstore.so
	export SLOWSTORE=$W/slowstore
	slow 0 0
	"${CC:-gcc}" -std=gnu17 -shared -fPIC -O2 -Wall -Wextra -D_GNU_SOURCE -o "$slow_lib" "$here/slowstore.c" || {
		fail 'compiling slowstore'
		return 1
	}
}
slow() { printf '%-15d%-15d%-15d\n' "$1" "$2" "${3:-0}" 1<>"$SLOWSTORE"; }

# venv_find NAME: $venv, with what tests/NAME.txt lists, made once per build; or the scenario ends as one that was left out
venv_find() {
	venv=$TEST_BIN/$1
	mkdir -p "$TEST_BIN"
	(
		flock 9 # scenarios that want the same run beside each other
		[ -e "$venv/whole" ] || {
			python3 -m venv "$venv" && timeout 300 "$venv/bin/pip" install -q --disable-pip-version-check --no-deps \
				--only-binary=:all: --require-hashes -r "$tree/tests/$1.txt" && : >"$venv/whole"
		}
	) 9>"$venv.lock" >>"$W/pip.log" 2>&1
	[ ! -e "$venv/whole" ] || return 0
	pass "looked for $1"
	skip "no $1 from PyPI here (tests/$1.txt): $(tail -n 1 "$W/pip.log")"
	exit 0
}

end_scenario() {
	local rc=$? m left p
	trap - EXIT INT TERM
	# background readers and writers of ours first, then mounts, then daemons
	for p in $(jobs -p); do kill -9 "$p" 2>/dev/null; done
	left=
	for m in $(awk -v w="$W/" 'index($2, w) == 1 {print $2}' /proc/self/mounts | sort -r); do
		case $(awk -v m="$m" '$2 == m {t = $3} END {print t}' /proc/self/mounts) in
		fuse*) timeout 30 "$BYOKFS" umount "$m" >/dev/null 2>&1 || timeout 30 umount "$m" 2>/dev/null || { left="$left $m"; umount -l "$m" 2>/dev/null; } ;;
		*) umount "$m" 2>/dev/null || umount -l "$m" 2>/dev/null ;;
		esac
	done
	[ -z "$left" ] || say "note: had to be unmounted lazily:$left"
	beside_end
	for p in $(settle 5 our_daemons); do kill -9 "$p" 2>/dev/null; done
	await 10 no_daemons
	if grep -q " $W/.* fuse" /proc/self/mounts; then fail "a mount is left: $(grep " $W/.* fuse" /proc/self/mounts)"; fi
	for p in $(our_daemons); do fail "process $p is left: $(grep State "/proc/$p/status" 2>/dev/null)"; done
	left=$(ps -eo pid=,stat=,args= | awk '$2 ~ /^D/' | grep -F -e "$W" || true)
	[ -z "$left" ] || fail "processes in D state: $left"
	if [ -z "${KEEP:-}" ]; then
		chmod -R u+rwx "$W" 2>/dev/null
		rm -rf --one-file-system "$W"
	else
		say "kept: $W"
	fi
	[ $checks -gt 0 ] || { echo "  FAIL: nothing was checked (exit $rc)"; failures=1; }
	printf 'RESULT %s %d checks, %d failed, %d skipped\n' "$scenario" "$checks" "$failures" "$skips"
	[ $failures -eq 0 ]
	exit $?
}
trap end_scenario EXIT
trap 'exit 130' INT TERM
