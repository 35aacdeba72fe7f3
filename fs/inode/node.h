/* SPDX-License-Identifier: BSD-2-Clause */
/* The inode table: what the kernel knows, and under which names it lies in the store. No FUSE. */
#ifndef FS_NODE_H
#define FS_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "crypto/keys.h"
#include "crypto/layout.h"
#include "crypto/times.h"
#include "fs/store/ranges.h"

#define NODE_ROOT 1u
#define OBJECT_DIR 100 /* beside enum object_type, for nodes only */

struct node;
struct file;
struct keep;

/* One name of a node: the folder it is in (pinned) and the name on disk. */
struct link {
	struct link *next;
	struct node *parent;
	uint64_t made;        /* nodes.stamp when it came into the table */
	bool sidecar_durable; /* or it needs none */
	char name[];
};

/* A thing in a folder that an fsync of the folder has to bring along, by its name on disk. */
struct owed_name {
	struct owed_name *next;
	uint64_t seq;
	char name[];
};

/* A directory descriptor shared by those who use it at the moment; kept in an LRU when unused. */
struct dirfd {
	int fd; /* O_PATH | O_DIRECTORY */
	unsigned users;
	struct node *node;
	struct dirfd *newer, *older;
};

/* What is remembered of a node's attributes on disk. */
enum node_has { NODE_HAS_UNKNOWN = 0, NODE_HAS_NONE, NODE_HAS_SOME };

/* What an inode was opened for since the mount: bits. */
enum node_opened {
	NODE_OPENED_AT_ALL = 1,
	NODE_OPENED_TO_WRITE = 2,
};

/*
 * An inode of the mount. `id`, `generation` (the kernel keeps its low 32 bits), `dev`, `ino`, `type` never change while it lives; the rest is guarded by the
 * table's lock (t), by itself (l: node_lock), or is atomic (a). A node lives while the kernel knows it or a child pins it.
 */
struct node {
	uint64_t id;
	uint64_t generation;
	dev_t dev;
	ino_t ino;
	int type;               /* enum object_type or OBJECT_DIR */
	uint64_t nlookup;       /* t */
	uint32_t pins;          /* t: children's links */
	struct link *links;     /* t */
	struct node *hash_next; /* t */
	struct dirfd *dirfd;    /* t */
	int orphan_fd;          /* t: O_PATH of an inode whose last name is gone, else -1 */
	bool gone;              /* t: not found by (dev, ino) any more: its number may be another object's by now */
	pthread_mutex_t once; /* held while its file is opened or its directory id made: one at a time; before `lock` */
	pthread_mutex_t lock; /* what follows; taken before the table's lock */
	_Atomic(struct file *) file;   /* l: while any handle is open */
	uint8_t object_id[ID_LEN];     /* l: file id, directory id or special object's id, once has_id */
	struct keep *keep;             /* its open file's write lock (keep.h) */
	uint32_t dev_major, dev_minor; /* l: special objects, once has_special */
	uint16_t target_len;           /* l */
	bool has_id, has_special;
	_Atomic uint8_t xattrs;           /* a: enum node_has, of ours */
	_Atomic uint8_t default_acl;      /* a: enum node_has */
	_Atomic bool fresh;               /* a: made in this mount, and nothing of it has been made durable by us */
	_Atomic bool id_durable;          /* a: a folder's id file, with its entry */
	_Atomic uint64_t entries_durable; /* a: of a folder: names in it with a stamp up to here */
	struct owed_name *owed;           /* l: the oldest first */
	struct owed_name *owed_last;      /* l */
	unsigned n_owed;                  /* l: at most OWED_MAX */
	uint64_t owed_seq, owed_more;     /* l: of the last one; when there was one more that nobody noted, 0: never */
	_Atomic uint8_t opened;           /* a: enum node_opened */
	_Atomic bool lost_any; /* a: the store's list (fs/store/lost.h) has something of it; set once it was opened */
	/* a: errno of a write-back that failed on the disk, until a writer has been told; 0: none */
	_Atomic int write_error;
	/* a: when bytes went past the kernel's cache, which has not been told the time; 0: it has */
	_Atomic int64_t written_ns;
	_Atomic bool to_tell;     /* a: it is told that soon, behind an fsync */
	_Atomic unsigned telling; /* a: threads that tell it now */
	_Atomic uint32_t listed;  /* a: its slot in the list of files being written, as far as known */
	struct times times;       /* l: a regular file's, as they were told, once times_known (times.h) */
	bool times_known;
	_Atomic bool times_moved; /* a, set under l: those on disk are others */
	_Atomic bool settled;     /* a: file_settle() has looked at its end */
};

#define OWED_UNKNOWN 1u /* node.owed_more of a folder that was found: nobody knows what was made in it before */

/* A node, whoever has its id now. */
struct orphan {
	uint64_t id, generation;
};

#define ORPHANS_MAX 4096u
#define NODE_CHUNK 4096u
#define NODE_CHUNKS 65536u

/* The table. Fields are node*.c's and dirfd.c's. */
struct nodes {
	pthread_mutex_t lock;
	struct node **hash;
	size_t n_hash, n_nodes;
	uint64_t stamp;    /* counts names */
	bool names_follow; /* an fsync of a file makes its names durable as well; set after nodes_init() */
	_Atomic(struct node **) chunk[NODE_CHUNKS]; /* id -> node; slots stay, nodes come and go */
	uint64_t high;                              /* ids 1..high have been used */
	uint64_t *free_ids;
	size_t n_free, cap_free;
	uint64_t generation;
	struct node *root;
	struct dirfd *newest, *oldest; /* unused descriptors */
	unsigned n_dirfds;
	struct orphan orphan[ORPHANS_MAX]; /* nodes with an orphan_fd, a ring; some have been forgotten since */
	size_t orphan_next;
	_Atomic unsigned orphans;      /* orphan_fds, until they are closed */
	_Atomic uint64_t known;        /* nodes with nlookup > 0 */
	_Atomic bool forgot;           /* a folder that owed something has been forgotten */
	_Atomic uint64_t *shared_high; /* `high`, for another process; set after nodes_init(), NULL = nobody */
};

/* ROOT_FD is the store's data directory, kept open by the caller for the table's life. */
int nodes_init(struct nodes *t, int root_fd) MUST_CHECK;
void nodes_free(struct nodes *t);

/* The node of an id that the kernel uses now: never NULL for one it may use. */
struct node *node_get(struct nodes *t, uint64_t id);
/*
 * Find or make the node of (dev, ino) and count one lookup of it; the name is added to it if new. For an existing node TYPE
 * is ignored. -ENOMEM.
 */
struct node_key {
	dev_t dev;
	ino_t ino;
	int type;
};
int node_lookup(struct nodes *t, const struct node_key *key, struct node *parent, const char *disk_name,
		struct node **out) MUST_CHECK;
/* Count one lookup more of ID, if the kernel knows it; NULL if not. */
struct node *node_lookup_again(struct nodes *t, uint64_t id);
/* The kernel forgot N lookups. */
void node_forget(struct nodes *t, struct node *n, uint64_t count);
/* The node of ID, if it lives, not to be freed until node_unpin(). */
struct node *node_pin(struct nodes *t, uint64_t id);
/* The kernel knows ID. */
bool node_live(struct nodes *t, uint64_t id);
/* 1 if the kernel knows (dev, ino). */
bool node_known(struct nodes *t, dev_t dev, ino_t ino);

/* What a locking pass looks at, in this order. */
enum node_class { NODE_WRITTEN = 1, NODE_OPENED, NODE_FOLDER, NODE_OTHER };
/* Collect up to MAX ids of CLASS that the kernel knows, from id *NEXT on; *NEXT moves on. Returns how many; 0 at the end. */
size_t nodes_collect(struct nodes *t, enum node_class class, uint64_t *next, uint64_t *ids, size_t max);

/* How many files are open. */
uint64_t nodes_open_files(struct nodes *t);

/* A name has come, gone, moved. Replaced nodes lose NEW_NAME in NEW_PARENT. */
int node_add_name(struct nodes *t, struct node *n, struct node *parent, const char *name) MUST_CHECK;
void node_drop_name(struct nodes *t, dev_t dev, ino_t ino, struct node *parent, const char *name);

/* (dev, ino) went from one name to another; nothing happens when the kernel does not know it. */
struct node_place {
	struct node *parent;
	const char *name;
};
int node_move_name(struct nodes *t, const struct stat *st, struct node_place from, struct node_place to) MUST_CHECK;

/*
 * Take an O_PATH descriptor of a node about to lose its last name (FD is taken over), so that the kernel's references still
 * work. Closed when forgotten; of more than 4,096 at a time the oldest is dropped.
 */
void node_keep_orphan(struct nodes *t, dev_t dev, ino_t ino, int fd);
/*
 * What was removed gives its blocks back when the kernel has forgotten it, which comes after unlink(2) has returned. True: some
 * did, within 100 ms, and what met ENOSPC may be tried again. Does not wait where nothing is on its way.
 */
bool nodes_room_comes(struct nodes *t);

/* Copy name I of N: parent (pinned: give it to node_unpin()) and disk name. -ENOENT if there is no such. */
int node_name(struct nodes *t, struct node *n, unsigned i, struct node **parent, char name[256]) MUST_CHECK;
void node_unpin(struct nodes *t, struct node *n);
/* Path of disk names below data/ into BUF: length, or 0 if there is none or it is too long. */
size_t node_path(struct nodes *t, struct node *n, char *buf, size_t len);

/* Descriptor of directory N, O_PATH; give it back with dirfd_put(). Negative errno: -ESTALE when it cannot be found again. */
int dirfd_get(struct nodes *t, struct node *n, struct dirfd **out) MUST_CHECK;
void dirfd_put(struct nodes *t, struct dirfd *d);
/* For AUTO(): struct dirfd_ref r = {t, d}. */
struct dirfd_ref {
	struct nodes *t;
	struct dirfd *d;
};
void dirfd_ref_put(struct dirfd_ref *r);

/*
 * An O_PATH descriptor (owned by the caller) of N, found by its names, its open file or its orphan descriptor, and checked
 * against (dev, ino). Negative errno.
 */
int node_open_path(struct nodes *t, struct node *n);
/* stat of N the cheapest way. */
int node_stat(struct nodes *t, struct node *n, struct stat *st) MUST_CHECK;
/* Open the backing object with FLAGS (O_CLOEXEC and O_NOFOLLOW added), checked against (dev, ino). Lifts a plain user's own bits. */
int node_open(struct nodes *t, struct node *n, int flags);

#endif
