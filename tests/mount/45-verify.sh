#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# verify and inspect by the command line: exit codes, messages, JSON, repairs, a planted fifo, a mounted and a locked store.
. "$(dirname "$0")/lib.sh"

S=$W/store
# code TEXT CODE COMMAND...: exits with CODE; output in $W/out, errors in $W/err
code() {
	local text=$1 want=$2 rc
	shift 2
	timeout 300 "$@" </dev/null >"$W/out" 2>"$W/err"
	rc=$?
	if [ $rc -eq "$want" ]; then pass "$text"; else fail "$text: exit $rc, expected $want: $(tail -n 3 "$W/out" "$W/err")"; fi
}
# says TEXT PATTERN: the last output has it
says() {
	if grep -qE -e "$2" "$W/out" "$W/err"; then pass "$1"; else fail "$1: no /$2/ in: $(tail -n 4 "$W/out") $(tail -n 2 "$W/err")"; fi
}
# field NAME: of the last JSON line
field() { tail -n 1 "$W/out" | python3 2>/dev/null -c 'import json, sys; print(json.loads(sys.stdin.read())[sys.argv[1]])' "$1"; }
# valid: every line of the output is one JSON object
valid() {
	if python3 -c 'import json, sys
for line in open(sys.argv[1], "rb"):
    assert isinstance(json.loads(line), dict)' "$W/out"; then pass "JSON: $1"; else fail "JSON: $1: $(tail -n 2 "$W/out")"; fi
}
# file_of NAME: where a plain name lies, by its inode (mounted)
disk_of() { find "$S/data" -inum "$(stat -c %i "$W/mnt/$1")" -type "${2:-f}" -print -quit; }

new_store store
code 'a new store' 0 "$BYOKFS" verify "$S"
says 'nothing wrong' 'nothing wrong'
mount_store store
long=$(printf 'n%.0s' $(seq 240))
head -c 20000 /dev/urandom >"$W/mnt/data"
head -c 100 /dev/urandom >"$W/mnt/$long"
mkdir "$W/mnt/folder"
printf 'x' >"$W/mnt/folder/line
break"
printf 'y' >"$W/mnt/$(printf 'bad \377 utf8 \033[31m')"
ln -s target "$W/mnt/link"
truncate -s 40M "$W/mnt/sparse"
printf 'end' >>"$W/mnt/sparse"
setfattr -n user.colour -v green "$W/mnt/data" 2>/dev/null || skip 'no extended attributes here'
sync
data=$(disk_of data)
odd=$(find "$S/data" -inum "$(stat -c %i "$W/mnt/bad "*)" -print -quit)
folder=$(disk_of folder d)

code 'a mounted store' 6 "$BYOKFS" verify "$S"
says 'names its mount point' "in use .*$W/mnt"
code 'a mounted store without the key' 0 "$BYOKFS" verify "$S" --no-key
says 'says so' 'structure only'
key disable
wait_state locked 20
code 'a locked store without the key' 0 "$BYOKFS" verify "$S" --no-key
umount_store
code 'a refused key' 3 "$BYOKFS" verify "$S"
key enable
code 'after use' 0 "$BYOKFS" verify "$S"
says 'nothing wrong' 'nothing wrong'
sum() { find "$S" -type f -not -name lock -exec sha256sum {} + | sort | sha256sum; }
before=$(sum)
code 'as JSON' 0 "$BYOKFS" verify "$S" --json
valid 'a clean store'
same 'a clean store is not written to' "$before" "$(sum)"
same 'files' 5 "$(field files)"
same 'specials' 1 "$(field specials)"
same 'damage' 0 "$(field damage)"

# usage
code 'no store named' 2 "$BYOKFS" verify
code 'near miss' 2 "$BYOKFS" verify "$S" --repare
says 'is suggested' "did you mean '--repair'"
code 'repair without the key' 2 "$BYOKFS" verify "$S" --no-key --repair
code 'no store there' 8 "$BYOKFS" verify "$W/nothing"
code 'help' 0 "$BYOKFS" verify --help

# damage: a block, a name that needs escaping, an attribute, a fifo, a link out of the store
cp -a "$S" "$W/good"
flip "$data" 10000
flip "$odd" 560
code 'two altered files' 5 "$BYOKFS" verify "$S"
says 'which block of which file' '^damage: /data \(data/[A-Za-z0-9_-]+\): block 2 '
says 'names are escaped' '^damage: /bad \\xff utf8 \\x1b\[31m '
if grep -q "$(printf '\033')" "$W/out"; then fail 'an escape sequence reached the terminal'; else pass 'no escape sequence'; fi
code 'the same as JSON' 5 "$BYOKFS" verify "$S" --json
valid 'damage and odd names'
same 'counted' 2 "$(field damage)"
says 'code and block' '"code": "block".*"block": 2, "last": 2'
code 'repair cannot mend that' 5 "$BYOKFS" verify "$S" --repair
code 'and without the key it is not to be seen' 0 "$BYOKFS" verify "$S" --no-key
rm -rf "$S" && cp -a "$W/good" "$S"

mkfifo "$S/data/fifo"
ln -s /etc/passwd "$folder/outside"
code 'a fifo and a link' 5 "$BYOKFS" verify "$S"
says 'are no objects' 'neither a directory nor a regular file'
code 'without the key' 5 "$BYOKFS" verify "$S" --no-key
code 'inspect a fifo' 5 "$BYOKFS" inspect "$S/data/fifo"
code 'inspect a link' 5 "$BYOKFS" inspect "$folder/outside"
code 'repair moves them' 0 "$BYOKFS" verify "$S" --repair
same 'into lost+found' 2 "$(find "$S/byokfs/lost+found" -mindepth 1 | wc -l)"
code 'and all is well' 0 "$BYOKFS" verify "$S"
says 'nothing wrong' 'nothing wrong'

# cut, emptied, sidecar gone, orphan sidecar, keyring copy
side=$(find "$S/data" -name '.byokfs.name.*')
cp "$side" "${side%??}AA"
code 'an orphan sidecar' 0 "$BYOKFS" verify "$S"
says 'is a note' '^note: '
code 'is swept' 0 "$BYOKFS" verify "$S" --repair
[ ! -e "${side%??}AA" ] && pass 'gone' || fail 'the orphan sidecar is still there'
rm "$side"
code 'a sidecar gone' 5 "$BYOKFS" verify "$S"
rm -rf "$S" && cp -a "$W/good" "$S"
echo x >"$side"
code 'a damaged sidecar: its name is given anew' 0 "$BYOKFS" verify "$S" --repair
says 'told once' 'repaired: 1$'
code 'and nothing of it is left over' 0 "$BYOKFS" verify "$S" --repair
says 'nothing at all' 'nothing wrong'
rm -rf "$S" && cp -a "$W/good" "$S"
size=$(stat -c %s "$data")
for n in 0 1 511 512 571 572 573 $((512 + 4124)) $((512 + 4123)) $((512 + 4125)) $((size - 1)) $((size + 1)); do
	cp -a "$W/good/${data#"$S"/}" "$data"
	truncate -s "$n" "$data"
	code "cut to $n" 5 "$BYOKFS" verify "$S"
	code "cut to $n, without the key" 5 "$BYOKFS" verify "$S" --no-key
done
rm -rf "$S" && cp -a "$W/good" "$S"
for f in keyring keyring.copy; do
	rm "$S/byokfs/$f"
	code "$f missing" 5 "$BYOKFS" verify "$S"
	code "$f missing, repair" 0 "$BYOKFS" verify "$S" --repair
	same "$f is back" "$(cat "$W/good/byokfs/keyring" | sha256sum)" "$(cat "$S/byokfs/$f" | sha256sum)"
done
rm "$S"/byokfs/keyring*
code 'both keyring copies missing' 5 "$BYOKFS" verify "$S"
rm -rf "$S" && cp -a "$W/good" "$S"

# what nothing can be told of, and so cannot be removed: altered symlinks and fifos, a file as long as one of them
mount_store store
mkdir "$W/mnt/stuck"
ln -s target "$W/mnt/stuck/link"
mkfifo "$W/mnt/stuck/fifo"
head -c 20000 /dev/urandom >"$W/mnt/stuck/cut"
stuck=$(disk_of stuck d)
cut=$(disk_of stuck/cut f) link=$(disk_of stuck/link f) fifo=$(disk_of stuck/fifo f)
umount_store
flip "$link" 40
truncate -s "$(stat -c %s "$fifo")" "$cut"
flip "$fifo" 30
code 'three that do not open' 5 "$BYOKFS" verify "$S"
code 'are moved' 5 "$BYOKFS" verify "$S" --repair
says 'into lost+found' 'moved to .*lost.found'
code 'and it is well' 0 "$BYOKFS" verify "$S" --repair
same 'nothing is left in their folder' '.byokfs.dir' "$(ls -A "$stuck")"
same 'and nothing is lost' 3 "$(find "$S/byokfs/lost+found" -type f -size +4k -newer "$W/ks/keystore" ! -name '*.from-*' ! -name names | wc -l)"
mount_store store
expect 'it can be removed' rm -r "$W/mnt/stuck"
umount_store
rm -rf "$S" && cp -a "$W/good" "$S"

# a folder that lost its id, and names that lost their folder: got back, and got rid of
mount_store store
mkdir "$W/mnt/lost" "$W/mnt/lost/inner"
echo precious >"$W/mnt/lost/file"
echo deeper >"$W/mnt/lost/inner/leaf"
lost=$(disk_of lost d)
umount_store
rm "$lost/.byokfs.dir"
touch "$lost/.DS_Store"
code 'a folder without its id' 5 "$BYOKFS" verify "$S"
says 'told' "id .* is missing"
code 'repaired' 0 "$BYOKFS" verify "$S" --repair
code 'clean afterwards' 0 "$BYOKFS" verify "$S"
mount_store store
same 'what was in it is there' 'deeper precious' "$(find "$W/mnt/lost" -type f -exec cat {} + | sort | tr '\n' ' ' | sed 's/ $//')"
[ -f "$W/mnt/lost/inner/leaf" ] && kept=0 || kept=2 # on ext, xfs and btrfs the id is known without its file
expect 'and can be removed' rm -r "$W/mnt/lost"
umount_store
same 'old names are kept' $kept "$(cat "$S/byokfs/lost+found/names" 2>/dev/null | grep -c '^[0-9]* [A-Za-z0-9_-]*$')"
[ -e "$(find "$S/byokfs/lost+found" -name '*.DS_Store' | head -n 1)" ] && pass 'a foreign file is kept outside the tree' || fail 'the foreign file is nowhere'
rm -rf "$S" && cp -a "$W/good" "$S"

# after a crash: the session says so, stumps and unfinished files are what a crash leaves
mount_logged store "$W/log"
head -c 50000 /dev/urandom >"$W/mnt/cut"
sync
cut=$(disk_of cut)
kill_daemons
wait "$daemon" 2>/dev/null
umount -l "$W/mnt" 2>/dev/null
truncate -s $((512 + 3 * 4124 + 1000)) "$cut"
code 'after a crash' 0 "$BYOKFS" verify "$S"
says 'tells what was left' '^crash: /cut .* up to block 3'
says 'and what to do' 'verify --repair'
code 'as JSON' 0 "$BYOKFS" verify "$S" --json
same 'unclean' True "$(field unclean)"
same 'crash' 1 "$(field crash)"
same 'not marked clean' False "$(field marked_clean)"
code 'repair' 0 "$BYOKFS" verify "$S" --repair --json
same 'repaired' 1 "$(field repaired)"
same 'marked clean' True "$(field marked_clean)"
same 'what was cut off is kept' 1000 "$(find "$S/byokfs/lost+found" -name '*.from-*' -printf '%s\n')"
mount_store store
same 'its blocks are there' 12288 "$(stat -c %s "$W/mnt/cut")"
cat "$W/mnt/cut" >/dev/null && pass 'and readable' || fail 'a sealed file does not read'
umount_store
code 'clean again' 0 "$BYOKFS" verify "$S"
says 'nothing wrong' 'nothing wrong'

# inspect: every kind of file, in words and in JSON, no key, nothing secret
key disable
for f in keyring keyring.copy session inflight lock; do
	code "inspect $f" 0 "$BYOKFS" inspect "$S/byokfs/$f"
	code "inspect $f as JSON" 0 "$BYOKFS" inspect "$S/byokfs/$f" --json
	valid "inspect $f"
done
for f in "$data" "$folder/.byokfs.dir" "$(find "$S/data" -name '.byokfs.name.*')" "$(find "$S/data" -type f -size -10k ! -name '.byokfs*' -print -quit)"; do
	code "inspect ${f#"$S"/}" 0 "$BYOKFS" inspect "$f" --json
	valid "${f#"$S"/}"
done
code 'inspect a data file' 0 "$BYOKFS" inspect "$data" --json
same 'plain size' 20000 "$(field plain_size)"
same 'blocks' 4 "$(field blocks)"
cp "$data" "$W/alone"
code 'outside a store' 0 "$BYOKFS" inspect "$W/alone"
says 'the block size is wanted' 'block-size'
code 'and given' 0 "$BYOKFS" inspect "$W/alone" --block-size 4096 --json
same 'plain size' 20000 "$(field plain_size)"
truncate -s 700 "$W/alone"
code 'cut' 5 "$BYOKFS" inspect "$W/alone" --block-size 4096
code 'a pin' 0 "$BYOKFS" inspect "$(find "${BYOKFS_STATE_DIR:-/var/lib/byokfs}" -name '*.pin' -print -quit)" --json
valid 'a pin'
code 'not ours' 2 "$BYOKFS" inspect /etc/passwd
code 'a directory' 2 "$BYOKFS" inspect "$S"
code 'nothing' 8 "$BYOKFS" inspect "$W/nothing"
code 'a bad block size' 2 "$BYOKFS" inspect "$data" --block-size 5000
wrapped=$(od -An -tx1 -v "$S/byokfs/keyring" | tr -d ' \n' | tail -c 100)
byokfs inspect "$S/byokfs/keyring" >"$W/out" 2>&1
[ ${#wrapped} -eq 100 ] || fail 'the end of the keyring is not known'
if tr -d ' \n' <"$W/out" | grep -qi "${wrapped:0:32}"; then fail 'bytes of the box are shown'; else pass 'no bytes of the box'; fi
