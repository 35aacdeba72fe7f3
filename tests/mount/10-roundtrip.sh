#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Real sources and a made tree go in and out by rsync, tar and cp: no difference, and a second run transfers nothing.
. "$(dirname "$0")/lib.sh"

no_difference() { expect "$1" python3 "$here/tree.py" compare "$2" "$3" ${4:+--skip "$4"}; }
# second_run TEXT FROM TO: rsync by checksum has nothing to say
second_run() {
	local out
	out=$(rsync -aHAXi --numeric-ids --delete "$2/" "$3/" 2>&1)
	[ $? -eq 0 ] && [ -z "$out" ] && pass "$1" || fail "$1: $(head -n 3 <<<"$out")"
}

S=$W/source
mkdir "$S"
mkdir "$S/real"
for d in crypto fs kms tools tests; do cp -a "$tree/$d" "$S/real/" || fail "copying $d"; done
have=$(find "$S" | wc -l)
want=20500
[ -z "${BYOKFS_SHORT:-}" ] || want=3000
python3 "$here/tree.py" make "$S/made" --entries $((want - have)) || fail 'making the tree'
touch -d @1600000000 "$S"
entries=$(python3 "$here/tree.py" count "$S")
figure "$entries entries ($have real sources), $(du -sm "$S" | cut -f1) MiB"
[ -n "${BYOKFS_SHORT:-}" ] || [ "$entries" -ge 20000 ] && pass 'entries' || fail "only $entries entries"

# the whole tree, wrap type store
new_store store
mount_store store || exit
t0=$(now_ms)
expect 'rsync in' rsync -aHAX --numeric-ids "$S/" "$W/mnt/tree/"
t1=$(now_ms)
figure "rsync in: $((t1 - t0)) ms, $((entries * 1000 / (t1 - t0 + 1))) entries/s"
second_run 'second rsync transfers nothing' "$S" "$W/mnt/tree"
no_difference 'compare, warm' "$S" "$W/mnt/tree"
umount_store
mount_store store || exit
no_difference 'compare after a remount' "$S" "$W/mnt/tree"
t0=$(now_ms)
expect 'rsync out' rsync -aHAX --numeric-ids "$W/mnt/tree/" "$W/out/"
figure "rsync out: $(($(now_ms) - t0)) ms"
no_difference 'compare what came out' "$S" "$W/out"
second_run 'second rsync out transfers nothing' "$W/mnt/tree" "$W/out"
rm -rf "$W/out"
expect 'rm -rf' rm -rf "$W/mnt/tree"
same 'nothing is left' '' "$(ls -A "$W/mnt")"

if [ -n "${BYOKFS_SHORT:-}" ]; then
	umount_store
	exit
fi

# tar and cp, another made tree
T=$W/made
made=5000
[ -z "$LONG" ] || made=20000
python3 "$here/tree.py" make "$T" --entries $made || fail 'making the tree for tar'
tar_flags=(--xattrs '--xattrs-include=*' --acls --numeric-owner)
expect 'tar into the mount' bash -o pipefail -c 'tar -C "$1" --format=posix "${@:3}" --sparse -cf - . 2>/dev/null | tar -C "$2" "${@:3}" -xpf - 2>/dev/null' - "$T" "$(mkdir "$W/mnt/tar" && echo "$W/mnt/tar")" "${tar_flags[@]}"
no_difference 'compare after tar in' "$T" "$W/mnt/tar" sockets,special-links
mkdir "$W/untar"
expect 'tar out of the mount' bash -o pipefail -c 'tar -C "$1" --format=posix "${@:3}" --sparse -cf - . 2>/dev/null | tar -C "$2" "${@:3}" -xpf - 2>/dev/null' - "$W/mnt/tar" "$W/untar" "${tar_flags[@]}"
no_difference 'compare after tar out' "$T" "$W/untar" sockets,special-links
rm -rf "$W/untar" "$W/mnt/tar"
expect 'cp -a in' cp -a "$T" "$W/mnt/cp"
no_difference 'compare after cp in' "$T" "$W/mnt/cp"
expect 'cp -a out' cp -a "$W/mnt/cp" "$W/cpout"
no_difference 'compare after cp out' "$T" "$W/cpout"
rm -rf "$W/cpout" "$W/mnt/cp"
umount_store
expect 'verify' byokfs verify "$W/store"

# the other ways a store can be made, on a smaller tree
python3 "$here/tree.py" make "$W/small" --small || fail 'making the small tree'
python3 "$here/tree.py" make "$W/small-plain" --small --plain-names || fail 'making the small tree'
for how in '--wrap file' '--plain-names' '--block-size 65536' '--wrap file --plain-names --block-size 16384'; do
	src=$W/small
	case $how in *plain*) src=$W/small-plain ;; esac
	name=store-$(tr -dc a-z0-9 <<<"$how")
	new_store "$name" $how
	mount_store "$name" || continue
	t0=$(now_ms)
	expect "rsync in ($how)" rsync -aHAX --numeric-ids "$src/" "$W/mnt/tree/"
	figure "rsync of $(python3 "$here/tree.py" count "$src") entries in ($how): $(($(now_ms) - t0)) ms"
	umount_store
	mount_store "$name" || continue
	no_difference "compare after a remount ($how)" "$src" "$W/mnt/tree"
	second_run "second rsync ($how)" "$src" "$W/mnt/tree"
	umount_store
	expect "verify ($how)" byokfs verify "$W/$name"
done

if [ -n "$LONG" ] && [ "$(df --output=avail -B1G "$W" | tail -n 1)" -ge 16 ]; then
	mount_store store || exit
	head -c 5368709121 /dev/urandom >"$W/five"
	expect '5 GiB in' rsync -a "$W/five" "$W/mnt/five"
	umount_store
	mount_store store || exit
	expect '5 GiB is the same' cmp "$W/five" "$W/mnt/five"
	umount_store
else
	skip '5 GiB file (BYOKFS_LONG=1 and 16 GiB free)'
fi
