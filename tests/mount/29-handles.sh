#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# File handles: of an object that the kernel knows they open it; what has gone, is locked or was of another mount they do not.
. "$(dirname "$0")/lib.sh"

handles() { python3 "$here/handles.py" "$@"; }
new_store store
mount_store store || exit
for i in {1..200}; do echo "$i" >"$W/mnt/f$i"; done
mkdir "$W/mnt/d" && echo below >"$W/mnt/d/f"
# open, because whoever drops caches takes from the kernel what is not
exec 3<"$W/mnt/f1" 4<"$W/mnt" 5<"$W/mnt/d/f"
h=$(handles make "$W/mnt/f1")
if [ "$h" = EOPNOTSUPP ]; then
	skip 'this kernel makes no handles of FUSE without export'
	exit
fi
same 'a file that is open' 1 "$(handles open "$W/mnt" "$h")"
same 'below a folder' below "$(handles open "$W/mnt" "$(handles make "$W/mnt/d/f")")"
expect lock byokfs lock "$W/mnt"
same 'locked' EACCES "$(handles open 4 "$h")"
expect unlock byokfs unlock "$W/mnt"
same 'unlocked' 1 "$(handles open "$W/mnt" "$h")"
rm "$W/mnt/f1"
same 'without a name, but open' 1 "$(handles open "$W/mnt" "$h")"
exec 3<&- 4<&- 5<&-
rm "$W/mnt/d/f"
for i in {201..400}; do echo "$i" >"$W/mnt/f$i"; done
same 'gone: another file has its number by now' ESTALE "$(handles open "$W/mnt" "$h")"
# the numbers begin anew with a mount: each handle would fit what has its number now
mapfile -t old < <(handles make "$W/mnt"/f*)
umount_store
mount_store store || exit
for i in {400..2}; do [ -f "$W/mnt/f$i" ] || fail "f$i is not there"; done
expect 'all are known' cat "$W/mnt"/f*
same 'of an earlier mount' 0 "$(handles open "$W/mnt" "${old[@]}" | grep -vc ESTALE)"
exec 3<"$W/mnt/f2"
same 'of this one' 2 "$(handles open "$W/mnt" "$(handles make "$W/mnt/f2")")"
exec 3<&-
umount_store
