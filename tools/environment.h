/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment: what of it this program reads, and nothing else. */
#ifndef TOOLS_ENVIRONMENT_H
#define TOOLS_ENVIRONMENT_H

/*
 * Takes out of LIST (as environ(7), NULL at its end; in place) all that byokfs does not read itself: libraries read more, some of
 * it names what they load. Before the first thread.
 */
void environment_keep(char **list);

#endif
