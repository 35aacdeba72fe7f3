#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every #include against the table of rooms: what a folder may include beside itself. A name ending in .h is that header only.
. "$(dirname "$0")/lib.sh"

rooms='
crypto
kms            crypto
kms/gate       crypto kms/gate.h kms/custody.h kms/provider.h kms/verdict.h kms/clock.h
kms/keystore   crypto kms/provider.h kms/path.h kms/clock.h
kms/net        crypto kms/verdict.h kms/path.h kms/clock.h
kms/providers  crypto kms/keystore kms/net kms/hidden.h kms/long_secret.h kms/options.h kms/provider.h kms/provider_private.h kms/verdict.h kms/path.h kms/clock.h
fs             crypto kms/gate.h
fs/store       fs/report.h crypto kms/gate.h
fs/inode       fs/report.h fs/store crypto kms/gate.h
fs/tree        fs/report.h fs/inode fs/store crypto kms/gate.h
fs/lock        fs/report.h fs/inode crypto kms/gate.h
fs/watch       fs/report.h fs/store crypto kms/gate.h
fs/audit       fs/report.h fs/watch fs/store crypto kms/gate.h
fs/check       fs/report.h fs/inode fs/store crypto kms/gate.h
fs/fuse        fs/report.h fs/tree fs/lock fs/inode fs/audit fs/store kms/gate.h crypto/secret.h crypto/attr.h crypto/auto.h
fs/mount       fs/report.h fs/fuse fs/lock fs/audit fs/watch fs/inode fs/store fs/tree crypto kms/gate.h
tools          fs/report.h fs/mount fs/watch fs/check fs/audit fs/store kms kms/gate kms/keystore kms/providers crypto
'
# Whose headers: the folders and files that may include them. Any other header in <> is the system's.
libraries='
fuse*              fs/fuse
openssl/*          crypto kms/keystore kms/net/http.c
sodium*            crypto kms kms/gate kms/keystore kms/net/json.c kms/net/sigv4.c
curl/*             kms/net/http.c
p11-kit/*          kms/providers/pkcs11_token.c
c[jJ][sS][oO][nN]* kms/net/json.c
'

# may_own ROOM HEADER ALLOWED: an include of ours
may_own() {
	local own=$1 room=${2%/*} allowed=$3
	case " $own $allowed " in *" $room "* | *" $2 "*) return 0 ;; esac
	return 1
}
# may_library FILE HEADER
may_library() {
	local pattern allowed
	while read -r pattern allowed; do
		[ -n "$pattern" ] || continue
		# shellcheck disable=SC2053
		[[ $2 == $pattern ]] || continue
		case " $allowed " in *" ${1%/*} "* | *" $1 "*) return 0 ;; esac
		return 1
	done <<<"$libraries"
	return 0
}

declare -A row
while read -r room allowed; do
	[ -z "$room" ] || row[$room]=$allowed
done <<<"$rooms"

while IFS=$'\t' read -r file mark header; do
	room=${file%/*}
	case $mark in
	'"')
		if [ -z "${row[$room]+there}" ]; then
			finding "$file: the folder $room has no row in tests/rules/arrows.sh"
		elif [ "$header" = "${header#*/}" ]; then
			finding "$file: \"$header\": write includes from the root"
		elif [ ! -e "$tree/$header" ]; then
			finding "$file: \"$header\": no such file"
		elif ! may_own "$room" "$header" "${row[$room]}"; then
			finding "$file: may not include \"$header\""
		fi
		;;
	'<') may_library "$file" "$header" || finding "$file: may not include <$header>" ;;
	*) finding "$file: an #include that names no file: $header" ;;
	esac
done < <(cd "$tree" && grep -rE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include' crypto kms fs tools | sort |
	sed -E 's/^([^:]*):[[:space:]]*#[[:space:]]*include[[:space:]]*/\1\t/; s/\t(["<])([^">]+)[">].*/\t\1\t\2/; t; s/\t/\t?\t/')

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	# each row and each library: what it must not include, whatever the tables above say
	n=0
	while read -r where header; do
		n=$((n + 1))
		case $header in '<'*) ;; *) header="\"$header\"" ;; esac
		self_test "$header" "$where/planted$n.c" "#include $header\n"
	done <<-'TXT'
		crypto kms/gate.h
		kms fs/store/store.h
		kms/gate kms/keystore/keystore.h
		kms/gate kms/provider_private.h
		kms/keystore kms/gate.h
		kms/net kms/provider.h
		kms/providers kms/gate.h
		fs fs/store/store.h
		fs/store fs/inode/node.h
		fs/inode fs/lock/janitor.h
		fs/tree fs/lock/janitor.h
		fs/lock fs/tree/object.h
		fs/watch fs/audit/audit.h
		fs/audit fs/mount/fs.h
		fs/check fs/tree/object.h
		fs/fuse crypto/header.h
		fs/fuse fs/mount/fs.h
		fs/mount fs/check/check.h
		fs/mount kms/provider.h
		tools fs/inode/node.h
		tools tests/unit/fake_kms.h
		fs/newroom crypto/block.h
		fs/store store.h
		fs/store fs/store/nowhere.h
		fs/inode <fuse_lowlevel.h>
		fs/tree <fuse3/fuse.h>
		kms/gate <openssl/evp.h>
		fs/store <openssl/evp.h>
		tools <sodium.h>
		kms/providers <curl/curl.h>
		kms/providers <cjson/cJSON.h>
		fs/store <cJSON.h>
	TXT
	self_test 'fuse in a header' fs/inode/planted.h '#include <fuse_lowlevel.h>\n'
	self_test 'include by macro' fs/store/planted.c '#include HEADER\n'
fi
finish
