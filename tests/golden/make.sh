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
trap 'rm -rf "$W"' EXIT
keystore=/var/lib/byokfs/golden-keystore
"$BYOKFS" keystore init $keystore --no-passphrase
"$BYOKFS" keystore create $keystore kek
mkdir "$W/mnt" "$W/golden"
for wrap in store file; do
	"$BYOKFS" init "$W/golden/$wrap" --kms local:$keystore/kek --wrap $wrap --block-size 4096
	"$BYOKFS" mount "$W/golden/$wrap" "$W/mnt"
	python3 "$here/contents.py" make "$W/mnt"
	"$BYOKFS" umount "$W/mnt"
	sleep 1
done
"$BYOKFS" init "$W/golden/plain-names" --kms local:$keystore/kek --plain-names --block-size 65536
"$BYOKFS" mount "$W/golden/plain-names" "$W/mnt"
python3 "$here/contents.py" make "$W/mnt"
"$BYOKFS" umount "$W/mnt"
sleep 1
cp -a $keystore "$W/golden/keystore"
tar -C "$W/golden" --sparse --xattrs --numeric-owner --sort=name -czf "$out" .
ls -l "$out"
