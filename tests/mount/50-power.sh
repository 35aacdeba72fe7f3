#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The power goes, at any moment and in the middle of any write: what fsync said is there, and nothing reads as what nobody wrote.
. "$(dirname "$0")/lib.sh"

# The rigs of tests/power, short; tests/README.md says how they are run for hours.
# rig TEXT PROGRAM [options]: it says what it saw, and its last line is the figure
rig() {
	local text=$1 out rc
	shift
	out=$(timeout 300 python3 "$tree/tests/power/$1.py" --byokfs "$BYOKFS" --work "$W/$1" "${@:2}" 2>&1)
	rc=$?
	rm -rf --one-file-system "$W/$1"
	if [ $rc -eq 0 ]; then pass "$text"; else fail "$text (exit $rc): $(head -c 1500 <<<"$out")"; fi
	grep ' rounds, ' <<<"$out" | while read -r line; do figure "$line"; done
}

rounds=2
[ -z "${BYOKFS_SHORT:-}" ] || rounds=1
rig 'six writers, new folders' cut --rounds $rounds
rig 'six writers, old folders' cut --rounds $((rounds + 1)) --old
rig 'six writers, the processes die' cut --rounds 1 --old --kill
rig 'six writers, the disk alone is lost' cut --rounds 1 --old --same-boot
rig 'names, the disk alone is lost' names
rig 'six writers on xfs, which loses any part of the last writes' cut --rounds $rounds --old --fs xfs --layer
rig 'six writers on btrfs, which does' cut --rounds 1 --old --fs btrfs
rig 'cut at an n-th call' failnth --first $((RANDOM % 23 + 1)) --stride 23
rig 'killed at an n-th call' failnth --first $((RANDOM % 37 + 1)) --stride 37 --death
rig 'torn writes' torn --first $((RANDOM % 16 + 1)) --stride 16 --masks 1
rig 'torn at a flush' torn --at flush --first $((RANDOM % 15 + 1)) --stride 15 --masks 1
rig 'torn in a mount' torn --at mount --first $((RANDOM % 9 + 1)) --stride 9 --masks 1
rig 'sqlite, WAL' databases --what sqlite-wal --rounds $rounds
rig 'sqlite, rollback journal' databases --what sqlite-rollback --rounds 1
rig 'copies of a live store' copies --rounds 3
