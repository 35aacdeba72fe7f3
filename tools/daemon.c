/* SPDX-License-Identifier: BSD-2-Clause */
/* The background process and its log. */
#include "tools/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/watch/words.h"
#include "tools/cmd.h"
#include "tools/descriptors.h"

static struct {
	struct daemon_config cfg;
	struct words *words;
	int pipe_fd;           /* the child's end, -1 in the foreground */
	_Atomic bool detached; /* no terminal any more; set before the last thread that logs starts to matter */
} d = {.pipe_fd = -1};

/* The parent's part: the child's word, or how it died without one. */
static int wait_for_child(int fd, pid_t pid)
{
	unsigned char code;
	ssize_t n;
	int status;

	while ((n = read(fd, &code, 1)) < 0 && errno == EINTR)
		;
	close(fd);
	if (n == 1)
		return code;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return cmd_fail(CMD_FAILED, "cannot wait for the daemon: %s", strerror(errno));
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return cmd_fail(CMD_FAILED, "the daemon died of signal %d before the mount was ready", WTERMSIG(status));
}

/* Before anything is opened that the process that speaks should not hold. */
static int start_words(void)
{
	const struct words_config wc = {
		.mountpoint = d.cfg.mountpoint, .notify_command = d.cfg.notify_command, .to_stderr = d.cfg.foreground};
	int r = words_start(&wc, &d.words);

	return r < 0 ? cmd_fail(CMD_FAILED, "cannot start the process that logs: %s", strerror(-r)) : -1;
}

int daemon_fork(const struct daemon_config *cfg)
{
	int p[2];

	d.cfg = *cfg;
	if (cfg->foreground)
		return start_words();
	if (pipe2(p, O_CLOEXEC) < 0)
		return cmd_fail(CMD_FAILED, "cannot make a pipe: %s", strerror(errno));
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		return cmd_fail(CMD_FAILED, "cannot fork: %s", strerror(errno));
	if (pid > 0) {
		close(p[1]);
		return wait_for_child(p[0], pid);
	}
	close(p[0]);
	d.pipe_fd = p[1];
	return start_words();
}

/* Standard descriptors stay open, on /dev/null: a number below 3 must not become a file of the store. */
static void leave_terminal(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	fflush(NULL);
	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

static void leave(void)
{
	if (chdir("/") < 0)
		daemon_log(LOG_DEBUG, "cannot leave the current folder");
	atomic_store(&d.detached, true);
	leave_terminal();
}

static void close_pipe(void)
{
	close(d.pipe_fd);
	d.pipe_fd = -1;
}

void daemon_leave(void)
{
	descriptors_leave();
	/* whatever stops or kills the group of a terminal's job leaves one of the two; no prompt comes any more */
	(void)setpgid(0, 0);
	if (d.pipe_fd < 0)
		return;
	leave();
	close_pipe();
}

void daemon_ready(void)
{
	const unsigned char ok = CMD_OK;

	descriptors_leave();
	if (d.pipe_fd < 0)
		return;
	leave();
	setsid();
	/* The parent is gone already: nobody to tell. */
	while (write(d.pipe_fd, &ok, 1) < 0 && errno == EINTR)
		;
	close_pipe();
}

void daemon_log(int priority, const char *text)
{
	words_log(d.words, priority, text);
	/* at the terminal of whoever waits for the mount, which the process that speaks has left */
	if (priority <= LOG_WARNING && !d.cfg.foreground && !atomic_load(&d.detached))
		cmd_warn("%s", text);
}

void daemon_log_audit(const char *line)
{
	words_log_bare(d.words, LOG_AUTH | LOG_NOTICE, line);
}

struct words *daemon_words(void)
{
	return d.words;
}

void daemon_end(void)
{
	words_end(d.words);
	d.words = NULL;
}
