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
	out=$(timeout 60 "$@" </dev/null 2>&1)
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

now_ms() { date +%s%3N; }
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
	timeout 60 "$BYOKFS" mount "$W/$name" "$W/mnt" "$@" </dev/null >>"$W/cli.log" 2>&1
	rc=$?
	[ $rc -eq 0 ] && is_mounted "$W/mnt" && return 0
	fail "mount $name $*: exit $rc: $(tail -n 3 "$W/cli.log")"
	return 1
}
# mount_logged NAME LOG [options]: in the foreground, in the background of this shell, log into LOG; the supervisor is $daemon
mount_logged() {
	local name=$1 log=$2 i
	shift 2
	mkdir -p "$W/mnt"
	"$BYOKFS" mount "$W/$name" "$W/mnt" -f "$@" </dev/null >>"$log" 2>&1 &
	daemon=$!
	for i in $(seq 300); do
		is_mounted "$W/mnt" && timeout 5 stat "$W/mnt" >/dev/null 2>&1 && return 0
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.05
	done
	fail "mount -f $name $*: $(tail -n 3 "$log")"
	return 1
}
umount_store() {
	timeout 60 "$BYOKFS" umount "$W/mnt" >>"$W/cli.log" 2>&1 || {
		fail "umount: $(tail -n 2 "$W/cli.log")"
		return 1
	}
	# the daemon seals and marks the session clean after the kernel has let go
	local i
	for i in $(seq 200); do
		[ -z "$(our_daemons)" ] && return 0
		sleep 0.05
	done
	fail "umount: the daemon is still there after 10 s: $(our_daemons)"
}
state_of() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE 's/.*"state": *"([^"]*)".*/\1/p'; }
pid_of() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE 's/.*"pid": *([0-9]+).*/\1/p'; }
worker_of() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE 's/.*"worker_pid": *([0-9]+).*/\1/p'; }
key() { # key disable|enable [NAME]
	byokfs keystore "$1" "$W/ks" "${2:-kek}" >>"$W/cli.log" 2>&1 || fail "keystore $1: $(tail -n 2 "$W/cli.log")"
}
# wait_state STATE SECONDS
wait_state() {
	local i
	for i in $(seq $(($2 * 20))); do
		[ "$(state_of)" = "$1" ] && return 0
		sleep 0.05
	done
	fail "state is not $1 after $2 s but [$(state_of)]"
	return 1
}
# rows SCRIPT.py: a table of rows that run side by side (causes.py); ROWS chooses some of them by a pattern
rows() {
	local kind text rc
	timeout 200 python3 "$here/$1" "$W" --rows "${ROWS:-}" >"$W/rows.out" 2>"$W/rows.err"
	rc=$?
	while IFS=$'\t' read -r kind text; do
		case $kind in
		ok) pass "$text" ;;
		figure) figure "$text" ;;
		*) fail "$text" ;;
		esac
	done <"$W/rows.out"
	[ $rc -eq 0 ] && [ ! -s "$W/rows.err" ] || fail "$1: exit $rc: $(tail -n 5 "$W/rows.err")"
}
drop_caches() { sync; echo 3 >/proc/sys/vm/drop_caches; }

# our_daemons: pids of processes of the program that this scenario started (their arguments name $W)
our_daemons() {
	local p
	for p in /proc/[0-9]*; do
		[ "$(readlink "$p/exe" 2>/dev/null)" = "$(readlink -f "$BYOKFS")" ] || continue
		tr '\0' '\n' <"$p/cmdline" 2>/dev/null | grep -qF -e "$W" && printf '%s ' "${p#/proc/}"
	done
}

# kill_daemons: SIGKILL to supervisor and worker at once, and wait until both are gone
kill_daemons() {
	local i
	kill -9 $(our_daemons) 2>/dev/null
	for i in $(seq 200); do [ -z "$(our_daemons)" ] && return 0; sleep 0.02; done
	fail "killed, and still there after 4 s: $(our_daemons)"
}

end_scenario() {
	local rc=$? m left p
	trap - EXIT INT TERM
	# background readers and writers of ours first, then mounts, then daemons
	for p in $(jobs -p); do kill -9 "$p" 2>/dev/null; done
	left=
	for m in $(awk -v w="$W/" 'index($2, w) == 1 {print $2}' /proc/self/mounts | sort -r); do
		case $(awk -v m="$m" '$2 == m {t = $3} END {print t}' /proc/self/mounts) in
		fuse*) timeout 10 "$BYOKFS" umount "$m" >/dev/null 2>&1 || timeout 10 umount "$m" 2>/dev/null || { left="$left $m"; umount -l "$m" 2>/dev/null; } ;;
		*) umount "$m" 2>/dev/null || umount -l "$m" 2>/dev/null ;;
		esac
	done
	[ -z "$left" ] || say "note: had to be unmounted lazily:$left"
	for p in $(our_daemons); do
		for _ in $(seq 40); do [ -d "/proc/$p" ] && sleep 0.05; done
		[ ! -d "/proc/$p" ] || kill -9 "$p" 2>/dev/null
	done
	sleep 0.1
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
