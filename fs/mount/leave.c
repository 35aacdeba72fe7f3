/* SPDX-License-Identifier: BSD-2-Clause */
/* Unmounting when nothing is used any more; noticing that somebody else has unmounted. */
#include "fs/mount/leave.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/watch/mnt.h"
#include "fs/watch/mountinfo.h"

#define LOOK_MS 300 /* so soon after the last handle it is unmounted; so often a busy mount table is read at most */
#define LOOK_AGAIN_MS 900 /* other namespaces cost more to look into */
#define ELSEWHERE_MS 1000 /* a connection that lives so long after the unmount, and is quiet, is in use somewhere */

static int64_t now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

/* 0, -ENOENT: it is not in the table, or why that cannot be read. */
static int in_table(const struct leave *l)
{
	char path[4096];
	int r = mountinfo_path(MOUNTINFO_SELF, l->worker->mount.id, path, sizeof(path));

	return r == -ENAMETOOLONG ? 0 : r;
}

void leave_init(struct leave *l)
{
	l->table_fd = open(MOUNTINFO_SELF, O_RDONLY | O_CLOEXEC);
	if (l->table_fd >= 0 && in_table(l) != 0)
		leave_free(l);
}

void leave_free(struct leave *l)
{
	if (l->table_fd >= 0)
		close(l->table_fd);
	l->table_fd = -1;
}

static void lock(struct leave *l)
{
	if (gate_state(l->gate) != GATE_LOCKED)
		gate_lock_signal(l->gate);
}

static void say(struct leave *l, const char *what, const char *who)
{
	char text[STORE_WHY_MAX + 128];

	snprintf(text, sizeof(text), "%s%s%s", what, who[0] ? ": " : "", who);
	l->log(LOG_WARNING, text);
}

static void ask(struct leave *l)
{
	const struct link_msg m = {.type = LINK_LOOK};

	l->asked = link_send(l->worker->sock, &m, -1, true) == 0;
	l->ask_ms = now_ms() + LOOK_AGAIN_MS;
}

static void parted(struct leave *l, bool by_us)
{
	l->gone = true;
	l->by_us = by_us;
	l->gone_ms = l->quiet_ms = now_ms();
	if (l->table_fd >= 0)
		ask(l); /* a namespace may have been made in between */
}

/* Nothing has it elsewhere. False: something in it is open. */
static bool unmount(struct leave *l)
{
	if (mnt_umount(l->mountpoint, &l->worker->mount, false) != 0)
		return false;
	parted(l, true);
	return true;
}

static void keep(struct leave *l, const char *who)
{
	if (!l->told) {
		say(l, "still in use: locked, and unmounted when the last file, folder and mount in it is left", who);
		lock(l);
	}
	l->told = true;
}

/* It is not mounted here any more, and used all the same. */
static void settle(struct leave *l, const char *who)
{
	l->settled = true;
	say(l, "unmounted here, and in use still: locked until the last who has it is gone", who);
	lock(l);
}

void leave_order(struct leave *l)
{
	if (l->wanted || l->gone)
		return;
	l->wanted = true;
	if (l->table_fd >= 0)
		ask(l);
	else if (!unmount(l))
		keep(l, "");
}

void leave_looked(struct leave *l, const struct link_msg *m)
{
	l->asked = false;
	if (l->gone && !l->settled && m->from > 0)
		settle(l, m->text);
	else if (!l->gone && l->wanted && (m->from > 0 || !unmount(l)))
		keep(l, m->text);
}

int leave_poll(const struct leave *l, int *timeout_ms)
{
	bool soon = l->wanted || l->table_ms || (l->gone && !l->settled);

	*timeout_ms = soon ? LOOK_MS : -1;
	return l->gone || l->table_ms ? -1 : l->table_fd;
}

/* Is it not in the table any more? */
static void look_table(struct leave *l, bool changed)
{
	int64_t now = now_ms();

	if (changed && !l->table_ms)
		l->table_ms = now + (l->told ? LOOK_MS : 0);
	if (l->gone || !l->table_ms || now < l->table_ms)
		return;
	l->table_ms = 0;
	if (in_table(l) == -ENOENT)
		parted(l, false);
}

/*
 * Somebody else has unmounted, lazily or in other namespaces' presence; or we have, and one has it that the supervisor may not see.
 * An unmount that is still writing back is neither: it is heard by what it sends.
 */
static void look_gone(struct leave *l, const struct leave_facts *f)
{
	int64_t now = now_ms();

	if (f->busy || f->writes != l->last_write)
		l->quiet_ms = now;
	l->last_write = f->writes;
	if (now - l->gone_ms >= LOOK_MS && !l->by_us && f->open_files > 0)
		settle(l, "files are open");
	else if (now - (l->by_us ? l->gone_ms : l->quiet_ms) >= ELSEWHERE_MS)
		settle(l, "");
}

void leave_look(struct leave *l, const struct leave_facts *f, bool changed)
{
	if (!f->connected)
		return;
	look_table(l, changed);
	if (l->gone && !l->settled)
		look_gone(l, f);
	else if (!l->gone && l->wanted && !l->asked && l->table_fd < 0)
		(void)unmount(l);
	else if (!l->gone && l->wanted && !l->asked && now_ms() >= l->ask_ms)
		ask(l);
}
