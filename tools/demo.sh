#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The whole promise on real files: make a key and a store, back up, revoke, be refused, give the key back, restore.
set -eu
export LC_ALL=C
tree=$(cd "$(dirname "$0")/.." && pwd)
source_dir=${1:-/usr/include}

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
	echo 'usage: tools/demo.sh [DIRECTORY]   backs DIRECTORY up (default /usr/include) into a scratch store and restores it'
	exit 0
fi
[ -d "$source_dir" ] || { echo "tools/demo.sh: $source_dir is not a directory" >&2; exit 2; }

sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
bold='' plain=''
[ ! -t 1 ] || { bold=$'\033[1m' plain=$'\033[0m'; }
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
run() {
	printf '$ %s\n' "$*"
	"$@"
}
stop() {
	printf '\ntools/demo.sh: this should not have happened: %s\n' "$*" >&2
	exit 1
}

build=${BYOKFS_BUILD:-$tree/.build}/demo
if [ -z "${BYOKFS_DEMO_BUILT:-}" ]; then
	step '1. Packages and build'
	need=$(grep '^build ' "$tree/tests/packages.txt" | while read -r _ p; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || echo "$p"
	done)
	if [ -n "$need" ]; then
		echo "installing $(tr '\n' ' ' <<<"$need")"
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq update
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $need >/dev/null
	fi
	[ -e "$build/build.ninja" ] || meson setup "$build" "$tree" -Dtests=false >/dev/null
	ninja -C "$build" >"$build/build.log" 2>&1 || { tail -n 20 "$build/build.log"; stop 'the build failed'; }
	# a user to whom /dev/fuse is not open goes on as root
	if [ "$(id -u)" -ne 0 ] && ! { [ -r /dev/fuse ] && [ -w /dev/fuse ]; }; then
		echo '/dev/fuse is not open to you: the rest runs as root, through sudo'
		exec sudo env BYOKFS_DEMO_BUILT=1 BYOKFS_BUILD="${BYOKFS_BUILD:-}" TMPDIR="${TMPDIR:-/tmp}" bash "$0" "$@"
	fi
fi
byokfs=$build/tools/byokfs
echo "built: $("$byokfs" --version | head -n 1)"

W=$(mktemp -d "${TMPDIR:-/tmp}/byokfs-demo.XXXXXX")
M=$W/mnt
mounted() { grep -q " $M fuse" /proc/self/mounts; }
clean_up() {
	rc=$?
	trap - EXIT INT TERM
	exec 8<&- 2>/dev/null || true
	if mounted; then "$byokfs" umount "$M" >/dev/null 2>&1 || fusermount3 -uz "$M" 2>/dev/null || umount -l "$M" 2>/dev/null || true; fi
	for _ in 1 2 3 4 5 6 7 8 9 10; do mounted || break; sleep 0.2; done
	chmod -R u+rwX "$W" 2>/dev/null || true
	rm -rf --one-file-system "$W"
	exit $rc
}
trap clean_up EXIT
trap 'exit 130' INT TERM
mkdir "$M" "$W/state"
chmod 700 "$W/state"
export BYOKFS_STATE_DIR=$W/state # the pin of a store that is gone in a minute
PATH=$(dirname "$byokfs"):$PATH
export PATH
# what this host remembers of a store (the pin) goes with the scratch directory too
export BYOKFS_STATE_DIR=$W/state

# must_fail TEXT COMMAND...: prints what the kernel says to a program that tries
must_fail() {
	local what=$1 out
	shift
	if out=$("$@" 2>&1 >/dev/null); then stop "$what was not refused"; fi
	printf '  %-28s %s\n' "$what:" "$(head -n 1 <<<"$out")"
}
state() { byokfs status "$M" --json | sed -nE 's/.*"state": *"([^"]*)".*/\1/p'; }
wait_for() {
	local i
	for i in $(seq 300); do
		[ "$(state 2>/dev/null)" = "$1" ] && return 0
		sleep 0.05
	done
	stop "the state is $(state), not $1"
}
ms() { date +%s%3N; }
all_refused() {
	must_fail 'read a file' cat "$M/backup/a-file"
	must_fail 'write a file' sh -c "echo x >>'$M/backup/a-file'"
	must_fail 'make a file' touch "$M/new"
	must_fail 'list a folder' ls "$M/backup"
	must_fail 'stat a file' stat "$M/backup/a-file"
	must_fail 'the file opened before' dd bs=1 count=1 status=none <&8
}

step '2. The customer makes a key (the embedded keystore plays the KMS)'
run byokfs keystore init "$W/keystore" --no-passphrase
run byokfs keystore create "$W/keystore" kek

step '3. The operator makes a store under that key and mounts it'
run byokfs init "$W/store" --kms "local:$W/keystore/kek"
run byokfs mount "$W/store" "$M"

step '4. A real backup goes in'
mkdir "$M/backup"
echo 'This line was readable before the key was disabled.' >"$M/backup/a-file"
t0=$(ms)
run rsync -aHAX --numeric-ids "$source_dir/" "$M/backup/tree/"
t1=$(ms)
n=$(find "$M/backup/tree" | wc -l)
echo "$n entries in $((t1 - t0)) ms"

step '5. What lies in the store: only ciphertext, names included'
sync -f "$M"
find "$W/store/data" -maxdepth 2 -printf '%P\n' | sed -n '2,6p'
f=$(find "$W/store/data" -maxdepth 2 -type f -size -4k ! -name '.byokfs.*' | head -n 1)
echo "$ od -Ax -tx1z ${f##*/} | tail"
od -Ax -tx1z "$f" | tail -n 4
if grep -rqaF 'This line was readable' "$W/store"; then stop 'plaintext in the store'; fi
echo '$ grep -r "This line was readable" store   finds nothing'

step '6. The customer disables the key'
exec 8<"$M/backup/a-file"
t0=$(ms)
run byokfs keystore disable "$W/keystore" kek
wait_for locked
echo "locked $(($(ms) - t0)) ms after the command was started. Everyone, root included, is refused:"
all_refused
echo "\$ byokfs status $M | head -n 9"
byokfs status "$M" | head -n 9

step '7. The customer enables the key: the same mount, the same open file'
t0=$(ms)
run byokfs keystore enable "$W/keystore" kek
wait_for active
echo "active $(($(ms) - t0)) ms after the command was started. The file opened before says:"
cat <&8
exec 8<&-

step '8. The backup is restored and compared'
run rsync -aHAX --numeric-ids "$M/backup/tree/" "$W/restored/"
run diff -r --no-dereference "$source_dir" "$W/restored" || stop 'the restored tree differs'
differences=$(rsync -aHAXni --numeric-ids --delete "$source_dir/" "$W/restored/" | grep -v '^\.[dfL]\.\.\.\.\.\.\.\.\.\. ' || true)
[ -z "$differences" ] || stop "rsync still sees differences: $(head -n 3 <<<"$differences")"
echo "no difference in $n entries"
run byokfs umount "$M"
[ -z "$(ls -A "$M")" ] || stop 'the mount point is not empty'

step '9. The same, unmounting on revocation: a later backup finds no mount instead of a locked one'
run byokfs mount "$W/store" "$M" --on-revoke unmount
run cat "$M/backup/a-file"
t0=$(ms)
run byokfs keystore disable "$W/keystore" kek
for _ in $(seq 300); do mounted || break; sleep 0.05; done
mounted && stop 'still mounted'
echo "unmounted $(($(ms) - t0)) ms after the command was started"
sleep 0.5
echo "\$ byokfs mount $W/store $M"
byokfs mount "$W/store" "$M" && stop 'a mount under a disabled key was not refused' || echo "(exit code $?)"
run byokfs keystore enable "$W/keystore" kek
run byokfs mount "$W/store" "$M"
run cat "$M/backup/a-file"
run byokfs umount "$M"
run byokfs verify "$W/store"

step 'Your own directory, in three lines:'
cat <<TXT
  byokfs keystore init ~/keystore && byokfs keystore create ~/keystore kek
  byokfs init ~/store --kms local:\$HOME/keystore/kek
  mkdir -p ~/mnt && byokfs mount ~/store ~/mnt && rsync -aHAX ~/Documents/ ~/mnt/Documents/
TXT
