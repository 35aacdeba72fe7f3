/* SPDX-License-Identifier: BSD-2-Clause */
/* Adding up the sizes below data/ while the check is already running. */
#include "fs/check/check_total.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/store_own.h"

/* A folder of this walk: only its stream, and the way back. */
struct level {
	struct level *parent;
	DIR *stream;
};

static struct level *down(struct level *parent, int dir_fd, const char *name)
{
	int fd = store_openat(dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return NULL;
	struct level *l = calloc(1, sizeof(*l));
	DIR *stream = l ? fdopendir(fd) : NULL;
	if (!stream) {
		close(fd);
		free(l);
		return NULL;
	}
	l->parent = parent;
	l->stream = stream;
	return l;
}

static struct level *up(struct level *l)
{
	struct level *parent = l->parent;
	closedir(l->stream);
	free(l);
	return parent;
}

/* The bytes of one file that a check reads: holes are passed over. */
static uint64_t check_total_bytes(const struct stat *st)
{
	uint64_t used = (uint64_t)st->st_blocks * 512;
	return used < (uint64_t)st->st_size ? used : (uint64_t)st->st_size;
}

static void *add_up(void *arg)
{
	struct check_total *t = arg;
	uint64_t sum = 0;
	struct level *l = down(NULL, t->run->cfg->store->data_fd, ".");
	while (l && !atomic_load(&t->stop)) {
		struct dirent *e = readdir(l->stream);
		struct stat st;
		if (!e) {
			l = up(l);
			continue;
		}
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int fd = dirfd(l->stream);
		if (store_stat(fd, e->d_name, &st) < 0)
			continue;
		if (S_ISREG(st.st_mode))
			sum += check_total_bytes(&st);
		struct level *next = S_ISDIR(st.st_mode) ? down(l, fd, e->d_name) : NULL;
		if (next)
			l = next;
	}
	while (l)
		l = up(l);
	if (!atomic_load(&t->stop))
		check_count(t->run, &(struct check_counts){.total = sum});
	return NULL;
}

void check_total_begin(struct check_total *t)
{
	t->started = pthread_create(&t->thread, NULL, add_up, t) == 0;
}

void check_total_end(struct check_total *t)
{
	atomic_store(&t->stop, 1);
	if (t->started)
		pthread_join(t->thread, NULL);
}
