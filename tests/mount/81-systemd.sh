#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The systemd unit under a systemd of its own: two cgroups, one of them frozen, deaths, a key that is refused, the end.
. "$(dirname "$0")/lib.sh"

init=/lib/systemd/systemd
cg=$W/cg/byokfs-81.$$
end_systemd() {
	[ -z "${sd:-}" ] || kill -9 "$sd" 2>/dev/null
	wait 2>/dev/null
	await 20 sh -c "! grep -q . '$cg/cgroup.procs' 2>/dev/null"
	find "$cg" -depth -type d -exec rmdir {} + 2>/dev/null
	umount "$W/cg" 2>/dev/null
}
leave_out() {
	skip "$*"
	checks=$((checks + 1))
	end_systemd
	exit
}
for what in $init /usr/bin/busctl /usr/bin/dbus-daemon; do [ -x $what ] || leave_out "no $what here"; done
mkdir -p "$W/cg" "$W/t" "$W/sd"
mount -t cgroup2 none "$W/cg" 2>/dev/null && mkdir "$cg" || leave_out 'no cgroups here'
cp "$BYOKFS" "$W/sd/byokfs"
cp "$here/systemd.sh" "$W/sd/inside.sh"
unit=$(find "$(dirname "$BYOKFS")" -name 'byokfs@.service' | head -n 1)
sed -E 's#[^ (=-]*/byokfs (mount|status|umount)#/sd/byokfs \1#' "$unit" | sed -E 's#[^ (=-]*/byokfs (status)#/sd/byokfs \1#' >"$W/sd/byokfs@.service"

# an overlay of this system as its root, everything else of its own
(
	echo "$BASHPID" >"$cg/cgroup.procs"
	exec unshare --pid --mount --uts --ipc --cgroup --net --fork --kill-child --mount-proc --propagation private bash -ec '
	W=$1
	mount -t tmpfs none "$W/t"
	mkdir "$W/t/up" "$W/t/work" "$W/t/root"
	mount -t overlay none -o "lowerdir=/,upperdir=$W/t/up,workdir=$W/t/work" "$W/t/root"
	R=$W/t/root
	mount --bind "$R" "$R"
	mount -t proc proc "$R/proc"
	mount -t sysfs none "$R/sys" || mount --rbind /sys "$R/sys"
	mount -t cgroup2 none "$R/sys/fs/cgroup"
	mount -t tmpfs -o mode=755,dev none "$R/dev"
	for d in null zero full random urandom tty fuse; do cp -a /dev/$d "$R/dev/$d"; done
	ln -s /proc/self/fd "$R/dev/fd"
	mkdir "$R/dev/shm" "$R/dev/pts" "$R/sd"
	mount -t tmpfs -o mode=755 none "$R/run"
	mount -t tmpfs none "$R/tmp"
	mount --bind "$W/sd" "$R/sd"
	hostname byokfs-test
	cd "$R"
	pivot_root . mnt
	umount -l /mnt
	exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin '$init' --system --log-target=console --log-level=info systemd.unit=basic.target
	' bash "$W"
) >"$W/console" 2>&1 &
await 20 pgrep -P "$!" >/dev/null
sd=$(pgrep -P "$!" | head -n 1)
inside() { timeout 800 nsenter -t "$sd" -m -u -i -n -p -C -r -w "$@"; }
up() { inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; }
await 30 up || leave_out "systemd does not run here: $(tail -c 300 "$W/console")"

inside bash /sd/inside.sh >"$W/out" 2>&1
while read -r word text; do
	case $word in
	ok) pass "$text" ;;
	FAIL) fail "$text" ;;
	esac
done <"$W/out"
grep -q '^end' "$W/out" && pass 'to the end' || fail "it broke off: $(tail -c 800 "$W/out")"
end_systemd
