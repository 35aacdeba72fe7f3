/* SPDX-License-Identifier: BSD-2-Clause */
/* One run at a time, in the order of the changes, each with a bound. */
#include "fs/watch/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

#define DYING_MS 100
#define NOTIFY_HANGING 4u /* so many that do not die are put up with; then no more is run */
#define FACTS_REST 256u   /* bytes of a line besides its texts: keys and numbers */

struct notify {
	char *command;
	int limit_ms;
	void (*log)(int priority, const char *text);
	char *queue[NOTIFY_QUEUE]; /* malloc'ed lines */
	unsigned n;
	pid_t pid; /* of the run under way, 0 = none */
	int told;  /* why its program could not be run, if so */
	pid_t hanging[NOTIFY_HANGING];
	unsigned n_hanging;
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

char *notify_line(const struct notify_facts *f)
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

void notify_put(struct notify *n, const char *line)
{
	char *copy = n ? strdup(line) : NULL;

	if (!copy)
		return;
	if (n->n == NOTIFY_QUEUE) {
		say(n, "is too slow: a change of state is not told");
		free(n->queue[0]);
		memmove(n->queue, n->queue + 1, --n->n * sizeof(n->queue[0]));
	}
	n->queue[n->n++] = copy;
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

/* In the child: nothing but calls that are safe after a fork of a process with threads. */
static _Noreturn void become(const struct notify *n, int in, int told)
{
	char *const argv[] = {n->command, NULL};
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *const env[] = {path, NULL};
	const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE, SIGTTOU, SIGXFSZ};
	int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	sigset_t none;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	if (dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2)
		execve(n->command, argv, env);
	int r = errno;
	(void)(write(told, &r, sizeof(r)) == sizeof(r));
	_exit(127);
}

/* fork(2) and not vfork(2) or posix_spawn(3), whose caller sleeps until the program is loaded: a disk may never give it. */
static int run(struct notify *n, const char *line)
{
	AUTO(auto_close) int in = input_of(line);
	int told[2];

	if (in < 0)
		return -ENOMEM;
	if (pipe2(told, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	pid_t pid = fork();
	int r = pid < 0 ? -errno : 0;
	if (pid == 0)
		become(n, in, told[1]);
	close(told[1]);
	if (r) {
		close(told[0]);
		return r;
	}
	n->pid = pid;
	n->told = told[0];
	return 0;
}

/* The run under way is over, or is left alone: one that hangs in its exec does not even die before that is done. */
static void leave_run(struct notify *n)
{
	close(n->told);
	n->pid = 0;
}

/* Those that were killed and could not die at once. */
static void reap_hanging(struct notify *n)
{
	for (unsigned i = 0; i < n->n_hanging;)
		if (waitpid(n->hanging[i], NULL, WNOHANG) != 0)
			n->hanging[i] = n->hanging[--n->n_hanging];
		else
			i++;
}

static void end_run(struct notify *n)
{
	kill(n->pid, SIGKILL);
	kill(-n->pid, SIGKILL); /* and what it has started */
	int64_t until = clock_ms(CLOCK_MONOTONIC) + DYING_MS;
	bool gone = false;
	while (!(gone = waitpid(n->pid, NULL, WNOHANG) != 0) && clock_ms(CLOCK_MONOTONIC) < until)
		clock_pause(1);
	if (!gone)
		n->hanging[n->n_hanging++] = n->pid;
	leave_run(n);
	say(n, "took too long and was killed");
}

static void run_over(struct notify *n, int status)
{
	int r;

	if (read(n->told, &r, sizeof(r)) == sizeof(r))
		say(n, strerror(r));
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		say(n, "failed");
	leave_run(n);
}

/* The run under way: true while it goes on. */
static bool running(struct notify *n)
{
	int status;

	reap_hanging(n);
	if (!n->pid)
		return n->n_hanging == NOTIFY_HANGING;
	pid_t got = waitpid(n->pid, &status, WNOHANG);
	if (got == 0 && clock_ms(CLOCK_MONOTONIC) < n->until)
		return true;
	if (got == 0)
		end_run(n);
	else
		run_over(n, got == n->pid ? status : 0);
	return n->n_hanging == NOTIFY_HANGING;
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
		clock_pause(5);
	if (n->pid)
		end_run(n);
	if (n->n > 0)
		say(n, "the mount has ended before all changes of state were told");
	while (n->n > 0)
		free(n->queue[--n->n]);
	free(n->command);
	free(n);
}
