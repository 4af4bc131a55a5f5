/* SPDX-License-Identifier: MIT */
/*
 * entropy.c - randomness from the kernel.
 */
#include "sys/proc/entropy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

/* There is no way to go on without randomness: keys and transaction ids would be guessable. Blocks
 * only before the kernel's pool was first filled, at boot. */
static void fill_from_kernel(void *ctx, uint8_t *dst, size_t len)
{
    while (len > 0) {
        ssize_t n = getrandom(dst, len, 0);
        if (n < 0 && errno != EINTR)
            abort();
        if (n > 0) {
            dst += n;
            len -= (size_t)n;
        }
    }
}

struct pv_rng pv_entropy(void)
{
    return (struct pv_rng){.fill = fill_from_kernel, .ctx = NULL};
}
