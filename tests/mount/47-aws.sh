#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A key in an AWS KMS that others wrote, over TLS: every way to take it away locks within seconds, and giving it back serves again.
. "$(dirname "$0")/lib.sh"
. "$here/openbao.sh"
. "$here/ministack.sh"

aws_new || exit 1
beside_start
TIMES='poll=1s,lease=5s,grace=0'
BOUND=6000
FILE=credentials-file=$W/credentials
export AWS_EC2_METADATA_DISABLED=true HOME=$W/nowhere
opts() { local o; for o in "$ENDPOINT" "$CA" "$@"; do printf -- '--kms-option\n%s\n' "$o"; done; }
make() { # NAME REF OPTION...: a store
	local name=$1 ref=$2 args
	shift 2
	mapfile -t args < <(opts "$@")
	expect "init $name" "$BYOKFS" init "$W/$name" --kms "$ref" "${args[@]}"
}

# what bad input gets, before anything is asked
bad() { refused "$1" "$2" "${4:-2}" "$BYOKFS" init "$W/none" --kms "$3" --kms-option "$ENDPOINT" --kms-option "$CA" ${5:+--kms-option "$5"}; }
id=${ARN##*/}
bad 'the account' 'the 5th field of the ARN, the account, must be 12 digits' "arn:aws:kms:eu-west-1:1234:key/$id"
bad 'another service' 'the 3rd field of the ARN, the service, must be kms' "arn:aws:s3:eu-west-1:000000000000:key/$id"
bad 'a bare id' 'aws kms describe-key --key-id' "$id"
bad 'a bare alias' 'describe-key --key-id alias/backup' alias/backup
bad 'a near miss' "did you mean 'profile'" "$KEK" 2 profil=x
bad 'an unknown identity' 'identity is environment, files' "$KEK" 2 identity=instanc
bad 'no access key at all' 'no AWS_ACCESS_KEY_ID' "$KEK" 7
bad 'a profile that is not there' 'profile other is not there' "$KEK" 7 profile=other
bad 'a file that is not there' 'No such file' "$KEK" 7 "credentials-file=$W/nofile"
refused 'http without the option' 'plain-http=yes' 2 "$BYOKFS" init "$W/none" --kms "$KEK" --kms-option "$FILE" --kms-option "endpoint=http://127.0.0.1:$front_port"
authority other
refused 'another CA' 'not who it must be' '' "$BYOKFS" init "$W/none" --kms "$KEK" --kms-option "$ENDPOINT" --kms-option "ca-file=$W/other.pem" --kms-option "$FILE"
printf '[default]\naws_access_key_id=AKIANOBODY\naws_secret_access_key=none\n' >"$W/nobody"
chmod 600 "$W/nobody"
same 'every request until here is signed as botocore does it' "$(aws wrong)" 0
bad 'an access key that nobody knows' 'our access key is not accepted' "$KEK" 3 "credentials-file=$W/nobody"
[[ $(aws wrong) = "1 'no signature of a key that is known: AKIANOBODY'" ]] && pass 'asked once' || fail "another key asked: $(aws wrong)"
chmod 666 "$W/nobody"
bad 'a file that others may write' 'others may write it' "$KEK" 7 "credentials-file=$W/nobody"
[ ! -e "$W/none" ] && pass 'nothing was made' || fail 'a store was made'
wrong=$(aws wrong)

make s "$ARN" "$FILE"
mount_store s -o "$TIMES"
echo kept >"$W/mnt/file"
cp -a "$tree/crypto" "$W/mnt/tree"
same 'a tree in and out' "$(diff -r "$tree/crypto" "$W/mnt/tree" && echo same)" same
same 'the version is the id of the key' "$("$BYOKFS" inspect "$W/s/byokfs/keyring" --json | grep -oE '"version": "[^"]+"' | head -n 1)" "\"version\": \"$id\""

# calls, as the server counts them: one per poll, none per file, name or block
encrypts=$(aws count Encrypt)
before=$(aws count Decrypt)
t0=$(now_ms)
read_all 8
calls=$(($(aws count Decrypt) - before))
most=$((2 + ($(now_ms) - t0) / 900))
[ $calls -le $most ] && pass "$calls calls, $most polls at most" || fail "$calls calls of the KMS, $most polls at most"
same 'and nothing is wrapped' "$(aws count Encrypt)" "$encrypts"

# what has come over the network stays in no memory; the secret, which asks again, in locked memory only
no_payload 'served'
read -r _ _ secret < <(grep secret "$W/credentials")
for _ in 1 2 3 4 5; do # but for the moment of a request
	read -r all loose < <(in_memory "$(worker_of)" "$secret")
	[ "$loose" -gt 0 ] || break
done
[ "$all" -ge 1 ] && [ "$loose" -eq 0 ] && pass 'the secret is in locked memory only' || fail "the secret: $all places, $loose of them not locked"

# the right
revokes 'policy narrowed' $BOUND revoked order allow backup kms:Encrypt
no_payload 'locked'
gives_back 'policy narrowed' rights
revokes 'policy denies' $BOUND revoked order deny backup
gives_back 'policy denies' order undeny backup
revokes 'the key policy denies' $BOUND revoked order key_policy "$ARN" Deny
gives_back 'the key policy denies' order key_policy "$ARN" Allow
# the key
revokes 'disabled' $BOUND revoked order disable "$ARN"
grep -q 'is disabled' <<<"$(reason_of)" && pass 'its reason says so' || fail "reason: $(reason_of)"
gives_back 'enabled' order enable "$ARN"
revokes 'deletion scheduled' $BOUND revoked order delete "$ARN"
gives_back 'deletion cancelled' order undelete "$ARN"

# no statement about the key: what is served ends with the lease
for m in other html throttle; do
	revokes "answers: $m" $((BOUND + 5000)) outage order mode $m
	[ $m != other ] || { grep -q 'an answer for arn' <<<"$(reason_of)" && pass 'the other key is named' || fail "reason: $(reason_of)"; }
	gives_back "answers: $m" order mode
done
revokes 'the access key is inactive' $((BOUND + 5000)) outage order key_status backup Inactive
gives_back 'and active' order key_status backup Active
lose() { order rotate backup "$W/elsewhere"; }
revokes 'the access key is deleted' $((BOUND + 5000)) outage lose
gives_back 'a new one in the same file' mv "$W/elsewhere" "$W/credentials"
order rotate backup "$W/credentials"
sleep 3
served && in_state active && pass 'a new access key in the same file, without a remount' || fail 'denied after the change'

# a clock that is wrong: corrected once, by the Date of the reply, and told
order clock 900
sleep 4
served && in_state active && pass 'the clock: served' || fail "the clock: $(reason_of)"
order clock 0
sleep 4
served && in_state active && pass 'the clock is right again: served' || fail "the clock again: $(reason_of)"
umount_store
order clock 900
out=$("$BYOKFS" verify "$W/s" 2>&1) && grep -qE "clock is (89|90)[0-9] s behind AWS's" <<<"$out" && pass 'the clock: told' || fail "the clock: $out"
order clock 0
same 'all the while each request was signed as botocore does it' "$(aws wrong)" "$wrong"
same 'each named its key by an ARN, with the context' "$(aws questions)" '0 True'
[ "$(grep -rlF "$secret" "$W/s" /var/lib/byokfs "$W/cli.log" 2>/dev/null | wc -l)" = 0 ] && pass 'the secret is in no store, pin or log' || fail 'the secret was written somewhere'

# an alias: kept as it is, each wrap has the key that it meant
order alias alias/backup "$ARN"
make alias "${ARN%%:key/*}:alias/backup" "$FILE"
order alias alias/backup "$(aws key)"
mount_store alias -o "$TIMES"
echo kept >"$W/mnt/file"
served && pass 'the alias means another key now: the wrap has its own' || fail 'an alias that was moved'
revokes 'alias: its key is disabled' $BOUND revoked order disable "$ARN"
gives_back 'alias: its key is enabled' order enable "$ARN"
umount_store

# an RSA key, which takes no context; wrap type file
RSA=$(aws key RSA_2048)
for how in "$ARN file" "$RSA store" "$RSA file"; do
	read -r arn wrap <<<"$how"
	name=${arn##*/}-$wrap
	mapfile -t args < <(opts "$FILE")
	expect "init $name" "$BYOKFS" init "$W/$name" --kms "$arn" --wrap "$wrap" "${args[@]}"
	mount_store "$name" -o "$TIMES"
	for i in 1 2 3 4 5 6 7 8; do echo "$i" >"$W/mnt/$i"; done
	umount_store
	mount_store "$name" -o "$TIMES"
	same "$wrap of ${arn##*/}: mounted again" "$(cat "$W/mnt"/[1-8] | tr -d '\n')" 12345678
	umount_store
done

# material of the customer's own, taken away and imported again
OWN=$(aws external)
order material "$OWN"
make own "$OWN" "$FILE"
mount_store own -o "$TIMES"
echo kept >"$W/mnt/file"
revokes 'material deleted' $BOUND revoked order no_material "$OWN"
grep -q 'pending deletion or import' <<<"$(reason_of)" && pass 'its reason says so' || fail "reason: $(reason_of)"
gives_back 'material imported again' order material "$OWN"
umount_store

# a role on top, by external id
ROLE=$(aws role restore backup the-id)
order role_allow restore kms:Encrypt,kms:Decrypt
order allow backup sts:AssumeRole
STS=sts-endpoint=https://127.0.0.1:$front_port
refused 'role: the user himself may not' 'the right to it is not there' 3 "$BYOKFS" mount "$W/s" "$W/mnt"
refused 'role: wrong external id' 'may not assume the role' 3 "$BYOKFS" mount "$W/s" "$W/mnt" --kms "$KEK" --kms-option "$STS" --kms-option "role=$ROLE" --kms-option external-id=other
mount_store s -o "$TIMES" --kms "$KEK" --kms-option "$STS" --kms-option "role=$ROLE" --kms-option external-id=the-id
served && pass 'role: served' || fail 'role'
revokes 'role: its policy narrowed' $BOUND revoked order role_allow restore kms:Encrypt
gives_back 'role: its policy whole' order role_allow restore kms:Encrypt,kms:Decrypt
umount_store
printf '[profile site]\nrole_arn = %s\nexternal_id = the-id\nsource_profile = default\n' "$ROLE" >"$W/config"
make profile "$ARN" "$FILE" "config-file=$W/config" profile=site "$STS"
mount_store profile -o "$TIMES" --respawn
echo kept >"$W/mnt/file"
kill -9 "$(worker_of)"
awaited 'profile with a role, respawned: served again' $HANG served
umount_store
rights

# the environment of a mount started by hand: gone from both processes
read -r keyid secret < <(aws rotate backup "$W/credentials")
export AWS_ACCESS_KEY_ID=$keyid AWS_SECRET_ACCESS_KEY=$secret
make env "$ARN"
refused 'environment: not with --respawn' 'respawn needs it again' 7 "$BYOKFS" mount "$W/env" "$W/mnt" --respawn
mount_store env -o "$TIMES"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
echo kept >"$W/mnt/file"
sleep 3
served && pass 'environment: served' || fail "environment: $(reason_of)"
clean=1
for p in $(our_daemons); do
	grep -qaF "$secret" "/proc/$p/environ" "/proc/$p/cmdline" 2>/dev/null && clean=
	read -r all loose < <(in_memory "$p" "$secret")
	[ "$p" = "$(worker_of)" ] || [ "$all" = 0 ] || clean=
	[ "$loose" = 0 ] || clean=
done
[ -n "$clean" ] && pass 'environment: the secret is in the locked memory of the worker and nowhere else' || fail 'environment: the secret is still about'
revokes 'environment: disabled' $BOUND revoked order disable "$ARN"
gives_back 'environment: enabled' order enable "$ARN"
umount_store
refused 'environment: without it' 'no AWS_ACCESS_KEY_ID' 7 "$BYOKFS" mount "$W/env" "$W/mnt"
same 'until the end each request was signed as botocore does it' "$(aws wrong)" "$wrong"
