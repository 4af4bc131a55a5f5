/* SPDX-License-Identifier: MIT */
/* upnplib.c - finds miniupnpc's functions. */
#include "daemon/io/upnplib.h"

#include <stdbool.h>
#include <string.h>

#ifdef PV_STATIC

#define LINKED(name) .name = name,

const struct pv_upnplib *pv_upnplib_load(void)
{
    static const struct pv_upnplib lib = {PV_UPNPLIB_FUNCTIONS(LINKED)};
    return &lib;
}

#else
#include <dlfcn.h>

/* C has no cast from a pointer to an object to one to a function. */
static bool find(void *object, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(object, name);
    if (symbol != NULL)
        memcpy(function, &symbol, size);
    return symbol != NULL;
}

#define FIND(name) &&find(object, #name, &lib.name, sizeof(lib.name))

const struct pv_upnplib *pv_upnplib_load(void)
{
    static struct pv_upnplib lib;
    void *object = dlopen(PV_UPNPLIB_FILE, RTLD_NOW | RTLD_LOCAL);
    return object != NULL PV_UPNPLIB_FUNCTIONS(FIND) ? &lib : NULL;
}

#endif
