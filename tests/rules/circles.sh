#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# No circle of files and none of folders, neither by calls nor by #include.
. "$(dirname "$0")/lib.sh"

need ctags universal-ctags
while IFS= read -r line; do
	case $line in '  '*) echo "$line" ;; *) finding "$line" ;; esac
done < <(python3 "$here/circles.py" "$tree" || echo 'circles.py failed')

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	f() { printf 'int %s(void);\\nint %s(void)\\n{\\n\\treturn %s();\\n}\\n' "$2" "$1" "$2"; }
	plant kms/planted1.c "$(f planted_one planted_two)"
	self_test 'files by calls' kms/planted2.c "$(f planted_two planted_one)"
	plant fs/rooma/planted3.c "$(f planted_three planted_four)"
	plant fs/roomb/planted4.c "$(f planted_four planted_other)"
	plant fs/roomb/planted5.c "$(f planted_five planted_six)"
	plant fs/rooma/planted6.c "$(f planted_six planted_other)"
	plant crypto/planted7.h '#include "crypto/planted8.h"\n'
	self_test 'files by includes' crypto/planted8.h '#include "crypto/planted7.h"\n'
	plant fs/roomc/planted9.h '#include "fs/roomd/planted10.h"\n'
	plant fs/roomd/planted10.h ''
	plant fs/roomd/planted11.h '#include "fs/roomc/planted12.h"\n'
	plant fs/roomc/planted12.h ''
	planted+=('circle of 2 folders by calls: fs/rooma fs/roomb' 'circle of 2 folders by includes: fs/roomc fs/roomd')
fi
finish
