#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Installs what is missing, configures the builds of tests/native/, runs their tests. The README's test command.
set -u
export LC_ALL=C
tree=$(cd "$(dirname "$0")/.." && pwd)
cd "$tree" || exit 2
usage='usage: tests/run.sh [--quick] [--only NAME]... [--list] [--keep] [--no-install] [--verbose]

  --quick       gcc build, unit tests, rules and short scenarios only
  --only NAME   only tests whose name, as --list shows it, contains NAME (may be repeated)
  --list        print the names and end
  --keep        leave the scratch directories of the scenarios
  --no-install  never call apt-get
  --verbose     every check of the scenarios

Environment: CI=true makes warnings errors; BYOKFS_LONG=1 widens kill, tamper and round-trip tests (hours);
BYOKFS_BUILD is the build directory (default .build in the tree). Root, or a user with sudo.'
quick='' list='' install=1 only=()
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=quick ;;
	--only) only+=("${2:?$usage}"); shift ;;
	--list) list=1 ;;
	--keep) export KEEP=1 ;;
	--no-install) install='' ;;
	--verbose) export VERBOSE=1 ;;
	-h | --help) echo "$usage"; exit 0 ;;
	*) echo "tests/run.sh: unknown option $1"$'\n'"$usage" >&2; exit 2 ;;
	esac
	shift
done
B=${BYOKFS_BUILD:-$tree/.build} logs=${BYOKFS_BUILD:-$tree/.build}/logs
title() { printf '\n== %s (%d s)\n' "$*" $SECONDS; }

# Legs: the prefix of a test's name in --list and in the table, the build, the suites of tests/meson.build.
legs='unit gcc unit, rules gcc rules, model gcc model, mount gcc mount, kms gcc kms, asan asan unit+sanitized, tsan tsan threads, fuzz fuzz fuzz'
legs=$(sed 's/, /\n/g' <<<"$legs, coverage coverage coverage, lint asan lint")
[ -z "$quick" ] || legs=$(grep -E '^(unit|rules|mount) ' <<<"$legs")
builds=$(awk '!seen[$2]++ {print $2}' <<<"$legs")

missing=$(sed -nE 's/^(build|test) +//p' tests/packages.txt | while read -r p; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || echo "$p"
done)
if [ -n "$install" ] && [ -n "$missing" ] && command -v apt-get >/dev/null; then
	title "installing: ${missing//$'\n'/ }"
	apt() { $([ "$(id -u)" -eq 0 ] || echo sudo -n) env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends "$@" >/dev/null; }
	# shellcheck disable=SC2086
	apt update; apt install $missing || { echo 'tests/run.sh: packages are missing and could not be installed' >&2; exit 2; }
fi
rm -rf "$logs" && mkdir -p "$logs" || exit 2
for b in $builds; do # a build that exists only follows its meson.build
	{ [ -e "$B/$b/build.ninja" ] || meson setup "$B/$b" --native-file "tests/native/$b.ini"; } >"$logs/setup-$b.log" 2>&1 &&
		{ [ "${CI:-}" != true ] || meson configure "$B/$b" -Dwerror=true; } && ninja -C "$B/$b" build.ninja >>"$logs/setup-$b.log" 2>&1 ||
		printf 'FAIL\tbuild:%s\t0\tcannot be configured: %s\n' "$b" "$(grep ERROR "$logs/setup-$b.log" | tail -n 1)" | tee "$logs/build-$b.rows"
done

# names PREFIX BUILD SUITES: those of its tests that are wanted
names() { python3 tests/summary.py list "$B/$2" "$1" "$3" "${only[@]}"; }
# wanted FIELD WORD: the legs with that prefix (1) or of that build (2) that have a test that is wanted
wanted() { awk -v f="$1" -v w="$2" '$f == w' <<<"$legs" | while read -r leg; do [ -z "$(names $leg)" ] || echo "$leg"; done; }
[ -z "$list" ] || { while read -r leg; do names $leg | sed "s/^/${leg%% *}:/"; done <<<"$legs"; exit 0; }

build() { # build NAME
	local t0=$SECONDS log=$logs/build-$1.log result=ok
	[ -n "$(wanted 2 "$1")" ] && [ ! -e "$logs/build-$1.rows" ] || return 0
	title "build $1"
	ninja -C "$B/$1" >"$log" 2>&1 || { result=FAIL; grep -E 'error|FAILED|undefined' "$log" | head -n 15; }
	printf '%s\tbuild:%s\t%d\t%d warnings (%s)\n' $result "$1" $((SECONDS - t0)) "$(grep -c 'warning:' "$log")" "$log" >"$logs/build-$1.rows"
}
run() { # run PREFIX [OPTION]...: its tests, if their build stands
	local prefix=$1 build suites
	shift
	read -r _ build suites < <(wanted 1 "$prefix") || return 0
	grep -q '^ok' "$logs/build-$build.rows" || return 0
	title "$prefix"
	rm -f "$B/$build/meson-logs/$prefix"*
	meson test -C "$B/$build" --no-rebuild --logbase "$prefix" -v "$@" ${quick:+--setup quick --no-suite long} $(printf -- '--suite %s ' ${suites//+/ }) \
		$([ ${#only[@]} -eq 0 ] || names "$prefix" "$build" "$suites") 2>&1 | tee "$logs/$prefix.log" |
		grep -E '^ *[0-9]+/[0-9]+ .* (OK|SKIP|FAIL|ERROR|TIMEOUT)|/ [0-9][0-9]-.*RUNNING|^  (figure|FAIL|skipped|note|ok|kept)|:[FE]:[A-Za-z]'
	python3 tests/summary.py rows "$prefix" "$B/$build/meson-logs/$prefix${quick:+-quick}.json" "${PIPESTATUS[0]}" >"$logs/$prefix.rows"
}

trap 'kill $(jobs -p) 2>/dev/null' EXIT
build gcc
{ renice -n 5 $BASHPID >/dev/null; for b in ${builds#gcc}; do build "$b"; done; } &
run unit; run rules; run model
wait
run mount # alone on the machine: its figures are of the program
run kms --num-processes 4 # they wait for their servers
export BYOKFS_SHORT=1
{ renice -n 5 $BASHPID >/dev/null; for p in tsan fuzz coverage lint; do run $p; done; } >"$logs/beside.log" 2>&1 &
run asan
wait
cat "$logs/beside.log"

title 'what ran'
python3 tests/summary.py table "$logs"/build-*.rows $(awk -v d="$logs" '{print d "/" $1 ".rows"}' <<<"$legs")
r=$?
echo "$SECONDS s in all; logs: $logs"
exit $r
