/* SPDX-License-Identifier: MIT */
/*
 * sockaddr.h - struct pv_addr to and from the kernel's struct sockaddr.
 *
 * Scope ids are lost: link-local addresses are not used as transport addresses.
 */
#pragma once

#include <sys/socket.h>

#include "base/addr.h"

/* Returns the length to pass to the kernel; 0 for PV_AF_NONE (ss is zeroed). */
socklen_t pv_sockaddr_from(const struct pv_addr *addr, struct sockaddr_storage *ret_ss);
/* PV_AF_NONE for families other than IPv4 and IPv6. Mapped IPv4 addresses stay as they are. */
struct pv_addr pv_sockaddr_to(const struct sockaddr_storage *ss);
