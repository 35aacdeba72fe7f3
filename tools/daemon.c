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

#include "tools/cmd.h"

static struct {
	struct daemon_config cfg;
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

int daemon_fork(const struct daemon_config *cfg)
{
	int p[2];

	d.cfg = *cfg;
	openlog("byokfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	if (cfg->foreground)
		return -1;
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
	return -1;
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
	if (d.pipe_fd < 0)
		return;
	leave();
	close_pipe();
}

void daemon_ready(void)
{
	const unsigned char ok = CMD_OK;

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
	syslog(priority, "%s: %s", d.cfg.mountpoint, text);
	if (d.cfg.foreground)
		fprintf(stderr, "byokfs: %s\n", text);
	else if (priority <= LOG_WARNING && !atomic_load(&d.detached))
		fprintf(stderr, "byokfs: warning: %s\n", text);
}
