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
# what the versions do not agree on: a macro that is nothing but braces. Write MACRO without them and {MACRO} where it is used
while IFS= read -r hit; do
	finding "$hit: a macro that is braces is laid out differently by other versions of clang-format"
done < <(grep -nE '^#define [A-Za-z_]+(\([^)]*\))?[[:space:]]*(\{.*\}$|\\$)' "${files[@]}" /dev/null | while IFS=: read -r file line text; do
	case $text in
	*\}) echo "$file:$line" ;;
	*) sed -n "$((line + 1))p" "$file" | grep -qE '^[[:space:]]*\{[[:space:]]*\\$' && echo "$file:$line" ;;
	esac
done)

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	self_test 'macro of braces' tests/unit/planted2.c '#define P                   \\\n\t{                   \\\n\t\t.x = 1, .y = 2 \\\n\t}\n'
	self_test 'spaces' fs/store/planted.c 'int f(void)\n{\n    return 0;\n}\n'
	self_test 'brace' tests/unit/planted.c 'int f(void) {\n\treturn 0;\n}\n'
fi
finish
