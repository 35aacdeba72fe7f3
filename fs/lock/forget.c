/* SPDX-License-Identifier: BSD-2-Clause */
/* Making the kernel forget a file that may be written to meanwhile, and what the threads that do so have in common. */
#include <sys/resource.h>

#include "fs/inode/file.h"
#include "fs/lock/lock_own.h"

#define PIECE (8ull << 20)
#define PIECES_MAX 1024u
#define WRITE_MAX (2ull << 30) /* of one write(2), the kernel's limit; it may lie behind our end of the file */

void lock_hurry(void)
{
	(void)setpriority(PRIO_PROCESS, 0, -20); /* on Linux: of this thread */
}

void lock_beat(struct lock *l)
{
	if (l->cfg.beacon)
		atomic_fetch_add(&l->cfg.beacon->beat, 1);
}

bool lock_writable(struct lock *l, uint64_t ino, uint64_t *size)
{
	struct node *n = node_pin(l->cfg.nodes, ino);

	if (!n)
		return false;
	pthread_mutex_lock(&n->lock);
	struct file *f = atomic_load(&n->file);
	bool writable = f && f->writers > 0;
	if (size)
		*size = writable ? file_size(f) : 0;
	pthread_mutex_unlock(&n->lock);
	node_unpin(l->cfg.nodes, n);
	return writable;
}

/* An invalidation would throw away the reply by which the kernel is made to ask (rootsync.c). */
static void let_ask(struct lock *l)
{
	while (clock_ms(CLOCK_BOOTTIME) < atomic_load(&l->ask_until))
		clock_pause(1);
}

/*
 * From the end down: a write(2) under way goes up, so the two meet once. Upwards, one call would run right behind it, page
 * by page, for as long as it lasts. What it makes dirty behind our back is the janitor's.
 */
int lock_forget(struct lock *l, uint64_t ino)
{
	uint64_t size, piece = PIECE;

	if (!lock_writable(l, ino, &size))
		return lock_forget_inode(l, ino, 0, 0);
	while (size / piece >= PIECES_MAX)
		piece *= 2;
	uint64_t at = (size / piece + 1 + WRITE_MAX / piece) * piece;
	let_ask(l);
	int r = lock_forget_inode(l, ino, (int64_t)at, 0);
	while (!r && at > 0) {
		at -= piece;
		let_ask(l);
		r = lock_forget_inode(l, ino, (int64_t)at, (int64_t)piece);
		lock_beat(l);
	}
	return r;
}
