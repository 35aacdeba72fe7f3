/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the mount tables of all processes, one of each mount namespace. */
#include "fs/watch/holders.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/auto.h"
#include "fs/watch/printable.h"

#define NAMESPACES_MAX 512u /* more than these are not looked into */
#define COPIES_MAX 64u      /* more than these are counted and not looked at closely */
#define GROUPS_MAX 4096u

/* Where a mount lies: on what, at which path of that one's filesystem. */
struct copy {
	char pid[16]; /* "self": in our own namespace */
	int parent;
	unsigned shared, master; /* of what it lies on */
	char *path, *place;      /* place: NULL until what it lies on was met */
};

/* Members of `shared` are slaves of `master`. */
struct group {
	unsigned shared, master;
};

struct search {
	const char *proc;
	const struct mountinfo *mine;
	ino_t seen[NAMESPACES_MAX];
	size_t n_seen, n_copies, n_groups, first; /* first: copy of the table that is being read */
	struct copy own, copy[COPIES_MAX];
	struct group group[GROUPS_MAX];
	unsigned reached[GROUPS_MAX + 1]; /* groups that an unmount of ours reaches */
	size_t n_reached;
	FILE *out;
};

/* The inode number of a process' mount namespace; 0: we may not look, or it has ended. */
static ino_t namespace_of(const struct search *s, const char *pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%.20s/%.20s/ns/mnt", s->proc, pid);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static bool is_new(struct search *s, ino_t ns)
{
	for (size_t i = 0; i < s->n_seen; i++)
		if (s->seen[i] == ns)
			return false;
	if (s->n_seen == NAMESPACES_MAX)
		return false;
	s->seen[s->n_seen++] = ns;
	return true;
}

/* Looking */

static void take_copy(struct search *s, const char *pid, const struct mountinfo *m)
{
	bool is_own = m->id == s->mine->id && strcmp(pid, "self") == 0;
	struct copy *c = is_own ? &s->own : &s->copy[s->n_copies];

	if (!is_own && s->n_copies++ >= COPIES_MAX)
		return;
	c->parent = m->parent;
	c->path = strdup(m->path);
	snprintf(c->pid, sizeof(c->pid), "%s", pid);
}

static void take_groups(struct search *s, const struct mountinfo *m)
{
	if (m->shared && m->master && s->n_groups < GROUPS_MAX)
		s->group[s->n_groups++] = (struct group){m->shared, m->master};
}

/* M is what C lies on. */
static void place(struct copy *c, const struct mountinfo *m)
{
	size_t n = strcmp(m->path, "/") == 0 ? 0 : strlen(m->path);

	if (!c->path || c->place || c->parent != m->id || strncmp(c->path, m->path, n) != 0)
		return;
	if (asprintf(&c->place, "%s%s", strcmp(m->root, "/") == 0 ? "" : m->root, c->path + n) < 0)
		c->place = NULL;
	c->shared = m->shared;
	c->master = m->master;
}

/* Twice: what a copy lies on may stand below it in the table. */
static void look(struct search *s, const char *pid)
{
	struct mountinfo_reader reader;
	struct mountinfo m;
	char path[64];
	size_t end;

	snprintf(path, sizeof(path), "%.20s/%.20s/mountinfo", s->proc, pid);
	s->first = s->n_copies;
	for (int turn = 0; turn < 2 && mountinfo_open(&reader, path) == 0; turn++) {
		end = s->n_copies < COPIES_MAX ? s->n_copies : COPIES_MAX;
		while (mountinfo_next_any(&reader, &m)) {
			if (turn == 0 && m.minor == s->mine->minor && strcmp(m.type, MOUNTINFO_TYPE) == 0)
				take_copy(s, pid, &m);
			if (turn == 0)
				take_groups(s, &m);
			for (size_t i = s->first; turn == 1 && i < end; i++)
				place(&s->copy[i], &m);
			if (turn == 1 && strcmp(pid, "self") == 0)
				place(&s->own, &m);
		}
		mountinfo_close(&reader);
		if (s->n_copies == s->first && strcmp(pid, "self") != 0)
			return;
	}
}

/* Judging */

static bool reaches(const struct search *s, unsigned group)
{
	for (size_t i = 0; group && i < s->n_reached; i++)
		if (s->reached[i] == group)
			return true;
	return false;
}

/* From the group of what ours lies on to its slaves, and theirs. */
static void reach(struct search *s)
{
	size_t before;

	if (s->own.place && s->own.shared)
		s->reached[s->n_reached++] = s->own.shared;
	do {
		before = s->n_reached;
		for (size_t i = 0; i < s->n_groups; i++)
			if (reaches(s, s->group[i].master) && !reaches(s, s->group[i].shared))
				s->reached[s->n_reached++] = s->group[i].shared;
	} while (s->n_reached > before);
}

/* Taken away by the unmount of ours. */
static bool goes_along(const struct search *s, const struct copy *c)
{
	return c->place && s->own.place && (reaches(s, c->shared) || reaches(s, c->master)) &&
	       strcmp(c->place, s->own.place) == 0;
}

/* "process 123 (sleep) has it in another mount namespace, at " */
static void put_process(const struct search *s, const char *pid)
{
	char path[64], comm[32] = "";

	snprintf(path, sizeof(path), "%.20s/%.20s/comm", s->proc, pid);
	FILE *f = fopen(path, "re");
	if (f && fgets(comm, sizeof(comm), f))
		comm[strcspn(comm, "\n")] = 0;
	if (f)
		fclose(f);
	fprintf(s->out, "process %s (", pid);
	printable_put(s->out, comm);
	fputs(") has it in another mount namespace, at ", s->out);
}

/* How many places, written down; the search's memory is given back. */
static size_t judge(struct search *s)
{
	size_t n = s->n_copies > COPIES_MAX ? s->n_copies - COPIES_MAX : 0, met = s->n_copies - n;

	reach(s);
	for (size_t i = 0; i < met; i++) {
		struct copy *c = &s->copy[i];

		if (!goes_along(s, c)) {
			if (n++)
				fputs("; ", s->out);
			if (strcmp(c->pid, "self") == 0)
				fputs("it is mounted here too, at ", s->out);
			else
				put_process(s, c->pid);
			printable_put(s->out, c->path ? c->path : "?");
		}
		free(c->path);
		free(c->place);
	}
	free(s->own.path);
	free(s->own.place);
	return n;
}

size_t holders_find(const char *proc, const struct mountinfo *mine, char text[HOLDERS_TEXT_MAX])
{
	AUTO(auto_free) struct search *s = calloc(1, sizeof(*s));
	DIR *dir = opendir(proc);
	size_t n = 0;

	text[0] = 0;
	if (s && dir && (s->out = fmemopen(text, HOLDERS_TEXT_MAX, "w"))) {
		const struct dirent *e;

		s->proc = proc;
		s->mine = mine;
		(void)is_new(s, namespace_of(s, "self"));
		look(s, "self");
		while ((e = readdir(dir))) {
			ino_t ns = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? namespace_of(s, e->d_name) : 0;

			if (ns && is_new(s, ns))
				look(s, e->d_name);
		}
		n = judge(s);
		fclose(s->out);
	}
	if (dir)
		closedir(dir);
	text[HOLDERS_TEXT_MAX - 1] = 0;
	return n;
}
