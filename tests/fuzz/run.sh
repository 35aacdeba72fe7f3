#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Runs one fuzz target for FUZZ_SECONDS (6) on a copy of its corpus: tests/fuzz/run.sh NAME PROGRAM. What broke it is kept.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
name=${1:?name of the target}
program=$(readlink -f "${2:?path of the target}")
dir=$(dirname "$program")/fuzz/$name
mkdir -p "$dir/corpus" || exit 2
cp "$here/corpus/$name"/* "$dir/corpus/" || exit 2
cd "$dir" || exit 2
timeout $((${FUZZ_SECONDS:-6} * 2 + 120)) "$program" -max_total_time="${FUZZ_SECONDS:-6}" -timeout=5 -rss_limit_mb=1024 \
	-artifact_prefix="$dir/" -print_final_stats=1 corpus >log 2>&1
r=$?
if [ $r -ne 0 ]; then
	echo "  FAIL: exit $r: $(grep -m 1 -E 'ERROR|runtime error|SUMMARY' log | head -c 300); log and input: $dir"
	exit 1
fi
echo "$(sed -n 's/^stat::number_of_executed_units: *//p' log) runs, corpus of $(find corpus -type f | wc -l)"
