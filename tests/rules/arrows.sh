#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every #include against the table of who may include what (CONTRIBUTING.md "Arrows").
. "$(dirname "$0")/lib.sh"

# Files that may include a library's headers; nothing else may. Patterns of `case`.
may_fuse() { case $1 in fs/session.[ch] | fs/ops*.[ch] | fs/mount.[ch] | fs/lock.c | fs/fs.c | fs/node.h | fs/dir.c) return 0 ;; esac; return 1; }
may_third_party() {
	local file=$1 header=$2
	case $header in
	fuse*.h | fuse3/*) may_fuse "$file" ;;
	openssl/* | sodium.h | sodium/*) case $file in crypto/* | kms/*) return 0 ;; esac; return 1 ;;
	curl/*) [ "$file" = kms/http.c ] ;;
	cjson/* | cJSON.h) [ "$file" = kms/json.c ] ;;
	*) return 0 ;;
	esac
}

# may_own FILE HEADER: an include of ours
may_own() {
	local file=$1 header=$2
	case ${file%%/*}:$header in
	crypto:crypto/*) return 0 ;;
	kms:kms/* | kms:crypto/*) return 0 ;;
	fs:fs/* | fs:crypto/* | fs:kms/gate.h) return 0 ;;
	tools:tools/* | tools:fs/* | tools:kms/* | tools:crypto/*) return 0 ;;
	esac
	return 1
}

for file in $(sources crypto kms fs tools); do
	while read -r mark header; do
		case $mark in
		'"')
			case $header in
			*/*) ;;
			*) finding "$file: \"$header\": write includes from the root"; continue ;;
			esac
			[ -e "$tree/$header" ] || { finding "$file: \"$header\": no such file"; continue; }
			may_own "$file" "$header" || finding "$file: may not include \"$header\""
			;;
		'<') may_third_party "$file" "$header" || finding "$file: may not include <$header>" ;;
		esac
	done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*(["<])([^">]+)[">].*/\1 \2/p' "$tree/$file")
done

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	self_test 'upward arrow' crypto/planted.c '#include "kms/gate.h"\n'
	self_test 'provider in fs' fs/planted.c '#include "kms/provider.h"\n'
	self_test 'fuse in kms' kms/planted.c '#include <fuse_lowlevel.h>\n'
	self_test 'openssl in fs' fs/planted2.c '#include <openssl/evp.h>\n'
	self_test 'curl elsewhere' kms/planted3.c '#include <curl/curl.h>\n'
	self_test 'include of tests' tools/planted.c '#include "tests/unit/x.h"\n'
	self_test 'relative include' fs/planted4.c '#include "fs.h"\n'
fi
finish
