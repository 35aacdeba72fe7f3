/* SPDX-License-Identifier: BSD-2-Clause */
/* Who asks, by /proc: capabilities, groups, and the user namespace that they are good for. */
#include "fs/fuse/caller.h"

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/auto.h"

/* /proc/PID/NAME; NULL for who has no pid here, or has just ended. */
static FILE *open_proc(const struct fuse_ctx *caller, const char *name)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)caller->pid, name);
	return caller->pid > 0 ? fopen(path, "re") : NULL;
}

static bool has_cap(const struct fuse_ctx *caller, int cap)
{
	char line[256];
	unsigned long long caps = caller->uid == 0 ? ~0ull : 0;
	FILE *f = open_proc(caller, "status");

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "CapEff:", 7) != 0)
			continue;
		caps = strtoull(line + 7, NULL, 16);
		break;
	}
	if (f)
		fclose(f);
	return caps >> cap & 1;
}

/*
 * Is ID one that the caller's user namespace has? MAP is its "uid_map" or "gid_map", whose outer ids are told as ours. A
 * capability is good for what the namespace has, no more: anybody is root in one that he makes.
 */
static bool namespace_has(const struct fuse_ctx *caller, const char *map, unsigned long id)
{
	char line[128];
	FILE *f = open_proc(caller, map);
	bool has = !f && caller->uid == 0; /* as in has_cap() */

	while (f && !has && fgets(line, sizeof(line), f)) { /* inner, outer, how many */
		char *at = line;

		(void)strtoul(at, &at, 10);
		unsigned long outer = strtoul(at, &at, 10), count = strtoul(at, &at, 10);
		has = id >= outer && id - outer < count;
	}
	if (f)
		fclose(f);
	return has;
}

/* The whole range of ids: what the first namespace has, and none that a user can make for himself. */
static bool in_first_namespace(const struct fuse_ctx *caller)
{
	return namespace_has(caller, "uid_map", 0) && namespace_has(caller, "uid_map", UINT32_MAX - 1);
}

bool caller_is_admin(fuse_req_t req)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);

	return has_cap(caller, CAP_SYS_ADMIN) && in_first_namespace(caller);
}

bool caller_keeps_setid(fuse_req_t req)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);

	return has_cap(caller, CAP_FSETID) && in_first_namespace(caller);
}

static bool in_group(fuse_req_t req, gid_t gid)
{
	if (fuse_req_ctx(req)->gid == gid)
		return true;
	int n = fuse_req_getgroups(req, 0, NULL);
	if (n <= 0)
		return false;
	AUTO(auto_free) gid_t *groups = calloc((size_t)n, sizeof(*groups));
	int got = groups ? fuse_req_getgroups(req, n, groups) : 0;
	for (int i = 0; i < got && i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

bool caller_keeps_setgid(fuse_req_t req, const struct stat *st)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);

	return in_group(req, st->st_gid) ||
	       (has_cap(caller, CAP_FSETID) && namespace_has(caller, "uid_map", st->st_uid) &&
		namespace_has(caller, "gid_map", st->st_gid));
}
