/* SPDX-License-Identifier: BSD-2-Clause */
/* Open files: opening, closing, and the pieces that reading and writing share. */
#include "fs/inode/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/inode/blank.h"
#include "fs/inode/file_own.h"
#include "fs/inode/keep.h"
#include "fs/store/store.h"
#include "fs/store/written.h"

int file_work_init(struct file_work *w, const struct layout *l, uint8_t *slot)
{
	size_t blocks = (INFLIGHT_REQUEST_MAX + l->block_len - 1) / l->block_len + 2;

	memset(w, 0, sizeof(*w));
	w->slot = slot;
	w->plain_len = blocks * l->block_len;
	w->cipher_len = (blocks + 1) * layout_record_len(l) + (FILE_OLD_MAX + 1) * layout_final_room(l);
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
	file_ended(f, head.flags, head.generation);
	f->holes = (head.flags & FINAL_SPARSE) != 0;
	if (lost_any(f->env->lost, &(struct lost_of){f->file_id, f->node->ino}))
		atomic_store(&f->node->lost_any, true);
	return 0;
}

static void destroy_at(struct file **f)
{
	if (*f)
		file_destroy(*f);
}

static int file_make(struct file_env *env, struct node *n, bool writable, struct file_work *w, struct file **out)
{
	AUTO(destroy_at) struct file *f = NULL;
	int r = file_front(env, n, writable ? FILE_WRITE : FILE_READ, &f);

	if (!r)
		r = file_load(f, w);
	if (r == -EBADMSG && f->excused && f->writable) {
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
	file_take_key(f, blank);
	f->writable = true;
	f->generation = 1;
	f->slot = atomic_load(&n->listed);
	keep_new(n);
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
	if (last) {
		keep_closed(f);
		n->file = NULL;
	}
	pthread_mutex_unlock(&n->lock);
	if (last && f->slot)
		written_closed(f->env->written, f->slot, atomic_load(&f->broken));
	if (last)
		file_destroy(f);
}

uint64_t file_size(struct file *f)
{
	return atomic_load(&f->size);
}

/* The write lock, with all on disk that was sealed: waited for without it, since a lock's write-back may still come. */
static int lock_settled(struct file *f)
{
	for (;;) {
		int r = behind_settle(f);
		if (r)
			return r;
		pthread_rwlock_wrlock(&f->lock);
		if (behind_idle(f))
			return 0;
		pthread_rwlock_unlock(&f->lock);
	}
}

int file_sync(struct file *f, bool data_only)
{
	int r = lock_settled(f);
	if (r)
		return r;
	uint64_t upto = keep_before_sync(f);
	pthread_rwlock_unlock(&f->lock);
	r = (data_only ? fdatasync(f->fd) : fsync(f->fd)) ? -errno : 0;

	return r ? r : keep_synced(f, upto);
}
