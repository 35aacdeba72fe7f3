#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What a hostile writer of the store can make long: waits, loops and logs have an end that he does not decide.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
new_store s

# --- something that never answers is mounted below data/ while the store is served

hangfs=$(tool hangfs) || fail 'hangfs does not compile'
hangs=
# hang PLACE
hang() {
	"$hangfs" "$1" >"$W/hang" 2>&1 &
	hangs="$hangs $!"
	disown
	awaited "something that hangs lies on $1" 20 grep -q hangs "$W/hang"
	: >"$W/hang"
}
unhang() {
	local p
	for p in $hangs; do kill -9 "$p"; done
	hangs=
	awk -v w="$W/" 'index($2, w) == 1 && $3 == "fuse.hang" {print $2}' /proc/self/mounts | sort -r | xargs -r -n1 umount -l
}
trap 'unhang 2>/dev/null; end_scenario' EXIT

mount_store s
mkdir "$M/folder" "$M/inside" "$M/more" && echo one >"$M/file" && echo two >"$M/whole" && echo three >"$M/inside/x"
# where NAME lies in the store, by its inode
disk() { find "$W/s/data" -inum "$(stat -c %i "$M/$1")"; }
folder=$(disk folder) file=$(disk file) inside=$(disk inside)
umount_store
mount_store s
hang "$folder"
hang "$file"
hang "$inside/.byokfs.dir"
# more than there are threads that serve
ends() { timeout -s KILL 20 "$@" >/dev/null 2>&1; [ $? -lt 124 ]; }
for i in $(seq 24); do
	(ends stat "$M/folder" && ends cat "$M/file" && ends ls -l "$M/inside" && ends mv "$M/more" "$M/folder" && ends touch "$M/folder/f$i") && touch "$W/ended.$i" &
	disown
done
all_ended() { [ "$(find "$W" -maxdepth 1 -name 'ended.*' | wc -l)" = 24 ]; }
await 60 all_ended || unhang # or the end would wait for them, too
same 'nobody hangs who asks for what lies below the mount' 24 "$(find "$W" -maxdepth 1 -name 'ended.*' | wc -l)"
same 'and what lies beside it is served' two "$(timeout -s KILL 20 cat "$M/whole" 2>&1)"
ends ls -l "$M" && pass 'the folder is listed' || fail 'the listing hangs'
refused 'it is an error' 'input/output error' '' stat "$M/folder"
grep -q fuse.hang /proc/self/mounts && umount_store
timeout -s KILL 60 "$BYOKFS" verify "$W/s" >"$W/verify" 2>&1
same 'verify says so and ends' 5 $?
mount_store s
kill_daemons
timeout -s KILL 60 "$BYOKFS" mount "$W/s" "$M" </dev/null >>"$W/cli.log" 2>&1 && pass 'a mount after a crash does not hang' || fail "mount: $(tail -n 3 "$W/cli.log")"
same 'and serves' two "$(timeout -s KILL 20 cat "$M/whole" 2>&1)"
umount_store
unhang
mount_store s
same 'all is there again without it' three "$(cat "$M/inside/x" 2>&1)"
umount_store

# --- names and blocks that are no work of ours: errors for all, lines in the log for some

mount_store s
mkdir "$M/many" && head -c 20000 /dev/urandom >"$M/damaged"
many=$(disk many) damaged=$(disk damaged)
umount_store
(cd "$many" && seq -f 'planted-%.0f' 3000 | xargs touch)
flip "$damaged" 9000
mount_logged s "$W/log"
same 'planted names are not listed' 0 "$(ls "$M/many" | wc -l)"
for i in $(seq 200); do cat "$M/damaged" >/dev/null 2>&1 && fail 'a damaged file is read'; done
corrupt=$(byokfs status "$M" --json | sed -nE 's/.*"corrupt": *([0-9]+).*/\1/p')
[ "$corrupt" -ge 3200 ] && pass 'all are counted' || fail "corrupt is $corrupt"
umount_store
lines=$(grep -c 'does not authenticate' "$W/log")
[ "$lines" -ge 32 ] && [ "$lines" -le 200 ] && pass 'some have a line' || fail "$lines lines"
grep -q 'more lines like those before were left out' "$W/log" && pass 'and the rest is told' || fail "not told: $(tail -n 3 "$W/log")"

# --- links and folders that are none: a listing tells more than names of each, and each fails there

new_store t
mount_store t
mkdir "$M/links" "$M/folders" && echo four >"$M/whole"
for i in $(seq 1500); do ln -s "target$i" "$M/links/l$i" && mkdir "$M/folders/f$i"; done
links=$(find "$W/t/data" -inum "$(stat -c %i "$M/links")") folders=$(find "$W/t/data" -inum "$(stat -c %i "$M/folders")")
umount_store
for f in "$links"/*; do dd if=/dev/zero of="$f" bs=1 seek=60 count=20 conv=notrunc status=none; done
rm "$folders"/*/.byokfs.dir
mount_store t
worker=$(worker_of)
for d in links folders; do
	for i in 1 2 3; do timeout 60 ls -l "$M/$d" >"$W/out" 2>&1; done
	same "$d: each fails" 1500 "$(grep -c 'Input/output error' "$W/out")"
	same "$d: each is named" 1500 "$(find "$M/$d" -mindepth 1 2>/dev/null | wc -l)"
done
same 'the same worker serves' "$worker" "$(worker_of)"
same 'what it serves is right' four "$(cat "$M/whole" 2>&1)"
umount_store
