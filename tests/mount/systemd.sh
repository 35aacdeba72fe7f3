#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What 81-systemd.sh does inside: a line `ok TEXT` or `FAIL TEXT` for each check, `end` at the end.
B=/sd/byokfs M=/mnt/backup
await() {
	local i
	for ((i = 0; i < 600; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	return 1
}
check() {
	local text=$1
	shift
	if await "$@"; then echo "ok $text"; else echo "FAIL $text: $($B status $M 2>&1 | head -n 2 | tr '\n' ' ')"; fi
}
state() { $B status $M | grep -q "^state  *$1"; }
worker() { $B status --json $M | sed -n 's/.*"worker_pid": *\([0-9]*\).*/\1/p'; }
cgroup() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }
serves() { systemctl is-active byokfs@b && [ "$(timeout 10 cat $M/f)" = hello ]; }
another() { serves && [ "$(worker)" != "$1" ]; }
shut() { ! timeout 10 cat "$1"; }

cp /sd/byokfs@.service /etc/systemd/system/
mkdir -p "/etc/systemd/system/byokfs@.service.d" /etc/byokfs $M
printf '[Service]\nRestartSec=1s\n' >/etc/systemd/system/byokfs@.service.d/quick.conf
systemctl daemon-reload
cd /srv || exit
$B keystore init ks --no-passphrase && $B keystore create ks k && $B init store --kms local:/srv/ks/k || exit
printf 'STORE=/srv/store\nMOUNTPOINT=%s\nOPTIONS=--lease 6s --poll 2s\n' $M >/etc/byokfs/b.conf

check 'it starts' systemctl start byokfs@b
echo hello >$M/f
main=$(systemctl show -p MainPID --value byokfs@b)
[ "$main" = "$($B status --json $M | sed -n 's/.*"supervisor_pid": *\([0-9]*\).*/\1/p')" ] && echo 'ok the supervisor is its main process' || echo "FAIL main process $main"
w=$(worker)
case $(cgroup "$w") in
*/byokfs-worker-"$w".scope) echo 'ok the worker has a cgroup of its own' ;;
*) echo "FAIL the worker is in $(cgroup "$w")" ;;
esac

systemctl freeze byokfs@b
check 'frozen: the worker locks' state 'locked (unwatched)'
check 'frozen: nothing is read' shut $M/f
systemctl thaw byokfs@b
check 'thawed: served again' serves

exec 5<$M/f
systemctl freeze "byokfs-worker-$w.scope"
check 'the worker frozen: the supervisor ends it, and the unit mounts anew' another "$w"
shut /dev/fd/5 && echo 'ok what was open is not' || echo 'FAIL an open handle reads on'
exec 5<&-

w=$(worker)
kill -9 "$w"
check 'the worker killed, as for want of memory: mounted anew' another "$w"
w=$(worker)
systemctl kill -s KILL byokfs@b
check 'all of the unit killed: mounted anew' another "$w"

$B keystore disable ks k
check 'refused: locked, and the unit active' state 'locked (revoked)'
systemctl restart byokfs@b
shut $M/f && echo 'ok refused: it does not start' || echo 'FAIL it serves without a key'
touch $M/x && echo 'FAIL something lands in the bare folder' || echo 'ok the bare folder takes nothing'
$B keystore enable ks k
check 'the key is back: mounted by itself' serves

check 'it stops' systemctl stop byokfs@b
mountpoint -q $M && echo 'FAIL it is mounted still' || echo 'ok it is unmounted'
check 'nothing is left of it' sh -c '! pgrep -x byokfs'
$B verify store && echo 'ok verify' || echo 'FAIL verify'
echo end
