#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The mount point is a folder, not a path: whoever owns a folder above it changes nothing but his own.
. "$(dirname "$0")/lib.sh"

U=65534
chmod 755 "$W"
install -m 755 "$BYOKFS" "$W/byokfs"
BYOKFS=$W/byokfs
mkdir -p "$W/u/p/mnt" "$W/victim/mnt"
chown -R $U "$W/u"
new_store s
user() { setpriv --reuid $U --clear-groups "$@"; }
away() { mv "$W/ks" "$W/ks.away"; }
back() { mv "$W/ks.away" "$W/ks"; }
# begin MOUNTPOINT [OPTIONS]: a mount that waits for its KMS
begin() {
	rm -f "$W/log"
	"$BYOKFS" mount "$W/s" "$@" --wait </dev/null >"$W/log" 2>&1 &
	waiter=$!
	awaited 'the mount waits for its KMS' $HANG grep -q 'waiting for the KMS' "$W/log"
}
# no_mount TEXT PATTERN
no_mount() {
	wait $waiter && fail "$1: it mounted"
	grep -qE "$2" "$W/log" && pass "$1" || fail "$1: $(cat "$W/log")"
	grep -q 'fuse.byokfs' /proc/self/mounts && fail "$1: something is mounted: $(grep fuse.byokfs /proc/self/mounts)"
	await 20 no_daemons || fail "$1: the daemon is still there"
}

# --- while the KMS is waited for, a folder above becomes a link to elsewhere
away
begin "$W/u/p/mnt"
user mv "$W/u/p" "$W/u/q" && user ln -s "$W/victim" "$W/u/p" || fail 'the user cannot set his trap'
back
no_mount 'a folder above that became a link' 'moved since it was checked'
rm "$W/u/p" && mv "$W/u/q" "$W/u/p"

# --- another folder takes its place, and something was put into it
away
begin "$W/u/p/mnt"
user mv "$W/u/p/mnt" "$W/u/p/old" && user mkdir "$W/u/p/mnt"
back
no_mount 'another folder of the same name' 'moved since it was checked'
away
begin "$W/u/p/mnt"
user touch "$W/u/p/mnt/data"
back
no_mount 'what is no longer empty' 'not empty'
rm "$W/u/p/mnt/data"

# --- a mount whose path means something else by now: nothing but itself is unmounted
"$BYOKFS" mount "$W/s" "$W/u/p/mnt" </dev/null >>"$W/cli.log" 2>&1 || fail "mount: $(tail -n 3 "$W/cli.log")"
mount -t tmpfs none "$W/victim/mnt"
supervisor=$(byokfs status "$W/u/p/mnt" --json | sed -nE 's/.*"pid": *([0-9]+).*/\1/p')
user mv "$W/u/p" "$W/u/q" && user ln -s "$W/victim" "$W/u/p"
kill -TERM "$supervisor"
awaited 'SIGTERM ends the mount that was moved' 20 no_daemons
grep -q " $W/victim/mnt tmpfs" /proc/self/mounts && pass 'and not what its path leads to' || fail 'root unmounted what the path leads to'
grep -q fuse.byokfs /proc/self/mounts && fail 'the mount is left'
rm "$W/u/p" && mv "$W/u/q" "$W/u/p"

# --- killed, and its path leads elsewhere: what ends the connection by force does it to nothing else (as root without fusectl)
"$BYOKFS" mount "$W/s" "$W/u/p/mnt" </dev/null >>"$W/cli.log" 2>&1 || fail "mount: $(tail -n 3 "$W/cli.log")"
echo secret >"$W/u/p/mnt/f"
exec 7<"$W/u/p/mnt/f"
worker=$(byokfs status "$W/u/p/mnt" --json | sed -nE 's/.*"worker_pid": *([0-9]+).*/\1/p')
user mv "$W/u/p" "$W/u/q" && user ln -s "$W/victim" "$W/u/p"
kill -9 "$worker"
awaited 'the supervisor takes a moved mount over' 30 no_daemons
timeout 10 cat <&7 >"$W/out" 2>&1 && fail 'a killed mount is read'
exec 7<&-
grep -q " $W/victim/mnt tmpfs" /proc/self/mounts && pass 'the other mount is left alone' || fail 'the other mount is gone'
rm "$W/u/p" && mv "$W/u/q" "$W/u/p"
umount "$W/victim/mnt"

# --- what a dead byokfs left stays until the new one comes: the folder is never bare while a KMS is asked
grep -q " $W/u/p/mnt fuse.byokfs" /proc/self/mounts && pass 'the dead mount is there' || fail 'no dead mount'
away
refused 'the KMS is away' 'no keystore' 8 "$BYOKFS" mount "$W/s" "$W/u/p/mnt"
grep -q " $W/u/p/mnt fuse.byokfs" /proc/self/mounts && pass 'and the dead mount still keeps the place' || fail 'the folder is bare'
(echo plain >"$W/u/p/mnt/file") 2>/dev/null && fail 'a backup went into the bare folder in clear'
back
chown 0 "$W/u" "$W/u/p"
expect 'a new mount takes its place' "$BYOKFS" mount "$W/s" "$W/u/p/mnt" --protect-mountpoint
same 'one mount' 1 "$(grep -c " $W/u/p/mnt fuse.byokfs" /proc/self/mounts)"
same 'with the data' secret "$(cat "$W/u/p/mnt/f")"
expect 'umount' "$BYOKFS" umount "$W/u/p/mnt"
same 'and the folder below is protected' 0 "$(stat -c %a "$W/u/p/mnt")"
chattr -i "$W/u/p/mnt" 2>/dev/null
chmod 755 "$W/u/p/mnt"

# --- a plain user, through fusermount3
if command -v fusermount3 >/dev/null; then
	fuse_for_users
	mkdir -m 700 "$W/home" && mkdir -p "$W/home/p/mnt" && chown -R $U "$W/home" "$W/ks"
	run_user() { user env -i PATH="$PATH" LC_ALL=C HOME="$W/home" XDG_STATE_HOME="$W/home/state" XDG_RUNTIME_DIR="$W/home/run" "$@"; }
	user mkdir -m 700 "$W/home/run" "$W/home/state"
	expect 'init' run_user "$BYOKFS" init "$W/home/s" --kms "local:$W/ks/kek"
	expect 'mount' run_user "$BYOKFS" mount "$W/home/s" "$W/home/p/mnt"
	expect 'write' user touch "$W/home/p/mnt/file"
	expect 'umount' run_user "$BYOKFS" umount "$W/home/p/mnt"
	away
	run_user "$BYOKFS" mount "$W/home/s" "$W/home/p/mnt" --wait </dev/null >"$W/log" 2>&1 &
	waiter=$!
	awaited "a user's mount waits for its KMS" $HANG grep -qE 'waiting for the KMS' "$W/log"
	mkdir -p "$W/home/other/mnt" && chown -R $U "$W/home/other"
	user mv "$W/home/p" "$W/home/q" && user ln -s other "$W/home/p"
	back
	no_mount "a user's folder above became a link" 'moved since it was checked'
else
	skip 'no fusermount3'
fi
