#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Makes the golden store of a released format, once: tests/golden/vN.tar.gz. Never run again for a format that is out.
#
#   BYOKFS=PROGRAM tests/golden/make.sh N      as root
#
# The keystore lies at the path that the keyring names; tests/mount/15-golden.sh puts it there in a namespace of its own.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
version=${1:?number of the format}
: "${BYOKFS:?path of the program}"
out=$here/v$version.tar.gz
[ ! -e "$out" ] || { echo "$out is there: a golden store is made once" >&2; exit 1; }

if [ -z "${GOLDEN_INSIDE:-}" ]; then
	exec env GOLDEN_INSIDE=1 unshare -m --propagation private bash "$0" "$@"
fi
mkdir -p /var/lib/byokfs /run/byokfs
mount -t tmpfs -o mode=700 none /var/lib/byokfs
mount -t tmpfs -o mode=700 none /run/byokfs
W=$(mktemp -d)
# a boot that no machine has ever again: what is bound to it counts for nobody
echo 6f3b2c1e-0000-4000-8000-000000000002 >"$W/boot_id"
mount --bind "$W/boot_id" /proc/sys/kernel/random/boot_id
ours() {
	for p in /proc/[0-9]*; do
		[ "$(readlink "$p/exe")" = "$(readlink -f "$BYOKFS")" ] && grep -qF "$W" "$p/cmdline" && echo "${p#/proc/}"
	done
	:
}
trap 'kill -9 $(ours 2>/dev/null) 2>/dev/null || :; umount -l "$W/mnt" "$W/disk" 2>/dev/null || :; rm -rf "$W"' EXIT
keystore=/var/lib/byokfs/golden-keystore
"$BYOKFS" keystore init $keystore --no-passphrase
"$BYOKFS" keystore create $keystore kek
mkdir "$W/mnt" "$W/golden"
# stores that were unmounted in good order: of each kind once, in format 1
clean() {
	local name=$1
	shift
	"$BYOKFS" init "$W/golden/$name" --kms local:$keystore/kek "$@"
	"$BYOKFS" mount "$W/golden/$name" "$W/mnt"
	python3 "$here/contents.py" make "$W/mnt" "$version"
	"$BYOKFS" umount "$W/mnt"
	sleep 1
}
# unclean IMAGE: a filesystem, for the journal and the lists are bound to inode numbers and to when they were made; its machine
# went down while the store was mounted, and half of what was written did not get to the disk
unclean() {
	truncate -s 400M "$1"
	mkfs.ext4 -q -F -m 0 -N 256 -O ^has_journal "$1"
	mkdir "$W/disk"
	mount -o loop "$1" "$W/disk"
	"$BYOKFS" init "$W/disk/store" --kms local:$keystore/kek --block-size 4096
	"$BYOKFS" mount "$W/disk/store" "$W/mnt"
	python3 "$here/unclean.py" make "$W/mnt" "$W/disk"
	python3 "$here/unclean.py" map "$W/mnt" >"$W/map"
	kill -9 $(ours 2>/dev/null)
	sleep 1
	umount -l "$W/mnt"
	python3 "$here/unclean.py" tear "$W/map" "$W/disk/store/data"
	python3 "$here/unclean.py" slots "$W/disk/store/byokfs/inflight"
	umount "$W/disk"
	fallocate -d "$1"
}
if [ "$version" = 1 ]; then
	for wrap in store file; do clean $wrap --wrap $wrap --block-size 4096; done
	clean plain-names --plain-names --block-size 65536
else
	clean store
	rm "$W/golden/store/byokfs/inflight" # large, and in a clean store nothing
	unclean "$W/golden/unclean.img"
fi
cp -a $keystore "$W/golden/keystore"
tar -C "$W/golden" --sparse --xattrs --numeric-owner --sort=name -czf "$out" .
ls -l "$out"
