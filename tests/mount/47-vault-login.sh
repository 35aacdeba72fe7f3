#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Logins at a real OpenBao: AppRole, certificate, JWT, each with a credential changed in the middle and its role taken away.
. "$(dirname "$0")/lib.sh"
. "$here/openbao.sh"

bao_new || exit 1
TIMES='poll=1s,lease=5s,grace=0'
must auth enable approle
must auth enable cert
must auth enable jwt

tokens() { bao list -format=json auth/token/accessors 2>/dev/null | grep -c '"'; }
store_new() { # NAME OPTION...
	local name=$1 args=() o
	shift
	for o in "$@"; do args+=(--kms-option "$o"); done
	expect "$name: init" "$BYOKFS" init "$W/$name" --kms "$KEK" --kms-option "$CA" "${args[@]}"
	mount_store "$name" -o "$TIMES" || return 1
	echo kept >"$W/mnt/file"
}
never_denied() { # SECONDS: it serves all the while
	local end=$(($(now_ms) + $1 * 1000))
	while [ "$(now_ms)" -lt $end ]; do
		served || return 1
		sleep 0.1
	done
}

# --- AppRole: a token of 8 s is made anew every 4
role() { must write auth/approle/role/backup token_policies=backup token_no_default_policy=true token_ttl=8s token_max_ttl=8s secret_id_ttl=1h; }
secret_id() { bao write -f -field=secret_id auth/approle/role/backup/secret-id >"$W/secret.new" 2>>"$W/cli.log" && chmod 600 "$W/secret.new" && mv "$W/secret.new" "$W/secret-id"; }
role
secret_id
id=$(bao read -field=role_id auth/approle/role/backup/role-id)
before=$(tokens)
store_new approle "role-id=$id" "secret-id-file=$W/secret-id"
first=$(cat "$W/secret-id")
never_denied 10 && pass 'approle: a token that ends costs nothing' || fail 'approle: denied when its token ended'
[ "$(tokens)" -le $((before + 3)) ] && pass 'approle: tokens do not pile up' || fail "approle: $(tokens) tokens, $before before"
secret_id
must write auth/approle/role/backup/secret-id/destroy "secret_id=$first"
never_denied 10 && pass 'approle: a new secret id in the same file, without a remount' || fail 'approle: denied after the change'
revokes 'approle: the role deleted while its token lives' 20000 outage must delete auth/approle/role/backup
grep -q 'login is refused' <<<"$(reason_of)" && pass 'approle: its reason says so' || fail "approle: reason: $(reason_of)"
role
must write auth/approle/role/backup/role-id "role_id=$id"
gives_back 'approle: the role again' secret_id
umount_store
await 10 eval '[ "$(tokens)" -le '"$before"' ]' && pass 'approle: the token is given back at the end' || fail "approle: $(tokens) tokens are left of $before"
chmod 666 "$W/secret-id"
refused 'approle: a secret id that others may write' 'others may write it' '' "$BYOKFS" mount "$W/approle" "$W/mnt"
chmod 600 "$W/secret-id"
refused 'approle: none' 'no secret id' 7 "$BYOKFS" mount "$W/approle" "$W/mnt" --kms "$KEK" --kms-option "secret-id-file=$W/nowhere"

# --- a client certificate
authority clients
certificate clients client 'extendedKeyUsage=clientAuth'
must write auth/cert/certs/backup "certificate=@$W/clients.pem" token_policies=backup token_no_default_policy=true token_ttl=8s token_max_ttl=8s
store_new cert auth=cert "client-cert=$W/client.pem" "client-key=$W/client.key"
cp "$W/client.pem" "$W/old.pem"
certificate clients client 'extendedKeyUsage=clientAuth'
never_denied 10 && pass 'cert: a new certificate in the same file' || fail 'cert: denied after the change'
revokes 'cert: its role deleted' 20000 outage must delete auth/cert/certs/backup
must write auth/cert/certs/backup "certificate=@$W/clients.pem" token_policies=backup token_no_default_policy=true token_ttl=8s token_max_ttl=8s
gives_back 'cert: the role again' true
umount_store
authority strangers
certificate strangers stranger 'extendedKeyUsage=clientAuth'
refused 'cert: of another CA' 'login is refused' 3 "$BYOKFS" mount "$W/cert" "$W/mnt" --kms "$KEK" --kms-option "client-cert=$W/stranger.pem" --kms-option "client-key=$W/stranger.key"

# --- a JWT in a file, as Kubernetes and CI systems lay one there
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$W/jwt.key" 2>/dev/null
openssl pkey -in "$W/jwt.key" -pubout -out "$W/jwt.pub"
jwt() { # SECONDS: one that lives so long, into $W/the-jwt
	local b64='openssl base64 -A' head body
	head=$(printf '{"alg":"RS256","typ":"JWT"}' | $b64 | tr '+/' '-_' | tr -d =)
	body=$(printf '{"iss":"tests","sub":"host7","aud":"byokfs","iat":%d,"exp":%d}' "$(date +%s)" $(($(date +%s) + $1)) | $b64 | tr '+/' '-_' | tr -d =)
	printf '%s.%s.%s' "$head" "$body" "$(printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -sign "$W/jwt.key" | $b64 | tr '+/' '-_' | tr -d =)" >"$W/jwt.new"
	chmod 600 "$W/jwt.new" && mv "$W/jwt.new" "$W/the-jwt"
}
must write auth/jwt/config "jwt_validation_pubkeys=@$W/jwt.pub" bound_issuer=tests
must write auth/jwt/role/backup role_type=jwt bound_audiences=byokfs user_claim=sub token_policies=backup token_no_default_policy=true token_ttl=8s token_max_ttl=8s
jwt 3600
store_new jwt role=backup "jwt-file=$W/the-jwt"
jwt 3000
never_denied 6 && pass 'jwt: read anew at each login' || fail 'jwt: denied after the change'
revokes 'jwt: one that nobody accepts' 20000 outage jwt -3600
gives_back 'jwt: a good one' jwt 3600

# --- the same after the worker's death: it reads all files again
umount_store
mount_store jwt -o "$TIMES" --respawn
jwt 2000
kill -9 "$(worker_of)"
awaited 'respawn: served again' $HANG served
umount_store

# --- where secrets must not be: command lines, environments, the store, the pin, the log
mount_store approle -o "$TIMES"
clean=1
for s in "$(cat "$W/secret-id")" "$(cat "$W/the-jwt")"; do
	for p in $(our_daemons); do
		tr '\0' '\n' <"/proc/$p/cmdline" | grep -qF "$s" && clean=
		tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qF "$s" && clean=
	done
	grep -rqF "$s" "$W/approle" "$W/jwt" /var/lib/byokfs /run/byokfs 2>/dev/null && clean=
done
[ -n "$clean" ] && pass 'no secret in argv, environment, store, pin' || fail 'a secret is where it must not be'
umount_store
