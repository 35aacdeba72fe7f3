#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A host that does not know a store: a whole store that was made with nothing but the public half of an RSA KEK is refused, and
# so is every store whose id is not named; pins are carried from host to host.
. "$(dirname "$0")/lib.sh"

forge=$(dirname "$BYOKFS")/../tests/byokfs-forge
mkdir -p "$W/mnt" "$W/a" "$W/b"
other_host() { export BYOKFS_STATE_DIR=$W/host.$1; mkdir -p -m 700 "$BYOKFS_STATE_DIR"; }
id_in() { grep -oE '[0-9a-f]{32}' "$1" | head -n 1; }
digest() { find "$1" -type f -exec sha256sum {} + | sort | sha256sum; }
# unused TEXT STORE DIGEST: nothing is mounted, and the store is as it was
unused() {
	! is_mounted "$W/mnt" && [ "$(digest "$2")" = "$3" ] && pass "$1" || fail "$1"
}

byokfs keystore init "$W/ks" --no-passphrase >>"$W/cli.log" 2>&1
openssl genrsa -out "$W/rsa.pem" 2048 2>/dev/null
openssl rsa -in "$W/rsa.pem" -pubout -out "$W/public.pem" 2>/dev/null
expect 'an RSA key' "$BYOKFS" keystore import "$W/ks" rsa --file "$W/rsa.pem"
expect 'an AES key' "$BYOKFS" keystore create "$W/ks" aes
ref=local:$W/ks/rsa

other_host one
"$BYOKFS" init "$W/a/store" --kms "$ref" >"$W/init.log" 2>&1 || fail "init: $(cat "$W/init.log")"
id=$(id_in "$W/init.log")
[ -n "$id" ] && grep -q -- "--store-id ID" "$W/init.log" && pass 'init prints the id and how to use it' || fail "init: $(cat "$W/init.log")"
expect 'the host that made it needs nothing' "$BYOKFS" mount "$W/a/store" "$W/mnt"
echo kept >"$W/mnt/file"
umount_store
expect 'pin export' "$BYOKFS" pin export "$W/a/store" --file "$W/pin"
refused 'export overwrites nothing' 'exist' '' "$BYOKFS" pin export "$W/a/store" --file "$W/pin"
"$BYOKFS" pin show "$W/a/store" | grep -q "$id" && pass 'pin show has the id' || fail 'pin show has no id'
"$BYOKFS" pin show --json | python3 -c 'import json, sys; p, = json.load(sys.stdin); assert p["store_id"] == sys.argv[1] and p["kms"] == [sys.argv[2]]' "$id" "$ref" && pass 'pin show --json' || fail 'pin show --json'

# the attacker: the public key, the name of the KEK, a store of his own
(
	other_host attacker
	FORGE_PUBLIC=$W/public.pem "$forge" init "$W/b/store" --kms "$ref" >"$W/forged.log" 2>&1
) || fail "the forged store: $(cat "$W/forged.log")"
forged=$(id_in "$W/forged.log")
was=$(digest "$W/b/store")
[ -n "$forged" ] && [ "$forged" != "$id" ] || fail 'the forged store has no id of its own'

other_host two
refused 'a forged store at first contact' 'RSA.*--store-id' 9 "$BYOKFS" mount "$W/b/store" "$W/mnt" --kms "$ref"
refused 'a forged store, the id named' 'another store' 9 "$BYOKFS" mount "$W/b/store" "$W/mnt" --kms "$ref" --store-id "$id"
refused 'a forged store, named in -o' 'another store' 9 "$BYOKFS" mount "$W/b/store" "$W/mnt" -o "kms=$ref,store_id=$id"
refused 'verify makes no pin of it either' 'RSA.*--store-id' 9 "$BYOKFS" verify "$W/b/store" --kms "$ref"
refused 'nor audit verify' 'RSA.*--store-id' 9 "$BYOKFS" audit verify "$W/b/store" --kms "$ref"
refused 'a pin for another store' 'another store' 9 "$BYOKFS" pin import "$W/b/store" --file "$W/pin"
unused 'nothing of the forged store was acted on' "$W/b/store" "$was"
[ -z "$(ls "$BYOKFS_STATE_DIR" | grep '\.pin$')" ] && pass 'no pin was made' || fail "a pin: $(ls "$BYOKFS_STATE_DIR")"
expect 'the trap works: without the rule the host would take it' "$BYOKFS" mount "$W/b/store" "$W/mnt" --kms "$ref" --store-id "$forged"
umount_store

# the true one
other_host three
refused 'the true store too needs its id' 'RSA.*--store-id' 9 "$BYOKFS" mount "$W/a/store" "$W/mnt" --kms "$ref"
refused 'what is no id' 'hex digits' 2 "$BYOKFS" mount "$W/a/store" "$W/mnt" --kms "$ref" --store-id 12ab
expect 'the true store by its id' "$BYOKFS" mount "$W/a/store" "$W/mnt" --kms "$ref" --store-id "$id"
same 'and it is the true one' "$(cat "$W/mnt/file")" kept
umount_store
expect 'known from then on' "$BYOKFS" mount "$W/a/store" "$W/mnt"
umount_store
refused 'an id that is named counts on a host with a pin too' 'another store' 9 "$BYOKFS" mount "$W/a/store" "$W/mnt" --store-id "$forged"

# by a pin
other_host four
expect 'pin import' "$BYOKFS" pin import "$W/a/store" --file - <"$W/pin"
expect 'the pin is enough' "$BYOKFS" mount "$W/a/store" "$W/mnt"
umount_store
head -c 100 "$W/pin" >"$W/cut"
refused 'a pin that was cut' 'damaged' 5 "$BYOKFS" pin import "$W/a/store" --file "$W/cut"
python3 - "$W/pin" "$W/newer" <<'P'
import hashlib, sys
b = bytearray(open(sys.argv[1], 'rb').read()[:-32])
b[39] += 1
open(sys.argv[2], 'wb').write(bytes(b) + hashlib.sha256(b).digest())
P
refused 'a pin that contradicts itself' 'damaged' 5 "$BYOKFS" pin import "$W/a/store" --file "$W/newer"
head -c 400000 /dev/zero >"$W/long"
refused 'a pin that is too long' 'damaged' 5 "$BYOKFS" pin import "$W/a/store" --file "$W/long"
f=$(ls "$BYOKFS_STATE_DIR"/*.pin)
cp "$W/newer" "$f"
refused 'an older pin' 'older than this host' 9 "$BYOKFS" pin import "$W/a/store" --file "$W/pin"
cmp -s "$f" "$W/newer" && pass 'the newer one stays' || fail 'the newer pin is gone'
expect 'unless told so' "$BYOKFS" pin import "$W/a/store" --file "$W/pin" --accept-older-keyring
cmp -s "$f" "$W/pin" && pass 'and it is that one' || fail 'the pin is not what was imported'

# a symmetric KEK: nobody without the right to wrap can make a store, so it is told, not refused
other_host five
"$BYOKFS" init "$W/c" --kms "local:$W/ks/aes" >"$W/init.log" 2>&1
aes_id=$(id_in "$W/init.log")
other_host six
out=$("$BYOKFS" mount "$W/c" "$W/mnt" --kms "local:$W/ks/aes" 2>&1) || fail "mount: $out"
grep -q "no pin.*$aes_id" <<<"$out" && pass 'a first contact is told, with the id' || fail "not told: $out"
umount_store
out=$("$BYOKFS" mount "$W/c" "$W/mnt" 2>&1)
grep -q 'no pin' <<<"$out" && fail "told again: $out" || pass 'and once only'
umount_store
unset BYOKFS_STATE_DIR
