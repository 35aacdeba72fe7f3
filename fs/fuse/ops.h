/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files that speak FUSE share: the serving thread, admission, replies. Private to loop.c, ops.c, ops_dir.c. */
#ifndef FS_OPS_H
#define FS_OPS_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include "fs/tree/object.h"

/* A serving thread. */
struct server {
	struct fs *fs;
	struct loop *loop;
	struct file_work work;
	struct fuse_buf buf;
	unsigned wiped; /* epoch of the last wipe */
	bool to_signal; /* loop's wipe_lock */
	pthread_t thread;
};

/* Each fills in its callbacks. */
void ops_file_fill(struct fuse_lowlevel_ops *ops);
void ops_dir_fill(struct fuse_lowlevel_ops *ops);

/* The thread that runs this handler. */
struct server *loop_self(void);
void loop_self_set(struct server *s);
/* FUSE's number of the request that this thread is in; 0 when it is none's. */
uint32_t loop_opcode(void);

static inline struct fs *req_fs(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct node *req_node(fuse_req_t req, fuse_ino_t ino)
{
	return node_get(&req_fs(req)->nodes, ino);
}

/* State ACTIVE or GRACE under a running lease. */
static inline bool ops_open(struct fs *fs)
{
	enum gate_state s = gate_state(fs->gate);

	return s == GATE_ACTIVE || s == GATE_GRACE;
}

/* Answers EACCES and returns true unless the gate is open. */
bool ops_refused(fuse_req_t req);
/* The same for what changes the store: EROFS where it is mounted read-only. */
bool ops_change_refused(fuse_req_t req);
struct cred ops_cred(fuse_req_t req);
/* Reply with an entry (or a created file); tests the gate once more and takes the look-up back if the reply fails. */
void ops_reply_entry(fuse_req_t req, struct node *n, const struct stat *st, int r);
void ops_entry(struct fs *fs, struct node *n, const struct stat *st, struct fuse_entry_param *e);

/* A request that goes on in the pool; it stays in flight until its job has replied. */
struct deferred {
	fuse_req_t req;
	struct fs *fs;
	enum pool_lane lane;
	fuse_ino_t ino;
	struct fuse_file_info fi;
	unsigned turn; /* fs_request_begin() */
	int arg;
	uint64_t off;
	mode_t mode;
	struct stat attr;
	char name[NAME_LEN_MAX + 1];
};
/* D is copied. Answers ENOMEM itself when it cannot. */
void ops_defer(fuse_req_t req, pool_job *job, const struct deferred *d);
/* End of a job: frees it. */
void ops_deferred_end(struct deferred *d);

#endif
