/* SPDX-License-Identifier: BSD-2-Clause */
/* A lock over an inode table without a mount: what it tells the kernel is written down here. For test_lock.c, test_janitor.c. */
#ifndef TESTS_UNIT_LOCK_RIG_H
#define TESTS_UNIT_LOCK_RIG_H

#include <pthread.h>
#include <time.h>

#include "fs/inode/file.h"
#include "fs/lock/janitor.h"
#include "fs/lock/lock_own.h"
#include "tests/unit/store_rig.h"

#define OPENED 1u /* bits of node.opened */
#define WRITTEN 2u

/* What a lock has told the kernel; INO 0: to forget its names. */
struct told {
	uint64_t ino;
	int64_t off, len, when;
	bool sealed; /* lock_sealed() at that moment */
};

#define TOLD_MAX 8192u
static pthread_mutex_t told_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct told told[TOLD_MAX];
static size_t n_told;
static uint64_t absent_ino; /* is unknown to the kernel ... */
static unsigned absent_for; /* ... as often as this */
static void (*on_told)(const struct told *t);

static struct rig rig;
static struct lock lock;
static struct gate_beacon beacon;
static struct nodes *nodes;
static char logged[4096];
static ino_t last_ino = 1000;

static int tell(struct lock *l, uint64_t ino, int64_t off, int64_t len)
{
	const struct told t = {ino, off, len, clock_ms(CLOCK_MONOTONIC), lock_sealed(l)};
	int r = 0;

	pthread_mutex_lock(&told_mutex);
	if (n_told < TOLD_MAX)
		told[n_told++] = t;
	if (ino && ino == absent_ino && absent_for > 0) {
		absent_for--;
		r = -ENOENT;
	}
	pthread_mutex_unlock(&told_mutex);
	if (on_told)
		on_told(&t);
	return r;
}

/* The two words to the kernel, in the place of fs/lock/lock_notify.c. */
int lock_forget_inode(struct lock *l, uint64_t ino, int64_t off, int64_t len)
{
	return tell(l, ino, off, len);
}

void lock_forget_names(struct lock *l)
{
	(void)tell(l, 0, 0, 0);
}

static void lock_rig_log(int priority, const char *text)
{
	(void)priority;
	pthread_mutex_lock(&told_mutex);
	size_t len = strlen(logged);
	snprintf(logged + len, sizeof(logged) - len, "%s\n", text);
	pthread_mutex_unlock(&told_mutex);
}

/* How often INO was told, from entry FROM on. */
static inline size_t told_count(uint64_t ino, size_t from)
{
	size_t n = 0;

	pthread_mutex_lock(&told_mutex);
	for (size_t i = from; i < n_told; i++)
		n += told[i].ino == ino;
	pthread_mutex_unlock(&told_mutex);
	return n;
}

/* The first entry from FROM on that tells INO from OFF on (-1: its attributes). */
static inline size_t told_first(uint64_t ino, int64_t off, size_t from)
{
	for (size_t i = from; i < n_told; i++)
		if (told[i].ino == ino && told[i].off == off)
			return i;
	ck_abort_msg("inode %llu from %lld on was not forgotten", (unsigned long long)ino, (long long)off);
}

static inline size_t told_last(uint64_t ino)
{
	for (size_t i = n_told; i-- > 0;)
		if (told[i].ino == ino)
			return i;
	ck_abort_msg("inode %llu was not forgotten", (unsigned long long)ino);
}

static inline void lock_rig_start(void)
{
	rig_begin(&rig);
	rig_start(&rig);
	nodes = calloc(1, sizeof(*nodes));
	ck_assert_ptr_nonnull(nodes);
	ck_assert_int_eq(nodes_init(nodes, rig.store->data_fd), 0);
	lock_init(&lock, &(struct lock_config){.nodes = nodes,
					       .gate = rig.gate,
					       .fuse_fd = -1,
					       .mountpoint = rig.path,
					       .beacon = &beacon,
					       .log = lock_rig_log});
	ck_assert_int_eq(janitor_start(&lock), 0);
	alarm(30);
}

/* A node that the kernel knows; OPENED and WRITTEN as they are. */
static inline struct node *lock_rig_node(int type, uint8_t opened)
{
	const struct node_key key = {.dev = 1, .ino = ++last_ino, .type = type};
	char name[32];
	struct node *n;

	snprintf(name, sizeof(name), "name%u", (unsigned)last_ino);
	ck_assert_int_eq(node_lookup(nodes, &key, nodes->root, name, &n), 0);
	atomic_store(&n->opened, opened);
	return n;
}

/* The same, open for writing and SIZE bytes long. */
static inline struct node *lock_rig_writer(uint64_t size)
{
	struct node *n = lock_rig_node(OBJECT_FILE, OPENED | WRITTEN);
	struct file *f = calloc(1, sizeof(*f));

	ck_assert_ptr_nonnull(f);
	f->node = n;
	f->fd = -1;
	f->handles = f->writers = 1;
	atomic_store(&f->size, size);
	atomic_store(&n->file, f);
	return n;
}

/* The writer closes. */
static inline void lock_rig_close(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	free(atomic_exchange(&n->file, NULL));
	pthread_mutex_unlock(&n->lock);
}

static inline void lock_rig_end(void)
{
	janitor_stop(&lock);
	janitor_free(&lock);
	for (uint64_t id = 1; id <= nodes->high; id++)
		if (node_get(nodes, id))
			lock_rig_close(node_get(nodes, id));
	nodes_free(nodes);
	free(nodes);
	rig_end(&rig);
}

#endif
