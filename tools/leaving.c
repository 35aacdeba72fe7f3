/* SPDX-License-Identifier: BSD-2-Clause */
/* Telling a daemon that ends from one that serves. */
#include "tools/leaving.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "tools/ask.h"

#define ASK_MS 5000u /* on a busy machine one that ends takes its time to say so, and is no reason to refuse a mount */

bool leaving_is_alive(int pid)
{
	AUTO(auto_close) int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	/* not kill(pid, 0): that finds one that is dead and was not waited for */
	return fd < 0 ? errno != ESRCH : poll(&p, 1, 0) == 0;
}

/* A daemon of an earlier version says nothing of its connection: it counts as one that serves. */
static bool ends_by_answer(const char *answer)
{
	AUTO(auto_free) char *connected = ask_value(answer, "connected", 0);
	int supervisor = (int)ask_number(answer, "supervisor_pid"), worker = (int)ask_number(answer, "worker_pid");

	return (connected && strcmp(connected, "0") == 0) || (supervisor > 0 && !leaving_is_alive(supervisor)) ||
	       (worker > 0 && !leaving_is_alive(worker));
}

/* The listener was closed while the question was on its way. */
static bool hung_up(int r)
{
	return r == -EPIPE || r == -EPROTO || r == -ECONNRESET;
}

bool leaving_mount(const char *mountpoint)
{
	AUTO(auto_free) char *answer = NULL;
	int r = control_call(mountpoint, CONTROL_STATUS, ASK_MS, &answer);

	return hung_up(r) || (r == 0 && ends_by_answer(answer));
}

/* Nobody answers there, or another: the holder has closed its socket, which it does when it ends. */
static bool owner_leaves(const struct store_owner *o)
{
	AUTO(auto_free) char *answer = NULL;

	if (!leaving_is_alive(o->pid))
		return true;
	if (o->mountpoint[0] == 0)
		return false;
	int r = control_call(o->mountpoint, CONTROL_STATUS, ASK_MS, &answer);
	if (r < 0)
		return r == -ENOENT || hung_up(r);
	return (int)ask_number(answer, "worker_pid") != o->pid || ends_by_answer(answer);
}

static bool is_here(const struct store_owner *o)
{
	char host[sizeof(o->host)] = "";

	return o->pid > 0 && gethostname(host, sizeof(host) - 1) == 0 && strcmp(host, o->host) == 0;
}

static void store_close_at(struct store **s)
{
	store_close(*s);
}

/* The copy's own lock says where it is mounted. */
static bool copy_leaves(const struct store_owner *o)
{
	const struct store_open how = {.path = o->mountpoint, .no_pin_check = true, .read_only = true};
	AUTO(store_close_at) struct store *copy = NULL;
	char why[STORE_WHY_MAX];
	struct store_owner at;

	if (!leaving_is_alive(o->pid))
		return true;
	return store_open(&how, &copy, why) == 0 && store_owner(copy, &at) == 0 && at.pid == o->pid &&
	       owner_leaves(&at);
}

bool leaving_store(const struct store *s, int *pid)
{
	struct store_owner o;
	int r = store_owner(s, &o);
	bool copy = r == -ENOENT && store_copy_owner(s, &o) == 0;

	*pid = 0;
	if (r < 0 && !copy)
		return r == -ENOENT; /* it was left in this moment */
	*pid = o.pid;
	return is_here(&o) && (copy ? copy_leaves(&o) : owner_leaves(&o));
}
