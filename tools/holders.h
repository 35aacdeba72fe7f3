/* SPDX-License-Identifier: BSD-2-Clause */
/* Who still has a byokfs mounted after it was unmounted here: another path, another mount namespace. */
#ifndef TOOLS_HOLDERS_H
#define TOOLS_HOLDERS_H

#include <stddef.h>

#define HOLDERS_TEXT_MAX 512u

/*
 * Into TEXT where the FUSE connection of device number MINOR is mounted, by PROC ("/proc"): paths of this mount namespace first, then
 * one process ("process 123 (sleep) ... at /mnt") of each other namespace that has it, until TEXT is full. Returns how many
 * places there are; the namespaces of processes that we may not look into are not among them.
 */
size_t holders_find(const char *proc, unsigned minor, char text[HOLDERS_TEXT_MAX]);

#endif
