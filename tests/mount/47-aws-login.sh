#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Access keys of AWS that end: of instance metadata, a container, a web identity; renewed in time, changed in the middle, taken away.
. "$(dirname "$0")/lib.sh"
. "$here/openbao.sh"
. "$here/ministack.sh"

aws_new || exit 1
TIMES='poll=1s,lease=5s,grace=0'
export HOME=$W/nowhere
ROLE=$(aws machine_role machine)
order role_allow machine kms:Encrypt,kms:Decrypt
never_denied() { # SECONDS: it serves all the while
	local end=$(($(now_ms) + $1 * 1000))
	while [ "$(now_ms)" -lt $end ]; do
		served || return 1
		sleep 0.1
	done
}
begin() { # NAME OPTION...: a store, mounted
	local name=$1 args=() o
	shift
	for o in "$ENDPOINT" "$CA" "$@"; do args+=(--kms-option "$o"); done
	expect "$name: init" "$BYOKFS" init "$W/$name" --kms "$KEK" "${args[@]}"
	mount_store "$name" -o "$TIMES" || return 1
	echo kept >"$W/mnt/file"
}
# what each of the two ways to a session of the machine's own has to show
machine() { # NAME
	local sessions
	sessions=$(aws count session)
	never_denied 10 && pass "$1: a session that ends costs nothing" || fail "$1: denied when its session ended: $(reason_of)"
	sessions=$(($(aws count session) - sessions))
	[ "$sessions" -ge 1 ] && [ "$sessions" -le 6 ] && pass "$1: $sessions sessions in 10 s" || fail "$1: $sessions sessions in 10 s"
	revokes "$1: the role narrowed" 8000 revoked order role_allow machine kms:Encrypt
	gives_back "$1: the role whole" order role_allow machine kms:Encrypt,kms:Decrypt
	revokes "$1: no session any more" 20000 outage order metadata off
	gives_back "$1: sessions again" order metadata on
}

# --- instance metadata: a session of 8 s is made anew every 4
refused 'instance: an address that is none of AWS' 'is not fetched from' 7 env AWS_EC2_METADATA_SERVICE_ENDPOINT=http://192.0.2.1 "$BYOKFS" init "$W/none" --kms "$KEK" --kms-option "$ENDPOINT" --kms-option "$CA" --kms-option identity=instance
refused 'instance: none here' 'no access key of AWS' 7 env AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1 "$BYOKFS" init "$W/none" --kms "$KEK" --kms-option "$ENDPOINT" --kms-option "$CA"
same 'instance: the fake is what botocore knows' "$(aws sdk instance)" True
order life 8
export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$meta_port
begin instance
machine instance
umount_store
unset AWS_EC2_METADATA_SERVICE_ENDPOINT

# --- a container, with a token in a file that is changed in the middle
same 'container: the fake is what botocore knows' "$(aws sdk container)" True
export AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:$meta_port/pod AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$W/pod
pod() { echo "$1" >"$W/pod.new" && chmod 600 "$W/pod.new" && mv "$W/pod.new" "$W/pod" && order pod_token "$1"; }
pod pod-1
begin container
machine container
pod pod-2
never_denied 10 && pass 'container: a new token in the same file' || fail "container: denied after the change: $(reason_of)"
umount_store
unset AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE

# --- a web identity, and the same after the worker's death: it reads all files again
echo eyJhbGciOiJub25lIn0.eyJzdWIiOiJob3N0NyIsImF1ZCI6InN0cy5hbWF6b25hd3MuY29tIiwiaXNzIjoidGVzdHMifQ.c2ln >"$W/jwt"
chmod 600 "$W/jwt"
begin web "sts-endpoint=https://127.0.0.1:$front_port" "role=$ROLE" "token-file=$W/jwt"
served && pass 'web identity: served' || fail "web identity: $(reason_of)"
umount_store
mount_store web -o "$TIMES" --respawn
kill -9 "$(worker_of)"
awaited 'web identity, respawned: served again' $HANG served
revokes 'web identity: the role is deleted' 20000 revoked order role_delete machine || say "$(reason_of)"
umount_store
same 'each request was signed as botocore does it' "$(aws wrong)" 0
