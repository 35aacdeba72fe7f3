#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# clang-tidy with the checks of .clang-tidy over crypto, kms, fs and tools: tests/lint.sh BUILD, one that was made with clang.
set -u
export LC_ALL=C
tree=$(cd "$(dirname "$0")/.." && pwd)
build=$(readlink -f "${1:?build directory}")
command -v clang-tidy >/dev/null || { echo '  FAIL: clang-tidy is not installed (Debian package clang-tidy)'; exit 1; }
cd "$tree" || exit 2
find crypto kms fs tools -name '*.c' | sort >"$build/lint.files"
xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$build" <"$build/lint.files" >"$build/lint.log" 2>"$build/lint.err"
r=$?
grep -E '(warning|error): ' "$build/lint.log" | sort -u | sed "s|^$tree/||; s/^/  FAIL: /" | tee "$build/lint.found" | head -n 40
if [ $r -ne 0 ] || [ -s "$build/lint.found" ]; then
	echo "$(wc -l <"$build/lint.found") found, exit $r: $build/lint.log"
	exit 1
fi
# a planted violation, so that nothing found means something
printf 'int f(int a)\n{\n\tif (a);\n\t\ta++;\n\treturn a;\n}\n' >"$build/planted.c"
if clang-tidy --quiet --config-file=.clang-tidy "$build/planted.c" -- >"$build/lint.log" 2>&1 || ! grep -q bugprone "$build/lint.log"; then
	echo '  FAIL: self-test: what was planted was not found'
	exit 1
fi
echo "$(wc -l <"$build/lint.files") sources, nothing found but what was planted"
