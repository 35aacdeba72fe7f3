/* SPDX-License-Identifier: BSD-2-Clause */
/* What a file has lost: remembered, asked for, found again; and that what it left empty is no hole. */
#include "fs/inode/file_own.h"

#include <unistd.h>

static struct lost_of of(const struct file *f)
{
	return (struct lost_of){f->file_id, f->node->ino};
}

bool file_is_lost(const struct file *f, uint64_t off, uint64_t len)
{
	return atomic_load(&f->node->lost_any) && lost_hit(f->env->lost, f->file_id, off, off + len);
}

bool file_lost_block(struct file *f, uint64_t no)
{
	uint64_t b = f->env->layout.block_len;
	const struct lost_of lost = of(f);

	return file_is_lost(f, no * b, b) && lost_add(f->env->lost, &lost, no * b, (no + 1) * b) == 0;
}

bool file_next_lost(const struct file *f, uint64_t pos, struct range *out)
{
	return atomic_load(&f->node->lost_any) && lost_next(f->env->lost, f->file_id, pos, out);
}

void file_lost(struct file *f, uint64_t off, uint64_t len)
{
	const struct lost_of lost = of(f);

	if (!f->env->lost || lost_add(f->env->lost, &lost, off, off + len))
		f->broken = true;               /* all of it rather than zeros where there were bytes */
	atomic_store(&f->node->lost_any, true); /* behind it: file_found() looks at both in the other order */
}

void file_found(struct file *f, uint64_t start, uint64_t end)
{
	const struct lost_of found = of(f);

	if (!atomic_load(&f->node->lost_any))
		return;
	lost_cut(f->env->lost, &found, start, end);
	if (lost_any(f->env->lost, &found))
		return;
	atomic_store(&f->node->lost_any, false);
	if (lost_any(f->env->lost, &found)) /* another write has failed meanwhile */
		atomic_store(&f->node->lost_any, true);
	else
		atomic_store(&f->node->write_error, 0);
}

void file_lost_noted(struct file *f, bool durable)
{
	if (!lost_pending(f->env->lost))
		return;
	/* what was written instead is there before the list forgets what it was written over */
	if (fdatasync(f->fd) == 0)
		(void)(lost_sync(f->env->lost, durable) == 0); /* the log tells; nothing of F is less safe for it */
}

/* The first blocks of [*FIRST, END) of which nothing is lost, up to *STOP; false: there are none. */
static bool next_gap(const struct file *f, uint64_t *first, uint64_t end, uint64_t *stop)
{
	uint64_t b = f->env->layout.block_len;
	struct range lost;

	while (*first < end) {
		if (!atomic_load(&f->node->lost_any) || !lost_next(f->env->lost, f->file_id, *first * b, &lost))
			lost.start = UINT64_MAX;
		*stop = lost.start / b < end ? lost.start / b : end;
		if (*stop > *first)
			return true;
		*first = lost.end / b + (lost.end % b != 0);
	}
	return false;
}

bool file_has_gap(const struct file *f, uint64_t first, uint64_t end)
{
	uint64_t stop;

	return next_gap(f, &first, end, &stop);
}

int file_gaps_add(const struct file *f, struct ranges *gaps, uint64_t first, uint64_t end)
{
	int r = 0;

	for (uint64_t stop; !r && next_gap(f, &first, end, &stop); first = stop)
		r = ranges_add(gaps, first, stop);
	return r;
}

void file_gaps_lost(const struct file *f, struct ranges *gaps)
{
	struct ranges left = {0};
	int r = 0;

	if (gaps->n == 0 || !atomic_load(&f->node->lost_any))
		return;
	for (size_t i = 0; !r && i < gaps->n; i++)
		r = file_gaps_add(f, &left, gaps->r[i].start, gaps->r[i].end);
	ranges_clear(r ? &left : gaps);
	if (!r)
		*gaps = left;
}

uint64_t file_env_told_size(const struct file_env *env, const uint8_t file_id[ID_LEN], uint64_t size)
{
	uint64_t end = lost_end(env->lost, file_id);

	return end > size && end <= layout_size_max(&env->layout) ? end : size;
}

uint64_t file_told_size(struct file *f)
{
	uint64_t size = atomic_load(&f->size);

	return atomic_load(&f->node->lost_any) ? file_env_told_size(f->env, f->file_id, size) : size;
}
