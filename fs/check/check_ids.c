/* SPDX-License-Identifier: BSD-2-Clause */
/* The set of ids seen by a check: hard links are looked at once, copied objects are found. */
#include <errno.h>
#include <stdlib.h>

#include "fs/check/check_own.h"

#define IDS_FIRST 4096u
#define IDS_CAP_MAX (1u << 23) /* 128 MiB; beyond, copies are no longer looked for */

static uint64_t inode_key(const struct stat *st)
{
	uint64_t key = (uint64_t)st->st_ino ^ ((uint64_t)st->st_dev << 40);
	return key ? key : 1;
}

static struct check_id *place(struct check_id *slot, size_t cap, uint64_t id)
{
	size_t i = (size_t)(id ^ (id >> 32)) & (cap - 1);
	while (slot[i].inode && slot[i].id != id)
		i = (i + 1) & (cap - 1);
	return &slot[i];
}

static int grow(struct check_ids *ids)
{
	size_t cap = ids->cap ? ids->cap * 2 : IDS_FIRST;
	struct check_id *slot = calloc(cap, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < ids->cap; i++)
		if (ids->slot[i].inode)
			*place(slot, cap, ids->slot[i].id) = ids->slot[i];
	free(ids->slot);
	ids->slot = slot;
	ids->cap = cap;
	return 0;
}

static int add(struct check_ids *ids, uint64_t id, uint64_t inode, enum check_seen *seen)
{
	if ((ids->n + 1) * 4 > ids->cap * 3) {
		if (ids->cap == IDS_CAP_MAX) {
			ids->full = true;
			*seen = CHECK_NEW;
			return 0;
		}
		int r = grow(ids);
		if (r)
			return r;
	}
	struct check_id *e = place(ids->slot, ids->cap, id);
	*seen = !e->inode ? CHECK_NEW : e->inode == inode ? CHECK_SAME : CHECK_OTHER;
	if (*seen == CHECK_NEW) {
		*e = (struct check_id){.id = id, .inode = inode};
		ids->n++;
	}
	return 0;
}

int check_ids_add(struct check_ids *ids, const uint8_t id[ID_LEN], const struct stat *st, enum check_seen *seen)
{
	pthread_mutex_lock(&ids->lock);
	int r = add(ids, be64_get(id), inode_key(st), seen);
	pthread_mutex_unlock(&ids->lock);
	return r;
}

void check_ids_free(struct check_ids *ids)
{
	free(ids->slot);
	ids->slot = NULL;
	ids->n = ids->cap = 0;
}
