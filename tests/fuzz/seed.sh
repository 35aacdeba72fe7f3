#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Puts seeds into tests/fuzz/corpus/: pieces of real stores and keystores, as root. BYOKFS=PROGRAM tests/fuzz/seed.sh
#
# Those of auditlog, aws, awsini, awssts, box, built_on, kmsoptions, options, owner, pkcs11, recover, reply, replay, undo and vault are written by hand: they are not files, but what the target makes of them.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
: "${BYOKFS:?path of the program}"
W=$(mktemp -d)
export BYOKFS_STATE_DIR=$W/state
trap 'umount -l "$W/mnt" 2>/dev/null || true; rm -rf "$W"' EXIT
c=$here/corpus
mkdir -p "$W/mnt" "$c"/{header,final,keyring,pin,session,inflight,special,name,sidecar,dirid,xattr,keystore,ref,control,pem}
"$BYOKFS" keystore init "$W/ks" --no-passphrase
"$BYOKFS" keystore create "$W/ks" kek
"$BYOKFS" keystore create "$W/ks" rsa --type rsa-2048 2>/dev/null || true
for wrap in store file; do
	"$BYOKFS" init "$W/$wrap" --kms "local:$W/ks/kek" --wrap $wrap --block-size 4096
	"$BYOKFS" mount "$W/$wrap" "$W/mnt"
	head -c 100 /dev/zero >"$W/mnt/f"
	ln -s target "$W/mnt/l"
	mknod "$W/mnt/n" c 5 7
	setfattr -n user.a -v value "$W/mnt/f"
	touch "$W/mnt/$(printf 'n%.0s' $(seq 240))"
	# while it is mounted a slot of the last write is there, marked empty: its valid mark is set in the seed
	head -c 8192 "$W/$wrap/byokfs/inflight" >"$c/inflight/$wrap"
	"$BYOKFS" umount "$W/mnt"
	sleep 1
	h=512
	[ $wrap = store ] || h=4096
	cp "$W/$wrap/byokfs/keyring" "$c/keyring/$wrap"
	cp "$W/$wrap/byokfs/session" "$c/session/$wrap"
	cp "$W/$wrap/data/.byokfs.dir" "$c/dirid/$wrap"
	cp "$W/$wrap"/data/.byokfs.name.* "$c/sidecar/$wrap"
	f=$(find "$W/$wrap/data" -type f -size -$((h + 200))c -size +$((h + 100))c ! -name '.byokfs.*' | head -n 1)
	[ -n "$f" ] || f=$(find "$W/$wrap/data" -type f ! -name '.byokfs.*' | head -n 1)
	head -c $h "$f" >"$c/header/$wrap"
	tail -c +$((h + 1)) "$f" | head -c 5000 >"$c/final/$wrap"
	basename "$f" | tr -d '\n' >"$c/name/$wrap"
	for s in $(find "$W/$wrap/data" -type f -size +$((h + 4096 + 60))c ! -name '.byokfs.*'); do
		head -c 400 "$s" >"$c/special/$wrap-$(($(stat -c %s "$s") - h - 4156))"
	done
	getfattr --absolute-names -d "$f" 2>/dev/null | sed -n 's/^\(user\.[^=]*\)=.*/\1/p' | head -n 1 | tr -d '\n' >"$c/xattr/$wrap"
done
for p in "$W"/state/*; do cp "$p" "$c/pin/$(basename "$p" | cut -d- -f1)"; done
for k in "$W"/ks/*; do [ ! -f "$k" ] || cp "$k" "$c/keystore/$(basename "$k")"; done
printf 'local:/srv/keys/kek' >"$c/ref/plain"
printf 'local:/srv//keys/./x/../kek' >"$c/ref/dots"
printf 'aws-kms:arn:aws:kms:eu-central-1:1:key/a' >"$c/ref/other"
for r in status lock unlock unmount; do printf 'byokfs 1 %s\n' $r >"$c/control/$r"; done
printf 'ok\nstate locked\nreason key kek is disabled\n' >"$c/control/answer"
printf 'error 13 locked\n' >"$c/control/error"
openssl genrsa -out "$c/pem/rsa-2048" 2048
openssl genrsa -out "$c/pem/rsa-3072" 3072
openssl genrsa -out "$c/pem/short" 1024
openssl rsa -traditional -in "$c/pem/rsa-2048" -out "$c/pem/pkcs1"
openssl rsa -traditional -in "$c/pem/rsa-2048" -outform der -out "$c/pem/der"
openssl rsa -in "$c/pem/rsa-2048" -pubout -out "$c/pem/public"
openssl pkcs8 -topk8 -in "$c/pem/rsa-2048" -passout pass:x -out "$c/pem/encrypted"
openssl ecparam -genkey -name prime256v1 -out "$c/pem/ec"
find "$c" -type f -size 0 -delete
