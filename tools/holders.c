/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the mount tables of all processes, one of each mount namespace. */
#include "tools/holders.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/auto.h"
#include "fs/watch/mountinfo.h"
#include "tools/cmd.h"
#include "tools/emit.h"

#define NAMESPACES_MAX 256u /* more than these are not looked into */

struct search {
	const char *proc;
	unsigned minor;
	ino_t seen[NAMESPACES_MAX];
	size_t n_seen, places;
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
	emit_escaped(s->out, comm);
	fputs(") has it in another mount namespace, at ", s->out);
}

static void look(struct search *s, const char *pid, bool here)
{
	struct mountinfo_reader reader;
	struct mountinfo m;
	char path[64];

	snprintf(path, sizeof(path), "%.20s/%.20s/mountinfo", s->proc, pid);
	if (mountinfo_open(&reader, path) < 0)
		return;
	while (mountinfo_next(&reader, &m)) {
		if (m.minor != s->minor)
			continue;
		if (s->places++)
			fputs("; ", s->out);
		if (here)
			fputs("it is mounted here too, at ", s->out);
		else
			put_process(s, pid);
		emit_escaped(s->out, m.path);
	}
	mountinfo_close(&reader);
}

size_t holders_find(const char *proc, unsigned minor, char text[HOLDERS_TEXT_MAX])
{
	struct search s = {.proc = proc, .minor = minor};
	const struct dirent *e;
	DIR *dir = opendir(proc);

	text[0] = 0;
	s.out = fmemopen(text, HOLDERS_TEXT_MAX, "w");
	if (!dir || !s.out) {
		if (dir)
			closedir(dir);
		return 0;
	}
	(void)is_new(&s, namespace_of(&s, "self"));
	look(&s, "self", true);
	while ((e = readdir(dir))) {
		ino_t ns = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? namespace_of(&s, e->d_name) : 0;

		if (ns && is_new(&s, ns))
			look(&s, e->d_name, false);
	}
	closedir(dir);
	fclose(s.out);
	text[HOLDERS_TEXT_MAX - 1] = 0;
	return s.places;
}
