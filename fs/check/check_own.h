/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of check share among themselves: a run, its folders, jobs and reports. For fs/check*.c. */
#ifndef FS_CHECK_OWN_H
#define FS_CHECK_OWN_H

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "crypto/header.h"
#include "fs/check/check.h"
#include "fs/store/recover.h"
#include "fs/store/leeway.h"

#define CHECK_QUEUE 64u
#define CHECK_CHUNK (1u << 20)
#define CHECK_TRIES 4 /* without key: looks at an object that changes meanwhile */

/* One folder of the walk. Lives while a job or a folder below needs it. */
struct check_dir {
	struct check_dir *parent; /* counted */
	_Atomic unsigned users;
	DIR *stream;
	int fd;      /* the stream's */
	char *disk;  /* name on disk; "data" for the root */
	char *plain; /* "" for the root; NULL where unknown */
	bool has_id;
	bool new_id; /* from --repair: the names in it are given anew, and were told with it */
	uint8_t id[ID_LEN];
	bool lifted; /* a plain user's own folder, searchable only while it is looked at; `mode` is put back */
	mode_t mode;
};

/* What a report is about: an entry of a folder, or (NAME NULL) the folder itself. */
struct check_at {
	struct check_dir *dir;
	const char *name;
	const char *plain; /* NULL where unknown */
};

struct check_finding {
	enum check_code code;
	enum check_severity severity;
	bool repaired;
	bool in_blocks; /* `block` and `last` count */
	uint64_t block, last;
};

/* A file for a worker. */
struct check_job {
	struct check_dir *dir; /* counted */
	char name[NAME_LEN_MAX + 1];
	char *plain; /* malloc'ed or NULL */
};

/* Ids seen: the first 8 bytes, and whose they are. Ids are random: two alike by chance in 2^-64. */
struct check_id {
	uint64_t id, inode; /* inode 0: free */
};
struct check_ids {
	pthread_mutex_t lock;
	struct check_id *slot; /* lock, as all that follows */
	size_t n, cap;
	bool full;
};
enum check_seen { CHECK_NEW, CHECK_SAME, CHECK_OTHER };

struct check_run {
	const struct check_config *cfg;
	const struct layout *layout;
	enum name_mode names;
	bool unclean;
	const struct leeway *leeway; /* the store's, filled when there is a key */
	bool repair;                 /* and there is a gate, and the store is writable */
	pthread_mutex_t lock;
	pthread_cond_t filled, drained;
	struct check_job queue[CHECK_QUEUE]; /* lock; a ring */
	unsigned first, count;               /* lock */
	bool done;                           /* lock: the walk has ended */
	_Atomic int stop;                    /* negative errno: everybody ends */
	pthread_mutex_t out;                 /* callbacks, counts, lost_fd */
	struct check_counts counts;          /* out */
	int64_t told_ms;                     /* out: when progress was last told */
	int lost_fd;                         /* out: -1 until needed */
	struct check_ids ids;
};

/* A worker's buffers. */
struct check_work {
	struct check_run *run;
	uint64_t record_len;
	size_t room; /* records */
	uint8_t *cipher, *plain;
	size_t plain_len;
};

/* check_report.c */
__attribute__((format(printf, 4, 5))) void check_say(struct check_run *run, const struct check_at *at,
						     const struct check_finding *f, const char *fmt, ...);
/* Bytes and objects looked at; tells progress now and then. */
void check_count(struct check_run *run, const struct check_counts *add);
/* Make everybody end with R; the first error wins. */
void check_stop(struct check_run *run, int r);
/* true if R came from a gate that has locked (then the run is stopped). */
bool check_locked(struct check_run *run, int r);
struct check_dir *check_dir_get(struct check_dir *dir);
void check_dir_put(struct check_dir *dir);

/* check_ids.c */
int check_ids_add(struct check_ids *ids, const uint8_t id[ID_LEN], const struct stat *st,
		  enum check_seen *seen) MUST_CHECK;
void check_ids_free(struct check_ids *ids);

/* check_dir.c: the walk, on the calling thread. */
int check_walk(struct check_run *run) MUST_CHECK;
/* check_queue.c: hand a file to the workers; PLAIN is taken over. */
void check_push(struct check_run *run, struct check_dir *dir, const char *name, char *plain);

/* check_queue.c: the next file, or 0 when there is none left. */
int check_take(struct check_run *run, struct check_job *job);

/* check_file.c: one file with the key. check_plain.c: without. */
void check_file(struct check_work *w, const struct check_at *at);
void check_file_plain(struct check_work *w, const struct check_at *at);
/* Open an entry for reading; reports. Descriptor or -1. ST gets its status. */
int check_open(struct check_run *run, const struct check_at *at, struct stat *st);
/* check_store.c: 1 if the session record claims a crash (or a running mount), unauthenticated: for a check without key. */
int check_says_unclean(const struct store *s);

/* check_header.c: what the key's own opening passes over. */
void check_header(struct check_run *run, const struct check_at *at, const struct recover *rec, const uint8_t *bytes,
		  const struct header *h);
/* check_block.c: the whole blocks of a file before END. */
struct check_target {
	const struct check_at *at;
	struct recover file;
	struct recover_end end;
	const uint8_t *file_id;
	bool excused; /* it may be unfinished */
};
/* 1 when an earlier end was met: T->end is that now. */
int check_blocks(struct check_work *w, struct check_target *t) MUST_CHECK;

/* check_lost.c: the ranges that AT, a file with FILE_ID, has lost. When all was looked at: those of files that are no more. */
void check_lost(struct check_run *run, const struct check_at *at, const struct lost_of *of);
void check_lost_end(struct check_run *run);

/* check_xattr.c: those of the object with OBJECT_ID (NULL: without key). */
void check_xattrs(struct check_run *run, const struct check_at *at, int fd, const uint8_t *object_id);

/* check_repair.c: each returns 0 when done. */
int check_move_lost(struct check_run *run, const struct check_at *at) MUST_CHECK;
/* What a crash may leave is no damage where the mount that broke off was making a file: ST, whose name AT has. */
bool check_excused(const struct check_run *run, const struct check_at *at, const struct stat *st);
/* The same of a create whose size has reached the disk, and nothing else of it. */
bool check_blank_stump(const struct check_run *run, const struct check_at *at, int fd, const struct stat *st);
/* Was it made by the mount that broke off, and nothing of it ever durable? FILE_ID: NULL where the header does not tell. */
bool check_made(const struct check_run *run, const struct check_at *at, int fd, const uint8_t *file_id);
/* DIR's id is lost: a new one, the old file kept. */
int check_new_id(struct check_run *run, struct check_dir *dir) MUST_CHECK;
/* An entry whose name is lost: a new one in the same folder, DISK on disk and PLAIN (malloc'ed) to the user. */
int check_new_name(struct check_run *run, const struct check_at *at, char disk[NAME_LEN_MAX + 1],
		   char **plain) MUST_CHECK;
int check_fill_stump(struct check_run *run, const struct check_at *at) MUST_CHECK;
int check_seal_end(struct check_run *run, const struct check_target *t) MUST_CHECK;

#endif
