#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every part of a store altered in turn: the right data or an error, never wrong data, a crash or a hang.
. "$(dirname "$0")/lib.sh"

for how in "store 512" "file 4096"; do
	set -- $how
	new_store "$1" --wrap "$1" --block-size 4096
	mkdir -p "$W/mnt"
	: >"$W/log"
	stride=2
	[ "$1" = store ] || stride=29
	[ -z "${BYOKFS_SHORT:-}" ] || stride=97
	timeout 1500 python3 "$here/tamper.py" "$W/$1" "$W/mnt" "$BYOKFS" "$W/log" --header "$2" --stride $stride ${LONG:+--long} >"$W/out" 2>&1
	rc=$?
	cat "$W/out"
	[ $rc -eq 0 ] && pass "tampering ($1)" || fail "tampering ($1), exit $rc: $(grep -c FAIL "$W/out") wrong answers"
	# an altered file is named in the log
	grep -qE 'data/|authentic|altered|damaged' "$W/log" && pass 'the log tells' || fail "the log does not name what was altered: $(tail -n 2 "$W/log")"
done

# keyrings put in place of others
new_store a
new_keystore "$W/evil"
cp -a "$W/a" "$W/a.before"
byokfs init "$W/b" --kms "local:$W/evil/kek" >>"$W/cli.log" 2>&1 || fail 'init of the second store'
# b's keyring in a: its references point to a keystore of the attacker
cp "$W"/b/byokfs/keyring* "$W/a/byokfs/"
touch -d '2001-01-01' -a "$W"/evil/* 2>/dev/null
if command -v strace >/dev/null; then
	mkdir -p "$W/mnt"
	timeout 300 strace -f -e trace=openat,open,connect -o "$W/trace" "$BYOKFS" mount "$W/a" "$W/mnt" </dev/null >"$W/out" 2>&1
	rc=$?
	[ $rc -ne 0 ] && [ $rc -lt 124 ] && pass 'keyring of another store refused' || fail "keyring of another store: exit $rc"
	if grep -q "$W/evil" "$W/trace"; then fail "the keystore that the foreign keyring names was touched: $(grep -m 1 "$W/evil" "$W/trace")"; else pass 'its reference was not contacted'; fi
	same 'no packet' 0 "$(grep -c 'connect(.*AF_INET' "$W/trace")"
else
	refused 'keyring of another store' 'pin|another store|reference' '' "$BYOKFS" mount "$W/a" "$W/mnt"
fi
cp "$W"/a.before/byokfs/keyring* "$W/a/byokfs/"
mount_store a && umount_store
# an older keyring put back: no command changes a keyring yet, so tests/unit/test_store.c (older_keyring) does it
