/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's protocol and its client: requests, answers, where the sockets lie. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/pin_file.h"
#include "fs/store/store_own.h"
#include "fs/watch/control.h"
#include "fs/watch/control_own.h"
#include "fs/watch/mountinfo.h"
#include "kms/gate.h"

#define MAGIC "byokfs 1 "

static const char *const command_name[] = {
	[CONTROL_STATUS] = "status",         [CONTROL_LOCK] = "lock",
	[CONTROL_UNLOCK] = "unlock",         [CONTROL_UNMOUNT] = "unmount",
	[CONTROL_UNMOUNTING] = "unmounting",
};

/* Protocol */

const char *control_request_text(enum control_command cmd)
{
	static const char *const text[] = {
		[CONTROL_STATUS] = MAGIC "status\n",         [CONTROL_LOCK] = MAGIC "lock\n",
		[CONTROL_UNLOCK] = MAGIC "unlock\n",         [CONTROL_UNMOUNT] = MAGIC "unmount\n",
		[CONTROL_UNMOUNTING] = MAGIC "unmounting\n",
	};
	return text[cmd];
}

int control_request_parse(const char *buf, size_t len, enum control_command *out)
{
	const size_t magic = sizeof(MAGIC) - 1;

	if (len <= magic || len > CONTROL_REQUEST_MAX || memcmp(buf, MAGIC, magic) != 0 || buf[len - 1] != '\n')
		return -EPROTO;
	for (size_t i = CONTROL_STATUS; i < ARRAY_LEN(command_name); i++) {
		size_t n = strlen(command_name[i]);
		if (len != magic + n + 1 || memcmp(buf + magic, command_name[i], n) != 0)
			continue;
		*out = (enum control_command)i;
		return 0;
	}
	return -EPROTO;
}

int control_answer_parse(const char *buf, size_t len, int *error, const char **body, size_t *body_len)
{
	const char *end = len > 0 && len <= CONTROL_MESSAGE_MAX ? memchr(buf, '\n', len) : NULL;
	int n = 0;

	if (!end || memchr(buf, 0, len))
		return -EPROTO;
	if (end == buf + 2 && memcmp(buf, "ok", 2) == 0) {
		*error = 0;
		*body = end + 1;
		*body_len = len - 3;
		return 0;
	}
	if (len < 6 || memcmp(buf, "error ", 6) != 0)
		return -EPROTO;
	const char *p = buf + 6;
	for (; p < end && *p >= '0' && *p <= '9' && n < 10000; p++)
		n = 10 * n + (*p - '0');
	if (p == end || *p != ' ' || n < 1 || n >= 4096)
		return -EPROTO;
	*error = -n;
	*body = p + 1;
	*body_len = (size_t)(end - p - 1);
	return 0;
}

/* Places */

/* Of another user by what the system knows of him: his environment is not ours to see. */
static int dir_beside_pins(uid_t uid, char *out, size_t len)
{
	char state[PATH_MAX], room[4096];
	struct passwd entry, *p = NULL;
	int r = 0;

	if (uid == geteuid())
		r = pin_file_dir(state, sizeof(state));
	else if (getpwuid_r(uid, &entry, room, sizeof(room), &p) || !p || !p->pw_dir || p->pw_dir[0] != '/')
		r = -ENOENT;
	else
		snprintf(state, sizeof(state), "%s/.local/state/byokfs", p->pw_dir);
	if (r)
		return r;
	int n = snprintf(out, len, "%s/run", state);
	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

int control_dir_at(uid_t uid, unsigned i, char *out, size_t len)
{
	const char *xdg = uid == geteuid() ? secure_getenv("XDG_RUNTIME_DIR") : NULL;
	int n = -1;

	if (uid == 0 && i > 0)
		return -ENOENT;
	if (uid == 0)
		n = snprintf(out, len, "/run/byokfs");
	else if (i == 0 && (!xdg || xdg[0] != '/' || strlen(xdg) > 70))
		return -ENOENT;
	else if (i == 0)
		n = snprintf(out, len, "%s/byokfs", xdg);
	else if (i == 1)
		n = snprintf(out, len, "/run/user/%u/byokfs", (unsigned)uid);
	else if (i == 2)
		return dir_beside_pins(uid, out, len);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

int control_dir(char *out, size_t len)
{
	if (control_dir_at(geteuid(), 0, out, len) == 0)
		return 0;
	return control_dir_at(geteuid(), 2, out, len);
}

int control_address(const char *dir, const char *mountpoint, struct sockaddr_un *out)
{
	char hash[17];

	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	store_path_hash(mountpoint, hash);
	int n = snprintf(out->sun_path, sizeof(out->sun_path), "%s/%s.sock", dir, hash);
	return n < 0 || (size_t)n >= sizeof(out->sun_path) ? -ENAMETOOLONG : 0;
}

int control_device(const char *mountpoint, char out[CONTROL_DEVICE_MAX])
{
	struct mountinfo m;
	int r = mountinfo_find(MOUNTINFO_SELF, mountpoint, &m);

	if (!r)
		snprintf(out, CONTROL_DEVICE_MAX, "device %u", m.minor); /* no path: it begins with no slash */
	return r;
}

/* Client */

/* 0 when FD is ready for EVENTS before DEADLINE. */
static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline - clock_ms(CLOCK_MONOTONIC);
		if (left <= 0)
			return -ETIMEDOUT;
		int r = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

/* The mount's owner as the kernel knows him, else ourselves. */
static uid_t mount_owner(const char *mountpoint)
{
	struct mountinfo m;

	return mountinfo_find(MOUNTINFO_SELF, mountpoint, &m) == 0 && m.has_owner ? m.owner : geteuid();
}

/* A full queue is no refusal: the daemon takes the next one in a moment. */
static int connect_patiently(int fd, const struct sockaddr_un *a, int64_t deadline)
{
	while (connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (clock_ms(CLOCK_MONOTONIC) >= deadline)
			return -ETIMEDOUT;
		poll(NULL, 0, 10);
	}
	return 0;
}

/* A connected socket to the daemon, who must be root or UID; -ENOENT, -EPERM. */
static int dial(const char *dir, const char *mountpoint, uid_t uid, int64_t deadline)
{
	struct sockaddr_un a;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (control_address(dir, mountpoint, &a) < 0)
		return -ENOENT;
	AUTO(auto_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int r = connect_patiently(fd, &a, deadline);
	if (r < 0)
		return r == -EACCES || r == -EPERM ? -EPERM : r == -ETIMEDOUT ? r : -ENOENT;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	if (peer.uid != 0 && peer.uid != uid)
		return -EPERM;
	int keep = fd;
	fd = -1;
	return keep;
}

/* By NAME, the mount point that the daemon knows or its device. */
static int dial_name(const char *name, uid_t owner, int64_t deadline)
{
	const uid_t who[2] = {geteuid(), owner};
	char dir[256];
	int worst = -ENOENT;

	for (unsigned w = 0; w < 2; w++)
		for (unsigned i = 0; i < CONTROL_DIRS; i++) {
			if ((w == 1 && owner == who[0]) || control_dir_at(who[w], i, dir, sizeof(dir)) < 0)
				continue;
			int fd = dial(dir, name, who[w], deadline);
			if (fd != -ENOENT && fd != -EPERM)
				return fd;
			if (fd == -EPERM)
				worst = fd;
		}
	return worst;
}

static int dial_any(const char *mountpoint, bool any_path, int64_t deadline)
{
	const uid_t owner = mount_owner(mountpoint);
	char device[CONTROL_DEVICE_MAX];
	int fd = dial_name(mountpoint, owner, deadline);

	if (fd == -ENOENT && any_path && control_device(mountpoint, device) == 0)
		fd = dial_name(device, owner, deadline);
	return fd;
}

/* Read to the end of the stream into BUF of CONTROL_MESSAGE_MAX bytes. */
static int receive_all(int fd, char *buf, size_t *len, int64_t deadline)
{
	for (*len = 0;;) {
		int r = wait_for(fd, POLLIN, deadline);
		if (r < 0)
			return r;
		ssize_t n = recv(fd, buf + *len, CONTROL_MESSAGE_MAX - *len, 0);
		if (n == 0)
			return *len < CONTROL_MESSAGE_MAX ? 0 : -EPROTO;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		*len += n > 0 ? (size_t)n : 0;
	}
}

int control_call(const char *mountpoint, enum control_command cmd, unsigned timeout_ms, char **answer)
{
	const char *request = control_request_text(cmd), *body;
	const int64_t deadline = clock_ms(CLOCK_MONOTONIC) + timeout_ms;
	size_t len, body_len;
	int error;

	*answer = NULL;
	/* who unmounts by himself unmounts one path, and not always the daemon's own */
	bool any_path = cmd != CONTROL_UNMOUNTING;
	AUTO(auto_close) int fd = dial_any(mountpoint, any_path, deadline);
	if (fd < 0)
		return fd;
	AUTO(auto_free) char *buf = malloc(CONTROL_MESSAGE_MAX);
	if (!buf)
		return -ENOMEM;
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
		return -EPIPE;
	int r = receive_all(fd, buf, &len, deadline);
	if (r == 0)
		r = control_answer_parse(buf, len, &error, &body, &body_len);
	if (r < 0)
		return r;
	*answer = strndup(body, body_len);
	return !*answer ? -ENOMEM : error;
}
