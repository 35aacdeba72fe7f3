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
