/* SPDX-License-Identifier: BSD-2-Clause */
/* A tree's beginning and end. */
#include "fs/tree/tree.h"

int tree_init(struct tree *t, const struct store *s, struct gate *gate, bool read_only,
	      void (*log)(int priority, const char *text))
{
	t->names = s->keyring->name_mode;
	t->env = (struct file_env){
		.gate = gate,
		.layout = s->keyring->layout,
		.nodes = &t->nodes,
		.unclean = s->unclean != 0,
		.leeway = &s->leeway,
		.written = s->written,
		.lost = s->lost,
		.read_only = read_only,
		.log = log,
		.slots = s->slots,
		.journal = s->journal,
	};
	store_boot_id(t->env.boot_id);
	int r = nodes_init(&t->nodes, s->data_fd);
	if (!r)
		t->nodes.names_follow = store_is_local(s->data_fd);
	return r;
}

void tree_free(struct tree *t)
{
	if (t->env.log)
		file_env_end(&t->env);
	nodes_free(&t->nodes);
}
