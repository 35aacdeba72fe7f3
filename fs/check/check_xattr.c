/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking the extended attributes of one object: names and values are ours, and authenticate. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "crypto/secret.h"
#include "crypto/times.h"
#include "crypto/xattr.h"
#include "fs/check/check_own.h"
#include "fs/store/borrow.h"

#define VALUE_MAX 65536u /* XATTR_SIZE_MAX */
#define TRIES 3

/* The list of names, malloc'ed, or NULL with *LEN 0 when there is none. */
static int read_list(int fd, char **list, size_t *len)
{
	*list = NULL;
	*len = 0;
	for (int i = 0; i < TRIES; i++) {
		ssize_t n = flistxattr(fd, NULL, 0);
		if (n <= 0)
			return n == 0 || errno == ENOTSUP ? 0 : -errno;
		free(*list);
		*list = malloc((size_t)n + 1);
		if (!*list)
			return -ENOMEM;
		n = flistxattr(fd, *list, (size_t)n);
		if (n >= 0) {
			(*list)[n] = '\0';
			*len = (size_t)n;
			return 0;
		}
		if (errno != ERANGE)
			return -errno;
	}
	return -EAGAIN;
}

static void say(struct check_run *run, const struct check_at *at, enum check_severity severity, const char *name,
		const char *what)
{
	check_say(run, at, &(struct check_finding){.code = CHECK_XATTR, .severity = severity},
		  "extended attribute %s %s", name, what);
}

/* Is the value at CIPHER the one that was sealed for this object and name? */
static int open_value(struct check_run *run, const uint8_t *id, const char *name, const uint8_t *cipher, size_t len)
{
	char plain_name[XATTR_DISK_NAME_MAX + 1];
	AUTO(borrow_end) struct borrow b = {0};
	uint8_t *plain = malloc(len + 1);
	if (!plain)
		return -ENOMEM;
	int r = borrow_store(&b, run->cfg->gate, GATE_USE_NEW);
	if (!r)
		r = xattr_name_decode(b.store, id, name, plain_name);
	if (!r)
		r = len < XATTR_OVERHEAD ? -EBADMSG : xattr_open(b.store, id, plain_name, cipher, len, plain);
	secret_wipe(plain, len + 1);
	free(plain);
	return r;
}

static void check_one(struct check_run *run, const struct check_at *at, int fd, const uint8_t *id, const char *name)
{
	/* What other programs put there has no name of our shape: the mount does not show it, and it hurts nobody. */
	if (name_kind(NAMES_SIV, name + strlen(XATTR_DISK_PREFIX)) != ENTRY_NAME) {
		say(run, at, CHECK_NOTE, name, "was not made by byokfs, or its name was altered");
		return;
	}
	uint8_t *value = malloc(VALUE_MAX);
	ssize_t len = value ? fgetxattr(fd, name, value, VALUE_MAX) : -1;
	int r = !value ? -ENOMEM : len < 0 ? -errno : 0;
	if (!r && id)
		r = open_value(run, id, name, value, (size_t)len);
	else if (!r && (size_t)len < XATTR_OVERHEAD)
		r = -EBADMSG;
	free(value);
	if (r == -ENOMEM)
		check_stop(run, r);
	else if (r == -EBADMSG)
		say(run, at, CHECK_DAMAGE, name,
		    id ? "does not authenticate: altered, or of another object" : "is too short");
	else if (r && r != -ENODATA && !check_locked(run, r))
		say(run, at, CHECK_DAMAGE, name, strerror(-r));
}

void check_xattrs(struct check_run *run, const struct check_at *at, int fd, const uint8_t *object_id)
{
	char *list;
	size_t len;
	int r = read_list(fd, &list, &len);
	if (r)
		check_say(run, at, &(struct check_finding){.code = CHECK_XATTR, .severity = CHECK_DAMAGE},
			  "its extended attributes cannot be read: %s", strerror(-r));
	for (size_t i = 0; !r && i < len; i += strlen(list + i) + 1)
		if (strncmp(list + i, XATTR_DISK_PREFIX, strlen(XATTR_DISK_PREFIX)) == 0 &&
		    strcmp(list + i, TIMES_XATTR) != 0)
			check_one(run, at, fd, object_id, list + i);
	free(list);
}
