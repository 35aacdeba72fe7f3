/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's server: one thread accepts, one short-lived thread per connection answers. */
#include "fs/mount/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/audit/audit.h"
#include "fs/mount/control_private.h"
#include "fs/mount/status.h"
#include "fs/watch/control_own.h"
#include "fs/watch/worker.h"

#define IO_TIMEOUT_S 5 /* so long a client may be silent, or until another one wants his place */
#define PLACE_WAIT_MS 1000
#define STACK_LEN (256u << 10)

struct control {
	struct control_config cfg;
	struct control_socket socket;
	int stop_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	int client[CONTROL_CLIENTS]; /* -1 = free; under lock */
	uint64_t silent_in
		[CONTROL_CLIENTS]; /* the turn in which he came, 0 once he has said what he wants; under lock */
	uint64_t turn;             /* the accepting thread's */
	unsigned n_clients;        /* under lock */
};

struct client {
	struct control *control;
	unsigned slot;
	int fd;
};

/* Answers */

static int send_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A client that is gone or does not read: his loss. */
static void answer(int fd, int error, const char *text)
{
	char line[512];
	int n = error < 0 ? snprintf(line, sizeof(line), "error %d %s\n", -error, text)
			  : snprintf(line, sizeof(line), "ok\n");

	if (n > 0 && (size_t)n < sizeof(line) && send_all(fd, line, (size_t)n) == 0 && error == 0 && text[0] &&
	    send_all(fd, text, strlen(text)) < 0)
		return;
}

static void run_status(struct control *c, int fd)
{
	AUTO(auto_free) char *text = NULL;
	int r = status_text(&c->cfg, &text);

	answer(fd, r, r < 0 ? strerror(-r) : text);
}

static void run(struct control *c, int fd, enum control_command cmd, const struct ucred *peer)
{
	static const char *const order[] = {[CONTROL_LOCK] = "lock",
					    [CONTROL_UNLOCK] = "unlock",
					    [CONTROL_UNMOUNT] = "unmount",
					    [CONTROL_UNMOUNTING] = "unmount"};
	struct audit_order o = {.order = order[cmd], .uid = peer->uid, .pid = peer->pid};
	char why[320] = "";
	int r = 0;

	if (o.order)
		audit_ordered(c->cfg.audit, &o);
	switch (cmd) {
	case CONTROL_STATUS:
		run_status(c, fd);
		return;
	case CONTROL_LOCK:
		snprintf(why, sizeof(why), "byokfs lock (process %d)", (int)peer->pid);
		r = gate_lock(c->cfg.gate, why);
		why[0] = 0;
		break;
	case CONTROL_UNLOCK:
		r = gate_unlock(c->cfg.gate, why);
		break;
	case CONTROL_UNMOUNT:
		fs_leave(c->cfg.fs);
		break;
	case CONTROL_UNMOUNTING:
		break;
	}
	o.error = r;
	o.why = why;
	if (r < 0)
		audit_ordered(c->cfg.audit, &o);
	answer(fd, r, !r ? "" : why[0] ? why : strerror(-r));
}

/* One line of at most CONTROL_REQUEST_MAX bytes, within IO_TIMEOUT_S in all. */
static int receive(int fd, char *buf, size_t *len)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += IO_TIMEOUT_S;
	for (*len = 0; *len < CONTROL_REQUEST_MAX;) {
		ssize_t n = recv(fd, buf + *len, CONTROL_REQUEST_MAX - *len, 0);
		if (n <= 0 && !(n < 0 && errno == EINTR))
			return -ETIMEDOUT;
		*len += n > 0 ? (size_t)n : 0;
		if (memchr(buf, '\n', *len))
			return 0;
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end.tv_sec)
			return -ETIMEDOUT;
	}
	return -EPROTO;
}

/* He has said what he wants: nobody is given his place. */
static void heard(struct client *k)
{
	pthread_mutex_lock(&k->control->lock);
	k->control->silent_in[k->slot] = 0;
	pthread_mutex_unlock(&k->control->lock);
}

static void *serve(void *arg)
{
	AUTO(auto_free) struct client *k = arg;
	struct control *c = k->control;
	char buf[CONTROL_REQUEST_MAX];
	struct ucred peer;
	socklen_t peer_len = sizeof(peer);
	size_t len;

	if (getsockopt(k->fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) == 0 && receive(k->fd, buf, &len) == 0) {
		enum control_command cmd;

		heard(k);
		if (control_request_parse(buf, len, &cmd) < 0)
			answer(k->fd, -EPROTO,
			       "this mount does not understand the request: another version of byokfs?");
		else
			run(c, k->fd, cmd, &peer);
	}
	pthread_mutex_lock(&c->lock);
	close(k->fd);
	c->client[k->slot] = -1;
	c->n_clients--;
	pthread_cond_signal(&c->idle);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Accepting */

static bool peer_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

static int spawn(void *(*fn)(void *), void *arg, bool detached, pthread_t *thread)
{
	pthread_attr_t attr;
	sigset_t all, old;

	/* Signals are for the main thread, which waits for them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_LEN);
	pthread_attr_setdetachstate(&attr, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
	int r = -pthread_create(thread, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

/*
 * Called with the lock held. A free place; who has been silent longest makes room, so that an order to lock gets through whatever
 * sits there. None when all have asked and wait for their answers.
 */
static unsigned place_find(struct control *c)
{
	const struct timespec until = clock_timespec(clock_ms(CLOCK_MONOTONIC) + PLACE_WAIT_MS);
	unsigned slot, oldest = CONTROL_CLIENTS;

	for (slot = 0; slot < CONTROL_CLIENTS && c->client[slot] >= 0; slot++)
		if (c->silent_in[slot] && (oldest == CONTROL_CLIENTS || c->silent_in[slot] < c->silent_in[oldest]))
			oldest = slot;
	if (slot < CONTROL_CLIENTS || oldest == CONTROL_CLIENTS)
		return slot;
	shutdown(c->client[oldest], SHUT_RDWR);
	while (c->client[oldest] >= 0)
		if (pthread_cond_timedwait(&c->idle, &c->lock, &until))
			return CONTROL_CLIENTS;
	return oldest;
}

/* Takes FD over. Called with the lock held. */
static int client_begin(struct control *c, int fd)
{
	const struct timeval timeout = {.tv_sec = IO_TIMEOUT_S};
	pthread_t thread;
	unsigned slot = place_find(c);
	struct client *k = slot < CONTROL_CLIENTS ? malloc(sizeof(*k)) : NULL;
	if (!k)
		return -EAGAIN;
	*k = (struct client){.control = c, .slot = slot, .fd = fd};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	c->client[slot] = fd;
	c->silent_in[slot] = ++c->turn;
	c->n_clients++;
	int r = spawn(serve, k, true, &thread);
	if (r == 0)
		return 0;
	c->client[slot] = -1;
	c->n_clients--;
	free(k);
	return r;
}

static void *accept_loop(void *arg)
{
	struct control *c = arg;
	struct pollfd p[2] = {{.fd = c->socket.fd, .events = POLLIN}, {.fd = c->stop_fd, .events = POLLIN}};

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[1].revents)
			return NULL;
		int fd = accept4(c->socket.fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0) {
			/* Out of descriptors: not in a tight loop. */
			if (errno == EMFILE || errno == ENFILE)
				poll(&p[1], 1, 100);
			continue;
		}
		if (!peer_allowed(fd)) {
			answer(fd, -EPERM, "only root and the user who mounted it may ask");
			close(fd);
			continue;
		}
		pthread_mutex_lock(&c->lock);
		int r = client_begin(c, fd);
		pthread_mutex_unlock(&c->lock);
		if (r < 0) {
			answer(fd, -EBUSY, "too many ask at the same time: try again");
			close(fd);
		}
	}
}

/* Start and stop */

static void control_free(struct control *c)
{
	control_socket_close(&c->socket);
	auto_close(&c->stop_fd);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->idle);
	free(c);
}

int control_start(const struct control_config *cfg, struct control **out)
{
	struct control *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->cfg = *cfg;
	c->socket.fd = c->stop_fd = -1;
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		c->client[i] = -1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->idle, &monotonic);
	pthread_condattr_destroy(&monotonic);
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	int r = c->stop_fd < 0 ? -errno : control_socket_open(&c->socket, c->cfg.mountpoint);
	if (r == 0)
		r = spawn(accept_loop, c, false, &c->thread);
	if (r < 0) {
		control_free(c);
		return r;
	}
	*out = c;
	return 0;
}

void control_stop(struct control *c)
{
	const uint64_t one = 1;

	if (!c)
		return;
	while (write(c->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(c->thread, NULL);
	/* Who asked gets his answer; who only sits there is woken. */
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		if (c->client[i] >= 0)
			shutdown(c->client[i], SHUT_RD);
	while (c->n_clients > 0)
		pthread_cond_wait(&c->idle, &c->lock);
	pthread_mutex_unlock(&c->lock);
	control_free(c);
}
