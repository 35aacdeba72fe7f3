# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the rule scripts: where the tree is, how a finding is reported, how a rule proves that it can fail.
set -u
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/../.." && pwd)
found=0

# finding TEXT: one violation
finding() {
	printf '%s\n' "$*"
	found=$((found + 1))
}

# sources DIR...: the .c and .h files below those folders of the tree under test, relative to it
sources() {
	local d
	for d; do
		[ -d "$tree/$d" ] && (cd "$tree" && find "$d" -name '*.[ch]' -type f)
	done | sort
}

# without_comments FILE: the file, comments and the insides of strings blanked, line numbers kept
without_comments() {
	python3 - "$1" <<'PY'
import re, sys
text = open(sys.argv[1], errors='replace').read()
keep = lambda m: re.sub(r'[^\n]', ' ', m.group(0)) if m.group(0).startswith('/') else '"' + ' ' * (len(m.group(0)) - 2) + '"'
text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', keep, text, flags=re.S)
sys.stdout.write(text)
PY
}

# self_test NAME PATH CONTENT: a copy of the tree with PATH planted must make the calling script fail
self_test() {
	local name=$1 path=$2 content=$3 copy out
	copy=$(mktemp -d) || exit 2
	(cd "$tree" && find crypto kms fs tools tests/rules -name '*.[ch]' -o -path 'tests/rules/*.sh' -o -name '*.[1-8]') 2>/dev/null |
		(cd "$tree" && cpio -pdm --quiet "$copy" 2>/dev/null || tar -cf - -T /dev/stdin | tar -xf - -C "$copy")
	mkdir -p "$copy/$(dirname "$path")"
	printf '%b' "$content" >"$copy/$path"
	if out=$(RULE_NO_SELF_TEST=1 bash "$copy/tests/rules/$(basename "$0")" 2>&1); then
		finding "self-test: planted $name in $path was not found"
	elif ! grep -q -F "$path" <<<"$out"; then
		finding "self-test: planted $name in $path is not named: $(tail -n 1 <<<"$out")"
	fi
	rm -rf "$copy"
}

# finish: exit status of the script
finish() {
	if [ "$found" -ne 0 ]; then
		printf '%s: %d found\n' "$(basename "$0" .sh)" "$found"
		exit 1
	fi
	printf '%s: ok\n' "$(basename "$0" .sh)"
	exit 0
}
