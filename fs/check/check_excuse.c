/* SPDX-License-Identifier: BSD-2-Clause */
/* What a crash may have left of files that were being made. */
#include <sys/stat.h>

#include "fs/check/check_own.h"
#include "fs/store/store_own.h"

bool check_excused(const struct check_run *run, const struct check_at *at, const struct stat *st)
{
	struct stat dir;
	if (!run->unclean)
		return false;
	uint64_t place = fstat(at->dir->fd, &dir) == 0 ? writing_place(dir.st_ino, at->name) : 0;
	return leeway_stump(run->leeway, st, place);
}

bool check_blank_stump(const struct check_run *run, const struct check_at *at, int fd, const struct stat *st)
{
	return check_excused(run, at, st) &&
	       store_is_blank(fd, (uint64_t)st->st_size, layout_disk_size(run->layout, 0)) == 1;
}

bool check_made(const struct check_run *run, const struct check_at *at, int fd, const uint8_t *file_id)
{
	struct stat st, dir;
	if (!run->unclean || fstat(fd, &st) < 0 || fstat(at->dir->fd, &dir) < 0)
		return false;
	return leeway_made(run->leeway, &st, file_id, writing_place(dir.st_ino, at->name), leeway_born(fd));
}
