/* SPDX-License-Identifier: BSD-2-Clause */
/* One open file of the store: reading, writing, cutting and growing at plain offsets. No FUSE. */
#ifndef FS_FILE_H
#define FS_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "crypto/block.h"
#include "crypto/inflight.h"
#include "fs/inode/behind.h"
#include "fs/inode/blank.h"
#include "fs/inode/busy.h"
#include "fs/inode/node.h"
#include "fs/inode/told.h"
#include "fs/inode/turn.h"
#include "fs/store/borrow.h"
#include "fs/store/lost.h"
#include "kms/gate.h"

struct journal_owner;

/* A change of a file's durable bytes under way: keep_before() to keep_after() (fs/inode/keep.h). */
struct keep_change {
	struct journal_owner *owner; /* NULL: nothing of the file is in the journal */
	uint64_t era;
	bool redone; /* by what the journal says it would be made by the next mount, too */
};

/*
 * What one request works in: a serving thread's own buffers, sized by file_work_init() for requests of up to
 * INFLIGHT_REQUEST_MAX plain bytes. `slot` is the thread's in-flight slot, NULL for threads that never write.
 */
struct file_work {
	uint8_t *plain;  /* whole blocks of a read */
	uint8_t *cipher; /* records of a read; old records of a write */
	uint8_t *edge;   /* three blocks: first edge, last edge, old tail */
	uint8_t *slot;
	unsigned slot_no; /* its place in the in-flight file */
	size_t plain_len, cipher_len, edge_len;
	struct keep_change kept; /* from file_commit() to file_committed() */
	bool behind;             /* the last file_write() was answered before it is on disk */
	bool dirty;              /* holds plaintext since the last wipe */
};

int file_work_init(struct file_work *w, const struct layout *l, uint8_t *slot) MUST_CHECK;
void file_work_wipe(struct file_work *w);
void file_work_free(struct file_work *w);

/* Whose reading moves atime, as the mount was asked for, and where the store's filesystem does not say otherwise: bits. */
enum atimes {
	ATIME_FILES = 1, /* and links */
	ATIME_FOLDERS = 2,
	ATIME_ALWAYS = 4, /* not only when it is older than the last change, or a day old */
};

/* What every file of a mount shares. */
struct file_env {
	struct gate *gate;
	struct layout layout;
	struct nodes *nodes;
	uint8_t boot_id[ID_LEN];
	struct slots *slots;     /* the store's; NULL: nothing is written to it */
	struct journal *journal; /* the store's; NULL: nothing is kept before it is written over */
	struct behind *behind;   /* where a lock's write-back goes; NULL: straight to the disk */
	struct written *written; /* the store's list of files being written; NULL: there is none */
	struct lost *lost;       /* the store's list of what was lost; NULL: nothing can be */
	bool unclean;            /* after a crash: stumps and unfinished files are tolerated, as far as `leeway` goes */
	const struct leeway *leeway; /* never NULL when unclean */
	bool read_only;
	unsigned atimes;  /* enum atimes */
	bool keeps_times; /* the kernel keeps mtime and ctime of regular files: they change when it says so (times.h) */
	void (*log)(int priority, const char *text);
	_Atomic uint64_t corrupt, recovered;
	struct told_lines told_corrupt, told_recovered; /* what of these is in the log */
	_Atomic int64_t room;   /* bytes that may be written before it is looked how full the store is */
	_Atomic bool half_done; /* an end could not be put back: this session does not end clean */
};

/* Something does not authenticate: counted. True when the log may have a line about it. Any thread. */
bool file_env_corrupt(struct file_env *env);
/* The last requests are over: tell the log what was left out of it. */
void file_env_end(struct file_env *env);

/*
 * The state shared by all handles of one inode. Content is guarded by `lock`: who changes the end or the holes holds it to write; who
 * reads, or writes over whole blocks in the middle, holds it to read, and his blocks by `busy`. The handle counts are guarded by the
 * node's lock.
 */
struct file {
	pthread_rwlock_t lock;
	struct busy_list busy;
	pthread_mutex_t
		first; /* `slot` and the node's `keep`, where `lock` is held to read only; nothing is waited for under it */
	struct turns turns; /* writes under way; before `lock` */
	struct behind_queue behind;
	struct file_env *env;
	struct node *node;
	struct gate_key *key;
	uint8_t file_id[ID_LEN]; /* from the header */
	int fd;
	_Atomic bool writable; /* fd is O_RDWR */
	bool excused;          /* a crash may have left its end unfinished */
	bool refilled;         /* its header was lost in one, and is new */
	uint32_t slot;         /* of the list of files being written; 0: not listed since it was opened */
	_Atomic bool broken;   /* the final record could not be put back after a failed write: EIO from now on */
	bool holes;            /* `sparse` for good, not only because of gaps */
	_Atomic uint64_t size; /* changed under the write lock, read without any by getattr */
	uint64_t generation;   /* of the final record on disk, as the next two; file_ended() */
	uint32_t flags;
	uint64_t sparse_since; /* generation of the first final record in a row that says sparse */
	struct ranges gaps;    /* block numbers that out-of-order write-back skipped */
	unsigned handles, writers;
};

static inline int file_fd(const struct file *f)
{
	return f->fd;
}

/*
 * Get the node's open file, opening it with the first handle; WRITABLE for handles that may write. Takes the node's lock.
 * -EACCES locked, -EIO not authentic, or as open(2). May call the KMS with wrap type `file`.
 */
int file_open(struct file_env *env, struct node *n, bool writable, struct file_work *w, struct file **out) MUST_CHECK;
/*
 * Before a size of file N is told, whose status is ST: after a crash its end is found and sealed first, once while the node
 * lives, if the file was being written then. No other is opened for it, but its header may be read. For a file
 * with a cached page the kernel never takes another size again. Reads the end only where it is whole; may call the KMS with
 * wrap type `file`. Takes the node's `once`. 0 also where nobody can tell: opening says so. -EACCES locked; as open(2).
 */
int file_settle(struct file_env *env, struct node *n, const struct stat *st) MUST_CHECK;
/* The open file, with one writable handle, of a node just created from BLANK: FD and, on success, its key are taken over. */
int file_adopt(struct file_env *env, struct node *n, int fd, struct blank *blank, struct file **out) MUST_CHECK;
/* One more handle (for reading) of N's open file, or NULL if it has none. */
struct file *file_ref(struct node *n);
/* Give back one handle. */
void file_close(struct file *f, bool writable);

/*
 * Read up to LEN bytes at OFF: *PLAIN points into W and holds *OUT_LEN bytes until W is used again. -EIO for what does not
 * authenticate or was lost, -EACCES.
 */
int file_read(struct file *f, struct file_work *w, uint64_t off, size_t len, const uint8_t **plain,
	      size_t *out_len) MUST_CHECK;
/* Write all LEN (<= INFLIGHT_REQUEST_MAX) bytes, or fail with the end as it was. */
struct file_write {
	uint64_t off;
	const uint8_t *plain;
	size_t len;
	enum gate_use use;
};
int file_write(struct file *f, struct file_work *w, const struct file_write *wr) MUST_CHECK;

/* fsync(2), or fdatasync(2): what was written before is durable on 0. Takes the write lock, but not while it waits. */
int file_sync(struct file *f, bool data_only) MUST_CHECK;

/*
 * Remember that a page-cache write of [off, off + len) was refused or failed: READ of it is EIO until it is written again, in later
 * mounts too, and what its absence left empty is no hole. Takes no lock that is held over a disk.
 */
void file_lost(struct file *f, uint64_t off, uint64_t len);
/* Before an fsync of F (DURABLE), or a close, is answered: what was lost, or is there again, is in the store's list. */
void file_lost_noted(struct file *f, bool durable);
/* The gate being open, something was lost: the end of F does not say sparse any more, if it did for what was to come only. */
void file_unsparse(struct file *f, struct file_work *w);
int file_truncate(struct file *f, struct file_work *w, uint64_t size) MUST_CHECK;
int file_fallocate(struct file *f, struct file_work *w, int mode, uint64_t off, uint64_t len) MUST_CHECK;
/* SEEK_DATA or SEEK_HOLE. -ENXIO. */
int file_seek(struct file *f, struct file_work *w, uint64_t off, int whence, uint64_t *out) MUST_CHECK;
/* Plain size of what is stored; and as it is told, with what was lost behind it. */
uint64_t file_size(struct file *f);
uint64_t file_told_size(struct file *f);
/* The same of any file of the store, of which SIZE bytes are stored. */
uint64_t file_env_told_size(const struct file_env *env, const uint8_t file_id[ID_LEN], uint64_t size);

#endif
