/* SPDX-License-Identifier: BSD-2-Clause */
/* The `byokfs` program: finds the subcommand and hands over to it. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "kms/hidden.h"
#include "kms/provider.h"
#include "kms/providers/pkcs11.h"
#include "tools/cmd.h"
#include "tools/descriptors.h"
#include "tools/environment.h"
#include "tools/version.h"

#define STACK_LEN (8u << 20)
#define NOFILE_ROOT 1048576u /* the kernel's own bound (fs.nr_open), unless it was changed */

struct subcommand {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct subcommand commands[] = {
	{"init", cmd_init, "make a store"},
	{"mount", cmd_mount, "mount a store"},
	{"umount", cmd_umount, "unmount it, and wait until the store is closed"},
	{"status", cmd_status, "show the state of a mount or a store"},
	{"lock", cmd_lock, "drop the keys of a mount now"},
	{"unlock", cmd_unlock, "ask the KMS for them again"},
	{"keystore", cmd_keystore, "make and manage a keystore and its keys (local:)"},
	{"verify", cmd_verify, "check every object of a store"},
	{"audit", cmd_audit, "show and verify the log of what was done to a store"},
	{"pin", cmd_pin, "show what this host knows of a store, carry it to another host"},
	{"inspect", cmd_inspect, "show what lies in one file of a store, without a key"},
};

static void help(void)
{
	puts("Usage: byokfs COMMAND [OPTIONS] ...\n"
	     "An encrypted backup filesystem whose key stays in your customer's KMS.\n"
	     "\nCommands:");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-9s %s\n", commands[i].name, commands[i].summary);
	puts("\nKMS references:");
	for (size_t i = 0; kms_provider_at(i); i++)
		printf("  %s:...  %s\n", kms_provider_at(i)->scheme, kms_provider_at(i)->description);
	puts("\n'byokfs COMMAND --help' explains a command, with an example. --version tells the versions.\n"
	     "\nExample:\n"
	     "  byokfs keystore init /root/keys && byokfs keystore create /root/keys customer\n"
	     "  byokfs init /srv/backup.store --kms local:/root/keys/customer\n"
	     "  byokfs mount /srv/backup.store /mnt/backup\n"
	     "\nManual pages: byokfs(1) (with the exit codes), byokfs-init(1), byokfs-mount(8)");
}

static int unknown(const char *word)
{
	const char *names[ARRAY_LEN(commands) + 1];

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		names[i] = commands[i].name;
	names[ARRAY_LEN(commands)] = NULL;
	const char *near = cmd_near(word, names);
	if (near)
		cmd_fail(CMD_USAGE, "unknown command '%s': did you mean '%s'?", word, near);
	else
		cmd_fail(CMD_USAGE, "unknown command '%s'", word);
	fputs("Try 'byokfs --help'.\n", stderr);
	return CMD_USAGE;
}

/* To the hard limit, and where we may to MOST: the limits of the shell that mounts are not those of everybody who uses the mount. */
static void limit_raise(int what, rlim_t most)
{
	struct rlimit l;

	if (getrlimit(what, &l))
		return;
	const struct rlimit higher = {most, most};
	l.rlim_cur = l.rlim_max;
	if (l.rlim_max >= most || geteuid() != 0 || setrlimit(what, &higher))
		(void)setrlimit(what, &l);
}

/* A shell's `ulimit -s` is the size of each thread's stack, and of ours. Never higher than usual: without a limit is worse. */
static void stacks_as_usual(void)
{
	struct rlimit l;
	pthread_attr_t attr;

	if (getrlimit(RLIMIT_STACK, &l) == 0 && l.rlim_cur < STACK_LEN) {
		l.rlim_cur = STACK_LEN;
		if (l.rlim_max < STACK_LEN)
			limit_raise(RLIMIT_STACK, STACK_LEN);
		else
			(void)setrlimit(RLIMIT_STACK, &l);
	}
	if (pthread_attr_init(&attr))
		return;
	if (pthread_attr_setstacksize(&attr, STACK_LEN) == 0)
		(void)pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

/*
 * No core, and no other process of the user looks into this one: keys and passphrases pass through every command. As much
 * memory may be locked as the system lets us.
 */
static int harden(void)
{
	const struct rlimit none = {0, 0};

	limit_raise(RLIMIT_MEMLOCK, 0); /* mount tells when keys could not be locked */
	limit_raise(RLIMIT_NOFILE, NOFILE_ROOT);
	limit_raise(RLIMIT_FSIZE, RLIM_INFINITY);
	signal(SIGXFSZ,
	       SIG_IGN); /* where it stays: an error of one write, told as such, and nobody's death in the middle of one */
	limit_raise(RLIMIT_CPU, RLIM_INFINITY);
	limit_raise(RLIMIT_AS, RLIM_INFINITY);
	limit_raise(RLIMIT_DATA, RLIM_INFINITY);
	limit_raise(RLIMIT_NPROC, RLIM_INFINITY);
	stacks_as_usual();
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return cmd_fail(CMD_FAILED, "cannot switch core dumps off: %s", strerror(errno));
	if (secret_init() < 0)
		return cmd_fail(CMD_FAILED, "cannot start libsodium");
	return CMD_OK;
}

static int run(int argc, char **argv)
{
	char option[] = "--help", *of[] = {argv[0], argv[2], option, NULL};

	if (strcmp(argv[1], "help") == 0 && argc > 2) { /* `byokfs help mount` */
		argc = 3;
		argv = of;
	}
	const char *word = argv[1];
	if (strcmp(word, P11_COMMAND) == 0) /* nobody's command: the helper of the provider pkcs11: */
		return p11_helper_main();
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		help();
		return CMD_OK;
	}
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		version_print();
		return CMD_OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(word, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	return unknown(word);
}

int main(int argc, char **argv)
{
	int null = descriptors_begin();
	hidden_begin(environ);
	environment_keep(environ);
	if (null) /* where it can be said */
		return cmd_fail(CMD_FAILED, "cannot open /dev/null: %s", strerror(-null));
	if (argc < 2) {
		fputs("byokfs: a command is missing\nTry 'byokfs --help'.\n", stderr);
		return CMD_USAGE;
	}
	int r = harden();
	if (r != CMD_OK)
		return r;
	r = run(argc, argv);
	/* Output that did not reach the disk or the pipe is no success. */
	if (fflush(stdout) != 0 && r == CMD_OK)
		r = cmd_fail(CMD_FAILED, "cannot write the output: %s", strerror(errno));
	return r;
}
