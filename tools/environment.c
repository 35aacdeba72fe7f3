/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of what stays, for nobody can list what every library reads: GCONV_PATH, OPENSSL_MODULES, SSLKEYLOGFILE, TZDIR ... */
#include "tools/environment.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "crypto/attr.h"

static const char *const kept[] = {
	"AWS_CONFIG_FILE=",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI=",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=",
	"AWS_EC2_METADATA_DISABLED=",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT=",
	"AWS_PROFILE=",
	"AWS_ROLE_ARN=",
	"AWS_ROLE_SESSION_NAME=",
	"AWS_SHARED_CREDENTIALS_FILE=",
	"AWS_WEB_IDENTITY_TOKEN_FILE=",
	"BAO_ADDR=",
	"BAO_NAMESPACE=",
	"BYOKFS_STATE_DIR=",
	"CREDENTIALS_DIRECTORY=",
	"HOME=",
	"HTTPS_PROXY=",
	"NO_PROXY=",
	"TZ=",
	"VAULT_ADDR=",
	"VAULT_NAMESPACE=",
	"XDG_RUNTIME_DIR=",
	"XDG_STATE_HOME=",
	"https_proxy=",
	"no_proxy=",
};

/* A zone by its name; a file anywhere it may also be to the C library. */
static bool names_a_file(const char *zone)
{
	return zone[0] == ':' || zone[0] == '/' || strstr(zone, "..");
}

static bool is_kept(const char *variable)
{
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (strncmp(variable, kept[i], strlen(kept[i])) == 0)
			return strcmp(kept[i], "TZ=") != 0 || !names_a_file(variable + 3);
	return false;
}

void environment_keep(char **list)
{
	char **to = list;

	for (char **from = list; from && *from; from++)
		if (is_kept(*from))
			*to++ = *from;
	if (to)
		*to = NULL;
}
