#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Second names and links in the place of each file under byokfs/, and in data/: what lies outside the store is not touched.
. "$(dirname "$0")/lib.sh"

new_keystore
new_store s
mount_store s || exit
echo hello >"$W/mnt/f"
mkdir "$W/mnt/d"
echo below >"$W/mnt/d/g"
umount_store
cp -a "$W/s" "$W/kept"
mkdir "$W/out"

anew() {
	rm -rf "$W/s" "$W/out"
	cp -a "$W/kept" "$W/s"
	mkdir "$W/out"
}
# outside: all that a foreign file shows but the number of its names, which a link changes
outside() { (cd "$W/out" && find . -printf '%p %m %u %s %T@\n' | sort && cat victim 2>/dev/null | sha256sum); }
# used TEXT: mounted (or refused in words), written to, unmounted, verified, repaired; nothing outside has changed
used() {
	local text=$1 out rc before
	before=$(outside)
	mkdir -p "$W/mnt"
	out=$(timeout $HANG "$BYOKFS" mount "$W/s" "$W/mnt" </dev/null 2>&1)
	rc=$?
	if [ $rc -eq 0 ]; then
		same "$text: what was written is read" hello "$(cat "$W/mnt/f")"
		expect "$text: it is written to" sh -c "echo new >'$W/mnt/n' && sync -f '$W/mnt' && chmod 600 '$W/mnt/n' && rm '$W/mnt/n'"
		umount_store
	else
		[ $rc -lt 124 ] && grep -qE 'remove it|Remove it|move it away|not a byokfs store' <<<"$out" && pass "$text: refused, and what to do" ||
			fail "$text: exit $rc without a word of what to do: $out"
	fi
	timeout $HANG "$BYOKFS" verify --repair "$W/s" </dev/null >"$W/out.verify" 2>&1
	rc=$?
	[ $rc -lt 124 ] && pass "$text: verify ends" || fail "$text: verify: exit $rc"
	[ $rc -eq 0 ] || ! grep -q 'nothing wrong' "$W/out.verify" && pass "$text: verify's words are its exit code's" || fail "$text: exit $rc, and: $(cat "$W/out.verify")"
	same "$text: nothing outside has changed" "$before" "$(outside)"
}

# planted HOW PLACE: in its place a second name of somebody else's file (-f), or a link to it (-sf)
planted() {
	local what='is another file'
	[ "$1" = -f ] || what='is a link'
	anew
	echo 'somebody else'\''s' >"$W/out/victim"
	ln "$1" "$W/out/victim" "$W/s/$2"
	used "$2 $what"
}
for f in "$W"/kept/byokfs/*; do
	f=${f##*/}
	# the very file has a second name outside: its contents are good
	anew
	ln "$W/s/byokfs/$f" "$W/out/victim"
	used "byokfs/$f with a second name"
	planted -f "byokfs/$f"
	planted -sf "byokfs/$f"
done
for f in lock inflight writing audit.log; do # those that are made where they are missing
	anew
	ln -sf "$W/out/new" "$W/s/byokfs/$f"
	used "byokfs/$f is a link to nothing"
done

for f in data byokfs; do
	anew
	mv "$W/s/$f" "$W/out/$f"
	ln -s "$W/out/$f" "$W/s/$f"
	used "$f/ is a link"
done

# objects: the one that is not needed for `hello`
object=$(cd "$W/kept" && find data -mindepth 2 -type f ! -name .byokfs.dir)
id=$(cd "$W/kept" && find data -mindepth 2 -name .byokfs.dir)
for f in "$object" "$id"; do
	planted -f "$f"
	planted -sf "$f"
done
anew
echo 'somebody else'\''s' >"$W/out/victim"
ln -s "$W/out" "$W/s/lost+found"
ln -s "$W/out" "$W/s/data/lost+found"
used 'lost+found is a link'

# a snapshot of hard links (cp -al) can be read where it is, and no byte of the other is written
anew
cp -al "$W/s" "$W/out/snapshot"
before=$(outside)
mv "$W/s" "$W/was" && mv "$W/out/snapshot" "$W/s" && mv "$W/was" "$W/out/snapshot"
before=$(outside)
mount_store s -o ro && same 'a snapshot of links is read' hello "$(cat "$W/mnt/f")" && umount_store
same 'and its other names have not changed' "$before" "$(outside)"
end_scenario
