#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Nothing lies about unused: each source is in the meson.build of its folder, each test in tests/meson.build; lists are sorted.
. "$(dirname "$0")/lib.sh"

cd "$tree" || exit 2
for top in crypto kms fs tools; do
	# main() stands apart from the library of its folder
	listed=$(sed -nE "s/^  '([a-z_0-9/]+\.c)',?.*/\1/p" "$top/meson.build" 2>/dev/null)
	while IFS= read -r file; do
		[ "$file" = tools/main.c ] && grep -qF "files('main.c')" tools/meson.build && continue
		grep -qxF -e "${file#"$top"/}" <<<"$listed" || finding "$file: not in $top/meson.build"
	done < <(sources "$top" | grep '\.c$')
	[ "$listed" = "$(sort <<<"$listed")" ] || finding "$top/meson.build: the sources are not sorted by room and name"
done

# registered LIST FILE...: each stands as 'NAME' in that list or dictionary of tests/meson.build
registered() {
	local list=$1 file name
	shift
	for file; do
		name=$(basename "${file%.*}")
		name=${name#test_}
		sed -n "/^  $list = [[{]/,/^  []}]/p" tests/meson.build | grep -qF -e "'${name#fuzz_}'" || finding "$file: not among the $list of tests/meson.build"
	done
}
shopt -s nullglob
registered unit tests/unit/test_*.c
registered fuzz tests/fuzz/fuzz_*.c
registered scenarios tests/mount/[0-9][0-9]-*.sh
registered models tests/model/*.pml
for file in tests/rules/*.sh; do [ "$file" = tests/rules/lib.sh ] || registered rules "$file"; done

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	self_test 'source' fs/store/planted.c ''
	self_test 'unit test with the name of a fuzz target' tests/unit/test_sidecar.c ''
	self_test 'fuzz target with the name of a unit test' tests/fuzz/fuzz_gate.c ''
	self_test 'scenario' tests/mount/99-planted.sh ''
	self_test 'rule' tests/rules/planted.sh ''
	self_test 'model' tests/model/planted.pml ''
	plant crypto/meson.build "  'b.c',\n  'a.c',\n"
	planted+=('crypto/meson.build: the sources are not sorted')
fi
finish
