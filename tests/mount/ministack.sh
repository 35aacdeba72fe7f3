# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the scenarios 47-aws*: ministack, an AWS that others wrote, on loopback, and aws_rig.py before it. After openbao.sh, whose words it uses.
#
# ministack checks signatures, users, roles and policies (AUTH=true). It is reached over TLS through aws_rig.py alone, which recomputes
# each signature with botocore.

mini_pid=
rig_pid=
mini_end() { for p in $mini_pid $rig_pid; do kill -9 "$p" 2>/dev/null; done; }
trap 'mini_end; end_scenario' EXIT

mini_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$mini_port") 2>/dev/null; }
mini_start() {
	(cd "$W/mini" && exec env -i PATH="$PATH" HOME="$W/mini" AUTH=true BIND_HOST=127.0.0.1 GATEWAY_PORT="$mini_port" IOT_MTLS_ENABLED=0 \
		"$venv/bin/ministack") >>"$W/mini.log" 2>&1 &
	mini_pid=$!
	disown $mini_pid
	awaited 'ministack answers' $HANG mini_answers
}

# aws NAME ARG...: an order to aws_rig.py; its answer, or a failed check
aws() {
	local answer
	exec 3<>"/dev/tcp/127.0.0.1/$orders_port" || { fail "aws $*: no rig"; return 1; }
	printf '%s\n' "$*" >&3
	read -r answer <&3
	exec 3>&-
	case $answer in error*) fail "aws $*: $answer"; return 1 ;; esac
	printf '%s\n' "$answer"
}
order() { aws "$@" >/dev/null; }

# aws_new: a server, a key, a user `backup` who may use it and nothing else
aws_new() {
	venv_find ministack
	authority ca
	certificate ca server 'subjectAltName=DNS:localhost,IP:127.0.0.1'
	mini_port=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
	mkdir -m 700 "$W/mini"
	mini_start || return 1
	env -i PATH="$PATH" HOME="$W/mini" "$venv/bin/python" "$here/aws_rig.py" "$mini_port" "$W/server.pem" "$W/server.key" "$W" >>"$W/rig.log" 2>&1 &
	rig_pid=$!
	disown $rig_pid
	awaited 'the front answers' $HANG test -e "$W/ports" || { tail -n 5 "$W/rig.log"; return 1; }
	read -r front_port orders_port meta_port <"$W/ports"
	ARN=$(aws key)
	KEK=aws-kms:$ARN
	ENDPOINT=endpoint=https://127.0.0.1:$front_port
	CA=ca-file=$W/ca.pem
	order user backup "$W/credentials"
	rights
}
# the minimal policy of PROVIDERS.md
rights() { order allow backup kms:Encrypt,kms:Decrypt; }
