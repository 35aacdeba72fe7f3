#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the program was built with against a fault in what parses hostile bytes.
. "$(dirname "$0")/lib.sh"

has() { readelf -W "$1" "$BYOKFS" | grep -qE "$2"; }
check() { if has "$2" "$3"; then pass "$1"; else fail "$1"; fi; }
command -v readelf >/dev/null || fail 'readelf is not there'
if has -s '__asan_init|__tsan_init'; then
	skip 'hardening (a build with a sanitizer)'
else
	check 'position independent' -h 'Type:.*DYN'
	check 'relocations are read-only afterwards' -l 'GNU_RELRO'
	check 'all of them, at the start' -d 'BIND_NOW|FLAGS.*NOW'
	check 'the stack cannot be executed' -l 'GNU_STACK.* RW '
	has -l 'GNU_STACK.*E' && fail 'the stack can be executed' || pass 'not by any flag'
	has -l 'LOAD.* RWE ' && fail 'a segment can be written and executed' || pass 'no segment is writable and executable'
	check 'the stack is guarded' -s '__stack_chk_fail'
	check 'calls that write are checked' -s '__(mem|str|v?snprintf|read|pread)[a-z0-9]*_chk'
fi
# a build by clang 14 has no note of this: its linker drops it where one object of the system's lacks it
case $(uname -m) in
x86_64) has -n 'IBT' && figure 'indirect branches are checked (IBT, SHSTK)' || figure 'no note of CET' ;;
esac
