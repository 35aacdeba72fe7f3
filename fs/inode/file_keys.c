/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of an open file, and what is told when something of it does not authenticate. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "fs/inode/file_own.h"

#define DAMAGE "damage"
#define MENDED "files left unfinished by a crash"

bool file_env_corrupt(struct file_env *env)
{
	atomic_fetch_add(&env->corrupt, 1);
	return told_may(&env->told_corrupt, clock_ms(CLOCK_MONOTONIC), DAMAGE, env->log);
}

bool file_env_recovered(struct file_env *env)
{
	return told_may(&env->told_recovered, clock_ms(CLOCK_MONOTONIC), MENDED, env->log);
}

void file_env_end(struct file_env *env)
{
	told_end(&env->told_corrupt, DAMAGE, env->log);
	told_end(&env->told_recovered, MENDED, env->log);
}

int file_corrupt(struct file *f, const char *what, uint64_t no)
{
	char path[2048], text[2400];

	if (!file_env_corrupt(f->env))
		return -EIO;
	size_t len = node_path(f->env->nodes, f->node, path, sizeof(path) - 1);

	path[len] = '\0';
	snprintf(text, sizeof(text), "data/%s (inode %" PRIu64 "): %s %" PRIu64 " does not authenticate: EIO",
		 len ? path : "(deleted)", (uint64_t)f->node->ino, what, no);
	f->env->log(LOG_ERR, text);
	return -EIO;
}

int file_borrow(struct file *f, enum gate_use use, struct borrow *b)
{
	int r = borrow_file(b, f->env->gate, use, f->key, &f->env->layout);

	return r == -EBADMSG ? file_corrupt(f, "the key in the header, slot", 0) : r;
}
