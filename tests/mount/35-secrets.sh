#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# No plaintext, no name and no key lies in the store, the arguments, the environment or the log; after a lock none in memory.
. "$(dirname "$0")/lib.sh"

scan=$(tool scan) || fail 'compiling scan'
keydump=$(dirname "$BYOKFS")/../tests/keydump
python3 - "$W/marker" <<'PY'
import os, sys
open(sys.argv[1], 'wb').write(os.urandom(1 << 20))
PY
umask 077
# a key of the customer's own, so that its bytes are known
head -c 32 /dev/urandom >"$W/kek.bin"
byokfs keystore init "$W/ks" --no-passphrase >>"$W/cli.log" 2>&1
byokfs keystore import "$W/ks" kek --file "$W/kek.bin" >>"$W/cli.log" 2>&1 || fail "keystore import: $(tail -n 2 "$W/cli.log")"
printf 'kek %s\n' "$(od -An -tx1 -v "$W/kek.bin" | tr -d ' \n')" >"$W/kek.needle"

for wrap in store file; do
	byokfs init "$W/$wrap" --kms "local:$W/ks/kek" --wrap $wrap >>"$W/cli.log" 2>&1 || { fail "init: $(tail -n 2 "$W/cli.log")"; continue; }
	: >"$W/log"
	mount_logged $wrap "$W/log" || continue
	M=$W/mnt
	cp "$W/marker" "$M/secret-name-of-the-marker"
	mkdir "$M/secret-folder-name"
	ln -s secret-target-of-a-link "$M/secret-folder-name/secret-link-name"
	setfattr -n user.secret-attribute-name -v secret-attribute-value "$M/secret-folder-name"
	touch "$M/secret-long-$(printf 'x%.0s' $(seq 230))"
	head -c 300000 "$W/marker" >"$M/secret-folder-name/part"
	sync -f "$M"
	"$keydump" "$W/$wrap" >"$W/keys" 2>>"$W/cli.log" || fail "keydump: $(tail -n 1 "$W/cli.log")"
	[ "$(grep -c '^dek ' "$W/keys")" -ge 3 ] && pass 'keys are known' || fail "keydump knows $(grep -c '^dek ' "$W/keys") DEKs"
	for s in secret-name-of secret-folder-name secret-target-of secret-link-name secret-attribute-name secret-attribute-value secret-long-; do
		printf 'name %s\n' "$(printf %s "$s" | od -An -tx1 -v | tr -d ' \n')"
	done >"$W/names"
	cat "$W/keys" "$W/kek.needle" "$W/names" >"$W/all"
	pids=$(our_daemons)
	[ -n "$pids" ] || fail 'no daemon found'

	# argv, environment, limits
	for p in $pids; do
		tr '\0' '\n' <"/proc/$p/cmdline" >"$W/argv.$p"
		tr '\0' '\n' <"/proc/$p/environ" >"$W/environ.$p" 2>/dev/null
		same "core size of $p" 0 "$(awk '/Max core file size/ {print $5}' "/proc/$p/limits")"
		if [ "$(stat -c %U "/proc/$p/mem")" = root ] && [ "$(stat -c %a "/proc/$p")" ]; then pass 'proc'; fi
	done
	same 'the keys lie in locked memory' 0 "$(grep -c '^VmLck:[[:space:]]*0 kB' "/proc/$(worker_of)/status")"
	exec 8<"$M/secret-name-of-the-marker" 9<>"$M/secret-folder-name/part"
	head -c 100000 <&8 >/dev/null
	scan_pids=$(for p in $pids; do printf -- '--pid %s ' "$p"; done)
	out=$("$scan" "$W/keys" $scan_pids 2>&1)
	# the control: with the key enabled they are there, so the scan can see them
	grep -qE 'HIT (root-key|store-key|dek|content-key)' <<<"$out" && pass 'control: keys are seen while active' || fail "control: the scan sees no key in memory while active: $(tail -n 2 <<<"$out")"
	figure "$wrap: while active: $(awk '/^HIT/ {print $2}' <<<"$out" | sort | uniq -c | tr '\n' ' ')"
	"$scan" "$W/keys" --pid "$daemon" >"$W/scan.out" 2>&1 && pass 'the supervisor has no key' || fail "the supervisor has: $(grep HIT "$W/scan.out" | head -n 3)"
	key disable
	wait_state locked 15
	t0=$(now_ms)
	out=$("$scan" "$W/keys" --marker "$W/marker" $scan_pids 2>&1) && pass "memory after the lock ($wrap)" || fail "after the lock ($wrap) memory still has: $(grep HIT <<<"$out" | sed -E 's/pid:[0-9]+://; s/0x.*//' | sort | uniq -c | head -n 6)"
	figure "$wrap: memory after the lock: $(tail -n 1 <<<"$out") for $(wc -l <"$W/keys") keys and the marker in $(($(now_ms) - t0)) ms"
	out=$("$scan" "$W/names" $scan_pids 2>&1)
	figure "$wrap: names in memory after the lock: $(tail -n 1 <<<"$out")"
	exec 8<&- 9>&-
	key enable
	wait_state active 15
	umount_store
	wait $daemon 2>/dev/null
	out=$("$scan" "$W/all" --marker "$W/marker" "$W/$wrap" 2>&1) && pass "store ($wrap)" || fail "the store has: $(head -n 5 <<<"$out")"
	figure "$wrap: store: $(tail -n 1 <<<"$out")"
	out=$("$scan" "$W/keys" "$W/log" "$W/cli.log" $(ls -d "$W"/argv.* "$W"/environ.*) /var/lib/byokfs /run/byokfs 2>&1) && pass 'log, argv, environment, state' || fail "keys in: $(head -n 3 <<<"$out")"
	out=$("$scan" "$W/kek.needle" "$W/log" "$W/cli.log" "$W/$wrap" $(ls -d "$W"/argv.* "$W"/environ.*) /var/lib/byokfs /run/byokfs 2>&1) && pass 'the KEK is nowhere' || fail "KEK in: $(head -n 3 <<<"$out")"
	rm -f "$W"/argv.* "$W"/environ.*
done

# a passphrase by file: neither it nor the keystore's key shows
printf 'correct horse battery staple 4711\n' >"$W/pass"
byokfs keystore init "$W/ks2" --passphrase-file "$W/pass" >>"$W/cli.log" 2>&1 && byokfs keystore create "$W/ks2" kek --passphrase-file "$W/pass" >>"$W/cli.log" 2>&1 || fail "keystore with passphrase: $(tail -n 2 "$W/cli.log")"
byokfs init "$W/p" --kms "local:$W/ks2/kek" --passphrase-file "$W/pass" >>"$W/cli.log" 2>&1 || fail "init with passphrase: $(tail -n 2 "$W/cli.log")"
: >"$W/log"
if mount_logged p "$W/log" --passphrase-file "$W/pass"; then
	printf 'passphrase %s\n' "$(head -c 33 "$W/pass" | od -An -tx1 -v | tr -d ' \n')" >"$W/needle"
	pids=$(our_daemons)
	for p in $pids; do tr '\0' '\n' <"/proc/$p/cmdline" >"$W/argv.$p"; tr '\0' '\n' <"/proc/$p/environ" >"$W/environ.$p"; done
	out=$("$scan" "$W/needle" "$W/log" "$W/ks2" "$W/p" $(ls -d "$W"/argv.* "$W"/environ.*) $(for p in $pids; do printf -- '--pid %s ' "$p"; done) 2>&1) && pass 'the passphrase is nowhere' || fail "passphrase in: $(head -n 3 <<<"$out")"
	umount_store
fi
