#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What was held before a lock - a mapping, a handle, a read(2) that waits in the kernel - and what it gives afterwards.
. "$(dirname "$0")/lib.sh"

held=$(tool held) || exit 2
new_store store
mount_store store || exit
head -c 41M /dev/zero | tr '\0' s >"$W/mnt/f"
# rounds: locked, and not: the ways work at all
for round in unlocked locked; do
	coproc H { exec "$held" "$W/mnt/f"; }
	pid=$H_PID
	exec 7<&"${H[0]}" 8>&"${H[1]}"
	: >"$W/$round"
	while read -r line <&7 && [ "$line" != held ]; do echo "$line" >>"$W/$round"; done
	[ $round = unlocked ] || expect 'lock' byokfs lock "$W/mnt"
	echo >&8
	cat <&7 >>"$W/$round"
	exec 8>&- 7<&-
	wait "$pid"
	same "$round: to its end" 0 $?
done
got() { sed -n "s/^$2 //p" "$W/$1"; }
for way in mapping:1:SIGBUS mem:4096:EIO process_vm_readv:4096:EFAULT vmsplice:4096:EFAULT splice:4096:EACCES sendfile:4096:EACCES \
	read:4096:EACCES write-from:4096:EFAULT; do
	IFS=: read -r name before after <<<"$way"
	same "unlocked: $name" "$before" "$(got unlocked "$name")"
	same "locked: $name" "$after" "$(got locked "$name")"
done
case $(got locked parked) in
none) skip 'no userfaultfd here' ;;
*)
	same 'a read(2) that waits for its buffer, unlocked' 41943040 "$(got unlocked parked)"
	# what the kernel had in its hand, which no invalidation takes away; not what it would have gone on to
	[ "$(got locked parked)" -lt 41943040 ] && pass 'over a lock: not to its end' || fail 'over a lock it reads to its end'
	figure "a read(2) of 40 MiB that waited over the lock got $(got locked parked) bytes"
	;;
esac
case $(got locked registered) in
EFAULT | EOPNOTSUPP | EINVAL) pass 'io_uring registers no pages of a shared mapping' ;;
none) skip 'no io_uring here' ;;
*) say "note: this kernel pins pages of a shared mapping for io_uring: $(got locked registered)" ;;
esac
