/* SPDX-License-Identifier: BSD-2-Clause */
/* The pins on disk: one file per store path and store id, in /var/lib/byokfs (root) or the user's XDG state directory. */
#ifndef FS_PIN_FILE_H
#define FS_PIN_FILE_H

#include "crypto/pin.h"

/* Where the pins lie, for messages. BYOKFS_STATE_DIR overrides. -ENOENT when there is no home directory. */
int pin_file_dir(char *out, size_t len) MUST_CHECK;

/* The same, made if need be. -EPERM: others than root and we may write it; as mkdir(2). */
int pin_file_dir_make(char *out, size_t len) MUST_CHECK;

/*
 * What this host knows of store STORE_ID at STORE_PATH (canonical). A path may have several pins (disks that take turns
 * there); a store that moved to a path without any is found by its id. The sequence is the highest of all its pins.
 * -ENOENT: nothing known of either. -EMEDIUMTYPE: pins of other stores only for this path. -EUCLEAN: its pin is damaged.
 * -EPERM: others than root and we may write the directory.
 */
int pin_file_find(const char *store_path, const uint8_t store_id[ID_LEN], struct pin **out) MUST_CHECK;
/* The only pin of STORE_PATH, whatever its id; -ENOENT when there is none or more than one. */
int pin_file_only(const char *store_path, struct pin **out) MUST_CHECK;
/* Write the pin that says "the store at STORE_PATH has keyring K", durably, unless it says so already. */
int pin_file_write(const char *store_path, const struct keyring *k) MUST_CHECK;
/* Write P, from another host, as the pin of STORE_PATH, durably. Whether it may replace a newer one is the caller's to ask. */
int pin_file_import(const char *store_path, const struct pin *p) MUST_CHECK;
/* The newest pin of STORE_ID, for whatever path; -ENOENT, and as pin_file_find(). The caller calls pin_free(). */
int pin_file_known(const uint8_t store_id[ID_LEN], struct pin **out) MUST_CHECK;
/* Call EACH for every pin of this host, in order of file name: P, or NULL and ERROR for one that cannot be read. */
int pin_file_each(void (*each)(void *arg, const char *name, const struct pin *p, int error), void *arg) MUST_CHECK;
/* Remove every pin of STORE_ID, for whatever path: an older keyring was accepted by order. Absent is no error. */
int pin_file_forget(const uint8_t store_id[ID_LEN]) MUST_CHECK;
/*
 * The file of which a lock says that STORE_ID is mounted for writing on this host, wherever its copy lies: a descriptor for
 * reading and writing, or as above.
 */
int pin_file_host_lock(const uint8_t store_id[ID_LEN]);
/*
 * Open what this host keeps beside the pin of this path and store: the pin's name with ENDING (".audit") for ".pin". A
 * descriptor, or -ENOENT, -EPERM as above, or as open(2).
 */
int pin_file_beside(const char *store_path, const uint8_t store_id[ID_LEN], const char *ending, int flags);
/* Replace it, all or nothing, durably. */
int pin_file_put_beside(const char *store_path, const uint8_t store_id[ID_LEN], const char *ending, const void *buf,
			size_t len) MUST_CHECK;

#endif
