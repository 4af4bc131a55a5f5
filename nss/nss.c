/* SPDX-License-Identifier: MIT */
/*
 * nss.c - the entry points that glibc looks for (glibc manual, "NSS Module Function Names").
 * Nothing here but glue; what it answers is in find.c and answer.c. It is compiled twice:
 * libnss_p2pvpn.so.2 has full names and addresses and stands before DNS in nsswitch.conf;
 * libnss_p2pvpn_short.so.2 (PV_NSS_SHORT) has short names and stands behind it, since every member
 * chooses its own.
 */
#include <string.h>
#include <sys/socket.h>

#include "nss/answer.h"

#define RUN_DIR "/run/p2pvpn" /* fixed: what runs as somebody else may not be told another */
#define HOSTS   "/etc/hosts"
#define PUBLIC  __attribute__((visibility("default")))

#ifdef PV_NSS_SHORT
#define ENTRY(function) _nss_p2pvpn_short_##function
enum {
    FOR_SHORT = true
};
#else
#define ENTRY(function) _nss_p2pvpn_##function
enum {
    FOR_SHORT = false
};
#endif

PUBLIC enum nss_status ENTRY(gethostbyname4_r)(const char *name, struct gaih_addrtuple **pat,
                                               char *buffer, size_t buflen, int *errnop,
                                               int *h_errnop, int32_t *ttlp);
PUBLIC enum nss_status ENTRY(gethostbyname3_r)(const char *name, int af, struct hostent *result,
                                               char *buffer, size_t buflen, int *errnop,
                                               int *h_errnop, int32_t *ttlp, char **canonp);
PUBLIC enum nss_status ENTRY(gethostbyname2_r)(const char *name, int af, struct hostent *result,
                                               char *buffer, size_t buflen, int *errnop,
                                               int *h_errnop);
PUBLIC enum nss_status ENTRY(gethostbyname_r)(const char *name, struct hostent *result,
                                              char *buffer, size_t buflen, int *errnop,
                                              int *h_errnop);
PUBLIC enum nss_status ENTRY(gethostbyaddr2_r)(const void *addr, socklen_t len, int af,
                                               struct hostent *result, char *buffer, size_t buflen,
                                               int *errnop, int *h_errnop, int32_t *ttlp);
PUBLIC enum nss_status ENTRY(gethostbyaddr_r)(const void *addr, socklen_t len, int af,
                                              struct hostent *result, char *buffer, size_t buflen,
                                              int *errnop, int *h_errnop);

/* A short name of /etc/hosts is left to "files": what the owner of this machine wrote there means
 * more than what a member of a network calls itself. */
static int look_up(const char *name, struct pv_nss_found *ret_found)
{
    if (pv_nss_is_short(name) != FOR_SHORT)
        return PV_ERR_NOT_FOUND;
    int r = pv_nss_by_name(RUN_DIR, name, ret_found);
    if ((r == PV_OK || r == PV_ERR_EXISTS) && FOR_SHORT && pv_nss_in_hosts(HOSTS, name))
        r = PV_ERR_NOT_FOUND;
    return r;
}

enum nss_status ENTRY(gethostbyname4_r)(const char *name, struct gaih_addrtuple **pat, char *buffer,
                                        size_t buflen, int *errnop, int *h_errnop, int32_t *ttlp)
{
    struct pv_nss_found found;
    int r = look_up(name, &found);
    bool known = r == PV_OK;
    if (r == PV_OK)
        r = pv_nss_fill_tuples(&found, pat, buffer, buflen);
    if (r == PV_OK && ttlp != NULL)
        /* 0: nscd must not keep what may change with the network's members. */
        *ttlp = 0;
    return pv_nss_name_status(name, known, r, errnop, h_errnop);
}

enum nss_status ENTRY(gethostbyname3_r)(const char *name, int af, struct hostent *result,
                                        char *buffer, size_t buflen, int *errnop, int *h_errnop,
                                        int32_t *ttlp, char **canonp)
{
    struct pv_nss_found found;
    int r = look_up(name, &found);
    bool known = r == PV_OK;
    /* AF_UNSPEC has no meaning in one hostent; IPv4 is what old callers expect. */
    if (r == PV_OK)
        r = pv_nss_fill_host(&found, af == AF_UNSPEC ? AF_INET : af, result, buffer, buflen);
    if (r == PV_OK && ttlp != NULL)
        *ttlp = 0;
    if (r == PV_OK && canonp != NULL)
        *canonp = result->h_name;
    return pv_nss_name_status(name, known, r, errnop, h_errnop);
}

enum nss_status ENTRY(gethostbyname2_r)(const char *name, int af, struct hostent *result,
                                        char *buffer, size_t buflen, int *errnop, int *h_errnop)
{
    return ENTRY(gethostbyname3_r)(name, af, result, buffer, buflen, errnop, h_errnop, NULL, NULL);
}

enum nss_status ENTRY(gethostbyname_r)(const char *name, struct hostent *result, char *buffer,
                                       size_t buflen, int *errnop, int *h_errnop)
{
    return ENTRY(gethostbyname3_r)(name, AF_INET, result, buffer, buflen, errnop, h_errnop, NULL,
                                   NULL);
}

enum nss_status ENTRY(gethostbyaddr2_r)(const void *addr, socklen_t len, int af,
                                        struct hostent *result, char *buffer, size_t buflen,
                                        int *errnop, int *h_errnop, int32_t *ttlp)
{
    struct pv_nss_found found;
    struct pv_addr wanted = {.family = af == AF_INET6 ? PV_AF_INET6 : PV_AF_INET};
    int r = PV_ERR_NOT_FOUND;
    /* The length is the caller's word: memcpy() below relies on it. */
    if (!FOR_SHORT && (af == AF_INET || af == AF_INET6) && len == pv_addr_ip_len(&wanted)) {
        memcpy(wanted.ip, addr, len);
        r = pv_nss_by_addr(RUN_DIR, &wanted, &found);
    }
    if (r == PV_OK)
        r = pv_nss_fill_host(&found, af, result, buffer, buflen);
    if (r == PV_OK && ttlp != NULL)
        *ttlp = 0;
    return pv_nss_status(r, errnop, h_errnop);
}

enum nss_status ENTRY(gethostbyaddr_r)(const void *addr, socklen_t len, int af,
                                       struct hostent *result, char *buffer, size_t buflen,
                                       int *errnop, int *h_errnop)
{
    return ENTRY(gethostbyaddr2_r)(addr, len, af, result, buffer, buflen, errnop, h_errnop, NULL);
}
