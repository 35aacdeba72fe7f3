/* SPDX-License-Identifier: BSD-2-Clause */
/* Sorted sets of ranges: lost bytes and gaps. */
#include "fs/store/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Index of the first range that ends after POS. */
static size_t first_after(const struct ranges *s, uint64_t pos)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->r[mid].end > pos)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static int make_room(struct ranges *s)
{
	size_t cap = s->cap ? s->cap * 2 : 4;

	if (s->n < s->cap)
		return 0;
	struct range *r = realloc(s->r, cap * sizeof(*r));
	if (!r)
		return -ENOMEM;
	s->r = r;
	s->cap = cap;
	return 0;
}

int ranges_add(struct ranges *s, uint64_t start, uint64_t end)
{
	if (start >= end)
		return 0;
	if (make_room(s))
		return -ENOMEM;
	size_t i = start ? first_after(s, start - 1) : 0; /* a range that ends at START is joined */
	size_t j = i;
	for (; j < s->n && s->r[j].start <= end; j++) {
		if (s->r[j].start < start)
			start = s->r[j].start;
		if (s->r[j].end > end)
			end = s->r[j].end;
	}
	memmove(s->r + i + 1, s->r + j, (s->n - j) * sizeof(*s->r));
	s->n = s->n - (j - i) + 1;
	s->r[i] = (struct range){start, end};
	return 0;
}

void ranges_cut(struct ranges *s, uint64_t start, uint64_t end)
{
	size_t i = first_after(s, start);

	if (start >= end)
		return;
	if (i < s->n && s->r[i].start < start && s->r[i].end > end) {
		struct range tail = {end, s->r[i].end};

		if (make_room(s))
			return; /* out of memory: keep the whole range, EIO too often rather than zeros */
		memmove(s->r + i + 2, s->r + i + 1, (s->n - i - 1) * sizeof(*s->r));
		s->r[i].end = start;
		s->r[i + 1] = tail;
		s->n++;
		return;
	}
	if (i < s->n && s->r[i].start < start)
		s->r[i++].end = start;
	size_t j = i;
	while (j < s->n && s->r[j].end <= end)
		j++;
	if (j > i)
		memmove(s->r + i, s->r + j, (s->n - j) * sizeof(*s->r));
	s->n -= j - i;
	if (i < s->n && s->r[i].start < end)
		s->r[i].start = end;
}

bool ranges_hit(const struct ranges *s, uint64_t start, uint64_t end)
{
	size_t i = first_after(s, start);

	return start < end && i < s->n && s->r[i].start < end;
}

bool ranges_hold(const struct ranges *s, uint64_t start, uint64_t end)
{
	size_t i = first_after(s, start);

	return i < s->n && s->r[i].start <= start && s->r[i].end >= end;
}

const struct range *ranges_next(const struct ranges *s, uint64_t pos)
{
	size_t i = first_after(s, pos);

	return i < s->n ? &s->r[i] : NULL;
}

int ranges_copy(struct ranges *to, const struct ranges *from)
{
	if (from->n == 0)
		return 0;
	to->r = malloc(from->n * sizeof(*to->r));
	if (!to->r)
		return -ENOMEM;
	memcpy(to->r, from->r, from->n * sizeof(*to->r));
	to->n = to->cap = from->n;
	return 0;
}

void ranges_clear(struct ranges *s)
{
	free(s->r);
	*s = (struct ranges){0};
}
