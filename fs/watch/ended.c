/* SPDX-License-Identifier: BSD-2-Clause */
/* The note that the end of a mount leaves in the run-time directory: for status, and for the next mount's audit log. */
#include "fs/watch/ended.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/json.h"
#include "fs/watch/control.h"
#include "fs/store/store_own.h"

#define NOTE_MAX 16384u

static int note_dir(bool create)
{
	char dir[256];
	struct stat st;
	int r = create ? control_dir_make(dir, sizeof(dir)) : control_dir(dir, sizeof(dir));

	if (r)
		return r;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
		return fd;
	close(fd);
	return -EPERM;
}

static void note_name(const char *mountpoint, char out[32])
{
	char hash[17];

	store_path_hash(mountpoint, hash);
	snprintf(out, 32, "%s.ended", hash);
}

/* Lines in a fixed order; none of the texts has a line end in it. */
static void one_line(char *text)
{
	for (; *text; text++)
		if (*text == '\n' || *text == '\r')
			*text = '?';
}

int ended_write(const struct ended_note *n)
{
	struct ended_note copy = *n;
	AUTO(auto_free) char *text = malloc(NOTE_MAX);
	AUTO(auto_close) int dir = note_dir(true);
	char name[32];

	if (dir < 0)
		return dir;
	if (!text)
		return -ENOMEM;
	one_line(copy.mountpoint);
	one_line(copy.store);
	one_line(copy.why);
	note_name(n->mountpoint, name);
	int len = snprintf(text, NOTE_MAX, "byokfs ended 1\n%s\n%s\n%s\n%s\n%lld\n%d\n", copy.mountpoint, copy.store,
			   copy.who, copy.why, (long long)copy.when, copy.reported);
	if (len <= 0 || (size_t)len >= NOTE_MAX)
		return -ENAMETOOLONG;
	return store_write_file(dir, name, text, (size_t)len, 0600);
}

/* The next line of *P into OUT; false when there is none or it is too long. */
static bool take_line(char **p, char *out, size_t len)
{
	char *line = strsep(p, "\n");

	if (!line || !*p || strlen(line) >= len)
		return false;
	memcpy(out, line, strlen(line) + 1);
	return true;
}

int ended_parse(char *text, struct ended_note *n)
{
	char magic[32], when[32], reported[8];

	*n = (struct ended_note){0};
	if (!take_line(&text, magic, sizeof(magic)) || strcmp(magic, "byokfs ended 1") != 0)
		return -EUCLEAN;
	if (!take_line(&text, n->mountpoint, sizeof(n->mountpoint)) || !take_line(&text, n->store, sizeof(n->store)) ||
	    !take_line(&text, n->who, sizeof(n->who)) || !take_line(&text, n->why, sizeof(n->why)) ||
	    !take_line(&text, when, sizeof(when)) || !take_line(&text, reported, sizeof(reported)))
		return -EUCLEAN;
	n->when = strtoll(when, NULL, 10);
	n->reported = strcmp(reported, "1") == 0;
	text_plain(n->why);
	text_plain(n->who);
	return 0;
}

int ended_read(const char *mountpoint, struct ended_note *out)
{
	AUTO(auto_close) int dir = note_dir(false);
	AUTO(auto_free) uint8_t *data = NULL;
	char name[32];
	size_t len;

	if (dir < 0)
		return -ENOENT;
	note_name(mountpoint, name);
	if (store_read_file(dir, name, NOTE_MAX, &data, &len))
		return -ENOENT;
	AUTO(auto_free) char *text = strndup((char *)data, len);
	return text && ended_parse(text, out) == 0 && strcmp(out->mountpoint, mountpoint) == 0 ? 0 : -ENOENT;
}

void ended_forget(const char *mountpoint)
{
	AUTO(auto_close) int dir = note_dir(false);
	char name[32];

	if (dir < 0)
		return;
	note_name(mountpoint, name);
	(void)(unlinkat(dir, name, 0) == 0);
}
