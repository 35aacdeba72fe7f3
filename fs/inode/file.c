/* SPDX-License-Identifier: BSD-2-Clause */
/* Open files: opening, closing, and the pieces that reading and writing share. */
#include "fs/inode/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/header.h"
#include "crypto/secret.h"
#include "fs/inode/blank.h"
#include "fs/inode/file_own.h"
#include "fs/inode/recover.h"
#include "fs/store/store.h"

int file_work_init(struct file_work *w, const struct layout *l, uint8_t *slot)
{
	size_t blocks = (INFLIGHT_REQUEST_MAX + l->block_len - 1) / l->block_len + 2;

	memset(w, 0, sizeof(*w));
	w->slot = slot;
	w->plain_len = blocks * l->block_len;
	w->cipher_len = blocks * layout_record_len(l) + FILE_OLD_MAX * layout_final_room(l);
	w->edge_len = 3 * (size_t)l->block_len;
	w->plain = malloc(w->plain_len);
	w->cipher = malloc(w->cipher_len);
	w->edge = malloc(w->edge_len);
	if (w->plain && w->cipher && w->edge)
		return 0;
	file_work_free(w);
	return -ENOMEM;
}

void file_work_wipe(struct file_work *w)
{
	if (w->plain)
		secret_wipe(w->plain, w->plain_len);
	if (w->edge)
		secret_wipe(w->edge, w->edge_len);
	w->dirty = false;
}

void file_work_free(struct file_work *w)
{
	file_work_wipe(w);
	free(w->plain);
	free(w->cipher);
	free(w->edge);
	memset(w, 0, sizeof(*w));
}

/* Read and authenticate the final record: size, flags, generation. */
static int file_load(struct file *f, struct file_work *w)
{
	const struct layout *l = &f->env->layout;
	struct borrow b = {0};
	struct stat st;

	if (fstat(f->fd, &st))
		return -errno;
	uint64_t size;
	if (layout_classify(l, (uint64_t)st.st_size, &size) != OBJECT_FILE)
		return -EBADMSG;
	atomic_store(&f->size, size);
	const struct file_plan end = {.old = {{f->size / l->block_len, NULL}}, .n_old = 1};
	int r = file_old_read(f, w, &end);
	if (!r)
		r = file_borrow(f, GATE_USE_NEW, &b);
	if (r)
		return r;
	w->dirty = true;
	struct final_head head;
	r = final_open(&b.open, end.old[0].no, file_old_raw(f, w, 0), layout_final_len(l, f->size), &head, w->plain);
	borrow_end(&b);
	if (r)
		return r;
	f->flags = head.flags;
	f->generation = head.generation;
	f->holes = (head.flags & FINAL_SPARSE) != 0;
	return 0;
}

static void file_destroy(struct file *f)
{
	gate_key_close(f->key);
	if (f->fd >= 0)
		close(f->fd);
	ranges_clear(&f->gaps);
	pthread_rwlock_destroy(&f->lock);
	free(f);
}

static void file_destroy_at(struct file **f)
{
	if (*f)
		file_destroy(*f);
}

static struct file *file_alloc(struct file_env *env, struct node *n)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_rwlock_init(&f->lock, NULL);
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

static void take_key(struct file *f, struct blank *b)
{
	f->key = b->key;
	b->key = NULL;
	memcpy(f->file_id, b->file_id, ID_LEN);
}

/* A create that a crash cut off before its one write: it is an empty file, and becomes one now. */
static int fill_stump(struct file *f)
{
	AUTO(blank_end) struct blank b = {0};

	if (!f->env->unclean || !f->writable)
		return f->env->unclean ? -EROFS : file_corrupt(f, "an empty store file, header", 0);
	int r = blank_make(&b, f->env->gate, &f->env->layout);
	if (!r)
		r = blank_write(&b, f->fd);
	if (r)
		return r;
	atomic_fetch_add(&f->env->recovered, 1);
	take_key(f, &b);
	return 0;
}

static int load_key(struct file *f)
{
	struct stat st;

	if (fstat(f->fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EIO;
	if (st.st_size == 0)
		return fill_stump(f);
	uint8_t header[HEADER_LEN_FILE] = {0};
	int r = store_pread_full(f->fd, header, f->env->layout.header_len, 0);
	if (!r)
		r = gate_key_open(f->env->gate, header, &f->key);
	memcpy(f->file_id, header_file_id(header), ID_LEN);
	return r == -EBADMSG || r == -EUCLEAN || r == -ENOTSUP || r == -ENOKEY ? file_corrupt(f, "header", 0) : r;
}

/* N's file with its descriptor and key, nothing of its end looked at. */
static int file_begin(struct file_env *env, struct node *n, bool writable, struct file **out)
{
	AUTO(file_destroy_at) struct file *f = file_alloc(env, n);

	if (!f)
		return -ENOMEM;
	bool got_writable;
	f->fd = open_backing(env, n, writable || env->unclean, &got_writable);
	if (f->fd < 0)
		return f->fd;
	f->writable = got_writable;
	int r = load_key(f);
	if (r)
		return r;
	*out = f;
	f = NULL;
	return 0;
}

/* After a crash: where does it end? Sealed there if that was left undone. -EBADMSG where nothing authenticates. */
static int file_mend(struct file *f)
{
	int r = recover_file(f->fd, &f->env->layout, f->env->gate, f->key, f->env->log);

	if (r == 1)
		atomic_fetch_add(&f->env->recovered, 1);
	return r < 0 ? r : 0;
}

static int file_make(struct file_env *env, struct node *n, bool writable, struct file_work *w, struct file **out)
{
	AUTO(file_destroy_at) struct file *f = NULL;
	int r = file_begin(env, n, writable, &f);

	if (!r)
		r = file_load(f, w);
	if (r == -EBADMSG && env->unclean && f->writable) {
		r = file_mend(f);
		if (!r)
			r = file_load(f, w);
	}
	if (r)
		return r == -EBADMSG ? file_corrupt(f, "final record after block", f->size / env->layout.block_len) : r;
	*out = f;
	f = NULL;
	return 0;
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

int file_settle(struct file_env *env, struct node *n)
{
	int r = 0;

	if (!env->unclean || env->read_only || atomic_load(&n->settled))
		return 0;
	pthread_mutex_lock(&n->once);
	if (!n->file && !atomic_load(&n->settled)) {
		AUTO(file_destroy_at) struct file *f = NULL;
		r = file_begin(env, n, true, &f);
		if (!r)
			r = file_mend(f);
		r = settle_error(env, r);
	}
	if (!r)
		atomic_store(&n->settled, true);
	pthread_mutex_unlock(&n->once);
	return r;
}

static void handle_added(struct file *f, bool writable)
{
	f->handles++;
	if (writable && f->writers++ == 0)
		gate_key_writable(f->key, true);
}

/* The first writer of a file that was opened for reading only. dup3() changes the descriptor under its number. */
static int make_writable(struct file *f)
{
	int r = 0;

	if (f->writable)
		return 0;
	int fd = node_open(f->env->nodes, f->node, O_RDWR);
	if (fd < 0)
		return fd;
	pthread_rwlock_wrlock(&f->lock);
	if (dup3(fd, f->fd, O_CLOEXEC) < 0)
		r = -errno;
	else
		f->writable = true;
	pthread_rwlock_unlock(&f->lock);
	close(fd);
	return r;
}

/* Another handle of an open file, or NULL. */
static struct file *open_already(struct node *n, bool writable)
{
	pthread_mutex_lock(&n->lock);
	struct file *f = n->file;
	if (f)
		handle_added(f, writable);
	pthread_mutex_unlock(&n->lock);
	return f;
}

/*
 * One opener of a node at a time: two that mend the end that a crash left would write over each other, and one that was
 * slow would bring back a size from before the other's writes.
 */
static int open_first(struct file_env *env, struct node *n, bool writable, struct file_work *w, struct file **out)
{
	int r = 0;

	pthread_mutex_lock(&n->once);
	struct file *f = open_already(n, writable);
	if (!f) {
		r = file_make(env, n, writable, w, &f);
		if (!r) {
			pthread_mutex_lock(&n->lock);
			handle_added(f, writable);
			n->file = f;
			pthread_mutex_unlock(&n->lock);
		}
	}
	pthread_mutex_unlock(&n->once);
	*out = f;
	return r;
}

int file_open(struct file_env *env, struct node *n, bool writable, struct file_work *w, struct file **out)
{
	int r = 0;

	if (writable && env->read_only)
		return -EROFS;
	struct file *f = open_already(n, writable);
	if (!f)
		r = open_first(env, n, writable, w, &f);
	if (!f)
		return r;
	r = writable ? make_writable(f) : 0;
	if (r) {
		file_close(f, writable);
		return r;
	}
	atomic_fetch_or(&n->opened, writable ? NODE_OPENED_AT_ALL | NODE_OPENED_TO_WRITE : NODE_OPENED_AT_ALL);
	*out = f;
	return 0;
}

int file_adopt(struct file_env *env, struct node *n, int fd, struct blank *blank, struct file **out)
{
	struct file *f = file_alloc(env, n);

	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	f->fd = fd;
	take_key(f, blank);
	f->writable = true;
	f->generation = 1;
	handle_added(f, true);
	atomic_fetch_or(&n->opened, NODE_OPENED_AT_ALL | NODE_OPENED_TO_WRITE);
	pthread_mutex_lock(&n->lock);
	n->file = f;
	pthread_mutex_unlock(&n->lock);
	*out = f;
	return 0;
}

struct file *file_ref(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	struct file *f = n->file;
	if (f)
		f->handles++;
	pthread_mutex_unlock(&n->lock);
	return f;
}

void file_close(struct file *f, bool writable)
{
	struct node *n = f->node;

	pthread_mutex_lock(&n->lock);
	if (writable && --f->writers == 0)
		gate_key_writable(f->key, false);
	bool last = --f->handles == 0;
	if (last)
		n->file = NULL;
	pthread_mutex_unlock(&n->lock);
	if (last)
		file_destroy(f);
}

uint64_t file_size(struct file *f)
{
	return atomic_load(&f->size);
}

void file_lost(struct file *f, uint64_t off, uint64_t len)
{
	struct node *n = f->node;

	pthread_mutex_lock(&n->lock);
	/* Out of memory here: call all of it lost rather than hand out zeros. */
	if (ranges_add(&n->lost, off, off + len)) {
		f->broken = f->broken || n->lost.n == 0;
		n->lost.n = n->lost.n > 0;
		if (n->lost.n > 0)
			n->lost.r[0] = (struct range){0, UINT64_MAX};
	}
	atomic_store(&n->lost_any, n->lost.n > 0);
	pthread_mutex_unlock(&n->lock);
}

void file_found(struct file *f, uint64_t start, uint64_t end)
{
	struct node *n = f->node;

	if (!atomic_load(&n->lost_any))
		return;
	pthread_mutex_lock(&n->lock);
	ranges_cut(&n->lost, start, end);
	atomic_store(&n->lost_any, n->lost.n > 0);
	if (n->lost.n == 0)
		atomic_store(&n->write_error, 0);
	pthread_mutex_unlock(&n->lock);
}
