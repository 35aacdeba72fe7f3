#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A key in a real OpenBao over TLS: every way to take it away locks within seconds, and giving it back serves again.
. "$(dirname "$0")/lib.sh"
. "$here/openbao.sh"

bao_new || exit 1
beside_start
token "$W/token"
TIMES='poll=1s,lease=5s,grace=0'
BOUND=6000

# what bad input gets, before anything is asked
bad() { refused "$1" "$2" "${4:-2}" "$BYOKFS" init "$W/none" --kms "$3" --kms-option "$CA" --kms-option "token-file=$W/token" ${5:+--kms-option "$5"}; }
bad 'no key in it' 'names no key' "vault:$ADDR/kek"
bad 'http to another host' 'only to this machine' 'vault:http://192.0.2.1:8200/transit/kek'
bad 'http without the option' 'plain-http=yes' "vault:http://127.0.0.1:$bao_port/transit/kek"
bad 'a near miss' "did you mean 'namespace'" "$KEK" 2 namspace=x
bad 'an unknown login' 'auth is token, approle' "$KEK" 2 auth=aproll
bad 'another key than the policy names' 'no right to wrap' "vault:$ADDR/transit/kekk" 3
refused 'no address' 'set VAULT_ADDR' 2 "$BYOKFS" init "$W/none" --kms vault:transit/kek
refused 'no token' 'no token of Vault' 7 env HOME="$W/nowhere" "$BYOKFS" init "$W/none" --kms "$KEK" --kms-option "$CA"
authority other
refused 'another CA' 'not who it must be' '' "$BYOKFS" init "$W/none" --kms "$KEK" --kms-option "ca-file=$W/other.pem" --kms-option "token-file=$W/token"
echo hvs.nonsense >"$W/nonsense"
chmod 600 "$W/nonsense"
refused 'a token that is none' 'our token .* is not accepted' 3 "$BYOKFS" init "$W/none" --kms "$KEK" --kms-option "$CA" --kms-option "token-file=$W/nonsense"
[ ! -e "$W/none" ] && pass 'nothing was made' || fail 'a store was made'

# an address of the environment, as the command line of Vault has it; then no word is needed
expect 'init' env BAO_ADDR="$ADDR" "$BYOKFS" init "$W/s" --kms vault:transit/kek --kms-option "$CA" --kms-option "token-file=$W/token"
others=$(grep -F '"type":"request"' "$W/bao.calls" | grep -cvF '"path":"transit/decrypt/kek"')
mount_store s -o "$TIMES"
echo kept >"$W/mnt/file"
cp -a "$tree/crypto" "$W/mnt/tree"
same 'a tree in and out' "$(diff -r "$tree/crypto" "$W/mnt/tree" && echo same)" same
grep -qF "$KEK" <("$BYOKFS" status "$W/mnt") && pass 'the reference has the address' || fail 'reference'
grep -qE 'request [0-9a-f-]{36}' <("$BYOKFS" status "$W/mnt") && pass 'status has the number of the request' || fail "status: $("$BYOKFS" status "$W/mnt")"

# calls, as the server counts them: one per poll, none per file, name or block; no key is looked at, no token renewed
others() { grep -F '"type":"request"' "$W/bao.calls" | grep -cvF '"path":"transit/decrypt/kek"'; }
before=$(asked transit/decrypt/kek)
same 'a mount asks for nothing but decrypt' "$(others)" "$others"
t0=$(now_ms)
read_all 8
calls=$(($(asked transit/decrypt/kek) - before))
most=$((2 + ($(now_ms) - t0) / 900))
[ $calls -le $most ] && pass "$calls calls, $most polls at most" || fail "$calls calls of the KMS, $most polls at most"
same 'nor later' "$(others)" "$others"

# what has come over the network stays in no memory; the token, which asks again, in locked memory only
no_payload 'served'
for _ in 1 2 3 4 5; do # but for the moment of a request
	read -r all loose < <(in_memory "$(worker_of)" "$(cat "$W/token")")
	[ "$loose" -gt 0 ] || break
done
[ "$all" -ge 1 ] && [ "$loose" -eq 0 ] && pass 'the token is in locked memory only' || fail "the token: $all places, $loose of them not locked"

# the right
revokes 'policy narrowed' $BOUND revoked policy '{ capabilities = ["update"] }' '{ capabilities = ["read"] }'
no_payload 'locked'
gives_back 'policy narrowed' policy_whole
revokes 'policy denies' $BOUND revoked policy '{ capabilities = ["update"] }' '{ capabilities = ["deny"] }'
gives_back 'policy denies' policy_whole
revokes 'policy deleted' $BOUND revoked must policy delete backup
gives_back 'policy deleted' policy_whole

# the key
revokes 'soft-deleted' $BOUND revoked must delete transit/keys/kek/soft-delete
gives_back 'restored' must write -f transit/keys/kek/soft-delete-restore
must write -f transit/keys/kek/rotate
sleep 1.5
served && pass 'rotated: the wrap of before opens' || fail 'rotated: not served'
revokes 'min_decryption_version' $BOUND revoked must write transit/keys/kek/config min_decryption_version=2
grep -q 'min_decryption_version' <<<"$(reason_of)" && pass 'its reason names it' || fail "reason: $(reason_of)"
gives_back 'min_decryption_version' must write transit/keys/kek/config min_decryption_version=1
# the command itself takes its time
revokes 'the mount is moved away' $((BOUND + 10000)) revoked must secrets move transit/ elsewhere/
gives_back 'and back' must secrets move elsewhere/ transit/
expect 'a store of the new version' "$BYOKFS" init "$W/s2" --kms "$KEK" --kms-option "$CA" --kms-option "token-file=$W/token"
same 'its version' "$("$BYOKFS" inspect "$W/s2/byokfs/keyring" --json | grep -oE '"version": "[0-9]+"' | head -n 1)" '"version": "2"'

# silence: no statement about the key; what is served ends with the lease
revokes 'sealed' $((BOUND + 5000)) outage must operator seal
gives_back 'unsealed' unseal
revokes 'the server is gone' $((BOUND + 5000)) outage bao_stop
bao_start
gives_back 'started again' unseal
must write sys/quotas/rate-limit/q path=transit rate=1 interval=1h
t0=$(now_ms)
await $HANG eval '[[ $(reason_of) = *quota* ]] || in_state locked'
awaited 'rate limit: silence too' $HANG in_state locked
same 'its cause' "$(cause_of)" outage
gives_back 'without it' must delete sys/quotas/rate-limit/q

# the token: an identity that is not accepted ends with the lease; a new one in the same file is taken up without a remount
lose() { must token revoke "$(cat "$W/token")"; }
revokes 'token revoked' $((BOUND + 5000)) outage lose
gives_back 'a new token in the same file' token "$W/token"
old=$(cat "$W/token")
token "$W/token" -use-limit=4
must token revoke "$old"
awaited 'a token that is used up' $HANG in_state locked
gives_back 'and another' token "$W/token"
umount_store

# nothing of the token anywhere but in its file
grep -rqF "$(cat "$W/token")" "$W/s" /var/lib/byokfs "$W/cli.log" && fail 'the token was written somewhere' || pass 'the token is in no store, pin or log'

# wrap type file, and a key without associated data
must write transit/keys/rsa type=rsa-2048
printf 'path "transit/+/rsa" { capabilities = ["update", "read"] }\npath "transit/+/kek" { capabilities = ["update", "read"] }\n' | must policy write backup -
for how in "kek file" "rsa store"; do
	read -r key wrap <<<"$how"
	expect "init $key $wrap" "$BYOKFS" init "$W/$key-$wrap" --kms "vault:$ADDR/transit/$key" --wrap "$wrap" --kms-option "$CA" --kms-option "token-file=$W/token"
	mount_store "$key-$wrap" -o "$TIMES"
	for i in 1 2 3 4 5 6 7 8; do echo "$i" >"$W/mnt/$i"; done
	echo kept >"$W/mnt/file"
	umount_store
	mount_store "$key-$wrap" -o "$TIMES"
	same "$key $wrap: mounted again" "$(cat "$W/mnt"/[1-8] | tr -d '\n')" 12345678
	if [ "$wrap" = file ]; then
		revokes "$key $wrap: soft-deleted" $BOUND revoked must delete transit/keys/kek/soft-delete
		gives_back "$key $wrap: restored" must write -f transit/keys/kek/soft-delete-restore
	fi
	umount_store
done
must write transit/keys/derived derived=true
must write sys/policies/acl/backup policy='path "transit/*" { capabilities = ["create", "update", "read"] }'
refused 'a derived key' 'derived or convergent' '' "$BYOKFS" init "$W/none" --kms "vault:$ADDR/transit/derived" --kms-option "$CA" --kms-option "token-file=$W/token"
refused 'a misspelt name makes no key, although the token may' 'is not there' '' "$BYOKFS" init "$W/none" --kms "vault:$ADDR/transit/kekk" --kms-option "$CA" --kms-option "token-file=$W/token"
bao list transit/keys | grep -q kekk && fail 'a key was made' || pass 'and no key was made'
policy_whole

# deleted for good, and made anew under its name: it locks, and no mount comes about
mount_store s -o "$TIMES" --respawn
must write transit/keys/kek/config deletion_allowed=true
revokes 'deleted' $BOUND revoked must delete transit/keys/kek
must write -f transit/keys/kek
sleep 2
denied && in_state locked && pass 'a new key under its name is not the key' || fail 'made anew: served'
umount_store
refused 'nor at a mount' 'kek' '' "$BYOKFS" mount "$W/s" "$W/mnt"
