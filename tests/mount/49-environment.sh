#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Nothing that the environment names is loaded into the process that holds the keys.
. "$(dirname "$0")/lib.sh"

cat >"$W/module.c" <<C
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) { close(open("$W/loaded", O_CREAT | O_WRONLY, 0644)); }
int OSSL_provider_init(const void *h, const void *in, const void **out, void **ctx) { return 0; }
int bind_engine(void *e, const char *id) { return 0; }
unsigned long v_check(unsigned long v) { return v; }
int gconv_init(void *s) { return 0; }
C
"${CC:-gcc}" -shared -fPIC -w -o "$W/planted.so" "$W/module.c" || fail 'the module does not compile'
cat >"$W/openssl.cnf" <<C
openssl_conf = all
[all]
providers = providers
engines = engines
[providers]
planted = planted
default = on
[on]
activate = 1
[planted]
module = $W/planted.so
activate = 1
[engines]
planted = engine
[engine]
dynamic_path = $W/planted.so
init = 1
C
planted=(env "OPENSSL_CONF=$W/openssl.cnf" "OPENSSL_MODULES=$W" "OPENSSL_ENGINES=$W" "GCONV_PATH=$W" "SSLKEYLOGFILE=$W/keylog")
"${planted[@]}" openssl list -providers >/dev/null 2>&1
[ -e "$W/loaded" ] && pass 'the trap works: openssl loads it' || fail 'openssl does not load the module: the check is void'
rm -f "$W/loaded"

untouched() { [ ! -e "$W/loaded" ] && [ ! -e "$W/keylog" ] && pass "$1: nothing was loaded" || fail "$1: the module was loaded"; rm -f "$W/loaded" "$W/keylog"; }
expect 'keystore init' "${planted[@]}" "$BYOKFS" keystore init "$W/ks" --no-passphrase
expect 'an RSA key' "${planted[@]}" "$BYOKFS" keystore create "$W/ks" kek --type rsa2048
untouched keystore
expect 'init' "${planted[@]}" "$BYOKFS" init "$W/s" --kms "local:$W/ks/kek"
untouched init
mkdir "$W/mnt"
expect 'mount' "${planted[@]}" "$BYOKFS" mount "$W/s" "$W/mnt"
head -c 100000 /dev/urandom >"$W/mnt/file"
expect 'lock' "${planted[@]}" "$BYOKFS" lock "$W/mnt"
expect 'unlock' "${planted[@]}" "$BYOKFS" unlock "$W/mnt"
for p in $(our_daemons); do grep -q planted.so "/proc/$p/maps" && fail "process $p has the module"; done
umount_store
untouched mount
expect 'verify' "${planted[@]}" "$BYOKFS" verify "$W/s"
untouched verify

# --- what the process has of the environment after its beginning: what byokfs reads itself, and nothing that a library would
cat >"$W/spy.c" <<C
#include <stdio.h>
#include <unistd.h>
__attribute__((destructor)) static void left(void)
{
	FILE *f = fopen("$W/left", "a");
	for (char **e = environ; f && *e; e++)
		fprintf(f, "%s\\n", *e);
	if (f)
		fclose(f);
}
C
"${CC:-gcc}" -shared -fPIC -w -D_GNU_SOURCE -o "$W/spy.so" "$W/spy.c" || fail 'the spy does not compile'
env "LD_PRELOAD=$W/spy.so" "GCONV_PATH=$W" true
grep -q GCONV_PATH "$W/left" && pass 'the spy works' || fail 'the spy sees nothing: the check is void'
rm -f "$W/left"
"${planted[@]}" "LD_PRELOAD=$W/spy.so" "LOCPATH=$W" "NLSPATH=$W" "P11_KIT_CONFIG=$W" "SSL_CERT_FILE=$W/c" "TZDIR=$W" "TZ=:$W/zone" \
	"TMPDIR=$W" "https_proxy=http://localhost:1" "http_proxy=http://localhost:1" "all_proxy=http://localhost:1" "SSLKEYLOGFILE=$W/keys" "VAULT_TOKEN=t" "VAULT_CACERT=$W/c" "BYOKFS_STATE_DIR=/var/lib/byokfs" "$BYOKFS" keystore list "$W/ks" >/dev/null
grep -q '^BYOKFS_STATE_DIR=' "$W/left" && pass 'what is ours stays' || fail "it is gone: $(cat "$W/left")"
left=$(grep -vE '^(BAO_(ADDR|NAMESPACE)|BYOKFS_STATE_DIR|CREDENTIALS_DIRECTORY|HOME|VAULT_(ADDR|NAMESPACE)|XDG_RUNTIME_DIR|XDG_STATE_HOME|https_proxy|no_proxy)=' "$W/left")
same 'and nothing else' '' "$left"
