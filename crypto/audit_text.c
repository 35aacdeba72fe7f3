/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of an audit event: JSON members that are valid whatever bytes the values hold. */
#include "crypto/audit.h"

#include <stdio.h>

#include "crypto/json.h"

#define VALUE_MAX 600u /* bytes of one value as they stand in the line */
#define DAY_MS 86400000
#define YEAR_9999_MS 253402300799999

/* T as the JSON writer sees it, between json_of() and json_done(). */
static struct json json_of(struct audit_text *t)
{
	return (struct json){.text = t->text, .size = sizeof(t->text), .len = t->len, .cut = t->cut};
}

static void json_done(struct audit_text *t, const struct json *j)
{
	t->len = j->len;
	t->cut = j->cut;
}

/* The day's date, by the civil calendar ("days from civil", backwards); no library asks for a time zone. */
static void put_time(struct json *j, int64_t unix_ms)
{
	if (unix_ms < 0 || unix_ms > YEAR_9999_MS)
		unix_ms = 0;
	int64_t days = unix_ms / DAY_MS, ms = unix_ms % DAY_MS, z = days + 719468;
	int64_t era = z / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	int month = (int)(mp < 10 ? mp + 3 : mp - 9), day = (int)(doy - (153 * mp + 2) / 5 + 1);
	int year = (int)(yoe + era * 400 + (month <= 2));
	char text[80]; /* the compiler cannot know that the numbers are small */

	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day, (int)(ms / 3600000),
		 (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
	json_str(j, "time", text, AUDIT_TIME_LEN);
}

void audit_text_begin(struct audit_text *t, int64_t unix_ms, const char *event)
{
	struct json j = {.text = t->text, .size = sizeof(t->text)};

	put_time(&j, unix_ms);
	json_str(&j, "event", event, AUDIT_EVENT_MAX);
	json_done(t, &j);
}

void audit_text_str(struct audit_text *t, const char *key, const char *value)
{
	struct json j = json_of(t);

	json_str(&j, key, value, VALUE_MAX);
	json_done(t, &j);
}

void audit_text_u64(struct audit_text *t, const char *key, uint64_t value)
{
	struct json j = json_of(t);

	json_u64(&j, key, value);
	json_done(t, &j);
}

void audit_text_i64(struct audit_text *t, const char *key, int64_t value)
{
	struct json j = json_of(t);

	json_i64(&j, key, value);
	json_done(t, &j);
}
