#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What was lost stays lost: a range that a full disk or a lock took reads as an error after a remount, until it is written again.
. "$(dirname "$0")/lib.sh"

M=$W/mnt
P=1023 # pages of a file: the last one is written by each way of writing
write() { timeout $HANG python3 "$here/lost.py" write "$@"; }
pages() { timeout $HANG python3 "$here/lost.py" map "$@"; }
lost_ranges() { byokfs status "$M" --json | sed -nE 's/.*"lost_ranges": *([0-9]+).*/\1/p'; }
count() { tr -cd "$1" <<<"$2" | wc -c; }
# some_lost TEXT MAP: errors, and right pages, and nothing that nobody wrote
some_lost() {
	[ "$(count E "$2")" -gt 0 ] && [ "$(count . "$2")" -gt 0 ] && pass "$1: some of it is lost" || fail "$1: not just some of it is lost: $2"
	same "$1: and nothing else is there" '' "$(tr -d '.E\n' <<<"$2")"
}
# remounted HOW [OPTIONS]: the mount ends, well or killed with all its processes, and the next one begins
remounted() {
	if [ "$1" = killed ]; then
		kill_daemons
		umount -l "$M" 2>/dev/null
	else
		umount_store
	fi
	shift
	mount_store full/s "$@" || exit
}

# --- a full disk: by write(2), by a mapping, the last page first, every other page
truncate -s 400M "$W/full.img"
mkfs.ext4 -q -F -m 0 "$W/full.img"
mkdir "$W/full"
mount -o loop "$W/full.img" "$W/full" || { fail 'a small disk'; exit; }
new_store full/s
# a page that is synced and written over needs the undo journal, which is to have its room before there is none
mount_store full/s || exit
echo old >"$M/first" && sync "$M/first"
echo new 1<>"$M/first" && sync "$M/first"
rm "$M/first"
same 'the journal is made' 16777216 "$(byokfs status "$M" --json | sed -nE 's/.*"journal_bytes": *([0-9]+).*/\1/p')"
umount_store
declare -A was
for how in write map back holes; do
	free=3
	[ $how != holes ] || free=2 # it writes half as much
	mount_store full/s || exit # a mount that has just met a full disk lets nothing into the cache
	same "$how: fsync tells" ENOSPC "$(write "$M/$how" $P $how $((free << 20)) "$W/full")"
	rm "$W/full/filler"
	was[$how]=$(pages "$M/$how" $P)
	some_lost "$how" "$(tr -d 0 <<<"${was[$how]}")"
	figure "$how: of $P pages $(count E "${was[$how]}") are lost, $(count 0 "${was[$how]}") are zeros"
	umount_store
done
mount_store full/s || exit
same 'what nobody wrote between pages is a hole' $((P / 2)) "$(count 0 "${was[holes]}")"
same 'and there is no other' "$(for _ in write map back; do printf 0; done)" "$(for how in write map back; do count 0 "${was[$how]}"; done | tr -d '\n')"
ranges=$(lost_ranges)
[ "$ranges" -gt 4 ] && pass 'status counts them' || fail "lost_ranges is $ranges"
for end in well killed 'well -o ro'; do
	remounted $end
	same "ended $end: status still counts them" "$ranges" "$(lost_ranges)"
	for how in write map back holes; do
		same "$how: the size, ended $end" $((P * 4096)) "$(stat -c %s "$M/$how")"
		same "$how: what reads and what does not, ended $end" "${was[$how]}" "$(pages "$M/$how" $P)"
	done
done
refused 'a copy that leaves holes out meets the error' 'Input/output' '' cp --sparse=always "$M/holes" "$W/copy"
umount_store
byokfs verify "$W/full/s" >"$W/verify.out" 2>&1
same 'verify: damage' 5 $?
for how in write map back holes; do
	grep -qE "/$how\b.*lost" "$W/verify.out" && pass "verify names $how" || fail "verify does not name $how: $(head -n 5 "$W/verify.out")"
done
first=$(sed 's/E.*//' <<<"${was[write]}" | tr -d '\n' | wc -c)
grep -q "/write.*bytes $((first * 4096)) to" "$W/verify.out" && pass 'and the range' || fail "verify does not name byte $((first * 4096)): $(grep '/write' "$W/verify.out" | head -n 3)"
cp -a "$W/full/s" "$W/altered" # for later

# --- until it is written again, cut off, removed or replaced
mount_store full/s || exit
expect 'written again' bash -c 'python3 "$1" write "$2" '$P' write | grep -q ok' - "$here/lost.py" "$M/write"
same 'it is there' "$(printf '%*s' $P '' | tr ' ' .)" "$(pages "$M/write" $P)"
first=$(sed 's/E.*//' <<<"${was[map]}" | tr -d '\n' | wc -c)
truncate -s $((first * 4096)) "$M/map"
same 'cut off' "$(printf '%*s' "$first" '' | tr ' ' .)-" "$(pages "$M/map" $((first + 1)))"
truncate -s $(((first + 1) * 4096)) "$M/map"
same 'and grown again it has zeros' 0 "$(pages "$M/map" $((first + 1)) "$first")"
rm "$M/back"
echo new >"$W/new" && cp "$W/new" "$M/new" && mv "$M/new" "$M/holes"
expect 'a sync takes the list along' sync "$M/write"
same 'nothing is lost any more' 0 "$(lost_ranges)"
remounted killed
same 'nor after a kill' 0 "$(lost_ranges)"
same 'written again and killed' "$(printf '%*s' $P '' | tr ' ' .)" "$(pages "$M/write" $P)"
umount_store
expect 'verify is content' byokfs verify "$W/full/s"
umount "$W/full"

# --- the list taken away or altered: told, and what was lost is no hole without it either
for harm in removed flipped; do
	rm -rf "$W/harmed"
	cp -a "$W/altered" "$W/harmed"
	case $harm in
	removed) rm "$W/harmed/byokfs/lost" ;;
	flipped) flip "$W/harmed/byokfs/lost" 150 ;;
	esac
	byokfs verify "$W/harmed" --accept-older-session >"$W/verify.out" 2>&1
	same "$harm: verify: damage" 5 $?
	grep -q 'lost was taken away, altered or put back' "$W/verify.out" && pass "$harm: verify tells" || fail "$harm: $(head -n 3 "$W/verify.out")"
	: >"$W/log"
	mount_logged harmed "$W/log" --allow-copy --accept-older-session || exit
	grep -q 'taken away, altered or put back' "$W/log" && pass "$harm: a mount tells" || fail "$harm: the log says: $(cat "$W/log")"
	for how in write back; do
		same "$harm: $how: no zeros that nobody wrote" 0 "$(count 0 "$(pages "$M/$how" $P)")"
	done
	umount_store
	byokfs verify "$W/harmed" --repair >"$W/verify.out" 2>&1
	grep -q 'lost was taken away' "$W/verify.out" && pass "$harm: it is told until it is repaired" || fail "$harm: repair: $(head -n 3 "$W/verify.out")"
	byokfs verify "$W/harmed" >"$W/verify.out" 2>&1
		grep -q 'lost was taken away' "$W/verify.out" && fail "$harm: it is told after the repair" || pass "$harm: and not after it"
done

# --- a disk that breaks: the file is shorter on disk than it was told to be, and reads as an error where it was written to
FAILSTORE=$W/failstore
export FAILSTORE
failing() { printf '%-15d' "$1" 1<>"$FAILSTORE"; }
failing 0
"${CC:-gcc}" -std=gnu17 -shared -fPIC -O2 -Wall -Wextra -D_GNU_SOURCE -o "$W/failstore.so" "$here/failstore.c" || fail 'compiling failstore'
printf "printf '%%-15d' 5 1<>'%s'\n" "$FAILSTORE" >"$W/break"
new_store broken
LD_PRELOAD=$W/failstore.so mount_store broken || exit
same 'EIO: fsync tells' EIO "$(write "$M/f" 512 back - bash "$W/break")"
failing 0
umount_store
mount_store broken || exit
same 'EIO: all but the last page is lost' "$(printf '%*s' 511 '' | tr ' ' E)." "$(pages "$M/f" 512)"
same 'EIO: the size' $((512 * 4096)) "$(stat -c %s "$M/f")"
same 'EIO: cut to its middle' "$(printf '%*s' 256 '' | tr ' ' E)-" "$(truncate -s 1M "$M/f" && pages "$M/f" 257)"
umount_store
unset FAILSTORE
byokfs verify "$W/broken" >"$W/verify.out" 2>&1
same 'EIO: verify: damage' 5 $?
grep -q 'bytes 0 to 1048575 are lost' "$W/verify.out" && pass 'EIO: verify names it' || fail "EIO: verify: $(head -n 3 "$W/verify.out")"
same 'told once' 1 "$(grep -c 'were lost by an earlier mount' "$W/verify.out")"

# --- a lock that has no time for what was written: by an order, with large blocks, of which pages are parts, so that each is read first,
# and 400 ms for that
slow_store || exit
new_store s --block-size 65536
LD_PRELOAD=$slow_lib mount_store s || exit
cat >"$W/lock" <<END
printf '%-15d%-15d%-15d\n' 400000 0 0 1<>"$SLOWSTORE"
exec "$BYOKFS" lock "$M"
END
for how in write back; do
	told=$(write "$M/$how" 4096 again - bash "$W/lock" 2>>"$W/cli.log")
	[[ $told == E* ]] && pass "$how: fsync tells of the lock: $told" || fail "$how: fsync said [$told]"
	slow 0 0
	[ $how = back ] && break # this one ends while it is locked
	expect 'unlock' byokfs unlock "$M"
	was[$how]=$(pages "$M/$how" 4096)
	some_lost "locked, $how" "${was[$how]}"
done
umount_store
mount_store s || exit
same 'locked, write: the same after a remount' "${was[write]}" "$(pages "$M/write" 4096)"
was[back]=$(pages "$M/back" 4096)
some_lost 'ended while locked' "${was[back]}"
for how in write back; do
	figure "locked, $how: of 4096 pages $(count E "${was[$how]}") are lost"
	expect 'written again' bash -c 'python3 "$1" write "$2" 4096 back | grep -q ok' - "$here/lost.py" "$M/$how"
	same 'and there' "$(printf '%*s' 4096 '' | tr ' ' .)" "$(pages "$M/$how" 4096)"
done
umount_store
expect 'verify is content' byokfs verify "$W/s"
