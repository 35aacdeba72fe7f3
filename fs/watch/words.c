/* SPDX-License-Identifier: BSD-2-Clause */
/* The process that speaks: one thread takes packets and runs the notify command, the other waits for the log. */
#include "fs/watch/words.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/json.h"
#include "fs/watch/keep_only.h"
#include "fs/watch/words_own.h"
#include "kms/gate.h"

#define PACKET_LEN 65536u /* the longest line of notify_line() is shorter */
#define STEP_MS 20        /* while the notify command runs */

enum packet_type { PACKET_LOG = 1, PACKET_BARE, PACKET_NOTIFY };

struct packet_head {
	int32_t type, priority, pid;
};

struct words {
	int sock;
	pid_t speaker; /* as the process that started it knows it */
	_Atomic unsigned dropped;
};

/* The speaker's own */
struct speaker {
	const struct words_config *cfg;
	int sock;
	struct words_queue queue;
	struct notify *notify;
};

/* Sending */

static bool packet_send(struct words *w, const struct packet_head *head, const char *text, size_t len)
{
	struct iovec iov[2] = {{(void *)(uintptr_t)head, sizeof(*head)}, {(void *)(uintptr_t)text, len}};
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	do {
		n = sendmsg(w->sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n >= 0;
}

/* Lines that found no room are told before the next that does. */
static void say(struct words *w, const struct packet_head *head, const char *text)
{
	unsigned dropped = atomic_exchange(&w->dropped, 0);

	if (dropped) {
		const struct packet_head h = {PACKET_LOG, LOG_WARNING, getpid()};
		char line[64];

		int n = snprintf(line, sizeof(line), WORDS_DROPPED, dropped);
		if (!packet_send(w, &h, line, (size_t)n))
			atomic_fetch_add(&w->dropped, dropped);
	}
	if (!packet_send(w, head, text, strnlen(text, WORDS_LINE_MAX)))
		atomic_fetch_add(&w->dropped, 1);
}

void words_log(struct words *w, int priority, const char *text)
{
	if (w)
		say(w, &(struct packet_head){PACKET_LOG, priority, getpid()}, text);
}

void words_log_bare(struct words *w, int priority, const char *text)
{
	if (w)
		say(w, &(struct packet_head){PACKET_BARE, priority, getpid()}, text);
}

void words_notify(struct words *w, const struct notify_facts *f)
{
	AUTO(auto_free) char *line = w ? notify_line(f) : NULL;
	const struct packet_head head = {PACKET_NOTIFY, 0, getpid()};

	if (line && !packet_send(w, &head, line, strlen(line)))
		words_log(w, LOG_WARNING, "the notify command is too slow: a change of state is not told");
}

int words_fd(const struct words *w)
{
	return w ? w->sock : -1;
}

/* Speaking */

static void to_log(const struct words_config *cfg, const struct words_line *l)
{
	char ident[32];

	if (cfg->out) {
		cfg->out(l->priority, l->text);
		return;
	}
	/* a line of the process that said it, not of this one */
	snprintf(ident, sizeof(ident), "byokfs[%d]", l->pid);
	openlog(ident, 0, LOG_DAEMON);
	if (l->bare)
		syslog(l->priority, "%s", l->text);
	else
		syslog(l->priority, "%s: %s", cfg->mountpoint, l->text);
	closelog();
	if (cfg->to_stderr && !l->bare)
		dprintf(STDERR_FILENO, "byokfs: %s\n", l->text);
}

static void *log_thread(void *arg)
{
	struct speaker *s = arg;

	for (;;) {
		struct words_line *l = words_queue_take(&s->queue);

		if (l && !l->bare)
			text_plain(l->text); /* a bare one is JSON, escaped where it was made */
		if (l)
			to_log(s->cfg, l);
		free(l);
		words_queue_said(&s->queue);
	}
	return NULL;
}

static struct speaker *speaker; /* for notify_new()'s plain function; one in a process */

static void notify_log(int priority, const char *text)
{
	words_queue_put(&speaker->queue, &(struct words_line){.priority = priority, .pid = getppid()}, text);
}

static void take_packet(struct speaker *s, char *buf, size_t n)
{
	struct packet_head head;

	if (n < sizeof(head))
		return;
	memcpy(&head, buf, sizeof(head));
	buf[n] = '\0';
	if (head.type == PACKET_NOTIFY) {
		notify_put(s->notify, buf + sizeof(head));
		return;
	}
	const struct words_line l = {.priority = head.priority, .pid = head.pid, .bare = head.type == PACKET_BARE};
	words_queue_put(&s->queue, &l, buf + sizeof(head));
}

/* Until all who may speak have ended. */
static void listen_to_all(struct speaker *s)
{
	AUTO(auto_free) char *buf = malloc(PACKET_LEN + 1);
	ssize_t n = 1;

	while (buf && n != 0) {
		struct pollfd p = {.fd = s->sock, .events = POLLIN};

		if (poll(&p, 1, notify_step(s->notify) ? STEP_MS : -1) <= 0)
			continue;
		n = recv(s->sock, buf, PACKET_LEN, MSG_DONTWAIT);
		if (n > 0)
			take_packet(s, buf, (size_t)n);
	}
}

/* Nothing of the caller's may live on here: not its store, not its lock, not the terminal. */
static void leave_caller(int sock, bool to_stderr)
{
	const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE, SIGTTOU};

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	setsid();
	(void)prctl(PR_SET_NAME, "byokfs-words");
	keep_only(&sock, 1, to_stderr);
	if (chdir("/") < 0)
		return; /* a folder in use a little longer */
}

static _Noreturn void speak(const struct words_config *cfg, int sock)
{
	struct speaker s = {.cfg = cfg, .sock = sock};
	pthread_t thread;

	leave_caller(sock, cfg->to_stderr);
	words_queue_init(&s.queue, WORDS_QUEUE);
	speaker = &s;
	s.notify = notify_new(cfg->notify_command, NOTIFY_LIMIT_MS, notify_log);
	if (pthread_create(&thread, NULL, log_thread, &s))
		_exit(1);
	listen_to_all(&s);
	notify_free(s.notify, NOTIFY_END_MS);
	words_queue_drain(&s.queue, WORDS_END_MS);
	_exit(0); /* whatever the other thread waits for */
}

int words_start(const struct words_config *cfg, struct words **out)
{
	struct words *w = calloc(1, sizeof(*w));
	int pair[2];

	if (!w)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		free(w);
		return -errno;
	}
	fflush(NULL);
	w->speaker = fork();
	if (w->speaker == 0) {
		close(pair[0]);
		speak(cfg, pair[1]);
	}
	int r = w->speaker < 0 ? -errno : 0;
	close(pair[1]);
	w->sock = pair[0];
	if (r) {
		close(w->sock);
		free(w);
		return r;
	}
	*out = w;
	return 0;
}

void words_end(struct words *w)
{
	int64_t until = clock_ms(CLOCK_MONOTONIC) + NOTIFY_END_MS + 2 * WORDS_END_MS;

	if (!w)
		return;
	close(w->sock);
	while (waitpid(w->speaker, NULL, WNOHANG) == 0 && clock_ms(CLOCK_MONOTONIC) < until)
		clock_pause(5);
	free(w);
}
