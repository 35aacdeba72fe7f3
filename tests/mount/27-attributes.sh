#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Truncate without a handle where the KMS wraps each DEK; a read-only mount made writable behind our back.
. "$(dirname "$0")/lib.sh"
new_keystore
new_store s --wrap file
mount_store s || exit 1
head -c 100000 /dev/zero | tr '\0' x >"$W/mnt/f"
expect truncate truncate -s 50000 "$W/mnt/f"
same "its size" 50000 "$(stat -c %s "$W/mnt/f")"
( for i in 1 2 3 4 5 6; do ( for j in $(seq 30); do truncate -s $((i*100+j)) "$W/mnt/g$i"; done ) & done; wait )
same "six at once" 330 "$(stat -c %s "$W/mnt/g3")"
mkdir -p "$W/mnt/a/b/c"; echo 1 >"$W/mnt/a/b/c/f"; sync "$W/mnt/a/b/c/f"
same "its content" 50000 "$(tr -d '\n' <"$W/mnt/f" | tr -cd x | wc -c)"
umount_store
expect verify byokfs verify "$W/s"
# remounted read-write behind our back
mount_store s -o ro || exit 1
mount -i -o remount,rw "$W/mnt" && { refused 'write to ro' 'read-only' '' touch "$W/mnt/new"; refused 'write to ro' 'read-only' '' bash -c "echo 1 >>'$W/mnt/f'"; refused "truncate on ro" 'read-only' '' truncate -s 1 "$W/mnt/f"; refused "rm on ro" 'read-only' '' rm -f "$W/mnt/f"; }
same "nothing has changed" 50000 "$(stat -c %s "$W/mnt/f")"
umount_store
