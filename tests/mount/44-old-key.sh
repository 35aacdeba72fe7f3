#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# An old key file put back undoes neither a disable nor a purge: not on a running mount, not at the next one, not for commands.
. "$(dirname "$0")/lib.sh"

kf=$W/ks/kek.key
new_store s
cp -p "$kf" "$W/enabled"

# on a running mount
mount_store s
echo kept >"$W/mnt/file"
key disable
awaited 'disabled: locked' $HANG in_state locked
cp -p "$W/enabled" "$W/ks/.new" && mv "$W/ks/.new" "$kf"
sleep 7 # longer than a poll
same 'an old copy does not unlock it' "$(state_of)" locked
byokfs status "$W/mnt" --json | grep -q 'older copy' && pass 'the reason says so' || fail "reason: $(byokfs status "$W/mnt" --json | grep -o '"reason[^,]*')"
umount_store

# at the next
refused 'nor does the next mount take it' 'older copy' 3 "$BYOKFS" mount "$W/s" "$W/mnt"
refused 'nor an act' 'older copy.*accept' 9 "$BYOKFS" keystore rotate "$W/ks" kek
refused 'nor show' 'older copy.*accept' 9 "$BYOKFS" keystore show "$W/ks" kek
"$BYOKFS" keystore list "$W/ks" 2>&1 | grep -q 'older copy' && pass 'list says so' || fail "list: $("$BYOKFS" keystore list "$W/ks" 2>&1)"

# the honest restore
expect 'accept' "$BYOKFS" keystore accept "$W/ks" kek
mount_store s
same 'and it serves' "$(cat "$W/mnt/file")" kept
umount_store
cp -p "$W/enabled" "$kf"
refused 'the copy that was accepted is not the old file' 'older copy' 3 "$BYOKFS" mount "$W/s" "$W/mnt"
expect 'accept again' "$BYOKFS" keystore accept "$W/ks" kek

# disabled while nothing was mounted, and a purge
cp -p "$kf" "$W/enabled"
key disable
cp -p "$W/enabled" "$kf"
refused 'a disable that no mount has seen' 'older copy' 3 "$BYOKFS" mount "$W/s" "$W/mnt"
expect 'accept' "$BYOKFS" keystore accept "$W/ks" kek
cp -p "$kf" "$W/enabled"
expect 'delete' "$BYOKFS" keystore delete "$W/ks" kek --retention-days 0
expect 'purge' "$BYOKFS" keystore purge "$W/ks" kek
cp -p "$W/enabled" "$kf"
refused 'a purge is not undone' 'older copy' 3 "$BYOKFS" mount "$W/s" "$W/mnt"
refused 'not by recover either' 'older copy' 9 "$BYOKFS" keystore recover "$W/ks" kek

# a memory that was damaged is no permission
f=$(ls /var/lib/byokfs/keystore-*-kek.seen)
expect 'accept' "$BYOKFS" keystore accept "$W/ks" kek
cp "$f" "$W/seen"
flip "$f" 15
refused 'a damaged memory' 'older copy' 3 "$BYOKFS" mount "$W/s" "$W/mnt"
cp "$W/seen" "$f"
mount_store s
umount_store

# acts are counted in the file
python3 - "$kf" <<'P' || fail 'the file has another format'
import sys
b = open(sys.argv[1], 'rb').read()
assert b[8:10] == b'\0\2' and int.from_bytes(b[136:144], 'big') >= 1
P
