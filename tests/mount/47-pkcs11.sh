#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A key on a PKCS#11 token, of SoftHSM2, NSS and opencryptoki: every way to take it away, and a module that hangs or dies in its helper.
. "$(dirname "$0")/lib.sh"
. "$here/openbao.sh"

SOFTHSM=$(find /usr/lib -path '*softhsm/libsofthsm2.so' 2>/dev/null | head -n 1)
NSS=$(find /usr/lib -name libsoftokn3.so 2>/dev/null | head -n 1)
if [ -z "$SOFTHSM" ]; then
	pass 'looked for SoftHSM2'
	skip 'no SoftHSM2 here (apt: softhsm2)'
	exit 0
fi
CPATH=$(pkg-config --cflags-only-I p11-kit-1 | sed 's/-I//g; s/ *$//')
export CPATH
P11=$(tool p11token) || exit 1
beside_start
TIMES='poll=1s,lease=5s,grace=0'
BOUND=6000

# SoftHSM2
mkdir -m 700 "$W/tokens"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nslots.removable = false\nlog.level = ERROR\n' "$W/tokens" >"$W/softhsm.conf"
export SOFTHSM2_CONF=$W/softhsm.conf # the customer's; the product has a clean environment
pin=1234
as_customer() { "$P11" "$SOFTHSM" '' kek "$pin" "$@" >>"$W/cli.log" 2>&1 || fail "p11token $*: $(tail -n 1 "$W/cli.log")"; }
write_pin() { (umask 077; echo "$1" >"$W/pin.new") && mv "$W/pin.new" "$W/pin"; }
as_customer init 5678
as_customer aes kek 01
write_pin 1234
ENV=module-env=SOFTHSM2_CONF=$W/softhsm.conf
KEK="pkcs11:object=kek;token=kek"
URI="$KEK?module-path=$SOFTHSM&pin-source=file:$W/pin"

# what bad input gets, before any module is loaded
bad() { refused "$1" "$2" 2 "$BYOKFS" init "$W/none" --kms "$3"; }
bad 'no token' 'no token' 'pkcs11:object=kek'
bad 'no key' 'no key' 'pkcs11:token=kek'
bad 'a PIN in the reference' 'a PIN has no place' "$KEK?pin-value=1234"
bad 'an unknown attribute' 'is not token, serial' "$KEK;colour=red"
bad 'a bad percent' 'two hex digits' 'pkcs11:token=k%4;object=kek'
bad 'no module' 'module-path=FILE' "$KEK"
refused 'module not there' 'No such file' 2 "$BYOKFS" init "$W/none" --kms "$KEK?module-path=/nowhere.so"
refused 'a library that is none' 'no PKCS#11 in it' '' "$BYOKFS" init "$W/none" --kms "$KEK?module-path=$(ldconfig -p | sed -n 's/.*libm\.so\.6.* => //p' | head -n 1)"
refused 'no PIN' 'wants a PIN' 7 "$BYOKFS" init "$W/none" --kms "$KEK?module-path=$SOFTHSM" --kms-option "$ENV"
refused 'a misspelt token' 'no token of that name' 4 "$BYOKFS" init "$W/none" --kms "pkcs11:token=kekk;object=kek?module-path=$SOFTHSM&pin-source=$W/pin" --kms-option "$ENV"
refused 'a misspelt key' 'is not on the token' '' "$BYOKFS" init "$W/none" --kms "pkcs11:token=kek;object=kekk?module-path=$SOFTHSM&pin-source=$W/pin" --kms-option "$ENV"
[ ! -e "$W/none" ] && pass 'nothing was made' || fail 'a store was made'

# options in the reference are remembered as options, and the next mount needs no word
expect 'init' "$BYOKFS" init "$W/s" --kms "$URI" --kms-option "$ENV"
same 'the reference in its one form' "$("$BYOKFS" inspect "$W/s/byokfs/keyring" --json | grep -oE '"reference": "[^"]*"')" '"reference": "pkcs11:token=kek;object=kek"'
same 'AES-GCM at the token' "$("$BYOKFS" inspect "$W/s/byokfs/keyring" --json | grep -oE '"algorithm": [0-9]+')" '"algorithm": 5'
grep -rqF 1234 "$W/s/byokfs/keyring" && fail 'the PIN is in the store' || pass 'the PIN is not in the store'
mount_store s -o "$TIMES"
echo kept >"$W/mnt/file"
cp -a "$tree/crypto" "$W/mnt/tree"
same 'a tree in and out' "$(diff -r "$tree/crypto" "$W/mnt/tree" && echo same)" same

# the key
revokes 'CKA_DECRYPT off' $BOUND revoked as_customer set 01 CKA_DECRYPT no
grep -q 'CKA_DECRYPT' <<<"$(reason_of)" && pass 'its reason names it' || fail "reason: $(reason_of)"
gives_back 'CKA_DECRYPT on' as_customer set 01 CKA_DECRYPT yes

# payloads PID: how often the label of a payload stands in memory that can be written (the program has it as a constant)
payloads() {
	python3 - "$1" <<-'PY'
		import re, sys
		n = 0
		with open(f'/proc/{sys.argv[1]}/mem', 'rb', 0) as mem:
		    for line in open(f'/proc/{sys.argv[1]}/maps'):
		        m = re.match(r'([0-9a-f]+)-([0-9a-f]+) rw', line)
		        if m and int(m[2], 16) - int(m[1], 16) <= 1 << 30:
		            try:
		                mem.seek(int(m[1], 16))
		                n += mem.read(int(m[2], 16) - int(m[1], 16)).count(b'BYOKFS1K')
		            except OSError:
		                pass
		print(n)
	PY
}
# the helper: what a module does in it costs an answer and no more
keeper_of() { pgrep -P "$(worker_of)" -f pkcs11-helper; }
helper_of() { pgrep -P "$(keeper_of)" -f pkcs11-helper; }
helpers() { pgrep --ns $$ --nslist mnt -f '^byokfs pkcs11-helper'; } # of this scenario, keepers too
same 'a keeper and a helper' 2 "$(helpers | wc -l)"
[ -n "$(helper_of)" ] && pass 'the module is in a process of its own' || fail 'no helper'
grep -qF softhsm "/proc/$(worker_of)/maps" && fail 'the module is in the worker' || pass 'and not in the worker'
grep -qzE '1234|SOFTHSM' "/proc/$(keeper_of)/environ" "/proc/$(keeper_of)/cmdline" && fail 'argv or environment of the helper' || pass 'nothing in argv or environment'
same 'no payload in the worker' "$(payloads "$(worker_of)")" 0
same 'none in the helper' "$(payloads "$(helper_of)")" 0
old=$(helper_of)
kill -9 "$old"
awaited 'killed: a new helper' $HANG eval '[ -n "$(helper_of)" ] && [ "$(helper_of)" != "$old" ]'
served && pass 'killed: served' || fail 'killed: not served'
old=$(helper_of)
kill -STOP "$old"
awaited 'stopped: it is ended, and there is a new one' $HANG eval '[ -n "$(helper_of)" ] && [ "$(helper_of)" != "$old" ]'
awaited 'the old one is gone' $HANG eval '! kill -0 $old 2>/dev/null'
awaited 'stopped: served' $HANG served
kill -STOP "$(helper_of)"
t0=$(now_ms)
expect 'an order while the module hangs' "$BYOKFS" lock "$W/mnt"
within 'the order' $(($(now_ms) - t0)) 3000 "$t0"
denied && pass 'locked' || fail 'locked: served'
expect 'unlock' "$BYOKFS" unlock "$W/mnt"
awaited 'served again' $HANG served

# a module that talks, and a log that nobody reads: whoever hands out helpers waits for neither
"${CC:-gcc}" -std=gnu17 -shared -fPIC -O2 -Wall -Wextra -D_GNU_SOURCE -o "$W/chatty.so" "$here/chatty.c" || fail 'compiling chatty'
expect 'init, a module that talks' "$BYOKFS" init "$W/c" --kms "$KEK?module-path=$W/chatty.so&pin-source=$W/pin" --kms-option "$ENV CHATTY_BEHIND=$SOFTHSM"
umount_store
python3 - "$W/log" <<-'PY' &
	import os, socket, sys, time
	log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	log.bind(sys.argv[1])
	senders, sent = [], True
	while sent:  # until not even a new one has room
	    senders.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
	    senders[-1].setblocking(False)
	    sent = 0
	    try:
	        while True:
	            senders[-1].sendto(b'x', sys.argv[1])
	            sent += 1
	    except BlockingIOError:
	        pass
	open(sys.argv[1] + '.full', 'w')
	time.sleep(3600)
PY
stuck=$!
awaited 'a log that is full' $HANG test -e "$W/log.full"
[ -e /dev/log ] && nolog= || { nolog=1; : >/dev/log; }
mount --bind "$W/log" /dev/log || fail 'a log of our own'
mount_store c -o "$TIMES"
echo kept >"$W/mnt/file"
for i in 1 2 3; do
	old=$(helper_of)
	kill -9 "$old"
	awaited "a full log: helper $i" 20 eval '[ -n "$(helper_of)" ] && [ "$(helper_of)" != "$old" ]'
done
awaited 'a full log: served' $HANG served
umount_store
umount /dev/log
[ -z "$nolog" ] || rm /dev/log
kill "$stuck"
mount_store s -o "$TIMES"

# the token
revokes 'the token is gone' $((BOUND + 5000)) outage mv "$W/tokens" "$W/away"
gives_back 'it is back' mv "$W/away" "$W/tokens"

# the PIN: the login of before serves on; a new one is refused once, and not again until the file has another PIN
pin_new() { as_customer pin 9876; pin=9876; kill -9 "$(helper_of)"; }
revokes 'PIN changed' $((BOUND + 5000)) outage pin_new
grep -qE 'PIN' <<<"$(reason_of)" && pass 'its reason names it' || fail "reason: $(reason_of)"
sleep 4
gives_back 'the new PIN in the same file' write_pin 9876

# rotation: a new key of the same label; the old one wraps nothing more, and opens what it has wrapped
as_customer aes kek 02
sleep 1.5
served && pass 'rotated: the wrap of before opens' || fail 'rotated: not served'
umount_store
mount_store s -o "$TIMES"
same 'rotated: mounted again' "$(cat "$W/mnt/file")" kept
umount_store
expect 'a store of the new version' "$BYOKFS" init "$W/s2" --kms "$URI" --kms-option "$ENV"
same 'its version' "$("$BYOKFS" inspect "$W/s2/byokfs/keyring" --json | grep -oE '"version": "[0-9]+"' | head -n 1)" '"version": "02"'

# a date, which no token keeps: we do (SoftHSM cannot read the dates of a private object: GENERAL_ERROR)
as_customer aes dated 07 public
expect 'init dated' "$BYOKFS" init "$W/d" --kms "pkcs11:token=kek;object=dated?module-path=$SOFTHSM&pin-source=$W/pin" --kms-option "$ENV"
as_customer date 07 to 20200101
refused 'a key that has expired' 'has expired' 3 "$BYOKFS" mount "$W/d" "$W/mnt"
as_customer date 07 to 20990101
as_customer date 07 from 20980101
refused 'a key that is not valid yet' 'not valid yet' 3 "$BYOKFS" mount "$W/d" "$W/mnt"
as_customer date 07 from 20200101
mount_store d -o "$TIMES"
echo kept >"$W/mnt/file"
revokes 'a date that has passed, within a minute' 70000 revoked as_customer date 07 to 20200101
umount_store

# an RSA pair
as_customer rsa pair 03
expect 'init RSA' "$BYOKFS" init "$W/r" --kms "pkcs11:token=kek;object=pair?module-path=$SOFTHSM&pin-source=$W/pin" --kms-option "$ENV" --wrap file
mount_store r -o "$TIMES"
echo kept >"$W/mnt/file"
umount_store
mount_store r -o "$TIMES"
same 'RSA, wrap type file' "$(cat "$W/mnt/file")" kept
revokes 'RSA: CKA_DECRYPT off' $BOUND revoked as_customer set 03 CKA_DECRYPT no
gives_back 'RSA: on' as_customer set 03 CKA_DECRYPT yes
umount_store

# destroyed, under a supervisor that starts workers again; no mount comes about
mount_store s -o "$TIMES" --respawn
revokes 'destroyed' $BOUND revoked as_customer destroy 01
umount_store
refused 'nor at a mount' 'is not on the token' 3 "$BYOKFS" mount "$W/s" "$W/mnt"
awaited 'no helper is left' $HANG eval '[ -z "$(helpers)" ]'

# NSS: other codes, another way to be told where its token is
if [ -z "$NSS" ] || ! command -v certutil >/dev/null; then
	skip 'no NSS here (apt: libnss3 libnss3-tools)'
else
	mkdir -m 700 "$W/nss"
	(umask 077; echo 12345678 >"$W/nsspin")
	expect 'certutil' certutil -N -d "sql:$W/nss" -f "$W/nsspin"
	ARGS="configdir='sql:$W/nss' certPrefix='' keyPrefix='' secmod='secmod.db' flags=readWrite"
	of_nss() { "$P11" "$NSS" "$ARGS" 'NSS Certificate DB' 12345678 "$@" >>"$W/cli.log" 2>&1 || fail "p11token (NSS) $*: $(tail -n 1 "$W/cli.log")"; }
	of_nss aes kek 0a
	of_nss rsa pair 0b
	nss_store() { expect "NSS: init $2" "$BYOKFS" init "$W/$1" --kms "pkcs11:token=NSS%20Certificate%20DB;object=$2" --kms-option "module-path=$NSS" --kms-option "module-args=$ARGS" --kms-option "pin-source=$W/nsspin"; }
	nss_store n kek
	nss_store nr pair
	same 'NSS: RSA-OAEP with SHA-256' "$("$BYOKFS" inspect "$W/nr/byokfs/keyring" --json | grep -oE '"algorithm": [0-9]+')" '"algorithm": 2'
	for s in n:0a nr:0b; do
		mount_store "${s%:*}" -o "$TIMES"
		echo kept >"$W/mnt/file"
		revokes "NSS $s: CKA_DECRYPT off" $BOUND revoked of_nss set "${s#*:}" CKA_DECRYPT no
		gives_back "NSS $s: on" of_nss set "${s#*:}" CKA_DECRYPT yes
		revokes "NSS $s: destroyed" $BOUND revoked of_nss destroy "${s#*:}"
		umount_store
	done
fi

# opencryptoki: a daemon of its own, neither AES-GCM nor AES-KW; its folder is empty in this mount namespace
OCK=$(find /usr/lib -path '*pkcs11/libopencryptoki.so' 2>/dev/null | head -n 1)
if [ -z "$OCK" ] || ! command -v pkcsslotd >/dev/null; then
	skip 'no opencryptoki here (apt: opencryptoki)'
elif pgrep -x -r R,S,D pkcsslotd >/dev/null; then
	skip 'a pkcsslotd runs already: it is not ours to stop'
else
	ock_end() { [ -z "${ock_pid:-}" ] || kill "$ock_pid" 2>/dev/null; }
	trap 'ock_end; bao_end; end_scenario' EXIT
	mount -t tmpfs -o mode=755 none /var/lib/opencryptoki && mkdir -p /var/lib/opencryptoki/swtok/TOK_OBJ /run/lock/opencryptoki/swtok &&
		chgrp -R pkcs11 /var/lib/opencryptoki /run/lock/opencryptoki && chmod -R 770 /var/lib/opencryptoki || fail 'folders of opencryptoki'
	expect 'pkcsslotd' pkcsslotd
	ock_pid=$(pgrep -x -r R,S,D pkcsslotd)
	{
		await $HANG eval 'pkcsconf -t | grep -q "Token #3"'
		echo ocktok | pkcsconf -I -c 3 -S 87654321 && pkcsconf -P -c 3 -S 87654321 -n 76543210 &&
			pkcsconf -u -c 3 -S 76543210 -n 11112222 && pkcsconf -p -c 3 -U 11112222 -n 33334444
	} >>"$W/cli.log" 2>&1 || fail "pkcsconf: $(tail -n 2 "$W/cli.log")"
	(umask 077; echo 33334444 >"$W/ockpin")
	of_ock() { "$P11" "$OCK" '' ocktok 33334444 "$@" >>"$W/cli.log" 2>&1 || fail "p11token (opencryptoki) $*: $(tail -n 1 "$W/cli.log")"; }
	of_ock rsa pair 21
	of_ock aes kek 22
	refused 'opencryptoki: AES without GCM and KW' 'neither AES-GCM' '' "$BYOKFS" init "$W/none" --kms "pkcs11:token=ocktok;object=kek?module-path=$OCK&pin-source=$W/ockpin"
	expect 'opencryptoki: init' "$BYOKFS" init "$W/o" --kms "pkcs11:token=ocktok;object=pair?module-path=$OCK&pin-source=$W/ockpin"
	mount_store o -o "$TIMES"
	echo kept >"$W/mnt/file"
	revokes 'opencryptoki: CKA_DECRYPT off' $BOUND revoked of_ock set 21 CKA_DECRYPT no
	gives_back 'opencryptoki: on' of_ock set 21 CKA_DECRYPT yes
	revokes 'opencryptoki: destroyed' $BOUND revoked of_ock destroy 21
	umount_store
	kill "$ock_pid"
	awaited 'pkcsslotd ends' $HANG eval '[ -z "$(pgrep -x -r R,S,D pkcsslotd)" ]'
fi
