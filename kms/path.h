/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths of key directories: canonical form, and "lies inside". Private to kms/. */
#ifndef KMS_PATH_H
#define KMS_PATH_H

#include "crypto/attr.h"

/*
 * Absolute path without links, dots and double slashes. The part at the end that does not exist, or begins with a link that
 * leads nowhere, is taken as it stands but for "." and slashes. -EINVAL if it contains "..", or PATH is empty; -ENAMETOOLONG
 * also for more than LEN - 1 bytes; as getcwd(3).
 */
int kms_path_canonical(const char *path, char *out, size_t len) MUST_CHECK;
/* 1 if PATH is DIR or lies under it (by name, or by device and inode of a parent that exists), else 0, or as above. */
int kms_path_inside(const char *path, const char *dir) MUST_CHECK;

#endif
