/* SPDX-License-Identifier: BSD-2-Clause */
/* What was lost stays lost: ranges that were accepted and never stored, in memory and in STORE/byokfs/lost. */
#ifndef FS_STORE_LOST_H
#define FS_STORE_LOST_H

#include "crypto/lost.h"
#include "fs/store/ranges.h"

/*
 * The list. What is in memory counts at once; a thread brings the file after it, an entry that says more at once, one that says
 * less when what was written instead is durable. Any thread may ask and change it; nobody waits for a disk but in lost_sync(). Every
 * function takes NULL for a list in which nothing is.
 */
struct lost;

struct lost_config {
	int own_fd, data_fd;                         /* the caller's, open as long as the list */
	uint64_t session;                            /* the one that begins */
	uint64_t last_session;                       /* the one before; 0: not known */
	bool expected;                               /* the store has had a list since it was made */
	bool read_only;                              /* nothing is written */
	void (*log)(int priority, const char *text); /* may be NULL */
};

/*
 * Read the list, and make its file fit for the session, durable. KEY is taken over on 0. No room for it (a full disk): 0 too, told to
 * the log, and tried again when something is lost. *OUT is freed by lost_free(). -ENOMEM, -EIO, ...; -ENOTSUP a newer format.
 */
int lost_open(const struct lost_config *cfg, struct lost_key *key, struct lost **out) MUST_CHECK;
/* One without a file, for who has no store; -ENOMEM. */
int lost_new(struct lost **out) MUST_CHECK;
/* Start the thread. Not before the last fork. */
int lost_start(struct lost *l) MUST_CHECK;
/* Ends the thread, brings the file up to date, durable. NULL is legal. */
void lost_free(struct lost *l);
/* The list's file, as `init` makes it: empty, all its blocks taken, durable. -ENOSPC, -EIO, ... */
int lost_make(int own_fd, const struct store_keys *keys, uint64_t session) MUST_CHECK;

/* A file of the store. */
struct lost_of {
	const uint8_t *file_id; /* ID_LEN bytes */
	uint64_t ino;           /* 0: not known */
};

/*
 * [start, end) of F is lost, or there again. Where memory is short for one range more all of F is lost; add: -ENOMEM when not even
 * that could be noted.
 */
int lost_add(struct lost *l, const struct lost_of *f, uint64_t start, uint64_t end) MUST_CHECK;
void lost_cut(struct lost *l, const struct lost_of *f, uint64_t start, uint64_t end);
/* F has no name any more: what is open of it stays lost, the next mount need not know. */
void lost_gone(struct lost *l, const uint8_t file_id[ID_LEN]);

/* false: nothing of the inode INO is lost. true: it has to be asked by its file id. */
bool lost_maybe(struct lost *l, uint64_t ino);
/* Is anything of F lost? Its inode number is learnt by this. */
bool lost_any(struct lost *l, const struct lost_of *f);
/* Is a byte of [start, end)? */
bool lost_hit(struct lost *l, const uint8_t file_id[ID_LEN], uint64_t start, uint64_t end);
/* The first lost range of it that ends after POS. */
bool lost_next(struct lost *l, const uint8_t file_id[ID_LEN], uint64_t pos, struct range *out);
/* Where the last one ends, 0 if there is none. */
uint64_t lost_end(struct lost *l, const uint8_t file_id[ID_LEN]);

/* How many files and ranges. */
struct lost_counts {
	uint64_t files, ranges;
	bool altered;    /* the list, or an earlier state of it, was taken away, altered or put back */
	bool overflowed; /* more was lost than it has room for */
};
void lost_count(struct lost *l, struct lost_counts *out);

/* Is there something that the file does not say yet? Not where it cannot be written: waiting for it would be in vain. */
bool lost_pending(struct lost *l);
/* Wait until the file says it; DURABLE: and the disk. What was written instead of lost bytes is made durable first. */
int lost_sync(struct lost *l, bool durable) MUST_CHECK;

/* For a check that looks at every file: F has been met. */
void lost_met(struct lost *l, const struct lost_of *f);
/* Call EACH for every file that has not, with the number of its ranges. */
void lost_unmet(struct lost *l, void (*each)(void *arg, const struct lost_of *f, size_t ranges), void *arg);
/* That the list was altered or too full has been told; UNMET: files that were not met are no more. They are forgotten. */
void lost_settle(struct lost *l, bool unmet);

#endif
