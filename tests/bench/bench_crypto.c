/* SPDX-License-Identifier: MIT */
/*
 * bench_crypto - GB/s at which each library seals and opens the packets of each suite, in batches
 * as the packet threads make them, on one core; 1,420 and 100 bytes. "-": it cannot here.
 *
 * usage: bench_crypto
 */
#include <stdio.h>

#include "crypto/aead.h"
#include "crypto/ct.h"
#include "sys/proc/clock.h"

static void print_rate(double rate)
{
    if (rate > 0)
        printf("%12.2f", rate / 1e9);
    else
        printf("%12s", "-");
}

int main(void)
{
    if (pv_crypto_init() != PV_OK)
        return 1;
    printf("%-20s %-12s%12s%12s\n", "GB/s", "library", "1420 bytes", "100 bytes");
    for (int suite = 0; suite < PV_SUITES; suite++) {
        for (size_t i = 0;; i++) {
            const char *name;
            double large, small;
            int r = pv_aead_measure(i, (enum pv_suite)suite, 1420, pv_clock_now, &name, &large);
            if (r == PV_ERR_NOT_FOUND)
                break;
            if (r != PV_OK ||
                pv_aead_measure(i, (enum pv_suite)suite, 100, pv_clock_now, &name, &small) != PV_OK)
                return 1;
            printf("%-20s %-12s", pv_suite_name((enum pv_suite)suite), name);
            print_rate(large);
            print_rate(small);
            printf("\n");
        }
    }
    return 0;
}
