/* SPDX-License-Identifier: BSD-2-Clause */
/* The mount table and the loop devices of sysfs, against the places of one mount. */
#include "fs/watch/built_on.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/auto.h"

#define BLOCKS "/sys/block"
#define NO_MINOR UINT_MAX
#define LOOPS_MAX 16384u  /* more devices than these are not looked at */
#define BACKING_MAX 4098u /* what sysfs can say: a page */

__attribute__((format(printf, 2, 3))) static void add(struct built_on *b, const char *fmt, ...)
{
	if (b->n++ >= BUILT_ON_MAX)
		return;
	char *what = b->what[b->n - 1];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(what, BUILT_ON_TEXT_MAX, fmt, ap);
	va_end(ap);
	if (len >= (int)BUILT_ON_TEXT_MAX)
		memcpy(what + BUILT_ON_TEXT_MAX - 4, "...", 4);
}

/* TEXT begins with a path at or below PLACE; a list's colon ends it, too. */
static bool is_below(const char *text, const char *place)
{
	size_t n = strlen(place);

	if (n == 1) /* the root folder */
		n = 0;
	return strncmp(text, place, n) == 0 && (text[n] == '/' || text[n] == ':' || text[n] == '\0');
}

static bool is_inside(const struct built_on_places *p, const char *text)
{
	for (size_t i = 0; i < p->n; i++)
		if (text[0] == '/' && is_below(text, p->path[i]))
			return true;
	return false;
}

/* "\:" and "\\", as in lists of folders, are the byte itself: in place. */
static void unquote(char *text)
{
	char *out = text;

	for (const char *p = text; *p; p++) {
		if (p[0] == '\\' && (p[1] == ':' || p[1] == '\\'))
			p++;
		*out++ = *p;
	}
	*out = '\0';
}

/*
 * One option: the first path of its list that lies below P, or NULL. Where a colon stood in a name, and where it parts names, is not
 * the same in all kernels, so a path may begin behind each of them.
 */
static char *first_inside(const struct built_on_places *p, char *option)
{
	char *value = strchr(option, '=');

	if (!value)
		return NULL;
	mountinfo_unescape(++value);
	unquote(value);
	for (char *path = value; path; path = strchr(path, ':'), path = path ? path + 1 : NULL)
		if (is_inside(p, path))
			return path;
	return NULL;
}

void built_on_mount(const struct built_on_places *p, struct mountinfo *m, struct built_on *out)
{
	char *path, *rest = m->options;

	if (is_inside(p, m->source)) {
		add(out, "%s at %s on %s", m->type, m->path, m->source);
		return;
	}
	for (char *option; (option = strsep(&rest, ","));) {
		path = first_inside(p, option);
		if (path) {
			add(out, "%s at %s on %.*s", m->type, m->path, (int)strcspn(path, ":"), path);
			return;
		}
	}
	/* Relative, or by a symlink from elsewhere, as containers name their folders: those lie where it is mounted. */
	if (strcmp(m->type, "overlay") == 0 && is_inside(p, m->path))
		add(out, "perhaps overlay at %s", m->path);
}

void built_on_loop(const struct built_on_places *p, const char *name, char *text, struct built_on *out)
{
	size_t len = strlen(text);

	if (len > 0 && text[len - 1] == '\n')
		text[len - 1] = '\0';
	if (is_inside(p, text))
		add(out, "loop device /dev/%s on %s", name, text);
}

/* Device NAME below BLOCKS: most loop devices have no file, and the folder is not there. */
static void look_at_loop(int blocks, const char *name, const struct built_on_places *p, struct built_on *out)
{
	char path[300], text[BACKING_MAX + 1];

	snprintf(path, sizeof(path), "%.255s/loop/backing_file", name);
	AUTO(auto_close) int fd = openat(blocks, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, BACKING_MAX);
	if (n < 0 && errno == ENAMETOOLONG)
		add(out, "perhaps loop device /dev/%s (its file's path is too long to be told)", name);
	if (n <= 0)
		return;
	text[n] = '\0';
	built_on_loop(p, name, text, out);
}

static int look_at_loops(const char *blocks, const struct built_on_places *p, struct built_on *out)
{
	DIR *dir = opendir(blocks);
	const struct dirent *e;
	unsigned looked = 0;

	if (!dir)
		return -errno;
	while (looked < LOOPS_MAX && (e = readdir(dir))) {
		if (strncmp(e->d_name, "loop", 4) != 0)
			continue;
		looked++;
		look_at_loop(dirfd(dir), e->d_name, p, out);
	}
	closedir(dir);
	return 0;
}

static void places_free(struct built_on_places *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->path[i]);
	free(p->path);
}

static int place_add(struct built_on_places *p, const char *path)
{
	char **more = realloc(p->path, (p->n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	p->path = more;
	more[p->n] = strdup(path);
	if (!more[p->n])
		return -ENOMEM;
	p->n++;
	return 0;
}

/* The number of W's connection. */
static int find_minor(const struct built_on_where *w, unsigned *minor)
{
	struct mountinfo m;
	struct mountinfo_reader reader;

	if (!w->mount_id) {
		int r = mountinfo_find(w->table, w->mountpoint, &m);
		if (!r)
			*minor = m.minor;
		return r;
	}
	int r = mountinfo_open(&reader, w->table);
	if (!r)
		r = -ENOENT;
	while (r == -ENOENT && reader.file && mountinfo_next(&reader, &m))
		if (m.id == w->mount_id) {
			*minor = m.minor;
			r = 0;
		}
	mountinfo_close(&reader);
	return r;
}

/* All mounts: those of connection MINOR are places (OUT is NULL), the others are held against the places. */
static int each_mount(const char *table, unsigned minor, struct built_on_places *p, struct built_on *out)
{
	struct mountinfo_reader reader;
	struct mountinfo m;
	int r = mountinfo_open(&reader, table);

	while (!r && mountinfo_next_any(&reader, &m)) {
		bool ours = m.minor == minor && strcmp(m.type, MOUNTINFO_TYPE) == 0;

		if (!out && ours)
			r = place_add(p, m.path);
		else if (out && !ours)
			built_on_mount(p, &m, out);
	}
	mountinfo_close(&reader);
	return r;
}

int built_on_find(const struct built_on_where *w, struct built_on *out)
{
	struct built_on_places p = {0};
	unsigned minor = 0;

	*out = (struct built_on){0};
	int r = find_minor(w, &minor);
	if (!r)
		r = each_mount(w->table, minor, &p, NULL);
	if (!r) {
		int loops = look_at_loops(w->blocks, &p, out);
		r = each_mount(w->table, minor, &p, out);
		r = r ? r : loops;
	}
	places_free(&p);
	return r;
}

int built_on_below(const char *path, struct built_on *out)
{
	struct built_on_places p = {0};

	*out = (struct built_on){0};
	int r = place_add(&p, path);
	if (!r) {
		int loops = look_at_loops(BLOCKS, &p, out);
		r = each_mount(MOUNTINFO_SELF, NO_MINOR, &p, out);
		r = r ? r : loops;
	}
	places_free(&p);
	return r;
}

int built_on_here(int mount_id, const char *mountpoint, struct built_on *out)
{
	return built_on_find(
		&(struct built_on_where){
			.table = MOUNTINFO_SELF, .blocks = BLOCKS, .mount_id = mount_id, .mountpoint = mountpoint},
		out);
}

void built_on_line(const struct built_on *b, char *text, size_t len)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < b->n && i < BUILT_ON_MAX && at < len; i++)
		at += (size_t)snprintf(text + at, len - at, "%s%s", i ? "; " : "", b->what[i]);
	if (b->n > BUILT_ON_MAX && at < len)
		snprintf(text + at, len - at, "; and %zu more", b->n - BUILT_ON_MAX);
}
