/* SPDX-License-Identifier: BSD-2-Clause */
/* What file*.c share among themselves: how a change of a file is planned, and the steps that carry a plan out. */
#ifndef FS_FILE_OWN_H
#define FS_FILE_OWN_H

#include "fs/inode/file.h"

#define FILE_OLD_MAX 4u
#define FILE_SPANS_MAX 6u

/* A block whose old record is read, and its content opened into PLAIN: B bytes, zeros behind the end; NULL: only read. */
struct file_old {
	uint64_t no;
	uint8_t *plain;
};

/* Bytes laid over old content when that has been opened. */
struct file_lay {
	uint8_t *to;
	const uint8_t *from; /* NULL: zeros */
	size_t len;
};

/* One piece of what is written. In the slot the pieces lie one behind another, on disk where they belong. */
struct file_span {
	enum { SPAN_BLOCKS = 1, SPAN_FINAL, SPAN_ZEROS } kind;
	uint64_t no;          /* first block, or the final record's place */
	size_t n;             /* whole blocks */
	const uint8_t *plain; /* of the blocks or the final record's tail; read when the plan's lays are done */
	uint64_t off;         /* on disk */
	uint32_t len;
};

/*
 * One change of a file, worked out under its write lock before anything is read or sealed. Nothing is allocated: buffers
 * are the thread's.
 */
struct file_plan {
	enum gate_use use;
	struct file_old old[FILE_OLD_MAX];
	struct file_lay lay[2];
	struct file_span span[FILE_SPANS_MAX]; /* in the order in which they are to reach the disk */
	unsigned n_old, n_lay, n_spans;
	struct final_head head; /* of the SPAN_FINAL */
	uint64_t disk_size;     /* afterwards, or INFLIGHT_KEEP_SIZE */
	uint8_t *empty; /* NULL, or room for a final record like the old, empty one: to be put back if this fails */
};

/* Building a plan: no I/O, no keys. The final record of a file of SIZE bytes; TAIL may be NULL where it has none. */
void file_plan_final(const struct file *f, struct file_plan *p, uint64_t size, uint32_t flags, const uint8_t *tail);
/* N whole blocks from block NO on, PLAIN one behind another. */
void file_plan_blocks(const struct file *f, struct file_plan *p, uint64_t no, size_t n, const uint8_t *plain);
/*
 * What replaces the old final record when the file goes on behind it, NEXT being the first block written there: the old
 * tail as the whole block at TAIL, and zeros where the old record stood and a hole is to be.
 */
void file_plan_unend(const struct file *f, struct file_plan *p, uint64_t next, const uint8_t *tail);

/* Step 1: read the old records. Record I lies raw at file_old_raw(I) afterwards. -EIO (logged) for what is cut short. */
int file_old_read(struct file *f, struct file_work *w, const struct file_plan *p) MUST_CHECK;
static inline uint8_t *file_old_raw(const struct file *f, const struct file_work *w, unsigned i)
{
	return w->cipher + i * layout_final_room(&f->env->layout);
}
/*
 * Step 2, no I/O: borrow the keys, open old content, lay new over it, seal the spans into W's slot; IN says where they go.
 * -EACCES, -EIO (logged) for what does not authenticate.
 */
int file_seal(struct file *f, struct file_work *w, const struct file_plan *p, struct inflight *in) MUST_CHECK;
/*
 * Step 3: write what lies in the slot, extents in order, then the size unless it is INFLIGHT_KEEP_SIZE. The slot is valid on
 * disk while it lasts, so the daemon's death tears nothing. When the slot cannot be written, the file is not touched. To be followed by
 * file_committed(). Nothing of F is behind (behind.h), or this is what was.
 */
int file_commit(struct file *f, struct file_work *w, struct inflight *in) MUST_CHECK;
/*
 * Between 2 and 3: -ENOSPC if IN needs blocks that the store's filesystem keeps for root (any user's write is root's here). It
 * looks every 64 MiB, and at each request when it is nearly full.
 */
int file_room(struct file *f, const struct inflight *in) MUST_CHECK;
/*
 * Take disk bytes [AT, AT + LEN) for F under its write lock, not touching the size: -ENOSPC as for file_room(). When it fails, what
 * it took behind the end is given back, with whatever was taken there before.
 */
int file_reserve(struct file *f, uint64_t at, uint64_t len) MUST_CHECK;
/* After step 3, which gave R; when that is an error, after what was touched has been put back. */
void file_committed(struct file *f, const struct file_work *w, int r);
/* Step 3 has failed: put the final record RAW (LEN bytes) of the current size back and cut what is behind it. */
void file_undo(struct file *f, struct file_work *w, const uint8_t *raw, size_t len);

/* One change of the end, all its steps, under the write lock. On 0 size, flags and generation are the new ones. */
int file_resize_locked(struct file *f, struct file_work *w, uint64_t size, uint32_t flags,
		       enum gate_use use) MUST_CHECK;

/* The final record has FLAGS and GENERATION now. */
static inline void file_ended(struct file *f, uint32_t flags, uint64_t generation)
{
	if (flags & ~f->flags & FINAL_SPARSE)
		f->sparse_since = generation;
	f->flags = flags;
	f->generation = generation;
}

/* [start, end) was written, cut off or made zeros: no lost range any more. With the last of them their error is history. */
void file_found(struct file *f, uint64_t start, uint64_t end);
/* Is a byte of [off, off + len) lost? */
bool file_is_lost(const struct file *f, uint64_t off, uint64_t len);
/*
 * Block NO does not authenticate. True: bytes of it are lost, and so are all of them from now on; a part of it may be written, over
 * zeros.
 */
bool file_lost_block(struct file *f, uint64_t no);
/* The first lost range that ends after POS. */
bool file_next_lost(const struct file *f, uint64_t pos, struct range *out);
/* Blocks [FIRST, END) come into being that nobody wrote: to GAPS those of which nothing was lost. -ENOMEM. */
int file_gaps_add(const struct file *f, struct ranges *gaps, uint64_t first, uint64_t end) MUST_CHECK;
/* What of GAPS was lost waits for nobody: it is no gap any more. */
void file_gaps_lost(const struct file *f, struct ranges *gaps);
/* Is one of [FIRST, END) a gap? */
bool file_has_gap(const struct file *f, uint64_t first, uint64_t end);

/* An open file of N without descriptor and key, NULL when memory is short; and its end. */
struct file *file_alloc(struct file_env *env, struct node *n);
void file_destroy(struct file *f);
/* What a file is opened for. SETTLE: its end, so its key is only had if that may be unfinished. */
enum file_want { FILE_READ, FILE_WRITE, FILE_SETTLE };
/* N's file with its descriptor and key, nothing of its end looked at. As file_open(). */
int file_front(struct file_env *env, struct node *n, enum file_want want, struct file **out) MUST_CHECK;
/* F gets the id and the key of B. */
void file_take_key(struct file *f, struct blank *b);
/* After a crash: where does it end? Sealed there if that was left undone. -EBADMSG where nothing authenticates. */
int file_mend(struct file *f) MUST_CHECK;

/* The place that F is listed with when it is to be changed: a create's, if a crash left it without anything durable; else 0. */
uint64_t file_made_at(struct file *f);

/* Log what does not authenticate and count it; returns -EIO. */
int file_corrupt(struct file *f, const char *what, uint64_t no);
/* May the log have a line about an end that was found again? */
bool file_env_recovered(struct file_env *env);
/* borrow_file() for F. A key that does not open any more is logged and counted: -EIO. */
int file_borrow(struct file *f, enum gate_use use, struct borrow *b) MUST_CHECK;

#endif
