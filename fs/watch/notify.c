/* SPDX-License-Identifier: BSD-2-Clause */
/* One run at a time, in the order of the changes, each with a bound. */
#include "fs/watch/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/json.h"
#include "fs/store/store.h"
#include "kms/gate.h"

#define FACTS_REST 256u /* bytes of a line besides its texts: keys and numbers */

struct notify {
	char *command;
	int limit_ms;
	void (*log)(int priority, const char *text);
	char *queue[NOTIFY_QUEUE]; /* malloc'ed lines */
	unsigned n;
	pid_t pid; /* of the run under way, 0 = none */
	int64_t until;
};

static void say(struct notify *n, const char *what)
{
	char text[512];

	snprintf(text, sizeof(text), "notify command %.400s: %s", n->command, what);
	n->log(LOG_WARNING, text);
}

struct notify *notify_new(const char *command, int limit_ms, void (*log)(int priority, const char *text))
{
	struct notify *n = command ? calloc(1, sizeof(*n)) : NULL;

	if (!n)
		return NULL;
	n->command = strdup(command);
	n->limit_ms = limit_ms;
	n->log = log;
	if (n->command)
		return n;
	free(n);
	return NULL;
}

/* A line of JSON, malloc'ed; NULL without memory. */
static char *facts_line(const struct notify_facts *f)
{
	const char *const text[][2] = {
		{"mountpoint", f->mountpoint}, {"store", f->store},   {"from", f->from}, {"state", f->to},
		{"cause", f->cause},           {"reason", f->reason},
	};
	struct json j = {.size = FACTS_REST};

	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		j.size += strlen(text[i][1]) * JSON_CHAR_MAX;
	j.text = malloc(j.size + 1);
	if (!j.text)
		return NULL;
	json_raw(&j, "{", 1);
	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		json_str(&j, text[i][0], text[i][1], SIZE_MAX);
	json_i64(&j, "time", f->when);
	json_i64(&j, "supervisor_pid", f->supervisor_pid);
	json_i64(&j, "worker_pid", f->worker_pid);
	json_raw(&j, "}\n", 2);
	j.text[j.len] = '\0';
	return j.text;
}

void notify_say(struct notify *n, const struct notify_facts *f)
{
	char *line = n ? facts_line(f) : NULL;

	if (!line)
		return;
	if (n->n == NOTIFY_QUEUE) {
		say(n, "is too slow: a change of state is not told");
		free(n->queue[0]);
		memmove(n->queue, n->queue + 1, --n->n * sizeof(n->queue[0]));
	}
	n->queue[n->n++] = line;
	(void)notify_step(n);
}

/* A file in memory as the program's standard input: nobody has to wait until it reads. */
static int input_of(const char *line)
{
	int fd = memfd_create("byokfs-change", MFD_CLOEXEC);

	if (fd >= 0 && (store_pwrite_full(fd, line, strlen(line), 0) || lseek(fd, 0, SEEK_SET) < 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int run(struct notify *n, const char *line)
{
	char *const argv[] = {n->command, NULL};
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *const env[] = {path, NULL};
	AUTO(auto_close) int in = input_of(line);
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;

	if (in < 0)
		return -ENOMEM;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	int r = -posix_spawn(&n->pid, n->command, &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	if (r)
		n->pid = 0;
	return r;
}

static void end_run(struct notify *n)
{
	int status;

	kill(-n->pid, SIGKILL); /* and what it has started */
	while (waitpid(n->pid, &status, 0) < 0 && errno == EINTR)
		;
	say(n, "took too long and was killed");
}

/* The run under way: true while it goes on. */
static bool running(struct notify *n)
{
	int status;

	if (!n->pid)
		return false;
	pid_t got = waitpid(n->pid, &status, WNOHANG);
	if (got == 0 && clock_ms(CLOCK_MONOTONIC) < n->until)
		return true;
	if (got == 0)
		end_run(n);
	else if (got == n->pid && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		say(n, "failed");
	n->pid = 0;
	return false;
}

unsigned notify_step(struct notify *n)
{
	if (!n)
		return 0;
	while (!running(n) && n->n > 0) {
		char *line = n->queue[0];
		int r = run(n, line);

		memmove(n->queue, n->queue + 1, --n->n * sizeof(n->queue[0]));
		free(line);
		n->until = clock_ms(CLOCK_MONOTONIC) + n->limit_ms;
		if (r)
			say(n, strerror(-r));
	}
	return n->n + (n->pid != 0);
}

void notify_free(struct notify *n, int limit_ms)
{
	int64_t until = clock_ms(CLOCK_MONOTONIC) + limit_ms;

	if (!n)
		return;
	while (notify_step(n) > 0 && clock_ms(CLOCK_MONOTONIC) < until)
		clock_pause(20);
	if (n->pid)
		end_run(n);
	if (n->n > 0)
		say(n, "the mount has ended before all changes of state were told");
	while (n->n > 0)
		free(n->queue[--n->n]);
	free(n->command);
	free(n);
}
