#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every source is as .clang-format wants it; `clang-format -i FILE` puts it right. Versions 14 to 19 agree on that file.
. "$(dirname "$0")/lib.sh"

need clang-format clang-format
cd "$tree" || exit 2
[ -e .clang-format ] || finding 'no .clang-format'
mapfile -t files < <(sources crypto kms fs tools tests)
[ "${#files[@]}" -gt 0 ] || finding 'no sources'
while IFS= read -r file; do
	finding "$file: not formatted: clang-format -i $file"
done < <(printf '%s\n' "${files[@]}" | xargs clang-format --dry-run -Werror 2>&1 | sed -nE 's/^([^: ]+):[0-9]+:.*/\1/p' | sort -u)

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	self_test 'spaces' fs/store/planted.c 'int f(void)\n{\n    return 0;\n}\n'
	self_test 'brace' tests/unit/planted.c 'int f(void) {\n\treturn 0;\n}\n'
fi
finish
