/* SPDX-License-Identifier: BSD-2-Clause */
/* A regular file's mtime and ctime: what was told of them stays, whatever the store's filesystem makes of our writing. */
#ifndef FS_TIMES_H
#define FS_TIMES_H

#include "fs/inode/file.h"

/*
 * With its write-back cache the kernel keeps both itself: it takes them from us when it meets the inode, moves them when
 * somebody changes the file, and says so by SETATTR - unless they come out the same, within one tick of its clock. We write
 * later than that, and the filesystem below has its own idea of when. So they are held in the node from the first write on,
 * and put on disk when the kernel says a time and when the file is closed: mtime as itself, ctime, which no system call sets,
 * as TIMES_XATTR beside it (suite 2). After a crash in between the file is newer than it was told, never older.
 *
 * Any thread; for files only; they call for no key, and nothing here fails: times are not worth it.
 */

/* For times*.c: read N's times by FD, which refers to it, if they are not known yet. Under N's lock. */
void times_know(const struct file_env *env, struct node *n, int fd);
/* Is ctime kept beside the files of this store? */
static inline bool times_beside(const struct file_env *env)
{
	return env->layout.suite == SUITE_2;
}
static inline bool times_same(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* The bytes of F are about to change on disk. Under its write lock. */
void times_hold(struct file *f);
/* Bytes went past the kernel's cache, of which it moves no time: WHEN. */
void times_written(struct node *n, const struct timespec *when);
/* The kernel says so of N, which FD (O_PATH will do) refers to. NULL: nothing is said of this one. */
void times_told(struct file_env *env, struct node *n, int fd, const struct timespec *mtime,
		const struct timespec *ctime);
/* Put what is held on disk, if it is not there. Before each close of one that may write. While
 * another thread writes to N it does nothing: that one's close does. */
void times_settle(struct file_env *env, struct node *n, int fd);

/* The user has read from what FD (O_PATH will do) refers to: move atime, where that is wanted and due. */
void times_read_by_user(const struct file_env *env, int fd);

/* N is looked up, and FD (O_PATH will do) refers to it: the cheapest moment to read its times, if they are not known. */
void times_look(const struct file_env *env, struct node *n, int fd);
/* Replace the times of ST, which was asked of the disk, by those to be told. N's lock is free. */
void times_answer(struct file_env *env, struct node *n, struct stat *st);

#endif
