/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of /proc/self/mountinfo: "36 35 0:47 / /mnt/a rw,nosuid shared:1 - fuse.byokfs /store rw,user_id=0,...". */
#include "fs/watch/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"

#define UNIQUE 0x4000u /* STATX_MNT_ID_UNIQUE, newer than our headers */

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

void mountinfo_unescape(char *text)
{
	char *out = text;

	for (const char *p = text; *p;) {
		bool escape = p[0] == '\\' && is_octal(p[1]) && is_octal(p[2]) && is_octal(p[3]);
		int byte = escape ? (p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0') : 0;

		if (byte > 0 && byte <= 0xff) {
			*out++ = (char)byte;
			p += 4;
		} else {
			*out++ = *p++;
		}
	}
	*out = '\0';
}

/* TEXT is a number up to END, which is behind it, and at most MAX. */
static bool take_number(const char *text, const char *end, unsigned max, unsigned *out)
{
	uint64_t n = 0;

	if (text == end)
		return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = 10 * n + (unsigned)(*text - '0');
		if (n > max)
			return false;
	}
	*out = (unsigned)n;
	return true;
}

/* "0:47" */
static bool take_device(const char *text, unsigned *minor)
{
	const char *colon = strchr(text, ':');
	unsigned major;

	return colon && take_number(text, colon, UINT_MAX, &major) &&
	       take_number(colon + 1, colon + 1 + strlen(colon + 1), UINT_MAX, minor);
}

/* user_id= among the options of the filesystem. */
static void take_owner(const char *options, struct mountinfo *m)
{
	for (const char *word = options, *end; *word; word = end + (*end == ',')) {
		unsigned uid;

		end = strchrnul(word, ',');
		if (strncmp(word, "user_id=", 8) == 0 && take_number(word + 8, end, UINT_MAX, &uid)) {
			m->has_owner = true;
			m->owner = uid;
		}
	}
}

/* "shared:7", "master:3" */
static void take_group(const char *word, struct mountinfo *m)
{
	bool shared = strncmp(word, "shared:", 7) == 0;
	unsigned n;

	if ((shared || strncmp(word, "master:", 7) == 0) && take_number(word + 7, word + strlen(word), UINT_MAX, &n))
		*(shared ? &m->shared : &m->master) = n;
}

int mountinfo_parse(char *line, struct mountinfo *out)
{
	struct mountinfo m = {0};
	char *field[6], *source, *rest = line, *word;
	unsigned id, parent;

	for (size_t i = 0; i < ARRAY_LEN(field); i++) {
		field[i] = strsep(&rest, " ");
		if (!rest)
			return -EUCLEAN;
	}
	/* fields like "shared:7", none to several, then a dash */
	while ((word = strsep(&rest, " ")) && strcmp(word, "-") != 0)
		take_group(word, &m);
	m.type = strsep(&rest, " ");
	source = strsep(&rest, " ");
	if (!m.type || !source || !rest)
		return -EUCLEAN;
	take_owner(rest, &m);
	if (!take_number(field[0], field[0] + strlen(field[0]), INT_MAX, &id) || id == 0 ||
	    !take_number(field[1], field[1] + strlen(field[1]), INT_MAX, &parent) || !take_device(field[2], &m.minor) ||
	    field[4][0] != '/')
		return -EUCLEAN;
	mountinfo_unescape(field[3]);
	mountinfo_unescape(field[4]);
	mountinfo_unescape(source);
	m.id = (int)id;
	m.parent = (int)parent;
	m.root = field[3];
	m.path = field[4];
	m.source = source;
	m.options = rest;
	*out = m;
	return 0;
}

int mountinfo_open(struct mountinfo_reader *r, const char *table)
{
	*r = (struct mountinfo_reader){.file = fopen(table, "re")};
	return r->file ? 0 : -errno;
}

bool mountinfo_next_any(struct mountinfo_reader *r, struct mountinfo *out)
{
	ssize_t n;

	while ((n = getline(&r->line, &r->size, r->file)) > 0) {
		if (r->line[n - 1] == '\n')
			r->line[n - 1] = '\0';
		if (mountinfo_parse(r->line, out) == 0)
			return true;
	}
	return false;
}

bool mountinfo_next(struct mountinfo_reader *r, struct mountinfo *out)
{
	while (mountinfo_next_any(r, out))
		if (strcmp(out->type, MOUNTINFO_TYPE) == 0)
			return true;
	return false;
}

void mountinfo_close(struct mountinfo_reader *r)
{
	if (r->file)
		fclose(r->file);
	free(r->line);
	*r = (struct mountinfo_reader){0};
}

int mountinfo_find(const char *table, const char *mountpoint, struct mountinfo *out)
{
	struct mountinfo_reader reader;
	struct mountinfo m;
	int r = mountinfo_open(&reader, table);

	if (!r)
		r = -ENOENT;
	while (reader.file && mountinfo_next(&reader, &m)) {
		if (strcmp(m.path, mountpoint) != 0)
			continue;
		m.root = m.path = m.type = m.source = NULL; /* they end with the reader */
		m.options = NULL;
		*out = m;
		r = 0;
	}
	mountinfo_close(&reader);
	return r;
}

int mountinfo_path(const char *table, int id, char *out, size_t len)
{
	struct mountinfo_reader reader;
	struct mountinfo m;
	int r = mountinfo_open(&reader, table);

	if (!r)
		r = -ENOENT;
	while (r == -ENOENT && reader.file && mountinfo_next(&reader, &m))
		if (m.id == id)
			r = (size_t)snprintf(out, len, "%s", m.path) < len ? 0 : -ENAMETOOLONG;
	mountinfo_close(&reader);
	return r;
}

/* The number that is never given again; 0 before Linux 6.8. stat(2) would ask the server, which may be dead. */
static uint64_t unique_of(int fd)
{
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, UNIQUE, &x) < 0 || !(x.stx_mask & UNIQUE))
		return 0;
	return x.stx_mnt_id;
}

bool mount_num_of(int fd, struct mount_num *out)
{
	char path[48], text[512];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	AUTO(auto_close) int info = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *field = strstr(text, "mnt_id:");
	*out = (struct mount_num){.id = field ? (int)strtol(field + 7, NULL, 10) : 0, .unique = unique_of(fd)};
	return out->id > 0;
}

bool mount_holds(int fd, const struct mount_num *n)
{
	struct mount_num now;

	return mount_num_of(fd, &now) && now.id == n->id && (!n->unique || !now.unique || now.unique == n->unique);
}

bool mount_in_place(const char *mountpoint, const struct mount_num *n)
{
	AUTO(auto_close) int fd = open(mountpoint, O_PATH | O_CLOEXEC);

	return fd >= 0 && mount_holds(fd, n);
}
