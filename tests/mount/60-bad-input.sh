#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Bad input and broken surroundings: a clear message, the documented exit code, and nothing lost.
. "$(dirname "$0")/lib.sh"

B=$BYOKFS
new_store store
mount_store store || exit
echo precious >"$W/mnt/f"
umount_store
tar -C "$W/store" -cf "$W/pristine.tar" .
mkdir -p "$W/mnt"
# put_back: the store as it was
put_back() { find "$W/store" -mindepth 1 -delete; tar -C "$W/store" -xpf "$W/pristine.tar"; }
# intact TEXT: the store still mounts and has its file
intact() {
	mount_store store || return
	same "$1: content" precious "$(cat "$W/mnt/f" 2>&1)"
	umount_store
}
refuse_mount() { refused "$1" "$2" "${3:-}" "$B" mount "$W/store" "$W/mnt"; }

# the command line
refused 'no command' 'usage|command' '' "$B"
refused 'unknown command' 'mount' '' "$B" mout "$W/store" "$W/mnt"
refused 'unknown option, near miss' 'foreground' '' "$B" mount --foregroud "$W/store" "$W/mnt"
refused 'unknown -o option' 'nosuch' '' "$B" mount "$W/store" "$W/mnt" -o nosuch
refused 'missing argument' 'mountpoint|usage' '' "$B" mount "$W/store"
refused 'bad --on-revoke' 'lock|unmount' '' "$B" mount "$W/store" "$W/mnt" --on-revoke sometimes
refused 'bad --wrap' 'store|file' '' "$B" init "$W/x" --kms "local:$W/ks/kek" --wrap both
refused 'bad block size' 'block' '' "$B" init "$W/x" --kms "local:$W/ks/kek" --block-size 1000
refused 'unsupported key reference' 'local' '' "$B" init "$W/x" --kms nokms:whatever
refused 'near miss of a scheme' 'local' '' "$B" init "$W/x" --kms "locl:$W/ks/kek"
refused 'key that is not there' 'nokey' '' "$B" init "$W/x" --kms "local:$W/ks/nokey"
refused 'keystore that is not there' 'nokeystore' '' "$B" init "$W/x" --kms "local:$W/nokeystore/kek"
refused 'reference with ..' '' '' "$B" init "$W/x" --kms "local:$W/ks/../../etc/kek"
[ -e "$W/x/byokfs" ] && fail 'a refused init left a store' || pass 'a refused init leaves nothing'
refused 'init over a store' 'empty|already|store' '' "$B" init "$W/store" --kms "local:$W/ks/kek"
mkdir "$W/full" && touch "$W/full/x"
refused 'init over a full folder' 'empty' '' "$B" init "$W/full" --kms "local:$W/ks/kek"
refused 'wrap file with two KEKs' 'one' '' "$B" init "$W/x" --wrap file --kms "local:$W/ks/kek" --kms "local:$W/ks/kek2"
mkdir "$W/p"
new_keystore "$W/p/ks"
expect 'init beside a keystore' "$B" init "$W/p2" --kms "local:$W/p/ks/kek"
mv "$W"/p2/* "$W/p/"
refused 'keystore inside the store' 'inside|outside' '' "$B" mount "$W/p" "$W/mnt"
is_mounted "$W/mnt" && umount_store
refused 'keystore inside the store to be made' 'inside|outside|not a keystore|no keystore|keystore' '' "$B" init "$W/y" --kms "local:$W/y/ks/kek"
refused 'not a store' 'store' '' "$B" mount "$W/full" "$W/mnt"
refused 'store is not there' 'no such|does not exist|not found' '' "$B" mount "$W/nowhere" "$W/mnt"
refused 'mount point is not there' 'no such|does not exist|not found' '' "$B" mount "$W/store" "$W/nomnt"
refused 'mount point is a file' 'directory|folder' '' "$B" mount "$W/store" "$W/full/x"
refused 'mount point not empty' 'empty' '' "$B" mount "$W/store" "$W/full"
refused 'umount of what is not mounted' 'not mounted|no byokfs is mounted' '' "$B" umount "$W/mnt"
refused 'lock of what is not mounted' 'not mounted|no byokfs is mounted' '' "$B" lock "$W/mnt"
refused 'status of nothing' '' '' "$B" status "$W/full"
echo 'some other file' >"$W/other"
refused 'inspect of another file' 'not a file of a store' '' "$B" inspect "$W/other"
for c in '' keystore init mount umount status lock unlock verify inspect; do
	"$B" $c --help >/dev/null 2>&1 && pass "help $c" || fail "byokfs $c --help: exit $?"
	same "byokfs help $c" "$("$B" $c --help)" "$("$B" help $c 2>&1)"
done
expect '--version' "$B" --version

# the key
key disable
refuse_mount 'key disabled before mount' 'disabled'
REVOKED=$(timeout $HANG "$B" mount "$W/store" "$W/mnt" </dev/null >/dev/null 2>&1; echo $?)
man=$(cat "$tree"/tools/*.[1-8] "$tree"/tools/man/* 2>/dev/null)
grep -qE "(^|[^0-9])$REVOKED([^0-9]|$)" <<<"$(grep -iE -A3 -B3 'refus|revok' <<<"$man")" && pass "exit code $REVOKED of a refusal is in the manual" || fail "exit code $REVOKED of a refusal by the KMS is not in the manual"
figure "exit code of a refusal by the KMS: $REVOKED"
key enable
expect 'keystore delete' "$B" keystore delete "$W/ks" kek
refuse_mount 'key soft-deleted' 'deleted' "$REVOKED"
expect 'keystore recover' "$B" keystore recover "$W/ks" kek
"$B" keystore enable "$W/ks" kek >/dev/null 2>&1
intact 'after recover'
mv "$W/ks" "$W/ks.away"
refuse_mount 'keystore gone' 'keystore|no such'
mv "$W/ks.away" "$W/ks"
k=$(ls "$W/ks" | grep '^kek' | head -n 1)
mv "$W/ks/$k" "$W/kek.away"
refuse_mount 'key file gone' 'kek'
head -c 40 "$W/kek.away" >"$W/ks/$k" && chmod 600 "$W/ks/$k"
refuse_mount 'key file cut' 'kek'
rm -f "$W/ks/$k"
mv "$W/kek.away" "$W/ks/$k"
intact 'after the key came back'

# the passphrase
printf 'right\n' >"$W/right"
printf 'wrong\n' >"$W/wrong"
chmod 600 "$W/right" "$W/wrong"
expect 'keystore init with a passphrase' "$B" keystore init "$W/pks" --passphrase-file "$W/right"
expect 'keystore create' "$B" keystore create "$W/pks" kek --passphrase-file "$W/right"
expect 'init' "$B" init "$W/pstore" --kms "local:$W/pks/kek" --passphrase-file "$W/right"
refused 'wrong passphrase' 'passphrase' '' "$B" mount "$W/pstore" "$W/mnt" --passphrase-file "$W/wrong"
refused 'no passphrase' 'passphrase' '' setsid "$B" mount "$W/pstore" "$W/mnt"
refused 'passphrase file is not there' 'passphrase|no such' '' "$B" mount "$W/pstore" "$W/mnt" --passphrase-file "$W/nofile"
refused 'wrong passphrase for keystore' 'passphrase' '' "$B" keystore disable "$W/pks" kek --passphrase-file "$W/wrong"
expect 'right passphrase' "$B" mount "$W/pstore" "$W/mnt" --passphrase-file "$W/right"
umount_store

# the keyring
rings=$(cd "$W/store/byokfs" && ls | grep keyring)
figure "keyring copies: $(wc -w <<<"$rings")"
for r in $rings; do
	rm "$W/store/byokfs/$r"
	intact "without $r"
	[ -e "$W/store/byokfs/$r" ] && pass "$r was repaired" || fail "$r was not repaired by a good mount"
	put_back
	printf 'garbage' | dd of="$W/store/byokfs/$r" bs=1 seek=30 conv=notrunc status=none
	intact "with $r damaged"
	put_back
done
for r in $rings; do rm "$W/store/byokfs/$r"; done
refuse_mount 'both keyrings gone' 'keyring'
refused 'status does not repair' '' '' "$B" status "$W/store"
[ -z "$(cd "$W/store/byokfs" && ls | grep keyring)" ] && pass 'a refused mount repairs nothing' || fail 'a keyring appeared'
put_back
for r in $rings; do printf 'garbage-garbage-garbage' | dd of="$W/store/byokfs/$r" bs=1 seek=10 conv=notrunc status=none; done
refuse_mount 'both keyrings damaged' 'keyring'
put_back
# format and features: magic (8), major (2), minimum reader (2), feature words; found by the inspect tool or FORMAT.md
offset() { grep -oE "^\| *[0-9]+ *\|[^|]*\| *\`?$1" "$tree/crypto/FORMAT.md" | head -n 1 | grep -oE '[0-9]+' | head -n 1; }
if off=$(offset 'incompatible features') && [ -n "$off" ]; then
	for r in $rings; do printf '\x80' | dd of="$W/store/byokfs/$r" bs=1 seek="$off" conv=notrunc status=none; done
	refuse_mount 'unknown incompatible feature' 'feature|newer'
	put_back
else
	fail 'FORMAT.md: the offset of the incompatible feature bits in the keyring is not found'
fi
if off=$(offset 'minimum reader') && [ -n "$off" ]; then
	for r in $rings; do printf '\x00\x63\x00\x63' | dd of="$W/store/byokfs/$r" bs=1 seek="$((off - 2))" conv=notrunc status=none; done
	refuse_mount 'newer format' 'newer|format|version'
	put_back
else
	fail 'FORMAT.md: the offset of the minimum reader in the keyring is not found'
fi
intact 'put back'
rm -rf "$W/store/data"
refuse_mount 'data folder gone' 'data'
put_back

# already mounted
mount_store store || exit
mkdir "$W/mnt2"
refused 'already mounted' 'mounted|in use' '' "$B" mount "$W/store" "$W/mnt2"
refused 'same mount point' '' '' "$B" mount "$W/pstore" "$W/mnt" --passphrase-file "$W/right"
refused 'verify of a mounted store' 'mounted|in use' '' "$B" verify "$W/store"
cd "$W/mnt"
refused 'umount of a busy mount' 'busy|in use' '' "$B" umount "$W/mnt"
cd /
same 'still served' precious "$(cat "$W/mnt/f")"
umount_store

# read-only backing, and -o ro
mount --bind "$W/store" "$W/store" && mount -o remount,bind,ro "$W/store"
if timeout $HANG "$B" mount "$W/store" "$W/mnt" </dev/null >"$W/out" 2>&1; then
	same 'read-only backing: content' precious "$(cat "$W/mnt/f" 2>&1)"
	refused 'read-only backing: write' 'read-only' '' touch "$W/mnt/new"
	umount_store
else
	grep -qi 'read-only' "$W/out" && pass 'read-only backing is refused by name' || fail "read-only backing: $(tail -n 1 "$W/out")"
	timeout $HANG "$B" mount "$W/store" "$W/mnt" -o ro </dev/null >"$W/out" 2>&1 && {
		same 'read-only backing, -o ro: content' precious "$(cat "$W/mnt/f" 2>&1)"
		umount_store
	} || fail "read-only backing with -o ro: $(tail -n 1 "$W/out")"
fi
umount "$W/store"
mount_store store -o ro && {
	same '-o ro: content' precious "$(cat "$W/mnt/f" 2>&1)"
	refused '-o ro: write' 'read-only' '' touch "$W/mnt/new"
	umount_store
}
# backing made read-only while mounted: told, nothing torn
mount_store store -o noatime && umount_store

# a full disk
truncate -s 48M "$W/disk" && mkfs.ext4 -q "$W/disk" && mkdir "$W/small" && mount -o loop "$W/disk" "$W/small" || fail 'a small disk'
if mountpoint -q "$W/small"; then
	"$B" init "$W/small/store" --kms "local:$W/ks/kek" >>"$W/cli.log" 2>&1 || fail "init on the small disk: $(tail -n 1 "$W/cli.log")"
	if mount_store small/store; then
		timeout 300 python3 "$here/full.py" "$W/mnt" >"$W/out" 2>&1
		rc=$?
		grep figure "$W/out"
		[ $rc -eq 0 ] && pass 'a full disk' || fail "a full disk: $(grep -v figure "$W/out" | tail -n 5)"
		umount_store
		if expect 'mount of the full store' "$B" mount "$W/small/store" "$W/mnt"; then
			expect 'nothing torn after a remount' python3 "$here/full.py" --check "$W/mnt" "$W/mnt.record"
			expect 'space can be freed' rm -rf "$W/mnt/fill"
			expect 'and used again' bash -c 'head -c 1000000 /dev/zero >"$1" && sync "$1"' - "$W/mnt/again"
			umount_store
		fi
		expect 'verify of the full store' "$B" verify "$W/small/store"
	fi
	umount "$W/small" 2>/dev/null
fi

# EIO from the disk
# traced: strace has each thread of the worker
traced() { ! grep -h '^TracerPid:[[:space:]]*0$' "/proc/$(worker_of)/task"/*/status; }
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	put_back
	for call in pwritev,pwrite64,pwritev2 fsync,fdatasync,sync_file_range; do
		: >"$W/log"
		mount_logged store "$W/log" || continue
		head -c 200000 /dev/urandom >"$W/new"
		cp "$W/mnt/f" "$W/f.before"
		timeout 300 strace -f -qq -p "$(worker_of)" -o "$W/trace" -e trace="$call" -e inject="$call":error=EIO:when=1+ 2>>"$W/cli.log" &
		st=$!
		awaited 'strace traces all threads' $HANG traced
		out=$(python3 - "$W/mnt/g" "$W/new" <<'PY' 2>&1
import os, sys
data = open(sys.argv[2], 'rb').read()
try:
    fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)
    print('fsync said done')
except OSError as e:
    print('told:', os.strerror(e.errno))
PY
)
		kill $st 2>/dev/null
		wait $st 2>/dev/null
		grep -q INJECTED "$W/trace" || skip "EIO on $call: the daemon made no such call"
		grep -q INJECTED "$W/trace" && { grep -q 'told: Input/output error' <<<"$out" && pass "EIO on $call is told" || fail "EIO on $call: $out"; }
		# not zeros: the right data, or an error
		python3 - "$W/mnt/g" "$W/new" <<'PY' || fail "EIO on $call: wrong data is read afterwards"
import sys
good = open(sys.argv[2], 'rb').read()
try:
    got = open(sys.argv[1], 'rb').read()
except OSError:
    sys.exit(0)
sys.exit(0 if good.startswith(got) else 1)
PY
		same "the other file after EIO on $call" precious "$(cat "$W/mnt/f" 2>&1)"
		umount_store
		wait $daemon 2>/dev/null
		intact "after EIO on $call"
		expect "verify after EIO on $call" "$B" verify "$W/store"
		put_back
	done
else
	skip 'EIO from the disk (strace cannot trace here)'
fi
