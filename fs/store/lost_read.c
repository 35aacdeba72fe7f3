/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading STORE/byokfs/lost: what of it is authentic, and whether it was taken away or altered. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/store/lost_own.h"
#include "fs/store/store_own.h"

int lost_fetch(const struct lost *l, uint8_t **out, uint64_t *ino)
{
	struct stat st;
	AUTO(auto_close) int fd = store_open_file(l->cfg.own_fd, STORE_LOST, O_RDONLY);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != LOST_LEN)
		return -EUCLEAN;
	AUTO(auto_free) uint8_t *bytes = malloc(LOST_LEN);
	int r = bytes ? store_pread_full(fd, bytes, LOST_LEN, 0) : -ENOMEM;
	if (r)
		return r;
	*out = bytes;
	*ino = st.st_ino;
	bytes = NULL;
	return 0;
}

static int take_entry(struct lost *l, const struct lost_entry *e, uint32_t slot, bool moved)
{
	struct lost_file *f = lost_file_of(l, &(struct lost_of){e->file_id, moved ? 0 : e->ino});
	struct lost_placed *p = f ? realloc(f->placed, (f->n_placed + 1) * sizeof(*p)) : NULL;

	if (!p)
		return -ENOMEM;
	f->placed = p;
	f->placed[f->n_placed++] = (struct lost_placed){.range = {e->start, e->end}, .slot = slot};
	l->used[slot] = 1;
	l->n_used++;
	return ranges_add(&f->now, e->start, e->end);
}

int lost_take(struct lost *l, const uint8_t *bytes, uint64_t ino, bool *as_is)
{
	struct lost_head h = {0};
	bool bad = false;
	int r = lost_head_parse(l->key, bytes, LOST_HEAD_LEN, &h);

	if (r && r != -EBADMSG)
		return r;
	bool moved = r != 0 || h.ino != ino;
	/* a store without the feature may have been written by who does not know the list */
	bad = r != 0 || (l->cfg.expected && h.session < l->cfg.last_session);
	for (uint32_t slot = 0; slot < LOST_SLOTS; slot++) {
		struct lost_entry e;

		r = lost_entry_parse(l->key, bytes + LOST_HEAD_LEN + (size_t)slot * LOST_ENTRY_LEN, &e);
		bad = bad || r == -EBADMSG;
		if (!r)
			r = take_entry(l, &e, slot, moved);
		if (r && r != -ENOENT && r != -EBADMSG)
			return r;
	}
	for (size_t i = 0; i < l->n_files; i++)
		lost_sort(l->file[i]);
	l->head.altered = bad || h.altered;
	l->head.overflowed = h.overflowed;
	*as_is = !bad && !moved;
	return 0;
}
