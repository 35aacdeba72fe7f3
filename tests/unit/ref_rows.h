/* SPDX-License-Identifier: BSD-2-Clause */
/* A row of a provider's references: its canonical form, or what the refusal says. */
#ifndef TESTS_UNIT_REF_ROWS_H
#define TESTS_UNIT_REF_ROWS_H

#include <check.h>
#include <errno.h>
#include <string.h>

#include "kms/provider.h"

struct ref_row {
	const char *ref, *canonical, *says; /* canonical NULL: refused, with SAYS in the sentence */
};

/* The canonical form is its own, and no folder of this machine has such a key. */
static inline void ref_row_check(const struct ref_row *row)
{
	char out[KMS_REF_MAX + 1], again[KMS_REF_MAX + 1], why[KMS_TEXT_MAX];
	int r = kms_ref_normalise(row->ref, out, why);

	if (!row->canonical) {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_msg(strstr(why, row->says) != NULL, "%s: %s", row->ref, why);
		return;
	}
	ck_assert_msg(r == 0, "%s: %s", row->ref, why);
	ck_assert_str_eq(out, row->canonical);
	ck_assert_int_eq(kms_ref_normalise(out, again, why), 0);
	ck_assert_str_eq(again, out);
	ck_assert_int_eq(kms_ref_inside(out, "/"), 0);
}

#endif
