# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the rule scripts: where the tree is, how a finding is reported, how a rule proves that it can fail.
set -u
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/../.." && pwd)
found=0
copy=
planted=()

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

# need PROGRAM PACKAGE: a rule whose program is missing fails; it is never skipped
need() {
	command -v "$1" >/dev/null && return 0
	finding "$1 is not installed (Debian package $2)"
	finish
}

# plant PATH CONTENT: a file in the copy of our headers and build files on which the self-tests run
plant() {
	if [ -z "$copy" ]; then
		copy=$(mktemp -d) || exit 2
		mkdir -p "$copy/tests/rules"
		cp "$here"/*.* "$copy/tests/rules/"
		(cd "$tree" && find crypto kms fs tools .clang-format meson.build tests/meson.build \
			\( -name '*.h' -o -name meson.build -o -name .clang-format \) -print0 | tar -cf - --null -T -) | tar -xf - -C "$copy"
	fi
	mkdir -p "$copy/$(dirname "$1")"
	printf '%b' "$2" >"$copy/$1"
}
# self_test NAME PATH CONTENT: with PATH planted the calling script must fail and name PATH. All are run at once, by finish().
self_test() {
	plant "$2" "$3"
	planted+=("$2 ($1)")
}
self_tests_run() {
	local out p
	if out=$(RULE_NO_SELF_TEST=1 bash "$copy/tests/rules/$(basename "$0")" 2>&1); then
		finding 'self-test: nothing that was planted was found'
	else
		for p in "${planted[@]}"; do
			grep -q -F "${p%% (*}" <<<"$out" || finding "self-test: not found: $p"
		done
	fi
	rm -rf "$copy"
}

# finish: the self-tests, then the exit status of the script
finish() {
	[ -z "$copy" ] || self_tests_run
	if [ "$found" -ne 0 ]; then
		printf '%s: %d found\n' "$(basename "$0" .sh)" "$found"
		exit 1
	fi
	printf '%s: ok%s\n' "$(basename "$0" .sh)" "${planted:+, ${#planted[@]} planted violations found}"
	exit 0
}
