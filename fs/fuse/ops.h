/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files that speak FUSE share: the server, its threads, admission, replies. Private to fs/fuse/. */
#ifndef FS_OPS_H
#define FS_OPS_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include "fs/fuse/pool.h"
#include "fs/fuse/server.h"
#include "fs/fuse/space.h"
#include "fs/lock/lock.h"
#include "fs/tree/object.h"

#define NAMELESS "/" /* the name of a CREATE that was a TMPFILE: server.c */

/* A serving thread. */
struct server_thread {
	struct server *server;
	struct file_work work;
	struct fuse_buf buf;
	unsigned wiped; /* epoch of the last wipe */
	bool to_signal; /* the server's wipe_lock */
	pthread_t thread;
};

/* The last slot is the pool's, those before it are for what is written behind, the others are one thread's each. */
#define POOL_SLOT (INFLIGHT_SLOTS - 1u)
#define BEHIND_SLOT (POOL_SLOT - BEHIND_THREADS)

struct server {
	struct server_config cfg;
	struct fuse_session *session;
	struct fuse_lowlevel_ops ops;
	struct pool *pool;
	struct space space;
	_Atomic bool maps_direct;     /* the kernel maps what is opened past its cache */
	_Atomic uint64_t init_unique; /* of its INIT */
	pthread_mutex_t slot_lock;
	uint8_t *slots;     /* memory of the in-flight slots; NULL where nothing is written */
	uint8_t *pool_slot; /* slot_lock: the in-flight slot of pool jobs that change a file, one at a time */
	unsigned n_threads;
	struct server_thread thread[INFLIGHT_SLOTS];
	_Atomic unsigned running;
	_Atomic unsigned wipe_epoch; /* a thread that has not wiped since does so before its next request */
	_Atomic unsigned wiped;      /* threads that have */
	pthread_mutex_t wipe_lock;   /* thread.to_signal: no signal is sent to one that has seen the first */
};

/* Each fills in its callbacks. */
void ops_fill_session(struct fuse_lowlevel_ops *ops);
void ops_fill_attr(struct fuse_lowlevel_ops *ops);
void ops_fill_xattr(struct fuse_lowlevel_ops *ops);
void ops_fill_file(struct fuse_lowlevel_ops *ops);
void ops_fill_name(struct fuse_lowlevel_ops *ops);
void ops_fill_ioctl(struct fuse_lowlevel_ops *ops);
void ops_fill_list(struct fuse_lowlevel_ops *ops);

/* As behind_config's `failed`; ARG is the server. */
void ops_write_failed(void *arg, struct file *f, uint64_t off, uint64_t len, int r);

/* The thread that runs this handler. */
struct server_thread *thread_self(void);
void thread_self_set(struct server_thread *t);
/* FUSE's number of the request that this thread is in; 0 when it is none's. */
uint32_t thread_opcode(void);

static inline struct server *req_server(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct tree *req_tree(fuse_req_t req)
{
	return req_server(req)->cfg.tree;
}

/* State ACTIVE or GRACE under a running lease. */
static inline bool ops_open(const struct server *s)
{
	enum gate_state state = gate_state(s->cfg.tree->env.gate);

	return state == GATE_ACTIVE || state == GATE_GRACE;
}

/* Attributes and names are valid for as long as the lease: seconds, as libfuse wants them. */
static inline double ops_timeout(const struct server *s)
{
	return s->cfg.attr_timeout_ms / 1000.0;
}

/* Answers EACCES and returns true unless the gate is open. */
bool ops_refused(fuse_req_t req);
/* The node of INO in any state of the gate; NULL: ESTALE is answered. */
struct node *ops_node(fuse_req_t req, fuse_ino_t ino);
/* Admit a request on INO: its node; NULL when the gate is not open, or there is no such node, and that is answered. */
struct node *ops_admit(fuse_req_t req, fuse_ino_t ino);
/* The same for what changes the store: EROFS where it is mounted read-only. */
struct node *ops_admit_change(fuse_req_t req, fuse_ino_t ino);

struct cred ops_cred(fuse_req_t req);
void ops_entry(const struct server *s, const struct node *n, const struct stat *st, struct fuse_entry_param *e);
/* Reply with an entry, or -R; tests the gate once more and takes the look-up back if the reply fails. */
void ops_reply_entry(fuse_req_t req, struct node *n, const struct stat *st, int r);
/* Does this process ask itself? The kernel tells the thread, not the process. */
bool ops_own_thread(fuse_req_t req);

/* An open file's handle: the pointer, and in bits that malloc() leaves free: may it write, does it go past the kernel's cache. */
enum handle_bits { HANDLE_WRITABLE = 1, HANDLE_DIRECT = 2 };

static inline uint64_t handle_make(const struct file *f, bool writable, bool direct)
{
	return (uint64_t)(uintptr_t)f | (writable ? HANDLE_WRITABLE : 0u) | (direct ? HANDLE_DIRECT : 0u);
}

static inline struct file *handle_file(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)(fi->fh & ~(uint64_t)(HANDLE_WRITABLE | HANDLE_DIRECT));
}

static inline bool handle_writable(const struct fuse_file_info *fi)
{
	return fi->fh & HANDLE_WRITABLE;
}

static inline bool handle_direct(const struct fuse_file_info *fi)
{
	return fi->fh & HANDLE_DIRECT;
}

/*
 * Answer an OPEN, or a CREATE with its entry E, else NULL. -ENOENT: the kernel did not get the handle, because the gate is
 * not open any more or the request was interrupted; F is closed then.
 */
int ops_reply_handle(fuse_req_t req, struct file *f, bool writable, struct fuse_file_info *fi,
		     const struct fuse_entry_param *e);

/* A request that goes on in the pool; it stays in flight until its job has replied. */
struct deferred {
	fuse_req_t req;
	struct server *server;
	enum pool_lane lane;
	struct node *node, *to; /* the kernel knows them for as long as the request lasts */
	struct fuse_file_info fi;
	pool_job *run;
	unsigned turn; /* lock_request_begin() */
	/* No lock waits for it: its answer has nothing of a file and it holds no page, and an fsync takes as long as a disk likes. */
	bool aside;
	int arg; /* fsync: data only; setattr: what to set; lseek: whence; create: FI is to be opened; listing: size; rename: flags */
	uint64_t off;
	int64_t begun; /* listing: when the request came, ms of CLOCK_MONOTONIC */
	mode_t mode;
	struct stat attr;
	char name[NAME_LEN_MAX + 1], new_name[NAME_LEN_MAX + 1];
};
/* Run JOB with a copy of D, to which the request is added. Answers ENOMEM itself when it cannot. */
void ops_defer(fuse_req_t req, pool_job *job, const struct deferred *d);
/* After a crash a look-up may open the file to find its end (file_settle()): with wrap type `file` the KMS is asked for that. */
static inline bool ops_lookup_waits(const struct server *s)
{
	const struct file_env *env = &s->cfg.tree->env;

	return env->unclean && !env->read_only && s->cfg.store->keyring->wrap_type == WRAP_FILE;
}
/* End of a job, which has replied: frees it. */
void ops_deferred_end(struct deferred *d);

#endif
