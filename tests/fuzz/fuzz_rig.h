/* SPDX-License-Identifier: BSD-2-Clause */
/* The unit tests' scratch store for fuzz targets: one for all inputs, removed at the end. */
#ifndef TESTS_FUZZ_FUZZ_RIG_H
#define TESTS_FUZZ_FUZZ_RIG_H

#include "tests/fuzz/fuzz.h"

/* The checks of the rig in the place of Check's own, which want its runner around them. */
#define CHECK_H
#define ck_assert(condition) MUST(condition)
#define ck_assert_msg(condition, ...) MUST(condition)
#define ck_assert_int_eq(a, b) MUST((a) == (b))
#define ck_assert_int_ge(a, b) MUST((a) >= (b))
#define ck_assert_ptr_nonnull(p) MUST((p) != NULL)

#include "tests/unit/store_rig.h"

static struct rig fuzz_rig_store;

static inline void fuzz_rig_end(void)
{
	rig_end(&fuzz_rig_store);
}

/* Made at the first call. */
static inline struct rig *fuzz_rig(void)
{
	if (!fuzz_rig_store.store) {
		rig_begin(&fuzz_rig_store);
		rig_start(&fuzz_rig_store);
		atexit(fuzz_rig_end);
	}
	return &fuzz_rig_store;
}

#endif
