/* SPDX-License-Identifier: MIT */
/*
 * upnplib.h - miniupnpc, loaded when a router is asked by UPnP (adr/0127): a machine without it has
 * every other way through NATs. A static program is linked with it.
 */
#pragma once

#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>

#define PV_UPNPLIB_TEXT_(x) #x
#define PV_UPNPLIB_TEXT(x)  PV_UPNPLIB_TEXT_(x)
/* The number is that of the header, and of Debian's package. */
#define PV_UPNPLIB_FILE "libminiupnpc.so." PV_UPNPLIB_TEXT(MINIUPNPC_API_VERSION)

/* The functions that are used: the library's names and types. */
#define PV_UPNPLIB_FUNCTIONS(X) \
    X(upnpDiscoverDevice)       \
    X(freeUPNPDevlist)          \
    X(UPNP_GetIGDFromUrl)       \
    X(FreeUPNPUrls)             \
    X(UPNP_AddPortMapping)      \
    X(UPNP_DeletePortMapping)   \
    X(UPNP_GetExternalIPAddress)

#define PV_UPNPLIB_MEMBER(name) __typeof__(&(name)) name;
struct pv_upnplib {
    PV_UPNPLIB_FUNCTIONS(PV_UPNPLIB_MEMBER)
};

/* Returns the library, loaded until the process ends; NULL: it is not installed, or lacks one of
 * the functions. */
const struct pv_upnplib *pv_upnplib_load(void);
