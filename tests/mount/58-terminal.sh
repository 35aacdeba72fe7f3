#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What a name, a path or a planted file says reaches the terminal without anything that it obeys: every command, words and JSON.
. "$(dirname "$0")/lib.sh"
new_keystore
# title and colour by ESC, a line of its own, backspace, DEL, CSI as one character of UTF-8, right to left, and what is no UTF-8
odd=$(printf '\033]0;t\007\033[31m\r\nbyokfs: all is well\b\177\302\233\342\200\256\377')
S="$W/s$odd"
M="$W/m$odd"
mkdir "$M"
shown=0
# says TEXT COMMAND...: however it ends, by itself
says() {
	local text=$1 rc
	shift
	timeout 60 "$@" </dev/null >"$W/said" 2>&1
	rc=$?
	[ $rc -lt 124 ] || fail "$text: exit $rc"
	[ -s "$W/said" ] && shown=$((shown + 1))
	python3 - "$W/said" <<'P' && pass "$text" || fail "$text: $(cat -v "$W/said" | head -c 600)"
import sys, unicodedata
text = open(sys.argv[1], 'rb').read().decode('utf-8')  # and nothing that is none
bad = [c for c in text if c != '\n' and (unicodedata.category(c) == 'Cc' or c in '\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069')]
if bad or any(l.startswith('byokfs: all') for l in text.split('\n')):
    sys.exit(1)
P
}
says 'init' "$BYOKFS" init "$S" --kms "local:$W/ks/kek"
says 'init, a reference' "$BYOKFS" init "$W/x" --kms "local:$W/$odd/kek"
says 'an option' "$BYOKFS" mount "--$odd" a b
says 'a command' "$BYOKFS" "$odd"
says 'a mount option' "$BYOKFS" mount "$S" "$M" -o "$odd"
says 'mount' "$BYOKFS" mount "$S" "$M"
is_mounted "${M//$'\n'/\\012}" || grep -q "byokfs-$scenario" /proc/self/mounts || fail 'not mounted'
says 'mounted already' "$BYOKFS" mount "$S" "$M"
echo x >"$M/f$odd"
for c in status 'status --json' lock 'status --json' unlock; do
	says "$c" "$BYOKFS" $c "$M"
done
says 'the store in use' "$BYOKFS" status "$S"
(cd "$M" && exec -a "$odd" sleep 60) &
busy=$!
sleep 0.3
says 'umount of what is busy' "$BYOKFS" umount --timeout 2s "$M"
kill $busy
wait $busy 2>/dev/null
says 'umount' "$BYOKFS" umount "$M"
await $HANG no_daemons
echo planted >"$S/data/planted$odd"
for o in '' --json --no-key --repair; do says "verify $o" "$BYOKFS" verify "$S" $o; done
printf '{"v":1,"session":1,"line":1,"event":"%s"}\n' "$odd" >>"$S/byokfs/audit.log"
for c in show 'show --json' verify; do says "audit $c" "$BYOKFS" audit $c "$S"; done
printf '%s\n1\n%s' "$odd" "$odd" >"$S/byokfs/lock"
for f in "$S"/byokfs/*; do
	says "inspect ${f##*/}" "$BYOKFS" inspect "$f"
	says "inspect --json ${f##*/}" "$BYOKFS" inspect "$f" --json
done
says 'status of a store' "$BYOKFS" status "$S"
says 'pin show' "$BYOKFS" pin show "$S"
says 'pin export' "$BYOKFS" pin export "$S" --file "$W/pin$odd"
chmod 666 "$W/pin$odd"
says 'pin import' "$BYOKFS" pin import "$S" --file "$W/pin$odd"
grep -q 'written by somebody else' "$W/said" && pass 'and it could have been changed' || fail "a pin that all may write: $(cat "$W/said")"
says 'a keystore' "$BYOKFS" keystore init "$W/k$odd" --no-passphrase
says 'a key of it' "$BYOKFS" keystore create "$W/k$odd" kek
echo planted >"$W/ks/planted$odd.key"
says 'list' "$BYOKFS" keystore list "$W/ks"
says 'show' "$BYOKFS" keystore show "$W/ks" "$odd"
[ $shown -gt 30 ] && pass 'they did say something' || fail "only $shown said anything"
# no line of this file may be in the way of the end: the mount point's name is odd
end_scenario
