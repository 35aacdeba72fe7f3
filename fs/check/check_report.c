/* SPDX-License-Identifier: BSD-2-Clause */
/* What a check tells: problems with their paths, counts, progress. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/check/check_own.h"
#include "kms/gate.h"

#define TELL_MS 100

static const char *const code_name[] = {
	[CHECK_IO] = "io",
	[CHECK_TYPE] = "type",
	[CHECK_SIZE] = "size",
	[CHECK_HEADER] = "header",
	[CHECK_KEY] = "key",
	[CHECK_END] = "end",
	[CHECK_BLOCK] = "block",
	[CHECK_SPECIAL] = "special",
	[CHECK_XATTR] = "xattr",
	[CHECK_NAME] = "name",
	[CHECK_SIDECAR] = "sidecar",
	[CHECK_ORPHAN] = "orphan",
	[CHECK_DIRID] = "dirid",
	[CHECK_STUMP] = "stump",
	[CHECK_COPY] = "copy",
	[CHECK_LEFTOVER] = "leftover",
	[CHECK_KEYRING] = "keyring",
	[CHECK_SESSION] = "session",
	[CHECK_INFLIGHT] = "inflight",
	[CHECK_LOST_RANGE] = "lost",
};

const char *check_code_name(enum check_code c)
{
	return (size_t)c < ARRAY_LEN(code_name) && code_name[c] ? code_name[c] : "unknown";
}

const char *check_severity_name(enum check_severity s)
{
	return s == CHECK_NOTE ? "note" : s == CHECK_CRASH ? "crash" : "damage";
}

struct check_dir *check_dir_get(struct check_dir *dir)
{
	atomic_fetch_add(&dir->users, 1);
	return dir;
}

void check_dir_put(struct check_dir *dir)
{
	/* A loop, not a recursion: paths may be thousands of folders deep. */
	while (dir && atomic_fetch_sub(&dir->users, 1) == 1) {
		struct check_dir *parent = dir->parent;
		if (dir->lifted)
			(void)fchmod(dir->fd, dir->mode);
		if (dir->stream)
			closedir(dir->stream);
		free(dir->disk);
		free(dir->plain);
		free(dir);
		dir = parent;
	}
}

/* Join the names from the root down; ROOT stands for the root's. */
static char *join(const struct check_dir *dir, const char *name, int plain)
{
	size_t len = name ? strlen(name) + 1 : 0;
	for (const struct check_dir *d = dir; d; d = d->parent) {
		const char *part = plain ? d->plain : d->disk;
		if (!part)
			return NULL;
		len += strlen(part) + 1;
	}
	char *path = malloc(len + 1);
	if (!path)
		return NULL;
	char *p = path + len;
	*p = '\0';
	const char *part = name;
	for (const struct check_dir *d = dir;; d = d->parent) {
		if (part) {
			size_t n = strlen(part);
			p -= n;
			memcpy(p, part, n);
			*--p = '/';
		}
		if (!d)
			break;
		part = plain ? d->plain : d->disk;
	}
	return path;
}

/* Path of a folder and NAME (may be NULL) on disk; malloc'ed, NULL when out of memory. */
static char *check_path_disk(const struct check_dir *dir, const char *name)
{
	char *path = join(dir, name, 0);
	if (path)
		memmove(path, path + 1, strlen(path)); /* no slash before "data" */
	return path;
}

/* The same in the mount; NULL when unknown, too. */
static char *check_path_plain(const struct check_dir *dir, const char *plain)
{
	char *path = join(dir, plain, 1);
	/* The root's own name is empty: "//a" for "/a", "/" alone for itself. */
	if (path && path[0] == '/' && path[1] == '/')
		memmove(path, path + 1, strlen(path));
	return path;
}

static void count_problem(struct check_counts *c, const struct check_finding *f)
{
	if (f->repaired)
		c->repaired++;
	else if (f->severity == CHECK_NOTE)
		c->notes++;
	else if (f->severity == CHECK_CRASH)
		c->crash++;
	else
		c->damage++;
	if (!f->repaired && f->severity == CHECK_DAMAGE && f->code == CHECK_LOST_RANGE)
		c->lost++;
}

void check_say(struct check_run *run, const struct check_at *at, const struct check_finding *f, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	char *disk = at->dir ? check_path_disk(at->dir, at->name) : NULL;
	char *plain = at->dir && (at->plain || !at->name) ? check_path_plain(at->dir, at->plain) : NULL;
	struct check_problem p = {
		.path = disk       ? disk
			: at->name ? at->name
				   : "",
		.plain = plain,
		.code = f->code,
		.severity = f->severity,
		.block = f->in_blocks ? (int64_t)f->block : -1,
		.last = f->in_blocks ? (int64_t)f->last : -1,
		.repaired = f->repaired,
		.text = text,
	};
	pthread_mutex_lock(&run->out);
	count_problem(&run->counts, f);
	run->cfg->problem(run->cfg->arg, &p);
	pthread_mutex_unlock(&run->out);
	free(disk);
	free(plain);
}

void check_count(struct check_run *run, const struct check_counts *add)
{
	pthread_mutex_lock(&run->out);
	struct check_counts *c = &run->counts;
	c->files += add->files;
	c->dirs += add->dirs;
	c->specials += add->specials;
	c->bytes += add->bytes;
	c->total += add->total;
	c->busy += add->busy;
	int64_t now = clock_ms(CLOCK_MONOTONIC);
	if (run->cfg->progress && now - run->told_ms >= TELL_MS) {
		run->told_ms = now;
		run->cfg->progress(run->cfg->arg, c);
	}
	pthread_mutex_unlock(&run->out);
	if (run->cfg->cancel && atomic_load(run->cfg->cancel))
		check_stop(run, -EINTR);
}

void check_stop(struct check_run *run, int r)
{
	int none = 0;
	atomic_compare_exchange_strong(&run->stop, &none, r);
	pthread_mutex_lock(&run->lock);
	pthread_cond_broadcast(&run->filled);
	pthread_cond_broadcast(&run->drained);
	pthread_mutex_unlock(&run->lock);
}

bool check_locked(struct check_run *run, int r)
{
	if (r != -EACCES || !run->cfg->gate)
		return false;
	enum gate_state s = gate_state(run->cfg->gate);
	/* With wrap type `file` the KMS may refuse one file's key and grant the rest. */
	if (run->cfg->store->keyring->wrap_type == WRAP_FILE && (s == GATE_ACTIVE || s == GATE_GRACE))
		return false;
	check_stop(run, -EACCES);
	return true;
}
