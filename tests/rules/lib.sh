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

# blank_all DIR FILE...: the files below DIR, comments and the insides of strings blanked, line numbers kept
blank_all() {
	(cd "$tree" && python3 - "$@" <<'PY'
import os, re, sys
def blank(m):
    t = m.group(0)
    return re.sub(r'[^\n]', ' ', t) if t.startswith('/') else '"' + ' ' * (len(t) - 2) + '"'
for path in sys.argv[2:]:
    text = open(path, errors='replace').read()
    out = os.path.join(sys.argv[1], path)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, 'w') as f:
        f.write(re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S))
PY
	)
}

# self_test NAME PATH CONTENT: a tree of our headers with PATH planted must make the calling script fail and name PATH
self_test() {
	local name=$1 path=$2 content=$3 copy out
	copy=$(mktemp -d) || exit 2
	mkdir -p "$copy/tests/rules" "$copy/$(dirname "$path")"
	cp "$here"/*.sh "$copy/tests/rules/"
	(cd "$tree" && find crypto kms fs tools -name '*.h' -print0 | tar -cf - --null -T -) | tar -xf - -C "$copy"
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
