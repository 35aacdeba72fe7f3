#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A key that is not found any more is a refusal, in a fresh mount too; with --policy any only silence fails over.
. "$(dirname "$0")/lib.sh"

new_keystore "$W/a"
new_keystore "$W/b"
"$BYOKFS" init "$W/s" --kms "local:$W/a/kek" --kms "local:$W/b/kek" --policy any >>"$W/cli.log" 2>&1 || fail "init: $(tail -n 1 "$W/cli.log")"
mount_store s
echo kept >"$W/mnt/file"
umount_store

mv "$W/b/kek.key" "$W/kek.key"
refused 'one key of two is gone: a fresh mount' 'kek.*(is gone|deleted)' 3 "$BYOKFS" mount "$W/s" "$W/mnt"
refused 'and verify' 'kek.*(is gone|deleted)' 3 "$BYOKFS" verify "$W/s"
mv "$W/kek.key" "$W/b/kek.key"
mount_store s --lease 4 --poll 1
mv "$W/b/kek.key" "$W/kek.key"
awaited 'one key of two is gone: a mount that serves locks' $HANG in_state locked
mv "$W/kek.key" "$W/b/kek.key"
awaited 'and comes back with it' $HANG in_state active
same 'with its contents' "$(cat "$W/mnt/file")" kept

# silence of one: the others do
mv "$W/b" "$W/away"
sleep 6 # longer than the lease: without fail-over it would be over
same 'a keystore that is away is silence' "$(cat "$W/mnt/file")" kept
same 'and the state is' "$(state_of)" active
mv "$W/away" "$W/b"
umount_store

# a wrong reference is no outage: another keystore in its place
new_keystore "$W/c"
mv "$W/b" "$W/away" && cp -a "$W/c" "$W/b"
refused 'another keystore in its place' 'kek' '' "$BYOKFS" mount "$W/s" "$W/mnt"
rm -r "$W/b" && mv "$W/away" "$W/b"
mount_store s
umount_store

# the version that wrapped it is gone: the key made anew under its name
rm "$W/b/kek.key"
expect 'a new key under the old name' "$BYOKFS" keystore create "$W/b" kek
refused 'it is not the key that wrapped' 'kek' '' "$BYOKFS" mount "$W/s" "$W/mnt"
