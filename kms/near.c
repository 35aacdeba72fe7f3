/* SPDX-License-Identifier: BSD-2-Clause */
/* Near misses: the word that somebody probably meant. */
#include "kms/near.h"

#include <string.h>

#define NEAR_MAX 32u /* longer words are not compared */

/* Edit distance, two neighbours exchanged counting as one step (optimal string alignment). */
static unsigned distance(const char *a, size_t n, const char *b)
{
	unsigned d[NEAR_MAX + 1][NEAR_MAX + 1];
	size_t m = strlen(b);

	if (n > NEAR_MAX || m > NEAR_MAX)
		return UINT32_MAX;
	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
			best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[n][m];
}

const char *near_word(const char *word, size_t len, const char *const *list)
{
	const char *best = NULL;
	unsigned best_distance = len <= 3 ? 2 : 3; /* exclusive */

	for (; *list; list++) {
		unsigned n = distance(word, len, *list);
		if (n < best_distance && n < strlen(*list)) {
			best = *list;
			best_distance = n;
		}
	}
	return best;
}
