/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's server: one thread accepts, one short-lived thread per connection answers. */
#include "fs/mount/control.h"

#include <dirent.h>
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
#include "fs/mount/status.h"
#include "fs/watch/control_own.h"
#include "fs/watch/worker.h"

#define CLIENTS_MAX 64 /* each may be silent for IO_TIMEOUT_S: none holds up another */
#define IO_TIMEOUT_S 5
#define STACK_LEN (256u << 10)

struct control {
	struct control_config cfg;
	struct sockaddr_un address;
	struct sockaddr_un device; /* a link to it, of another name; none: an empty path */
	int listen_fd, stop_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	int client[CLIENTS_MAX]; /* -1 = free; under lock */
	unsigned n_clients;      /* under lock */
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
		r = fs_unmount(c->cfg.fs);
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

/* Takes FD over. Called with the lock held. */
static int client_begin(struct control *c, int fd)
{
	const struct timeval timeout = {.tv_sec = IO_TIMEOUT_S};
	pthread_t thread;
	unsigned slot = 0;

	while (slot < CLIENTS_MAX && c->client[slot] >= 0)
		slot++;
	struct client *k = slot < CLIENTS_MAX ? malloc(sizeof(*k)) : NULL;
	if (!k)
		return -EAGAIN;
	*k = (struct client){.control = c, .slot = slot, .fd = fd};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	c->client[slot] = fd;
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
	struct pollfd p[2] = {{.fd = c->listen_fd, .events = POLLIN}, {.fd = c->stop_fd, .events = POLLIN}};

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[1].revents)
			return NULL;
		int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);
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
		if (r < 0)
			close(fd);
	}
}

/* Start and stop */

/* A socket that nobody listens on is left over from a daemon that was killed. */
static int address_free(const struct sockaddr_un *a)
{
	AUTO(auto_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	if (unlink(a->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* Links of earlier daemons of this mount point, which were killed: their numbers are another mount's by now. */
static void unlink_stale(const char *dir, const char *socket_name)
{
	char target[sizeof(((struct sockaddr_un *)0)->sun_path)];
	DIR *stream = opendir(dir);

	for (const struct dirent *e; stream && (e = readdir(stream));) {
		ssize_t n = readlinkat(dirfd(stream), e->d_name, target, sizeof(target) - 1);

		if (n < 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, socket_name) == 0)
			(void)unlinkat(dirfd(stream), e->d_name, 0);
	}
	if (stream)
		closedir(stream);
}

/* So that the mount is found by other paths as well; without it, by its own only. */
static void link_device(struct control *c, const char *dir)
{
	char device[CONTROL_DEVICE_MAX];

	unlink_stale(dir, strrchr(c->address.sun_path, '/') + 1);
	if (control_device(c->cfg.mountpoint, device) || control_address(dir, device, &c->device))
		return;
	if (unlink(c->device.sun_path) < 0 && errno != ENOENT)
		return;
	if (symlink(strrchr(c->address.sun_path, '/') + 1, c->device.sun_path) < 0)
		c->device.sun_path[0] = '\0';
}

static int control_listen(struct control *c)
{
	char dir[sizeof(c->address.sun_path)];
	int r = control_dir_make(dir, sizeof(dir));
	if (r == 0)
		r = control_address(dir, c->cfg.mountpoint, &c->address);
	if (r == 0)
		r = address_free(&c->address);
	if (r < 0)
		return r;
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (c->listen_fd < 0 || c->stop_fd < 0)
		return -errno;
	/* before the bind: what lies at the name afterwards might be another's */
	if (fchmod(c->listen_fd, 0600) < 0)
		return -errno;
	if (bind(c->listen_fd, (const struct sockaddr *)&c->address, sizeof(c->address)) < 0)
		return -errno;
	if (listen(c->listen_fd, CLIENTS_MAX) < 0)
		return -errno;
	link_device(c, dir);
	return 0;
}

static void control_free(struct control *c)
{
	if (c->listen_fd >= 0)
		unlink(c->address.sun_path);
	if (c->device.sun_path[0])
		unlink(c->device.sun_path);
	auto_close(&c->listen_fd);
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
	c->listen_fd = c->stop_fd = -1;
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		c->client[i] = -1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->idle, NULL);
	int r = control_listen(c);
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
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (c->client[i] >= 0)
			shutdown(c->client[i], SHUT_RD);
	while (c->n_clients > 0)
		pthread_cond_wait(&c->idle, &c->lock);
	pthread_mutex_unlock(&c->lock);
	control_free(c);
}
