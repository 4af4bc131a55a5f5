/* SPDX-License-Identifier: MIT */
/* Answers in the structs of glibc, laid out in the buffer that the caller brought. */
#include "nss/answer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Hands out pieces of the caller's buffer. */
struct arena {
    char *next;
    size_t left;
};

static void *take(struct arena *a, size_t size, size_t align)
{
    /* A caller's buffer need not be aligned (glibc passes any char array). */
    size_t pad = (align - (uintptr_t)a->next % align) % align;
    if (a->left < pad || a->left - pad < size)
        return NULL;
    char *p = a->next + pad;
    a->next = p + size;
    a->left -= pad + size;
    return p;
}

static char *take_text(struct arena *a, const char *text)
{
    size_t size = strlen(text) + 1;
    char *p = take(a, size, 1);
    if (p != NULL)
        memcpy(p, text, size);
    return p;
}

/* PV_ERR_NO_SPACE makes glibc call again with a larger buffer, so nothing is cut. */
int pv_nss_fill_host(const struct pv_nss_found *found, int family, struct hostent *ret_host,
                     char *buf, size_t len)
{
    struct arena a = {.next = buf, .left = len};
    /* AF_UNSPEC has been resolved to AF_INET by the caller (nss.c). */
    const struct pv_addr *addr = family == AF_INET6 ? &found->ip6 : &found->ip4;
    if (addr->family == PV_AF_NONE || (family != AF_INET && family != AF_INET6))
        return PV_ERR_NOT_FOUND;
    size_t size = pv_addr_ip_len(addr);
    char **pointers = take(&a, 4 * sizeof(*pointers), _Alignof(char *)); /* two lists, NULL-ended */
    char *ip = take(&a, size, _Alignof(uint32_t));
    char *full = take_text(&a, found->full);
    char *name = take_text(&a, found->name);
    if (pointers == NULL || ip == NULL || full == NULL || name == NULL)
        return PV_ERR_NO_SPACE;
    memcpy(ip, addr->ip, size);
    pointers[0] = name;
    pointers[1] = NULL;
    pointers[2] = ip;
    pointers[3] = NULL;
    *ret_host = (struct hostent){.h_name = full,
                                 .h_aliases = pointers,
                                 .h_addrtype = family,
                                 .h_length = (int)size,
                                 .h_addr_list = pointers + 2};
    return PV_OK;
}

int pv_nss_fill_tuples(const struct pv_nss_found *found, struct gaih_addrtuple **tuple, char *buf,
                       size_t len)
{
    struct arena a = {.next = buf, .left = len};
    /* IPv6 stands first, as RFC 6724 prefers it; getaddrinfo() sorts again. */
    const struct pv_addr *addrs[2] = {&found->ip6, &found->ip4};
    struct gaih_addrtuple *t[2];
    size_t n = 0;
    char *full = take_text(&a, found->full);
    for (size_t i = 0; i < 2; i++) {
        if (addrs[i]->family == PV_AF_NONE)
            continue;
        /* glibc may pass a first tuple of its own; the others come from the buffer. */
        t[n] = n == 0 && *tuple != NULL ? *tuple
                                        : take(&a, sizeof(**t), _Alignof(struct gaih_addrtuple));
        if (t[n] == NULL || full == NULL)
            return PV_ERR_NO_SPACE;
        addrs[n++] = addrs[i];
    }
    if (n == 0)
        return PV_ERR_NOT_FOUND;
    for (size_t i = 0; i < n; i++) {
        *t[i] = (struct gaih_addrtuple){
            .next = i + 1 < n ? t[i + 1] : NULL, .name = full, .family = addrs[i]->family};
        memcpy(t[i]->addr, addrs[i]->ip, pv_addr_ip_len(addrs[i]));
    }
    *tuple = t[0];
    return PV_OK;
}

/* --- status ------------------------------------------------------------------------------- */

/* The end of the search without an answer. TRYAGAIN is the one status that p2pvpn-nss can tell to
 * end it ("[TRYAGAIN=return]") without ending it for other names, or for all names where this
 * module is missing; what the caller sees is h_errno. */
static enum nss_status end_search(int reason, int *errnop, int *h_errnop)
{
    *errnop = ENOENT;
    *h_errnop = reason;
    return NSS_STATUS_TRYAGAIN;
}

enum nss_status pv_nss_status(int status, int *errnop, int *h_errnop)
{
    if (status == PV_OK) {
        *h_errnop = NETDB_SUCCESS;
        return NSS_STATUS_SUCCESS;
    }
    if (status == PV_ERR_NOT_FOUND) {
        *errnop = ENOENT;
        *h_errnop = HOST_NOT_FOUND;
        return NSS_STATUS_NOTFOUND;
    }
    if (status == PV_ERR_NO_SPACE) {
        *errnop = ERANGE;
        *h_errnop = NETDB_INTERNAL;
        return NSS_STATUS_TRYAGAIN;
    }
    /* Any other status is an errno value. */
    *errnop = status == PV_ERR_MALFORMED ? EINVAL : -status;
    *h_errnop = NO_RECOVERY;
    return NSS_STATUS_UNAVAIL;
}

enum nss_status pv_nss_name_status(const char *name, bool found, int status, int *errnop,
                                   int *h_errnop)
{
    if (status == PV_ERR_NOT_FOUND && found)
        return end_search(NO_DATA, errnop, h_errnop);
    if (status == PV_ERR_EXISTS ||
        (status != PV_OK && status != PV_ERR_NO_SPACE && pv_nss_is_ours(name)))
        return end_search(HOST_NOT_FOUND, errnop, h_errnop);
    return pv_nss_status(status, errnop, h_errnop);
}
