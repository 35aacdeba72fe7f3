/* SPDX-License-Identifier: BSD-2-Clause */
/* The beginning and the end of a file's account of what is durable. */
#include <stdlib.h>
#include <time.h>

#include "fs/inode/keep_own.h"

void keep_new(struct node *n)
{
	n->keep = calloc(1, sizeof(*n->keep));
	if (n->keep)
		n->keep->since = clock_ms(CLOCK_MONOTONIC);
}

void keep_closed(struct file *f)
{
	struct keep *k = f->node->keep;

	/* the journal holds a descriptor of it, and the kernel may know a million nodes */
	if (!k || !k->owner)
		return;
	f->node->keep = NULL;
	keep_free(k);
}

void keep_free(struct keep *k)
{
	if (!k)
		return;
	if (k->owner)
		journal_leave(k->journal, k->owner);
	fresh_clear(&k->fresh);
	free(k);
}
