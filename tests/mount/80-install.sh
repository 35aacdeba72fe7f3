#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# `meson install` puts a complete program on the system: mount -t fuse.byokfs, fstab, umount, manual pages.
. "$(dirname "$0")/lib.sh"

build=$(cd "$(dirname "$BYOKFS")/.." && pwd)
expect 'meson install' env DESTDIR="$W/root" meson install -C "$build" --no-rebuild --quiet
bin=$(cd "$W/root" && find . -name byokfs -type f -perm -u+x | head -n 1)
helper=$(cd "$W/root" && find . -name mount.fuse.byokfs | head -n 1)
[ -n "$bin" ] && pass 'program' || fail 'no program was installed'
[ -n "$helper" ] && pass 'mount helper' || fail 'no mount.fuse.byokfs was installed'
pages=$(cd "$W/root" && find . -name '*.[18]*' -path '*man*' | wc -l)
[ "$pages" -gt 0 ] && pass 'manual pages' || fail 'no manual page was installed'
unit=$(find "$W/root" -name 'byokfs@.service')
grep -q "^ExecStart=${bin#.} mount" "${unit:-/dev/null}" && pass 'systemd unit' || fail "no unit of systemd that runs ${bin#.}"
figure "$(cd "$W/root" && find . -type f -o -type l | wc -l) files, $pages manual pages"

# lay it over the system in this mount namespace; mount(8) looks for helpers in /sbin
mkdir -p "$W/sbin" "$W/up" "$W/wk"
[ -n "$bin" ] || exit
cp "$W/root/$bin" "$W/sbin/byokfs"
BYOKFS=$W/sbin/byokfs
if mount -t overlay -o "lowerdir=$(readlink -f /sbin),upperdir=$W/up,workdir=$W/wk" none "$(readlink -f /sbin)" 2>/dev/null; then
	cp "$W/sbin/byokfs" "$(readlink -f /sbin)/byokfs"
	cp -P "$W/root/$helper" "$(readlink -f /sbin)/mount.fuse.byokfs" 2>/dev/null
	[ -e "$(readlink -f /sbin)/mount.fuse.byokfs" ] || cp "$W/sbin/byokfs" "$(readlink -f /sbin)/mount.fuse.byokfs"
	BYOKFS=$(readlink -f /sbin)/byokfs
	new_store store
	mkdir -p "$W/mnt"
	expect 'mount -t fuse.byokfs' timeout $HANG mount -t fuse.byokfs "$W/store" "$W/mnt"
	is_mounted "$W/mnt" && pass 'mounted' || fail 'mount -t fuse.byokfs mounted nothing'
	echo x >"$W/mnt/f"
	grep " $W/mnt " /proc/self/mounts | grep -q nosuid && grep " $W/mnt " /proc/self/mounts | grep -q nodev && pass 'nosuid,nodev' || fail "options: $(grep " $W/mnt " /proc/self/mounts)"
	expect 'umount(8)' timeout $HANG umount "$W/mnt"
	awaited 'the daemon ends' $HANG no_daemons
	cp -P "$W/root/${helper%.fuse.byokfs}.byokfs" "$(readlink -f /sbin)/"
	expect 'mount -t byokfs' timeout $HANG mount -t byokfs -o ro "$W/store" "$W/mnt"
	is_mounted "$W/mnt" && pass 'mounted' || fail 'mount -t byokfs mounted nothing'
	expect 'umount(8)' timeout $HANG umount "$W/mnt"
	awaited 'the daemon ends' $HANG no_daemons
	printf '%s %s fuse.byokfs noauto,ro 0 0\n' "$W/store" "$W/mnt" >"$W/fstab"
	expect 'fstab line' timeout $HANG mount --fstab "$W/fstab" "$W/mnt"
	same 'content' x "$(cat "$W/mnt/f" 2>&1)"
	refused 'ro is kept' 'read-only' '' touch "$W/mnt/g"
	expect 'umount(8) again' timeout $HANG umount "$W/mnt"
	umount -l "$(readlink -f /sbin)"
else
	skip 'no overlay mount over /sbin here'
	checks=$((checks + 1))
fi
