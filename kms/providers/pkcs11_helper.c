/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process that a vendor's module runs in. `byokfs pkcs11-helper` is a keeper, which has seen no key and never will: it forks a
 * helper whenever the worker wants a new one, hands over that one's socket and pidfd, and logs what a module prints.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/secret.h"
#include "kms/providers/pkcs11.h"

#define WORKER 0          /* the keeper's socket to the worker */
#define LINES_MAX 50u     /* of one helper, in the log */
#define LINE_MAX_LEN 200u /* bytes of each */

static bool text_ends(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

/* It comes from our own worker, and still: a length that is none reads beyond its end. */
static bool question_good(const struct p11_question *q, const struct p11_secret *s)
{
	const struct p11_begin *b = &q->begin;

	if (s->len > P11_PIN_MAX || q->op < P11_BEGIN || q->op > P11_INFO)
		return false;
	if (q->op != P11_BEGIN)
		return q->use.id_len <= P11_ID_MAX && q->use.aad_len <= P11_AAD_MAX && q->use.len <= P11_WRAP_MAX;
	return text_ends(b->module, sizeof(b->module)) && text_ends(b->args, sizeof(b->args)) &&
	       text_ends(b->environment, sizeof(b->environment)) && text_ends(b->uri.token, sizeof(b->uri.token)) &&
	       text_ends(b->uri.serial, sizeof(b->uri.serial)) && text_ends(b->uri.object, sizeof(b->uri.object)) &&
	       b->uri.id_len <= P11_ID_MAX;
}

/* A helper's life: questions until the other end is closed. */
static int helper_serve(int fd)
{
	AUTO(secret_free_at) struct p11_secret *secret = secret_alloc(sizeof(*secret));
	static struct p11_question q;
	static struct p11_reply r;
	struct iovec in[2] = {{&q, sizeof(q)}, {secret, sizeof(*secret)}};
	struct iovec out[2] = {{&r, sizeof(r)}, {secret, sizeof(*secret)}};
	struct msghdr m = {.msg_iov = in, .msg_iovlen = 2};

	if (!secret)
		return 1;
	for (;;) {
		m.msg_iov = in;
		if (recvmsg(fd, &m, 0) != (ssize_t)(sizeof(q) + sizeof(*secret)) || !question_good(&q, secret))
			return 0;
		p11_token_do(&q, secret, &r);
		if (q.op != P11_UNWRAP || r.stage != P11_DONE || r.forbidden)
			secret_wipe(secret, sizeof(*secret));
		m.msg_iov = out;
		ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL);
		secret_wipe(secret, sizeof(*secret));
		secret_wipe_stack();
		if (sent < 0)
			return 0;
	}
}

/* Only what this helper needs: its own socket, the pipe for what the module prints. */
static void helper_begin(int fd, int print, pid_t keeper)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(1);
	signal(SIGCHLD, SIG_DFL); /* as a module expects it */
	(void)dup2(print, 1);
	(void)dup2(print, 2);
	(void)dup2(fd, 3);
	close(WORKER);
	(void)syscall(SYS_close_range, 4u, ~0u, 0u);
	/* What the module copies to its own memory is kept out of swap too. Who is not root has not the room for that. */
	if (geteuid() == 0)
		(void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	_exit(helper_serve(3));
}

/* One byte and, if FDS are given, two descriptors. */
static void answer_send(const int *fds)
{
	char byte = fds ? 'y' : 'n', room[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};

	if (fds) {
		m.msg_control = room;
		m.msg_controllen = sizeof(room);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(c), fds, 2 * sizeof(int));
	}
	(void)!sendmsg(WORKER, &m, MSG_NOSIGNAL);
}

/* What the newest helper prints: its pipe, and what is left of its share of the log. */
struct printed {
	int fd;
	unsigned lines;
};

static void helper_fork(struct printed *p)
{
	AUTO(auto_close) int ours = -1, theirs = -1, print = -1, pidfd = -1;
	int pair[2], ends[2];
	const pid_t keeper = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
		ours = pair[0];
		theirs = pair[1];
	}
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
		auto_close(&p->fd);
		*p = (struct printed){.fd = ends[0]};
		print = ends[1];
	}
	pid_t pid = ours < 0 || print < 0 ? -1 : fork();
	if (pid == 0)
		helper_begin(theirs, print, keeper);
	if (pid > 0)
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pid > 0 && pidfd < 0)
		kill(pid, SIGKILL);
	const int fds[2] = {ours, pidfd};
	answer_send(pidfd < 0 ? NULL : fds);
}

/* To syslog's socket without ever waiting for it: a keeper that hangs there would have no helper for the next question. */
static void log_send(const char *text)
{
	const struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	AUTO(auto_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char line[LINE_MAX_LEN + 64];
	int n = snprintf(line, sizeof(line), "<%d>byokfs[%d]: the module of PKCS#11 prints: %s",
			 LOG_DAEMON | LOG_NOTICE, (int)getpid(), text);

	if (fd >= 0)
		(void)!sendto(fd, line, (size_t)n, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof(to));
}

static void print_log(struct printed *p)
{
	char text[LINE_MAX_LEN + 1];
	ssize_t n = read(p->fd, text, LINE_MAX_LEN);

	if (n == 0) { /* it has ended */
		auto_close(&p->fd);
		return;
	}
	if (n < 0 || p->lines++ >= LINES_MAX)
		return;
	for (ssize_t i = 0; i < n; i++)
		text[i] = (char)(text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i]);
	text[n] = '\0';
	log_send(text);
}

int p11_helper_main(void)
{
	struct printed p = {.fd = -1};
	struct pollfd fds[2] = {{.fd = WORKER, .events = POLLIN}};
	char byte;

	signal(SIGCHLD, SIG_IGN); /* nobody waits for a helper */
	(void)!chdir("/");
	for (;;) {
		fds[1] = (struct pollfd){.fd = p.fd, .events = POLLIN};
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (fds[1].revents)
			print_log(&p);
		if (!fds[0].revents)
			continue;
		if (recv(WORKER, &byte, 1, 0) != 1)
			return 0; /* nobody is there any more; the helpers end with us */
		helper_fork(&p);
	}
}
