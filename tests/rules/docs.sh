#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Manual pages: clean under mandoc, every option of every --help stands in one. tests/README.md: names what there is.
. "$(dirname "$0")/lib.sh"

program=
[ "${1:-}" = --program ] && program=$2
cd "$tree" || exit 2
mapfile -t pages < <(find . -name '*.[1-8]' -not -path './.*' -not -path './build*' -type f | sort)
[ "${#pages[@]}" -gt 0 ] || finding 'no manual page'

need mandoc mandoc
for p in "${pages[@]}"; do
	while IFS= read -r line; do
		finding "${p#./}: ${line#mandoc: }"
	done < <(mandoc -T lint -W warning "$p" 2>&1 | grep -vE 'referenced manual not found|unusual Xr')
done

# options FILE-OR-STDIN: long options in it
options() { grep -oE -e '--[a-z][a-z-]+' | sort -u; }

if [ -n "$program" ] && [ -x "$program" ]; then
	# rendered: mdoc writes an option as .Fl -option
	documented=$(for p in "${pages[@]}"; do mandoc -T utf8 -O width=500 "$p"; done | sed 's/.\x08//g; s/‐\|−/-/g' | options)
	commands=$("$program" --help 2>&1 | grep -oE '^ +(byokfs +)?[a-z]+' | sed 's/^ *//; s/^byokfs *//' | sort -u)
	[ -n "$commands" ] || finding "$program: --help names no subcommand"
	n=0
	for c in '' $commands; do
		text=$("$program" $c --help 2>/dev/null) || continue
		n=$((n + 1))
		for o in $(options <<<"$text"); do
			grep -qx -e "$o" <<<"$documented" || finding "byokfs $c $o: in --help, in no manual page"
		done
	done
	echo "options of $n help texts looked up"
	# each option of a provider's table, as the help of mount prints it
	for o in $("$program" mount --help | sed -n '/^KMS options/,$p' | grep -oE '^    [a-z][a-z-]+' | sort -u); do
		mandoc -T utf8 -O width=500 tools/byokfs-mount.8 | sed 's/.\x08//g; s/‐\|−/-/g' | sed -n '/^KMS OPTIONS/,/^PROCESSES/p' | grep -qE "(^| )$o=" ||
			finding "KMS option $o: in no manual page"
	done
fi

# the table of behaviours and tests
for t in $(grep -oE '\btest_[a-z_0-9]+' tests/README.md | sort -u); do
	[ -e "tests/unit/$t.c" ] || finding "tests/README.md: there is no tests/unit/$t.c"
done
for t in $(grep -oE '`[0-9]{2}-[a-z-]+`' tests/README.md | tr -d '`' | sort -u); do
	[ -e "tests/mount/$t.sh" ] || finding "tests/README.md: there is no tests/mount/$t.sh"
done
for t in tests/mount/[0-9][0-9]-*.sh; do
	t=$(basename "$t" .sh)
	[ ! -e "tests/mount/$t.sh" ] || grep -qF "\`$t\`" tests/README.md || finding "tests/README.md: $t is not in it"
done

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	self_test 'test that is not there' tests/README.md 'test_planted\n'
	self_test 'bad manual page' tools/planted.1 '.TH\n.NOSUCH macro\n.Bl\n'
fi
finish
