/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the list of files being written, and asking what it found. */
#include "fs/store/leeway.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/store_own.h"

#define SLACK_S 60u /* a sync of the list that takes longer than this may lose more entries than the span covers */

int leeway_read(int own_fd, struct leeway_file *out)
{
	struct stat st;

	*out = (struct leeway_file){0};
	AUTO(auto_close) int fd = store_open_file(own_fd, STORE_WRITING, O_RDONLY);
	if (fd == -ENOENT || fd == -EUCLEAN)
		return 0;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != WRITING_LEN)
		return 0;
	AUTO(auto_free) uint8_t *bytes = malloc(WRITING_LEN);
	int r = bytes ? store_pread_full(fd, bytes, WRITING_LEN, 0) : -ENOMEM;
	if (r)
		return r;
	out->bytes = bytes;
	out->ino = st.st_ino;
	bytes = NULL;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct writing_entry *x = a, *y = b;
	int c = memcmp(x->file_id, y->file_id, ID_LEN);

	return c ? c : (int)x->kind - (int)y->kind;
}

static int by_id_then_ino(const void *a, const void *b)
{
	const struct writing_entry *x = a, *y = b;
	int c = by_id(a, b);

	return c ? c : x->ino > y->ino ? -1 : x->ino < y->ino;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool same_bytes_known(const uint8_t a[ID_LEN], const uint8_t b[ID_LEN])
{
	static const uint8_t unknown[ID_LEN];

	return memcmp(a, unknown, ID_LEN) != 0 && memcmp(a, b, ID_LEN) == 0;
}

/* What was written in one session after another has an entry of each; one will do, the one that knows its inode number. */
static void drop_twins(struct leeway *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct writing_entry *e = &l->entry[i], *last = n ? &l->entry[n - 1] : NULL;

		if (last && e->kind == WRITING_WRITTEN && by_id(e, last) == 0 && (e->ino == 0 || e->ino == last->ino)) {
			if (!e->value) /* written to in a later one: it may be durable */
				l->entry[n - 1].value = 0;
			continue;
		}
		l->entry[n++] = *e;
	}
	l->n = n;
}

/* The list's entries, and what of them can be asked for. The newest time in TIME. */
static int take_entries(const struct writing_key *k, const uint8_t *bytes, struct leeway *out, uint64_t *time)
{
	out->entry = malloc(WRITING_SLOTS * sizeof(*out->entry));
	out->ino = malloc(WRITING_SLOTS * sizeof(*out->ino));
	out->place = malloc(WRITING_SLOTS * sizeof(*out->place));
	if (!out->entry || !out->ino || !out->place)
		return -ENOMEM;
	for (size_t i = 0; i < WRITING_SLOTS; i++) {
		struct writing_entry *e = &out->entry[out->n];
		int r = writing_entry_parse(k, bytes + WRITING_HEAD_LEN + i * WRITING_ENTRY_LEN, e);

		if (r == -ENOENT || r == -EBADMSG)
			continue;
		if (r)
			return r;
		uint64_t since = e->time > SLACK_S ? e->time - SLACK_S : 1;
		if (e->ino)
			out->ino[out->n_ino++] = e->ino;
		else if (!out->young || since < out->young)
			out->young = since;
		if (e->kind == WRITING_WRITTEN && e->value)
			out->place[out->n_place++] = e->value;
		if (e->time > *time)
			*time = e->time;
		out->n++;
	}
	qsort(out->entry, out->n, sizeof(*out->entry), by_id_then_ino);
	drop_twins(out);
	qsort(out->ino, out->n_ino, sizeof(*out->ino), by_number);
	qsort(out->place, out->n_place, sizeof(*out->place), by_number);
	return 0;
}

/* After a restart of the machine the list's last page may be missing: the files it would have named are young. */
static void take_span(const struct writing_head *h, const struct leeway_how *how, uint64_t newest, struct leeway *out)
{
	out->from = h->from;
	out->to = h->to;
	if (same_bytes_known(h->boot_id, how->boot_id))
		return;
	uint64_t from = newest > SLACK_S ? newest - SLACK_S : 1, to = how->booted > h->begun ? how->booted : INT64_MAX;
	if (to < from)
		from = to;
	out->from = h->to && h->from < from ? h->from : from;
	out->to = h->to > to ? h->to : to;
}

/* 0 the list counts, -EBADMSG it does not. */
static int take(const struct store_keys *keys, const struct leeway_file *file, const struct leeway_how *how,
		struct leeway *out)
{
	struct writing_key *k = NULL;
	struct writing_head h;
	uint64_t session;

	if (!file->bytes || writing_head_peek(file->bytes, WRITING_HEAD_LEN, &session))
		return -EBADMSG;
	if (how->session && session != how->session && session != how->session + 1)
		return -EBADMSG;
	int r = writing_key_new(keys, session, &k);
	if (!r)
		r = writing_head_parse(k, file->bytes, WRITING_HEAD_LEN, &h);
	uint64_t newest = r ? 0 : h.begun;
	if (!r)
		r = take_entries(k, file->bytes, out, &newest);
	writing_key_free(k);
	if (r)
		return r;
	out->moved = h.ino != file->ino;
	/* A copy on a host that has not seen the session: what was copied after the list is not on it. */
	out->all = h.all || (out->moved && !how->listed);
	out->lost = h.lost;
	take_span(&h, how, newest, out);
	return 0;
}

int leeway_judge(const struct store_keys *keys, const struct leeway_file *file, const struct leeway_how *how,
		 struct leeway *out)
{
	*out = (struct leeway){0};
	int r = take(keys, file, how, out);
	if (r && r != -EBADMSG) {
		leeway_free(out);
		return r;
	}
	if (r) {
		out->lost = how->listed;
		out->all = !how->listed;
	}
	if (how->accept) {
		out->all = true;
		out->lost = false;
	}
	return 0;
}

void leeway_free(struct leeway *l)
{
	free(l->entry);
	free(l->ino);
	free(l->place);
	*l = (struct leeway){0};
}

static bool in_span(const struct leeway *l, const struct stat *st)
{
	return l->to && st->st_ctime >= 0 && (uint64_t)st->st_ctime >= l->from && (uint64_t)st->st_ctime <= l->to;
}

static bool has_number(const uint64_t *list, size_t n, uint64_t number)
{
	return n && number && bsearch(&number, list, n, sizeof(*list), by_number);
}

static const struct writing_entry *find(const struct leeway *l, const uint8_t file_id[ID_LEN], enum writing_kind kind)
{
	struct writing_entry key = {.kind = kind};

	memcpy(key.file_id, file_id, ID_LEN);
	return l->n ? bsearch(&key, l->entry, l->n, sizeof(key), by_id) : NULL;
}

bool leeway_maybe(const struct leeway *l, const struct stat *st)
{
	if (l->all || in_span(l, st))
		return true;
	if (l->young && st->st_ctime >= 0 && (uint64_t)st->st_ctime >= l->young)
		return true;
	return l->n && (l->moved || has_number(l->ino, l->n_ino, st->st_ino));
}

bool leeway_file(const struct leeway *l, const uint8_t file_id[ID_LEN], const struct stat *st)
{
	return l->all || in_span(l, st) || find(l, file_id, WRITING_WRITTEN) || find(l, file_id, WRITING_MENDED);
}

/* Is there an entry of its making of the file behind ST? Another one with its number may be of a file that had it before. */
static bool made_by_number(const struct leeway *l, const struct stat *st, uint64_t place)
{
	bool made = false;

	for (size_t i = 0; i < l->n && !made && !l->moved; i++) {
		const struct writing_entry *e = &l->entry[i];

		made = e->kind == WRITING_WRITTEN && e->value && (e->ino ? e->ino == st->st_ino : e->value == place);
	}
	return made;
}

bool leeway_stump(const struct leeway *l, const struct stat *st, uint64_t place)
{
	return l->all || in_span(l, st) || made_by_number(l, st, place);
}

bool leeway_made(const struct leeway *l, const struct stat *st, const uint8_t *file_id, uint64_t place, uint64_t born)
{
	const struct writing_entry *e = file_id ? find(l, file_id, WRITING_WRITTEN) : NULL;

	if (e || (!file_id && made_by_number(l, st, place)))
		return !e || e->value != 0;
	/* one of the last entries, which may not have reached the disk */
	return in_span(l, st) && born >= l->from;
}

uint64_t leeway_born(int fd)
{
	struct timespec t;

	return store_born(fd, &t) && t.tv_sec > 0 ? (uint64_t)t.tv_sec : 0;
}

const struct writing_entry *leeway_mended(const struct leeway *l, const uint8_t file_id[ID_LEN])
{
	return find(l, file_id, WRITING_MENDED);
}

bool leeway_back(const struct leeway *l, const uint8_t file_id[ID_LEN])
{
	return find(l, file_id, WRITING_BACK);
}

int leeway_add_back(struct leeway *l, const uint8_t file_id[ID_LEN])
{
	struct writing_entry *more = realloc(l->entry, (l->n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	l->entry = more;
	more[l->n] = (struct writing_entry){.kind = WRITING_BACK};
	memcpy(more[l->n].file_id, file_id, ID_LEN);
	l->n++;
	qsort(more, l->n, sizeof(*more), by_id_then_ino);
	return 0;
}
