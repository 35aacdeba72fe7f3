#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Runs one scenario as root in a mount namespace of its own: tests/mount/in-namespace.sh NAME PROGRAM
#
# /var/lib/byokfs and /run/byokfs are empty there. A mount or a process that the scenario leaves, a report of a sanitizer and
# the end of its time (900 s; 4 h with BYOKFS_LONG) make it fail; what was left is killed.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
name=${1:?name of the scenario}
BYOKFS=$(readlink -f "${2:?path of the program}")
build=$(dirname "$(dirname "$BYOKFS")")
reports=$build/reports/$name
limit=900
[ -z "${BYOKFS_LONG:-}" ] || limit=14400

if [ "${3:-}" = inside ]; then
	mounts() { awk '$3 ~ /^fuse/ {print $2}' /proc/self/mounts | sort; }
	mkdir -p -m 700 /var/lib/byokfs /run/byokfs
	mount -t tmpfs -o mode=700 none /var/lib/byokfs && mount -t tmpfs -o mode=700 none /run/byokfs || exit 2
	readlink /proc/self/ns/mnt >"$reports/namespace"
	before=$(mounts)
	bash "$here/$name.sh"
	r=$?
	for m in $(comm -13 <(echo "$before") <(mounts)); do
		echo "  FAIL: a mount was left: $m"
		umount -l "$m"
		r=1
	done
	exit $r
fi

if [ "$(id -u)" -ne 0 ]; then
	mapfile -t keep < <(env | grep -E '^(BYOKFS_SHORT|BYOKFS_LONG|KEEP|VERBOSE|ROWS|TMPDIR|CC)=')
	exec sudo -n env "${keep[@]}" bash "$0" "$@"
fi
rm -rf "$reports"
mkdir -p "$reports"
running=" $(cd /proc && echo [0-9]*) "
# meson's: it overwrites freed memory, where keys are looked for, and takes time
unset MALLOC_PERTURB_
# a process that may not be dumped cannot be searched for leaks
export BYOKFS ASAN_OPTIONS="detect_leaks=0:log_path=$reports/sanitizer"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:log_path=$reports/sanitizer"
timeout -k 30 "$limit" unshare -m --propagation private bash "$0" "$name" "$BYOKFS" inside </dev/null
r=$?
if [ $r -ge 124 ] && [ $r -ne 130 ]; then echo "  FAIL: ended after $limit s or by a signal (exit $r)"; fi

# left: processes in the namespace of the scenario, or of this build, not there before and not in another scenario's namespace
left() {
	find /proc/[0-9]*/ns/mnt /proc/[0-9]*/exe -maxdepth 0 -printf '%p %l\n' 2>/dev/null |
		awk -v ns="$(cat "$reports/namespace" 2>/dev/null)" -v build="$build/" -v before="$running" \
			-v others=" $(cat "$build"/reports/*/namespace 2>/dev/null | tr '\n' ' ')" '{
			split($1, part, "/")
			if ($2 == ns) print part[3]
			else if (index($2, build) == 1 && !index(before, " " part[3] " ")) new[part[3]]
			else if (index(others, " " $2 " ")) theirs[part[3]]
		} END { for (p in new) if (!(p in theirs)) print p }' | sort -u
}
for _ in $(seq 100); do [ -n "$(left)" ] || break; sleep 0.1; done
for p in $(left); do
	echo "  FAIL: a process was left: $p $(sed -n 's/^State:[[:space:]]*//p' "/proc/$p/status" 2>/dev/null) $(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | head -c 200)"
	kill -9 "$p" 2>/dev/null
	r=1
done
found=$(cat "$reports"/sanitizer* 2>/dev/null | grep -E 'ERROR: |runtime error' | sed -E 's/^==[0-9]+==//' | sort | uniq -c | sort -rn)
if [ -n "$found" ]; then
	while IFS= read -r line; do echo "  FAIL: sanitizer: $line"; done < <(head -n 5 <<<"$found" | tr -s ' ')
	echo "  reports: $reports"
	r=1
fi
exit $r
