/* SPDX-License-Identifier: MIT */
/*
 * ct.c - constant-time comparison, wiping, and memory for secrets. One place for these calls makes
 * it possible to see at a glance that no secret is compared with memcmp or cleared with memset,
 * which a compiler may drop.
 */
#include "crypto/ct.h"

#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <sodium.h>

int pv_crypto_init(void)
{
#ifdef PV_STATIC
    /* openssl.cnf may name modules, which are another libc's. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return PV_ERR_CRYPTO;
#endif
    return sodium_init() < 0 ? PV_ERR_CRYPTO : PV_OK;
}

bool pv_ct_equal(const void *a, const void *b, size_t len)
{
    /* OpenSSL's has a short way for 16 bytes, the tag of every packet. */
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}

bool pv_ct_is_zero(const void *a, size_t len)
{
    return len == 0 || sodium_is_zero(a, len) == 1;
}

void pv_wipe(void *p, size_t len)
{
    if (len > 0)
        sodium_memzero(p, len);
}

void *pv_secret_alloc(size_t len)
{
    return sodium_malloc(len);
}

void *pv_secret_free(void *p)
{
    sodium_free(p);
    return NULL;
}

/* Whole pages: madvise works on nothing smaller. 0 when len is 0 or too large. */
static size_t whole_pages(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (len == 0 || len > SIZE_MAX - page)
        return 0;
    return (len + page - 1) / page * page;
}

/* sodium_malloc() locks its pages, and a daemon with thousands of sessions would exceed
 * RLIMIT_MEMLOCK; session keys live three minutes, so leaving them out of core dumps is the
 * protection that scales. */
void *pv_nodump_alloc(size_t len)
{
    size_t size = whole_pages(len);
    if (size == 0)
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* An old kernel may refuse; the memory is as good as any other then. */
    (void)madvise(p, size, MADV_DONTDUMP);
    return p;
}

void *pv_nodump_free(void *p, size_t len)
{
    if (p == NULL)
        return NULL;
    pv_wipe(p, len);
    (void)munmap(p, whole_pages(len));
    return NULL;
}
