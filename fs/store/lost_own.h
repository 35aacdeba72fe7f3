/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of the list of what was lost. For lost*.c. */
#ifndef FS_STORE_LOST_OWN_H
#define FS_STORE_LOST_OWN_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/store/lost.h"

#define LOST_SPARE 64u /* slots that are kept for files whose ranges become one */
#define LOST_FILTER 4096u

/* An entry of the file. */
struct lost_placed {
	struct range range;
	uint32_t slot;
	bool going; /* not wanted any more; goes when what replaced it is durable */
};

struct lost_file {
	uint8_t file_id[ID_LEN];
	uint64_t ino;
	struct ranges now;
	struct lost_placed *placed; /* io; sorted */
	size_t n_placed;            /* io */
	struct lost_file *next;     /* of those that the file does not say yet */
	bool queued;
	bool gone; /* no name any more: not on disk */
	bool hull; /* for want of room one entry from its first lost byte to its last */
	bool met;
	bool renumber; /* its entries do not have its inode number yet */
};

struct lost {
	struct lost_config cfg;
	struct lost_key *key; /* NULL: there is no file */
	pthread_t thread;
	bool running;
	pthread_mutex_t io;       /* before `lock`; who writes the file, what it says, what follows */
	int fd;                   /* io; -1: there is no room for it yet, or nothing is written */
	_Atomic bool failing;     /* it cannot be written, and the log knows */
	bool again;               /* io: what the file says is not certain: it is made again */
	uint32_t n_used;          /* io */
	uint32_t hint;            /* io: no slot before it is free */
	_Atomic bool unsynced;    /* the disk does not have all of the file */
	uint8_t used[LOST_SLOTS]; /* io; by slot */
	pthread_mutex_t lock;     /* all that follows, and the files but for what is io's */
	pthread_cond_t wake;
	bool stop;
	struct lost_head head;
	bool head_changed;
	bool cuts;               /* entries that are not wanted wait for the disk */
	struct lost_file **file; /* by file id */
	size_t n_files, cap;
	struct lost_file *queue;
	_Atomic size_t count;                      /* n_files, for a look without the lock */
	_Atomic bool numberless;                   /* some file's inode number is not known */
	_Atomic uint64_t filter[LOST_FILTER / 64]; /* of inode numbers */
};

/* lost_files.c, under the lock. F's entry, made if MAKE; NULL. */
struct lost_file *lost_find(const struct lost *l, const uint8_t file_id[ID_LEN]);
struct lost_file *lost_file_of(struct lost *l, const struct lost_of *f);
/* The file is behind what is known of F. */
void lost_queue(struct lost *l, struct lost_file *f);
/* Those of which nothing is lost any more, and nothing on disk either, under both locks. */
void lost_sweep(struct lost *l);
void lost_file_free(struct lost_file *f);

/* lost_plan.c, under both locks, no I/O. Entries of one file that come, then entries that go. */
struct lost_change {
	struct lost_placed *put;
	uint32_t *drop;
	size_t n_puts, n_drops;
};
/* For AUTO(). */
void lost_change_end(struct lost_change *c);
/*
 * What brings F's entries after memory; `placed` says it already, the slots of those that go are given back when that is done.
 * -ENOSPC: *MOST is a file that shall have one entry from now on, to be planned first; NULL: there is none. -ENOMEM.
 */
int lost_plan(struct lost *l, struct lost_file *f, struct lost_change *c, struct lost_file **most) MUST_CHECK;
/* Under io: mark what has to wait for the disk until it goes; false: nothing has. Then those of all files that go. -ENOMEM. */
bool lost_mark_going(struct lost *l) MUST_CHECK;
int lost_plan_going(struct lost *l, struct lost_change *c) MUST_CHECK;
void lost_slot_give(struct lost *l, uint32_t slot);
/* F's entries in order. */
void lost_sort(struct lost_file *f);
/* All of them get new slots, for a file that is made from nothing. -ENOMEM. */
int lost_replace_all(struct lost *l) MUST_CHECK;

/* lost_read.c. The whole file. -ENOENT there is none, -EUCLEAN it is none of ours, -EIO, ... */
int lost_fetch(const struct lost *l, uint8_t **out, uint64_t *ino) MUST_CHECK;
/*
 * What is authentic of the LOST_LEN bytes of the file with inode number INO, to L, in which nothing is; head and entries
 * each for themselves. *AS_IS: nothing of the file needs a change. -ENOMEM, -ENOTSUP, -EIO.
 */
int lost_take(struct lost *l, const uint8_t *bytes, uint64_t ino, bool *as_is) MUST_CHECK;
/* lost_disk.c. Read the file into L, and open it or make it anew. As lost_open(). */
int lost_load(struct lost *l) MUST_CHECK;
/* All that is not there yet to the file; CLEAR: also what has to wait for the disk. Under io. */
int lost_mirror(struct lost *l, bool clear) MUST_CHECK;
/* A file of all blocks in place, as memory says it; under io. */
int lost_make_anew(struct lost *l) MUST_CHECK;

#endif
