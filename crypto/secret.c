/* SPDX-License-Identifier: BSD-2-Clause */
/* A slab of locked, undumped memory between guard pages, from which every secret is served. */
#include "crypto/secret.h"

#include <errno.h>
#include <linux/capability.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_USED 65536u /* deeper than any request goes */
#define SLOTS_FIRST 64u   /* 32 KiB: fits the 64 KiB lock limit of old systems */
#define SLOTS_MOST 2048u  /* 1 MiB: keeps the number of mappings small with very many open files */

/* A free slot holds only the link; it is zeroed when it is given out. */
union slot {
	union slot *next_free;
	uint8_t bytes[SECRET_MAX];
};

struct chunk {
	struct chunk *next;
	union slot *slot;
	size_t len;
	bool locked;
};

/* All fields but `lock` are guarded by it. */
static struct {
	pthread_mutex_t lock;
	union slot *free;
	struct chunk *chunks;
	size_t in_use;
	size_t n_next;
	bool atfork;
} slab = {.lock = PTHREAD_MUTEX_INITIALIZER, .n_next = SLOTS_FIRST};

/* Leak checkers do not look into mappings of our own; keys own OpenSSL's memory from there. */
extern void __lsan_register_root_region(const void *p, size_t len) __attribute__((weak));

static void fork_prepare(void)
{
	pthread_mutex_lock(&slab.lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&slab.lock);
}

/* A child does not inherit memory locks: going to the background must not unlock the keys. */
static void fork_child(void)
{
	for (struct chunk *c = slab.chunks; c; c = c->next)
		c->locked = mlock(c->slot, c->len) == 0;
	pthread_mutex_unlock(&slab.lock);
}

int secret_init(void)
{
	/* The system's configuration, or one that the environment names, may load modules: no code but ours comes to the keys. */
	if (sodium_init() < 0 || !OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL))
		return -EIO;
	pthread_mutex_lock(&slab.lock);
	int r = slab.atfork ? 0 : pthread_atfork(fork_prepare, fork_parent, fork_child);
	if (!r)
		slab.atfork = true;
	pthread_mutex_unlock(&slab.lock);
	return r ? -EIO : 0;
}

/* LEN bytes between two pages that nobody may touch, or NULL. */
static void *guarded_map(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (mprotect(p + page, len, PROT_READ | PROT_WRITE) != 0) {
		munmap(p, len + 2 * page);
		return NULL;
	}
	return p + page;
}

/* One more chunk, each twice as long as the one before. Under the lock. */
static int slab_grow(void)
{
	struct chunk *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->len = slab.n_next * sizeof(union slot);
	c->slot = guarded_map(c->len);
	if (!c->slot) {
		free(c);
		return -ENOMEM;
	}
	madvise(c->slot, c->len, MADV_DONTDUMP);
	/* Past the lock limit we go on with memory that may be swapped; secret_all_locked() tells, mount warns. */
	c->locked = mlock(c->slot, c->len) == 0;
	if (__lsan_register_root_region)
		__lsan_register_root_region(c->slot, c->len);
	for (size_t i = slab.n_next; i-- > 0;) {
		c->slot[i].next_free = slab.free;
		slab.free = &c->slot[i];
	}
	c->next = slab.chunks;
	slab.chunks = c;
	if (slab.n_next < SLOTS_MOST)
		slab.n_next *= 2;
	return 0;
}

void *secret_alloc(size_t len)
{
	if (len == 0 || len > SECRET_MAX)
		return NULL;
	pthread_mutex_lock(&slab.lock);
	union slot *s = NULL;
	if (slab.free || slab_grow() == 0) {
		s = slab.free;
		slab.free = s->next_free;
		s->next_free = NULL;
		slab.in_use++;
	}
	pthread_mutex_unlock(&slab.lock);
	return s;
}

void secret_free(void *p)
{
	if (!p)
		return;
	union slot *s = p;
	sodium_memzero(s, sizeof(*s));
	pthread_mutex_lock(&slab.lock);
	s->next_free = slab.free;
	slab.free = s;
	slab.in_use--;
	pthread_mutex_unlock(&slab.lock);
}

void secret_free_at(void *p)
{
	secret_free(*(void **)p);
}

void secret_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}

void secret_wipe_stack(void)
{
	sodium_stackzero(STACK_USED);
}

size_t secret_in_use(void)
{
	pthread_mutex_lock(&slab.lock);
	size_t n = slab.in_use;
	pthread_mutex_unlock(&slab.lock);
	return n;
}

bool secret_all_locked(void)
{
	pthread_mutex_lock(&slab.lock);
	bool all = true;
	for (struct chunk *c = slab.chunks; c; c = c->next)
		all &= c->locked;
	pthread_mutex_unlock(&slab.lock);
	return all;
}

/* CAP_IPC_LOCK: the limit does not bind this process. */
static bool may_lock_all(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	return syscall(SYS_capget, &head, data) == 0 && (data[0].effective & (1u << CAP_IPC_LOCK)) != 0;
}

size_t secret_capacity(void)
{
	struct rlimit limit;
	size_t slots = 0, bytes = 0, n;

	if (may_lock_all() || getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return SIZE_MAX;
	/* As slab_grow() goes on: chunks are locked whole. */
	for (n = SLOTS_FIRST; bytes + n * sizeof(union slot) <= limit.rlim_cur; n = n < SLOTS_MOST ? 2 * n : n) {
		bytes += n * sizeof(union slot);
		slots += n;
	}
	return slots;
}
