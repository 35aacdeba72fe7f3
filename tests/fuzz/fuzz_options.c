/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of `byokfs mount`, one word a line: as fstab and mount(8) pass it on. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <unistd.h>

#include "tools/mount_options.h"

#define WORDS_MAX 64

static void holds(const struct mount_options *m)
{
	const struct opened_config *o = &m->open;
	unsigned poll = o->poll_ms ? o->poll_ms : 5000;

	MUST(m->mountpoint && o->path && o->lease_ms >= 2 * poll && o->lease_ms <= 86400000 && poll <= 3600000);
	MUST(o->grace_ms <= GATE_GRACE_MAX_MS && o->drain_ms <= 60000 && o->n_refs <= OPENED_REFS_MAX);
	MUST(m->respawns <= 100 && (!m->notify_command || m->notify_command[0] == '/'));
	for (size_t i = 0; i < o->n_refs; i++)
		MUST(o->ref[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	char *text = fuzz_text(data, size), *rest = text, *argv[WORDS_MAX + 2] = {"mount"};
	struct mount_options m;
	int argc = 1;

	if (!nowhere) { /* libFuzzer and the sanitizers have the descriptor, the program's messages do not */
		nowhere = fopen("/dev/null", "w");
		MUST(nowhere);
		stderr = nowhere;
	}
	for (char *word; argc <= WORDS_MAX && (word = strsep(&rest, "\n"));)
		argv[argc++] = word;
	optind = 0;
	mount_options_init(&m);
	int r = mount_options_read(&m, argc, argv);
	MUST(r == CMD_OK || r == CMD_USAGE || r == CMD_FAILED);
	if (r == CMD_OK && !m.help)
		holds(&m);
	mount_options_wipe(&m);
	free(text);
	return 0;
}
