/* SPDX-License-Identifier: BSD-2-Clause */
/* A PKCS#11 module for 47-pkcs11 that prints a lot when it is loaded, and is SoftHSM ($CHATTY_BEHIND) in all else. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void chat(void)
{
	for (int i = 0; i < 2000; i++)
		fprintf(stderr, "line %d of a module that talks\n", i);
}

unsigned long C_GetFunctionList(void **list)
{
	const char *path = getenv("CHATTY_BEHIND");
	void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	unsigned long (*next)(void **) = NULL;

	*(void **)&next = module ? dlsym(module, "C_GetFunctionList") : NULL;
	return next ? next(list) : 5; /* CKR_GENERAL_ERROR */
}
