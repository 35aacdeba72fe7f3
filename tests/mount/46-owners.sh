#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Owners and modes: keystores and passphrase files that somebody else could have written are refused.
. "$(dirname "$0")/lib.sh"

new_store s
mkdir -p "$W/mnt" "$W/above"
tries() { # tries TEXT PATTERN: mount, and a command of the keystore
	refused "mount: $1" "$2" '' "$BYOKFS" mount "$W/s" "$W/mnt"
	refused "keystore: $1" "$2" '' "$BYOKFS" keystore show "$W/ks" kek
}
chown 12345 "$W/ks"
tries 'a keystore of another owner' "yours|others"
chown 0 "$W/ks"
chown 12345 "$W/ks/kek.key"
tries 'a key file of another owner' "yours|others|not permitted|own"
chown 0 "$W/ks/kek.key"
for mode in 0620 0602 0666; do
	chmod $mode "$W/ks/kek.key"
	tries "a key file of mode $mode" "yours|others|not permitted|own"
done
chmod 0600 "$W/ks/kek.key"
chmod 0666 "$W/ks/keystore"
tries 'a head that others may write' 'others may write'
chmod 0600 "$W/ks/keystore"

# the folder above: whoever may write it can put another keystore in its place
mv "$W/ks" "$W/above/ks"
ln -s above/ks "$W/ks" # the reference is by the link's name
for mode in 0777 0770 0775; do
	chmod $mode "$W/above"
	refused "a folder above of mode $mode" 'above the keystore' '' "$BYOKFS" keystore show "$W/above/ks" kek
done
chmod 1777 "$W/above"
expect 'a sticky one is none' "$BYOKFS" keystore show "$W/above/ks" kek
chmod 0755 "$W/above"
chown 12345 "$W/above"
refused 'a folder above of another owner' 'above the keystore' '' "$BYOKFS" keystore show "$W/above/ks" kek
chown 0 "$W/above"
rm "$W/ks" && mv "$W/above/ks" "$W/ks"
mount_store s
umount_store

# passphrases
(umask 077 && printf 'a long passphrase' >"$W/pass")
expect 'a keystore with a passphrase' "$BYOKFS" keystore init "$W/pks" --passphrase-file "$W/pass"
expect 'its key' "$BYOKFS" keystore create "$W/pks" kek --passphrase-file "$W/pass"
for mode in 0666 0620 0602; do
	chmod $mode "$W/pass"
	refused "a passphrase file of mode $mode" 'passphrase file.*others may write' '' "$BYOKFS" keystore list "$W/pks" --passphrase-file "$W/pass"
done
chmod 0600 "$W/pass" && chown 12345 "$W/pass"
refused 'a passphrase file of another owner' 'passphrase file.*not yours' '' "$BYOKFS" keystore list "$W/pks" --passphrase-file "$W/pass"
chown 0 "$W/pass" && chmod 0644 "$W/pass"
"$BYOKFS" keystore list "$W/pks" --passphrase-file "$W/pass" 2>&1 | grep -q 'can be read by others' && pass 'one that others may read is warned of' || fail 'no warning of mode 0644'
mkdir -m 0777 "$W/open" && chmod 0777 "$W/open" && cp "$W/pass" "$W/open/pass"
refused 'one in a folder that others may write' 'folder above' '' "$BYOKFS" keystore list "$W/pks" --passphrase-file "$W/open/pass"
expect 'a pipe will do' bash -c '"$1" keystore list "$2" --passphrase-file <(printf "a long passphrase")' - "$BYOKFS" "$W/pks"

# a key to import, whose writer knows it
(umask 077 && head -c 32 /dev/urandom >"$W/key")
chmod 0666 "$W/key"
refused 'a key file that others may write' 'others may write' '' "$BYOKFS" keystore import "$W/ks" in --file "$W/key"
chmod 0600 "$W/key" && chown 12345 "$W/key"
refused 'a key file of another owner' 'not yours' '' "$BYOKFS" keystore import "$W/ks" in --file "$W/key"
chown 0 "$W/key"
expect 'one that is mine' "$BYOKFS" keystore import "$W/ks" in --file "$W/key"

# the notify command is run with all rights of who mounts
printf '#!/bin/sh\n' >"$W/hook" && chmod 0755 "$W/hook"
expect 'a hook of mine' "$BYOKFS" mount "$W/s" "$W/mnt" --notify-command "$W/hook"
umount_store
for mode in 0777 0775; do
	chmod $mode "$W/hook"
	refused "a hook of mode $mode" 'others may write' 2 "$BYOKFS" mount "$W/s" "$W/mnt" --notify-command "$W/hook"
done
chmod 0755 "$W/hook" && chown 12345 "$W/hook"
refused 'a hook of another owner' 'not yours' 2 "$BYOKFS" mount "$W/s" "$W/mnt" --notify-command "$W/hook"
chown 0 "$W/hook" && cp "$W/hook" "$W/open/hook" && ln -s "$W/hook" "$W/open/link"
refused 'a hook in a folder that others may write' 'folder above' 2 "$BYOKFS" mount "$W/s" "$W/mnt" --notify-command "$W/open/hook"
refused 'a hook by a link there' 'folder above' 2 "$BYOKFS" mount "$W/s" "$W/mnt" --notify-command "$W/open/link"
refused 'a folder is no hook' 'cannot be run' 2 "$BYOKFS" mount "$W/s" "$W/mnt" -o "notify_command=$W/open"

# a pin that was given away says nothing
pin=$(echo /var/lib/byokfs/*.pin)
for how in 'chmod 0666' 'chown 12345'; do
	$how "$pin"
	refused "a pin after $how" 'prove nothing|others' 9 "$BYOKFS" mount "$W/s" "$W/mnt"
	chmod 0600 "$pin" && chown 0 "$pin"
done
mount_store s
umount_store
