#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Programs that have never heard of byokfs: restic, git, sqlite, fio, stress-ng, and our fsx.
. "$(dirname "$0")/lib.sh"

new_store store
mount_store store || exit
M=$W/mnt
export HOME=$W RESTIC_PASSWORD=test RESTIC_CACHE_DIR=$W/cache GIT_CONFIG_NOSYSTEM=1

if command -v restic >/dev/null; then
	t0=$(now_ms)
	cp -a "$tree/crypto" "$W/data"
	expect 'restic init' restic -q init -r "$M/restic"
	expect 'restic backup' restic -q backup -r "$M/restic" "$W/data"
	date >"$W/data/new"
	expect 'restic backup again' restic -q backup -r "$M/restic" "$W/data"
	expect 'restic check' restic -q check --read-data -r "$M/restic"
	expect 'restic restore onto the mount' restic -q restore latest -r "$M/restic" --target "$M/restored"
	expect 'restored is the same' diff -r "$W/data" "$M/restored$W/data"
	expect 'restic forget --prune' restic -q forget --keep-last 1 --prune -r "$M/restic"
	figure "restic: $(($(now_ms) - t0)) ms"
else
	skip 'restic is not installed'
fi

if command -v git >/dev/null; then
	t0=$(now_ms)
	(
		git init -q "$W/origin" && cd "$W/origin" && git config user.email a@b && git config user.name n
		cp -r "$tree/crypto" "$tree/fs" "$tree/kms" . && git add . && git commit -qm one
		for i in $(seq 30); do echo "$i" >>crypto/counter && git add . && git commit -qm "$i"; done
	) >/dev/null 2>&1
	expect 'git clone' git clone -q --no-hardlinks "$W/origin" "$M/clone"
	expect 'git commit on the mount' bash -c 'cd "$1" && git config user.email a@b && git config user.name n && for i in 1 2 3; do echo x$i >>new && git add . && git commit -qm "x$i" || exit; done' - "$M/clone"
	expect 'git gc' git -C "$M/clone" gc -q --aggressive --prune=now
	expect 'git fsck' git -C "$M/clone" fsck --full --strict
	same 'git status is clean' '' "$(git -C "$M/clone" status --porcelain 2>&1)"
	figure "git: $(($(now_ms) - t0)) ms"
else
	skip 'git is not installed'
fi

if command -v sqlite3 >/dev/null; then
	same 'sqlite: WAL is taken' wal "$(sqlite3 "$M/db" 'PRAGMA journal_mode=WAL;')"
	expect 'sqlite: inserts' sqlite3 "$M/db" "CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO t SELECT i, randomblob(100) FROM n; UPDATE t SET b=randomblob(200) WHERE a%7=0; DELETE FROM t WHERE a%5=0;"
	for i in 1 2 3; do sqlite3 -cmd '.timeout 20000' "$M/db" "UPDATE t SET b=randomblob(50) WHERE a%$((i + 10))=0; PRAGMA wal_checkpoint(TRUNCATE);" >/dev/null 2>>"$W/sqlite.err" & done
	wait $(jobs -p)
	same 'sqlite: no writer failed' '' "$(cat "$W/sqlite.err")"
	same 'sqlite: integrity' ok "$(sqlite3 "$M/db" 'PRAGMA integrity_check;')"
	expect 'sqlite: vacuum' sqlite3 "$M/db" 'VACUUM;'
	umount_store && mount_store store || exit
	same 'sqlite: integrity after a remount' ok "$(sqlite3 "$M/db" 'PRAGMA integrity_check;')"
else
	skip 'sqlite3 is not installed'
fi

if command -v fio >/dev/null; then
	for rw in write randwrite randrw; do
		for eng in psync mmap; do
			bs=512-64k
			[ $eng = psync ] || bs=4k-64k
			expect "fio $rw $eng with verify" timeout 600 fio --name=v --directory="$M" --filename="fio-$rw-$eng" --rw=$rw --bsrange=$bs --size=24m --ioengine=$eng --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --fsync=64 --minimal --output=/dev/null
		done
	done
	rm -f "$M"/fio-*
else
	skip 'fio is not installed'
fi

fsx=$(tool fsx) || fail 'compiling fsx'
ops=20000
[ -z "${BYOKFS_SHORT:-}" ] || ops=3000
t0=$(now_ms)
for seed in 1 2 3; do
	expect "fsx seed $seed" timeout 900 "$fsx" "$M/fsx" $seed $ops
done
expect 'fsx, small file' timeout 900 "$fsx" "$M/fsx" 4 $ops 20000
figure "fsx: 4 x $ops operations in $(($(now_ms) - t0)) ms"

if command -v stress-ng >/dev/null; then
	secs=4
	# each stressor verifies what it can; those that need a device or a quota of their own are left out
	for s in access chattr:- chmod chown copy-file dentry dir dirdeep dup fallocate fcntl fiemap:- filename flock fpunch:- fstat getdent hdd io iomix:- link locka lockf lockofd mknod mmap:- open readahead rename seek sendfile symlink sync-file touch unlink utime verity:- xattr; do
		case $s in *:-) continue ;; esac
		stress-ng --"$s" 0 --help >/dev/null 2>&1 || continue
		extra=
		[ "$s" = hdd ] && extra='--hdd-bytes 8m'
		[ "$s" = fallocate ] && extra='--fallocate-bytes 8m'
		[ "$s" = copy-file ] && extra='--copy-file-bytes 128m'
		[ "$s" = readahead ] && extra='--readahead-bytes 8m'
		[ "$s" = seek ] && extra='--seek-size 8m'
		mkdir -p "$M/stress"
		out=$(timeout 300 stress-ng --temp-path "$M/stress" --"$s" 1 --"$s-ops" 2000 $extra --timeout ${secs}s --verify --metrics-brief 2>&1)
		rc=$?
		# 3 = could not be run here (not a failure); 4 = skipped
		case $rc in
		0) pass "stress-ng $s" ;;
		3 | 4) skip "stress-ng $s: $(grep -m 1 -i skip <<<"$out")" ;;
		*) fail "stress-ng $s (exit $rc): $(grep -E 'fail|error' <<<"$out" | head -n 4)" ;;
		esac
		rm -rf "$M/stress"
	done
else
	skip 'stress-ng is not installed'
fi
umount_store
expect 'verify' byokfs verify "$W/store"
