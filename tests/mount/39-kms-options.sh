#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# --kms-option: checked at the command line, remembered beside the pin when the KMS has answered, never of the store.
. "$(dirname "$0")/lib.sh"

# two officers, each with a keystore and a passphrase of his own
for who in a b; do
	printf 'sesame %s\n' $who >"$W/pass.$who"
	chmod 600 "$W/pass.$who"
	expect "keystore $who" "$BYOKFS" keystore init "$W/$who" --passphrase-file "$W/pass.$who"
	expect "and its key" "$BYOKFS" keystore create "$W/$who" kek --passphrase-file "$W/pass.$who"
done
A=local:$W/a/kek
B=local:$W/b/kek
mkdir -p "$W/mnt"

# what bad input gets
bad() {
	local text=$1 pattern=$2
	shift 2
	refused "$text" "$pattern" 2 "$BYOKFS" init "$W/none" "$@"
	[ ! -e "$W/none" ] || fail "$text: a store was made"
}
bad 'no --kms before it' 'belongs to the --kms before it' --kms-option passphrase-file=x --kms "$A"
bad 'a near miss' "no option 'passphrase-fil': did you mean 'passphrase-file'" --kms "$A" --kms-option passphrase-fil=x
bad 'another option' "no option 'region'" --kms "$A" --kms-option region=x
bad 'no value' 'has no value' --kms "$A" --kms-option passphrase-file
bad 'given twice' 'given twice' --kms "$A" --kms-option passphrase-file=x --kms-option passphrase-file=y
bad 'no credential name' 'credential:NAME' --kms "$A" --kms-option passphrase-file=credential:../x

# each option belongs to the --kms before it; a path becomes absolute
(cd "$W" && expect 'init with an option for each' "$BYOKFS" init s --kms "$A" --kms-option passphrase-file=pass.a \
	--kms "$B" --kms-option "passphrase-file=$W/pass.b" --policy all) || fail 'init'
remembered=$(find /var/lib/byokfs -name '*.kms')
same 'one section for each' "$(grep -v '^#' "$remembered" | tr '\n' ' ')" "[$A] passphrase-file=$W/pass.a [$B] passphrase-file=$W/pass.b "
same 'of who made it alone' "$(stat -c %a "$remembered")" 600
! grep -rqE 'pass\.[ab]' "$W/s" && pass 'nothing of it is in the store' || fail 'an option is in the store'
! grep -qE 'sesame' "$remembered" && pass 'and no secret in what is remembered' || fail 'a passphrase is remembered'

# so no word is needed, on the command line or in fstab
shown=$("$BYOKFS" status "$W/s" 2>&1)
grep -qF "kms option" <<<"$shown" && grep -qF "$A passphrase-file=$W/pass.a" <<<"$shown" && pass 'status STORE prints them' || fail "status: $shown"
"$BYOKFS" status "$W/s" --json | python3 -c 'import json, sys
d = json.load(sys.stdin)
assert len(d["kms_options"]) == 2 and d["kms_options"][1].endswith("passphrase-file=" + sys.argv[1]), d' "$W/pass.b" && pass '--json too' || fail 'status --json'
mount_store s
echo kept >"$W/mnt/file"
expect 'status of the mount says how long the KMS took' grep -qE 'key +granted .* \([0-9]+ ms\)' <("$BYOKFS" status "$W/mnt")
expect 'and its store prints the options' grep -qF "passphrase-file=$W/pass.b" <("$BYOKFS" status "$W/s")
umount_store
expect 'verify finds them too' "$BYOKFS" verify "$W/s"

# the command line goes before what is remembered; it is remembered only when the KMS has answered
printf 'wrong\n' >"$W/wrong"
chmod 600 "$W/wrong"
before=$(cat "$remembered")
refused 'a wrong passphrase' 'passphrase' 7 "$BYOKFS" mount "$W/s" "$W/mnt" --kms "$A" --kms-option "passphrase-file=$W/wrong"
same 'is not remembered' "$(cat "$remembered")" "$before"
mv "$W/pass.a" "$W/moved.a"
refused 'a file that is gone' 'pass.a' '' "$BYOKFS" mount "$W/s" "$W/mnt"
mount_store s -o "kms=$A,kms_option=passphrase-file=$W/moved.a"
umount_store
grep -qF "passphrase-file=$W/moved.a" "$remembered" && grep -qF "$W/pass.b" "$remembered" && pass 'said once, and remembered' || fail "remembered: $(cat "$remembered")"
mount_store s
same 'and mounted without a word' "$(cat "$W/mnt/file")" kept
umount_store

# a credential of systemd
mkdir "$W/cred" && cp "$W/moved.a" "$W/cred/a.pass"
CREDENTIALS_DIRECTORY=$W/cred mount_store s --kms "$A" --kms-option passphrase-file=credential:a.pass
umount_store
refused 'no credentials' 'systemd gave no credentials' 7 env -u CREDENTIALS_DIRECTORY "$BYOKFS" mount "$W/s" "$W/mnt"
mount_store s --kms "$A" --kms-option "passphrase-file=$W/moved.a"
umount_store

# what others may write is not trusted, what does not parse is told
chmod 666 "$remembered"
refused 'others may write it' 'may write it' 9 "$BYOKFS" mount "$W/s" "$W/mnt"
chmod 600 "$remembered"
echo 'passphrase-fil=/x' >>"$remembered"
refused 'by line' "line [0-9]+: .*did you mean 'passphrase-file'" '' "$BYOKFS" mount "$W/s" "$W/mnt"
sed -i '$d' "$remembered"

# another host says it once
export BYOKFS_STATE_DIR=$W/other-host
refused 'another host knows neither' 'does not know' '' "$BYOKFS" mount "$W/s" "$W/mnt"
mount_store s --kms "$A" --kms-option "passphrase-file=$W/moved.a" --kms "$B" --kms-option "passphrase-file=$W/pass.b"
umount_store
mount_store s
same 'and it has them' "$(cat "$W/mnt/file")" kept
umount_store
