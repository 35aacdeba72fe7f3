#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Size budgets: function <= 60 lines, file <= 600 lines, <= 5 parameters (goals 40 and 400). Prints the five longest.
. "$(dirname "$0")/lib.sh"

need ctags universal-ctags
mapfile -t files < <(sources crypto kms fs tools)
[ "${#files[@]}" -gt 0 ] || { echo 'budgets: no sources'; exit 1; }

cd "$tree" || exit 2
for f in "${files[@]}"; do
	n=$(wc -l <"$f")
	[ "$n" -le 600 ] || finding "$f: $n lines, at most 600"
	[ "$n" -gt 400 ] && [ "$n" -le 600 ] && echo "goal missed: $f has $n lines, 400 wanted"
done

# name, file, first line, lines, parameters: commas outside inner parentheses; bytes and their length are one
functions=$(ctags -x --_xformat='%{end} %{line} %N %F %{signature}' --kinds-C=f --fields=+neS -o - "${files[@]}" | awk '{
	end = $1; line = $2; name = $3; file = $4; sub(/^[^(]*\(/, ""); sub(/\)$/, "")
	while (gsub(/\([^()]*\)/, "")) ;
	while (gsub(/,size_t [a-z_]*len,/, ",")) ;
	sub(/,size_t [a-z_]*len$/, "")
	print name, file, line, end - line + 1, gsub(/,/, "") + 1
}')
while read -r name file line n p; do
	[ "$n" -le 60 ] || finding "$file:$line: $name has $n lines, at most 60"
	case $file:$name in
	# a callback's parameters are libfuse's choice, not ours
	fs/fuse/*:op_*) p=0 ;;
	# seams of the format: identity, position, bytes in, bytes out
	crypto/name.c:name_decode | crypto/header.c:header_rewrap | crypto/block.c:block_open) p=5 ;;
	esac
	[ "$p" -le 5 ] || finding "$file:$line: $name has $p parameters, at most 5"
done <<<"$functions"
echo 'longest functions:'
sort -k4,4rn <<<"$functions" | awk 'NR <= 5 {print $4, $1, $2}'

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	long=$(printf 'int x;\\n%.0s' $(seq 70))
	self_test 'long function' fs/planted.c "void planted(void)\n{\n$long}\n"
	long=$(printf 'int y;\\n%.0s' $(seq 610))
	self_test 'long file' crypto/planted.c "$long"
	self_test 'parameters' kms/planted.c 'int planted(int a, int b, int c, int d, int e, int f)\n{\n\treturn 0;\n}\n'
fi
finish
