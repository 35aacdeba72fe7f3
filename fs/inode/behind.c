/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealed changes that are answered before they are on disk: who waits for them, and who reads through them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/inode/behind_own.h"
#include "fs/inode/file_own.h"
#include "fs/store/store.h"

#define BYTES_MOST (64u << 20) /* in memory; what is dirty in large pieces is soon written */
#define LOOK_MS 20

int behind_new(struct behind **out)
{
	struct behind *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->changed, NULL);
	*out = b;
	return 0;
}

void behind_free(struct behind *b)
{
	if (!b)
		return;
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

void behind_begin(struct behind *b, int64_t until)
{
	pthread_mutex_lock(&b->lock);
	atomic_store(&b->until, until);
	atomic_store(&b->on, b->n_threads > 0 && !b->stopping);
	pthread_mutex_unlock(&b->lock);
}

void behind_end(struct behind *b)
{
	atomic_store(&b->on, false);
	atomic_store(&b->until, 0);
}

bool behind_takes(const struct file *f, enum gate_use use)
{
	const struct behind *b = f->env->behind;

	return b && use == GATE_USE_DRAIN && atomic_load(&b->on);
}

uint64_t behind_bytes(const struct behind *b)
{
	return b ? atomic_load(&b->bytes) : 0;
}

bool behind_idle(const struct file *f)
{
	return atomic_load(&f->behind.n) == 0;
}

uint64_t behind_stored(const struct file *f)
{
	return behind_idle(f) ? atomic_load(&f->size) : f->behind.stored;
}

/* Until something has changed, or a moment has passed. Under the lock. */
static void wait_a_while(struct behind *b)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += LOOK_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&b->changed, &b->lock, &until);
}

/* A lock drains, and has no more time for it. */
static bool too_late(const struct behind *b)
{
	int64_t until = atomic_load(&b->until);

	return until && clock_ms(CLOCK_BOOTTIME) >= until;
}

int behind_wait(struct file *f)
{
	struct behind *b = f->env->behind;
	int r = 0;

	if (behind_idle(f))
		return 0;
	pthread_mutex_lock(&b->lock);
	while (f->behind.n > 0 && !r) {
		wait_a_while(b);
		r = too_late(b) ? -EACCES : 0;
	}
	r = f->behind.n > 0 ? r : 0;
	pthread_mutex_unlock(&b->lock);
	return r;
}

int behind_settle(struct file *f)
{
	struct behind *b = f->env->behind;

	if (!b)
		return 0;
	pthread_mutex_lock(&b->lock);
	while (f->behind.n > 0)
		pthread_cond_wait(&b->changed, &b->lock);
	pthread_mutex_unlock(&b->lock);
	return atomic_exchange(&f->behind.error, 0);
}

/* ---- put ---- */

static size_t data_len(const struct inflight *in)
{
	size_t len = 0;

	for (uint32_t i = 0; i < in->n_extents; i++)
		len += in->extent[i].len;
	return len;
}

static bool extents_meet(const struct inflight *a, const struct inflight *b)
{
	for (uint32_t i = 0; i < a->n_extents; i++)
		for (uint32_t k = 0; k < b->n_extents; k++)
			if (a->extent[i].disk_off < b->extent[k].disk_off + b->extent[k].len &&
			    b->extent[k].disk_off < a->extent[i].disk_off + a->extent[i].len)
				return true;
	return false;
}

/* Must it wait for all before it, and all behind it for it? */
static bool is_alone(const struct file *f, const struct behind_change *c)
{
	bool alone = !c->inside;

	for (const struct behind_job *j = f->behind.first; j && !alone; j = j->next)
		alone = extents_meet(&j->in, c->in);
	return alone;
}

/*
 * The room for it, before it is promised: blocks behind the end, and holes. What was taken for a change that fails later stays
 * the file's. Where the filesystem cannot say beforehand it says so when it is written.
 */
static int take_room(const struct file *f, const struct inflight *in)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	for (uint32_t i = 0; i < in->n_extents; i++) {
		off_t from = (off_t)in->extent[i].disk_off, len = in->extent[i].len;
		bool there = from + len <= st.st_size && lseek(f->fd, from, SEEK_HOLE) >= from + len;

		if (!there && fallocate(f->fd, FALLOC_FL_KEEP_SIZE, from, len) < 0 && errno != EOPNOTSUPP &&
		    errno != ENOSYS)
			return -errno;
	}
	return 0;
}

static struct behind_job *job_new(const struct file_work *w, const struct behind_change *c)
{
	size_t len = data_len(c->in);
	struct behind_job *j = malloc(sizeof(*j) + len);

	if (!j)
		return NULL;
	*j = (struct behind_job){.in = *c->in, .off = c->off, .plain_len = c->len, .size = c->size, .len = len};
	memcpy(j->data, inflight_data(w->slot), len);
	return j;
}

/* The file has none yet: it is held until they are made. */
static void hold(struct behind *b, struct file *f)
{
	struct node *n = f->node;

	pthread_mutex_lock(&n->lock);
	f->handles++;
	pthread_mutex_unlock(&n->lock);
	(void)node_pin(f->env->nodes, n->id);
	f->behind.stored = f->size;
	f->behind.next = b->files;
	b->files = f;
}

static void append(struct behind *b, struct file *f, struct behind_job *j)
{
	struct behind_queue *q = &f->behind;

	if (!q->first)
		hold(b, f);
	if (q->last)
		q->last->next = j;
	else
		q->first = j;
	q->last = j;
	atomic_fetch_add(&q->n, 1);
	atomic_fetch_add(&b->bytes, j->len);
	pthread_cond_broadcast(&b->changed);
}

int behind_put(struct file *f, const struct file_work *w, const struct behind_change *c)
{
	struct behind *b = f->env->behind;
	int r = take_room(f, c->in);

	if (r)
		return r;
	struct behind_job *j = job_new(w, c);
	if (!j)
		return -ENOMEM;
	pthread_mutex_lock(&b->lock);
	while (!r && atomic_load(&b->bytes) > 0 && atomic_load(&b->bytes) + j->len > BYTES_MOST) {
		wait_a_while(b);
		r = too_late(b) ? -EACCES : 0;
	}
	if (b->stopping)
		r = -EACCES;
	if (!r) {
		j->alone = is_alone(f, c);
		append(b, f, j);
	}
	pthread_mutex_unlock(&b->lock);
	if (r)
		free(j);
	return r;
}

/* ---- read ---- */

static void lay_over(const struct behind_job *j, uint8_t *buf, size_t len, uint64_t off)
{
	const uint8_t *data = j->data;

	for (uint32_t i = 0; i < j->in.n_extents; i++) {
		uint64_t at = j->in.extent[i].disk_off, end = at + j->in.extent[i].len;
		uint64_t from = at > off ? at : off, to = end < off + len ? end : off + len;

		if (from < to)
			memcpy(buf + (from - off), data + (from - at), to - from);
		data += j->in.extent[i].len;
	}
}

/* What is on disk, and zeros where there is nothing yet. */
static int read_short(int fd, uint8_t *buf, size_t len, uint64_t off)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	uint64_t size = (uint64_t)st.st_size;
	size_t there = off >= size ? 0 : size - off < len ? (size_t)(size - off) : len;
	memset(buf + there, 0, len - there);
	return there ? store_pread_full(fd, buf, there, off) : 0;
}

int behind_pread(struct file *f, uint8_t *buf, size_t len, uint64_t off)
{
	struct behind *b = f->env->behind;
	bool again = true;
	int r = 0;

	while (!r && again && !behind_idle(f)) {
		pthread_mutex_lock(&b->lock);
		uint64_t done = f->behind.done;
		pthread_mutex_unlock(&b->lock);
		r = read_short(f->fd, buf, len, off);
		pthread_mutex_lock(&b->lock);
		for (const struct behind_job *j = f->behind.first; j; j = j->next)
			lay_over(j, buf, len, off);
		again = f->behind.done !=
			done; /* one that was made meanwhile may have been read half, and is not there any more */
		pthread_mutex_unlock(&b->lock);
	}
	return r || !again ? r : store_pread_full(f->fd, buf, len, off);
}
