/* SPDX-License-Identifier: BSD-2-Clause */
/* What `byokfs mount` was told: its options and the list of -o, as mount(8) and fstab write it. */
#ifndef TOOLS_MOUNT_OPTIONS_H
#define TOOLS_MOUNT_OPTIONS_H

#include "tools/opened.h"

#define NOSYMFOLLOW 256u /* MS_NOSYMFOLLOW, which older headers lack */

/* The text of one -o, taken apart. */
struct option_text {
	struct option_text *next;
	char text[];
};

/* May other users use the mount? By default, if root mounts it. */
enum allow_other { ALLOW_BY_USER = 0, ALLOW_OTHER, ALLOW_NO_OTHER, ALLOW_ROOT };

struct mount_options {
	struct opened_config open; /* strings are argv's or of `texts` */
	const char *mountpoint;    /* as given */
	bool foreground;
	bool unmount_on_revoke;
	enum allow_other allow_other;
	unsigned long flags;       /* MS_NOSUID, MS_NODEV, ... */
	unsigned long flags_named; /* those that a word has set or cleared */
	char security[512];        /* SELinux contexts, each behind a comma; "" = none */
	bool remount;              /* change the flags that were named of what is mounted there, and nothing else */
	unsigned
		wait_ms; /* --wait: how long to ask a silent KMS before the mount fails; 0 = once, UINT_MAX = for ever */
	unsigned respawns;          /* --respawn[=N]: how often in ten minutes to mount again by itself; 0 = never */
	const char *notify_command; /* --notify-command: program run at each change of state, or NULL */
	bool protect_mountpoint;    /* --protect-mountpoint */
	bool audit_syslog;          /* --audit-syslog */
	bool help;
	struct option_text *texts;
};

/* Defaults: in the background, lock on revocation, return by itself, an hour of grace, nosuid, nodev. */
void mount_options_init(struct mount_options *m);
void mount_options_wipe(struct mount_options *m);
/* Read the command line: CMD_OK, or CMD_USAGE with the error printed. */
int mount_options_read(struct mount_options *m, int argc, char **argv) MUST_CHECK;

#endif
