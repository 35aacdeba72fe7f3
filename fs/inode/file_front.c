/* SPDX-License-Identifier: BSD-2-Clause */
/* A file's descriptor and key; after a crash stumps and unfinished ends, of the files that were being written and of no others. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/header.h"
#include "fs/inode/file_own.h"
#include "fs/store/recover.h"
#include "fs/store/store.h"
#include "fs/store/written.h"

void file_destroy(struct file *f)
{
	gate_key_close(f->key);
	if (f->fd >= 0)
		close(f->fd);
	ranges_clear(&f->gaps);
	pthread_rwlock_destroy(&f->lock);
	pthread_mutex_destroy(&f->first);
	busy_destroy(&f->busy);
	turns_free(&f->turns);
	free(f);
}

static void destroy_at(struct file **f)
{
	if (*f)
		file_destroy(*f);
}

struct file *file_alloc(struct file_env *env, struct node *n)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	/* or many who write in the middle would keep one who appends, or syncs, waiting for good */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&f->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&f->first, NULL);
	busy_init(&f->busy);
	turns_init(&f->turns);
	f->env = env;
	f->node = n;
	f->fd = -1;
	return f;
}

/* Root gets one descriptor for everything; a plain user's read-only file is not touched just to be read. */
static int open_backing(struct file_env *env, struct node *n, bool writable, bool *got_writable)
{
	*got_writable = !env->read_only && (writable || geteuid() == 0);
	int fd = node_open(env->nodes, n, *got_writable ? O_RDWR : O_RDONLY);
	if (fd >= 0 || writable || !*got_writable)
		return fd;
	*got_writable = false;
	return node_open(env->nodes, n, O_RDONLY);
}

void file_take_key(struct file *f, struct blank *b)
{
	f->key = b->key;
	b->key = NULL;
	memcpy(f->file_id, b->file_id, ID_LEN);
}

/* The place of F's first name, as its create noted it. */
static uint64_t place_of(struct file *f)
{
	char name[256];
	struct node *parent;

	if (node_name(f->env->nodes, f->node, 0, &parent, name))
		return 0;
	uint64_t place = writing_place(parent->ino, name);
	node_unpin(f->env->nodes, parent);
	return place;
}

static int note_mended(void *arg, uint64_t cut)
{
	struct file *f = arg;

	/* Mended once more, since that had not reached the disk when the machine went down: it is noted already. */
	if (!f->env->written || (cut == 0 && leeway_mended(f->env->leeway, f->file_id)))
		return 0;
	return written_mended(f->env->written, f->file_id, f->node->ino, cut);
}

/* The session's end makes all that was mended durable at once, but not where syncfs(2) may reach nothing. */
static int sync_mended(struct file *f)
{
	return f->env->nodes->names_follow || fsync(f->fd) == 0 ? 0 : -errno;
}

static bool made(struct file *f, const struct stat *st, const uint8_t *file_id)
{
	return leeway_made(f->env->leeway, st, file_id, place_of(f), leeway_born(f->fd));
}

static int fill_stump(struct file *f, const struct stat *st)
{
	AUTO(blank_end) struct blank b = {0};

	if (!f->writable)
		return -EROFS;
	int r = blank_make(&b, f->env->gate, &f->env->layout);
	if (r)
		return r;
	file_take_key(f, &b);
	r = note_mended(f, (uint64_t)st->st_size);
	if (!r && st->st_size > 0 && ftruncate(f->fd, 0) < 0)
		r = -errno;
	if (!r)
		r = blank_write(&b, f->fd);
	if (!r)
		r = sync_mended(f);
	if (r)
		return r;
	f->excused = f->refilled = true;
	atomic_fetch_add(&f->env->recovered, 1);
	return 1;
}

uint64_t file_made_at(struct file *f)
{
	struct stat st;

	if (!f->env->unclean || (!f->refilled && (fstat(f->fd, &st) || !made(f, &st, f->file_id))))
		return 0;
	uint64_t place = place_of(f);
	return place ? place : 1;
}

/*
 * F has no header that anybody can use. A crash may leave that of a file that was being made: no bytes, zeros (its size is on
 * disk before its bytes), some parts of the header; and nothing in it can ever be read. 1: F is an empty file now.
 */
static int no_header(struct file *f, const struct stat *st)
{
	if (!f->env->unclean)
		return file_corrupt(f, st->st_size ? "header" : "an empty store file, header", 0);
	int blank = store_is_blank(f->fd, (uint64_t)st->st_size, layout_disk_size(&f->env->layout, 0));
	if (blank < 0)
		return blank;
	if (!(blank && leeway_stump(f->env->leeway, st, place_of(f))) && !made(f, st, NULL))
		return file_corrupt(f, st->st_size ? "header" : "an empty store file, header", 0);
	return fill_stump(f, st);
}

/* The header's bytes into HEADER, and whether the end may be unfinished. -EUCLEAN: they are none. */
static int read_front(struct file *f, uint8_t header[HEADER_LEN_FILE], struct stat *st)
{
	struct header h;

	if (fstat(f->fd, st))
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EIO;
	if ((uint64_t)st->st_size < f->env->layout.header_len)
		return -EUCLEAN;
	int r = store_pread_full(f->fd, header, f->env->layout.header_len, 0);
	if (!r)
		r = header_parse(header, f->env->layout.header_len, &h);
	if (r)
		return r;
	memcpy(f->file_id, header_file_id(header), ID_LEN);
	f->excused = f->env->unclean && leeway_file(f->env->leeway, f->file_id, st);
	return 0;
}

static bool no_key_in(int r)
{
	return r == -EBADMSG || r == -EUCLEAN || r == -ENOTSUP || r == -ENOKEY;
}

int file_front(struct file_env *env, struct node *n, enum file_want want, struct file **out)
{
	AUTO(destroy_at) struct file *f = file_alloc(env, n);

	if (!f)
		return -ENOMEM;
	bool got_writable;
	f->fd = open_backing(env, n, want != FILE_READ || env->unclean, &got_writable);
	if (f->fd < 0)
		return f->fd;
	f->writable = got_writable;
	uint8_t header[HEADER_LEN_FILE] = {0};
	struct stat st;
	int r = read_front(f, header, &st);
	/* one that is listed by its number alone: the id in its header may be torn */
	if (r == 0 && (want != FILE_SETTLE || f->excused || leeway_stump(env->leeway, &st, place_of(f))))
		r = gate_key_open(f->env->gate, header, &f->key);
	if (no_key_in(r))
		r = no_header(f, &st);
	if (r < 0)
		return r;
	*out = f;
	f = NULL;
	return 0;
}

static bool may_log_mended(void *arg)
{
	struct file *f = arg;

	return file_env_recovered(f->env);
}

int file_mend(struct file *f)
{
	struct stat st;
	const struct recover rec = {
		.fd = f->fd,
		.layout = &f->env->layout,
		.gate = f->env->gate,
		.key = f->key,
		.made = fstat(f->fd, &st) == 0 && made(f, &st, f->file_id),
		.log = f->env->log,
		.may_log = may_log_mended,
		.before = note_mended,
		.arg = f,
	};
	int r = recover_file(&rec);

	if (r != 1)
		return r;
	atomic_fetch_add(&f->env->recovered, 1);
	return sync_mended(f);
}

/* A file that cannot be opened, or whose end nobody can tell, has the size that its length says: opening it is the error. */
static int settle_error(const struct file_env *env, int r)
{
	if (r == -EBADMSG || r == -EIO || r == -EROFS)
		return 0;
	if (r != -EACCES && r != -EPERM)
		return r;
	enum gate_state state = gate_state(env->gate);
	return state == GATE_ACTIVE || state == GATE_GRACE ? 0 : -EACCES;
}

static int settle(struct file_env *env, struct node *n)
{
	AUTO(destroy_at) struct file *f = NULL;
	int r = file_front(env, n, FILE_SETTLE, &f);

	if (!r && f->excused)
		r = file_mend(f);
	return settle_error(env, r);
}

int file_settle(struct file_env *env, struct node *n, const struct stat *st)
{
	int r = 0;

	if (!env->unclean || env->read_only || atomic_load(&n->settled))
		return 0;
	pthread_mutex_lock(&n->once);
	if (!n->file && !atomic_load(&n->settled) && leeway_maybe(env->leeway, st))
		r = settle(env, n);
	if (!r)
		atomic_store(&n->settled, true);
	pthread_mutex_unlock(&n->once);
	return r;
}
