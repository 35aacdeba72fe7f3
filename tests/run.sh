#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Installs what is missing, builds with gcc and clang and their sanitizers, runs every test. The README's test command.
set -u
export LC_ALL=C
tree=$(cd "$(dirname "$0")/.." && pwd)
cd "$tree" || exit 2

usage() {
	cat <<'TXT'
usage: tests/run.sh [--quick] [--only NAME]... [--list] [--keep] [--no-install] [--verbose]

  --quick       gcc build, unit tests, rules and short mount scenarios only
  --only NAME   only tests whose name contains NAME (units, rules, fuzz targets, scenarios; may be repeated)
  --list        print the names and end
  --keep        leave the scratch directories of the scenarios
  --no-install  never call apt-get
  --verbose     every check of the scenarios

Environment: CI=true makes warnings errors; BYOKFS_LONG=1 widens kill, tamper and round-trip tests (hours);
BYOKFS_BUILD is the build directory (default .build in the tree). Root, or a user with sudo.
TXT
}

quick='' keep='' install=1 verbose='' list=''
only=()
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=1 ;;
	--only) [ $# -gt 1 ] || { usage >&2; exit 2; }; only+=("$2"); shift ;;
	--list) list=1 ;;
	--keep) keep=1 ;;
	--no-install) install='' ;;
	--verbose) verbose=1 ;;
	-h | --help) usage; exit 0 ;;
	*) echo "tests/run.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
	esac
	shift
done

B=${BYOKFS_BUILD:-$tree/.build}
logs=$B/logs
sudo=
[ "$(id -u)" -eq 0 ] || sudo='sudo -n'
passed=0 failed=0 skipped=0
table=()
started=$SECONDS

wanted() {
	local o
	[ ${#only[@]} -eq 0 ] && return 0
	for o in "${only[@]}"; do case $1 in *"$o"*) return 0 ;; esac; done
	return 1
}
row() { # row RESULT NAME SECONDS TEXT
	case $1 in ok) passed=$((passed + 1)) ;; FAIL) failed=$((failed + 1)) ;; *) skipped=$((skipped + 1)) ;; esac
	table+=("$(printf '%-7s %-34s %5ss  %s' "$1" "$2" "$3" "$4")")
	[ "$1" = ok ] || printf '%-7s %s: %s\n' "$1" "$2" "$4"
}
title() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - started)); }

# --- what there is

scenarios() { (cd tests/mount && ls [0-9][0-9]-*.sh | sed 's/\.sh$//'); }
sanitized='25-posix 30-revoke 34-audit 37-death 41-supervisor 40-tamper 50-kill 10-roundtrip 60-bad-input'
limit_of() {
	case $1 in
	10-* | 20-* | 40-*) echo 480 ;;
	*) echo 360 ;;
	esac
}
fuzz_targets() { (cd tests/fuzz && ls fuzz_*.c 2>/dev/null | sed 's/^fuzz_//; s/\.c$//'); }
tsan_tests() { (cd tests/unit && ls test_gate*.c test_inode*.c test_node*.c test_auditlog.c 2>/dev/null | sed 's/^test_//; s/\.c$//'); }

if [ -n "$list" ]; then
	for f in tests/unit/test_*.c; do n=$(basename "$f" .c); echo "unit:${n#test_}"; done
	for r in arrows budgets forbidden docs; do echo "rules:$r"; done
	for m in gate pages death; do echo "model:$m"; done
	for f in tests/unit/test_*.c; do n=$(basename "$f" .c); echo "asan:${n#test_}"; done
	for t in $(tsan_tests); do echo "tsan:$t"; done
	for t in $(fuzz_targets); do echo "fuzz:$t"; done
	for s in $sanitized; do echo "asan:$s"; done
	for s in $(scenarios); do echo "mount:$s"; done
	exit 0
fi

# --- packages

missing_packages() {
	local p
	while read -r _ p; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || echo "$p"
	done < <(grep -E '^(build|test) ' tests/packages.txt)
}
if [ -n "$install" ] && command -v apt-get >/dev/null; then
	need=$(missing_packages)
	if [ -n "$need" ]; then
		title "installing: $(tr '\n' ' ' <<<"$need")"
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq update || true
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $need >"${TMPDIR:-/tmp}/byokfs-apt.$$" 2>&1 || {
			tail -n 20 "${TMPDIR:-/tmp}/byokfs-apt.$$"
			echo 'tests/run.sh: packages are missing and could not be installed' >&2
			exit 2
		}
		rm -f "${TMPDIR:-/tmp}/byokfs-apt.$$"
	fi
fi
mkdir -p "$logs" || exit 2

# --- builds

werror=false
[ "${CI:-}" = true ] && werror=true
# build NAME CC OPTIONS...: $B/NAME configured and built, or a row that says why not
build() {
	local name=$1 cc=$2 log=$logs/build-$1.log t0=$SECONDS
	shift 2
	title "build $name"
	if [ ! -e "$B/$name/build.ninja" ]; then
		rm -rf "${B:?}/$name"
		CC=$cc meson setup "$B/$name" "$tree" -Dwerror=$werror "$@" >"$log" 2>&1 || { tail -n 15 "$log"; row FAIL "build:$name" $((SECONDS - t0)) "meson setup: see $log"; return 1; }
	else
		meson configure "$B/$name" -Dwerror=$werror >/dev/null 2>&1
	fi
	if ninja -C "$B/$name" >"$log" 2>&1; then
		local w
		w=$(grep -c 'warning:' "$log")
		row ok "build:$name" $((SECONDS - t0)) "$w warnings"
		return 0
	fi
	grep -E 'error|FAILED|undefined' "$log" | head -n 15
	row FAIL "build:$name" $((SECONDS - t0)) "see $log"
	return 1
}

# meson_tests BUILD PREFIX SUITE [NAME]...: one row per test
meson_tests() {
	local build=$1 prefix=$2 suite=$3 json=$B/$1/meson-logs/testlog.json t names=()
	shift 3
	for t in $(meson test -C "$B/$build" --list --suite "$suite" 2>/dev/null | sed -nE 's/.*[:/] *([a-z_0-9]+)$/\1/p'); do
		[ $# -eq 0 ] || case " $* " in *" $t "*) ;; *) continue ;; esac
		wanted "$prefix:$t" && names+=("$t")
	done
	[ ${#names[@]} -gt 0 ] || return 0
	title "$prefix"
	rm -f "$json"
	timeout 900 meson test -C "$B/$build" --no-rebuild --suite "$suite" "${names[@]}" >"$logs/$prefix.log" 2>&1
	while IFS=$'\t' read -r name result secs text; do
		case $result in
		OK) row ok "$prefix:$name" "$secs" "$text" ;;
		SKIP) row skipped "$prefix:$name" "$secs" "$text" ;;
		*) row FAIL "$prefix:$name" "$secs" "$result: $text"; printf '%s\n' "   log: $B/$build/meson-logs/testlog.txt" ;;
		esac
	done < <(python3 - "$json" <<'PY'
import json, re, sys
try:
    lines = open(sys.argv[1]).read().splitlines()
except OSError:
    lines = []
for l in lines:
    t = json.loads(l)
    out = (t.get('stdout') or '') + (t.get('stderr') or '')
    m = re.search(r'\d+%: Checks: \d+.*', out)
    bad = [x for x in out.splitlines() if re.search(r':[FE]:|ERROR|runtime error|WARNING: ThreadS|found$', x)]
    text = (m.group(0) if m else (out.strip().splitlines() or [''])[-1]) + (' | ' + bad[0][:200] if bad and t['result'] != 'OK' else '')
    print(t['name'].split(':')[-1].split('/')[-1].strip(), t['result'], round(t['duration']), text.replace('\t', ' '), sep='\t')
PY
	)
}

# --- scenarios

# our_left DIR: processes whose program is below DIR
our_left() {
	local p
	for p in /proc/[0-9]*; do
		case $($sudo readlink "$p/exe" 2>/dev/null) in "$1"/*) printf '%s ' "${p#/proc/}" ;; esac
	done
}

run_scenario() { # run_scenario PREFIX NAME PROGRAM [ENV...]
	local prefix=$1 name=$2 program=$3 log=$logs/$1-$2.log t0=$SECONDS rc result left p limit
	shift 3
	wanted "$prefix:$name" || return 0
	limit=$(limit_of "$name")
	[ -z "${BYOKFS_LONG:-}" ] || limit=14400
	printf -- '-- %s:%s\n' "$prefix" "$name"
	timeout -k 30 "$limit" $sudo env BYOKFS="$program" TEST_BIN="$B/test-bin" KEEP="$keep" VERBOSE="$verbose" \
		BYOKFS_LONG="${BYOKFS_LONG:-}" TMPDIR="${TMPDIR:-/tmp}" "$@" \
		unshare -m --propagation private bash -c '
			mkdir -p -m 700 /var/lib/byokfs /run/byokfs
			mount -t tmpfs -o mode=700 none /var/lib/byokfs && mount -t tmpfs -o mode=700 none /run/byokfs || exit 2
			exec bash "$1"' - "$tree/tests/mount/$name.sh" </dev/null >"$log" 2>&1
	rc=$?
	grep -E '^  (figure|FAIL|skipped|note|ok|kept)' "$log"
	skipped=$((skipped + $(grep -c '^  skipped' "$log")))
	result=$(sed -n 's/^RESULT [^ ]* //p' "$log" | tail -n 1)
	left=$(our_left "$(dirname "$program")")
	if [ -n "$left" ]; then
		for p in $left; do
			echo "  left: $p $($sudo sed -n 's/^State:[[:space:]]*//p' "/proc/$p/status" 2>/dev/null)"
			$sudo kill -9 "$p" 2>/dev/null
		done
		row FAIL "$prefix:$name" $((SECONDS - t0)) "processes were left ($result)"
	elif [ $rc -ge 124 ] && [ $rc -ne 130 ]; then
		row FAIL "$prefix:$name" $((SECONDS - t0)) "ended after $limit s or by a signal (exit $rc); last: $(tail -n 1 "$log")"
	elif [ $rc -ne 0 ]; then
		[ -n "$result" ] || tail -n 3 "$log"
		row FAIL "$prefix:$name" $((SECONDS - t0)) "${result:-exit $rc, see $log}"
	else
		row ok "$prefix:$name" $((SECONDS - t0)) "$result"
	fi
}

sanitizer_reports() { # sanitizer_reports NAME: one row for all that the sanitizers wrote while it ran
	local r
	r=$($sudo sh -c "ls $B/report.* 2>/dev/null")
	[ -z "$r" ] && return 0
	$sudo cat $r >"$logs/asan-$1-reports.log"
	$sudo rm -f $r
	row FAIL "asan:$1 reports" 0 "$(grep -hE 'ERROR: |runtime error' "$logs/asan-$1-reports.log" | sed -E 's/^==[0-9]+==//; s|^[^ ]*/(fs/)|\1|' | sort | uniq -c | sort -rn | head -n 3 | tr -s ' ' | tr '\n' ';' | head -c 300) see $logs/asan-$1-reports.log"
}

# --- the run

any_wanted() { local n; for n; do wanted "$n" && return 0; done; return 1; }
names_of() { local p=$1 n; shift; for n; do printf '%s:%s ' "$p" "$n"; done; }
units=$(cd tests/unit && ls test_*.c 2>/dev/null | sed 's/^test_//; s/\.c$//')

if build gcc gcc; then
	meson_tests gcc unit unit
	meson_tests gcc rules rules
	[ -n "$quick" ] || meson_tests gcc model model
	title 'mount scenarios'
	for s in $(scenarios); do
		[ -n "$quick" ] && case $s in 20-* | 40-* | 80-*) continue ;; esac
		run_scenario mount "$s" "$B/gcc/tools/byokfs" ${quick:+BYOKFS_SHORT=1}
	done
fi

if [ -z "$quick" ]; then
	if any_wanted $(names_of asan $units $sanitized); then
		if build asan clang -Db_sanitize=address,undefined -Db_lundef=false; then
			export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
			meson_tests asan asan unit
			title 'mount scenarios with ASan and UBSan'
			$sudo rm -f "$B"/report.*
			for s in $sanitized; do
				wanted "asan:$s" || continue
				# a process that may not be dumped cannot be searched for leaks
				run_scenario asan "$s" "$B/asan/tools/byokfs" BYOKFS_SHORT=1 ASAN_OPTIONS="detect_leaks=0:log_path=$B/report.asan" UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:log_path=$B/report.ubsan"
				sanitizer_reports "$s"
			done
		fi
	fi
	if any_wanted $(names_of tsan $(tsan_tests)); then
		export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
		build tsan clang -Db_sanitize=thread -Db_lundef=false && meson_tests tsan tsan unit $(tsan_tests)
	fi
	if any_wanted $(names_of fuzz $(fuzz_targets)); then
		if build fuzz clang -Dfuzz=true -Dtests=false -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link; then
			title 'fuzz targets'
			for t in $(fuzz_targets); do
				wanted "fuzz:$t" || continue
				t0=$SECONDS
				[ -x "$B/fuzz/tests/fuzz_$t" ] || { row FAIL "fuzz:$t" 0 'not built: is it in tests/meson.build?'; continue; }
				mkdir -p "$B/corpus/$t"
				[ -d "tests/fuzz/corpus/$t" ] && cp -n tests/fuzz/corpus/"$t"/* "$B/corpus/$t/" 2>/dev/null
				if (cd "$B" && timeout 120 "fuzz/tests/fuzz_$t" -max_total_time="${FUZZ_SECONDS:-6}" -timeout=5 -rss_limit_mb=1024 -artifact_prefix="$logs/crash-$t-" -print_final_stats=1 "corpus/$t") >"$logs/fuzz-$t.log" 2>&1; then
					row ok "fuzz:$t" $((SECONDS - t0)) "$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/fuzz-$t.log") runs, corpus $(ls "$B/corpus/$t" | wc -l)"
				else
					row FAIL "fuzz:$t" $((SECONDS - t0)) "$(grep -m 1 -E 'ERROR|runtime error|SUMMARY' "$logs/fuzz-$t.log" | head -c 200)"
				fi
			done
		fi
	fi
fi

title 'what ran'
printf '%s\n' "${table[@]}"
printf '\n%d s in all; logs: %s\n' $((SECONDS - started)) "$logs"
if [ $passed -eq 0 ] && [ $failed -eq 0 ]; then
	echo 'nothing ran'
	exit 2
fi
printf '%d passed, %d failed' $passed $failed
[ $skipped -eq 0 ] || printf ', %d skipped' $skipped
printf '\n'
[ $failed -eq 0 ]
