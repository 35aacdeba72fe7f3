#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Two copies of one store are not mounted for writing at once on one host, unless that is meant.
. "$(dirname "$0")/lib.sh"

new_store s
cp -a "$W/s" "$W/copy"
mkdir -p "$W/mnt2"
mount_store s
refused 'the copy beside it' 'another copy.*--allow-copy' 6 "$BYOKFS" mount "$W/copy" "$W/mnt2" --kms "local:$W/ks/kek"
"$BYOKFS" mount "$W/copy" "$W/mnt2" 2>&1 | grep -qF "$W/s" && pass 'the message names the other' || fail 'the other is not named'
expect 'for reading it may be' "$BYOKFS" mount "$W/copy" "$W/mnt2" -o ro
expect 'umount' "$BYOKFS" umount "$W/mnt2"
expect 'if it is meant' "$BYOKFS" mount "$W/copy" "$W/mnt2" --allow-copy
expect 'umount' "$BYOKFS" umount "$W/mnt2"
expect 'in -o as well' "$BYOKFS" mount "$W/copy" "$W/mnt2" -o allow_copy
expect 'umount' "$BYOKFS" umount "$W/mnt2"
expect 'verify of the copy needs no leave' "$BYOKFS" verify "$W/copy"
# another store is no copy
new_store other
expect 'another store' "$BYOKFS" mount "$W/other" "$W/mnt2"
expect 'umount' "$BYOKFS" umount "$W/mnt2"
# a daemon that was killed holds nothing
kill -9 "$(worker_of)" "$(pid_of)"
umount -l "$W/mnt"
await $HANG no_daemons
expect 'after a kill the copy' "$BYOKFS" mount "$W/copy" "$W/mnt2"
expect 'umount' "$BYOKFS" umount "$W/mnt2"
mount_store s
umount_store
