/* SPDX-License-Identifier: MIT */
/* amount.c - numbers with a letter behind them. */
#include "base/amount.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

bool pv_size_parse(const char *text, uint64_t max, uint64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    char digits[24];
    size_t len = strlen(text);
    unsigned shift = 0;
    uint64_t n = 0;
    const char last = len > 0 ? text[len - 1] : '\0';
    const char *unit = strchr(units, last >= 'a' && last <= 'z' ? last - 'a' + 'A' : last);
    if (unit != NULL && *unit != '\0') {
        shift = 10 * (unsigned)(unit - units + 1);
        len--;
    }
    if (len == 0 || len >= sizeof(digits))
        return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    /* The limit is divided before, so that the shift below cannot overflow. */
    if (pv_u64_parse(digits, 1, max >> shift, &n) < 0)
        return false;
    *ret_bytes = n << shift;
    return true;
}

bool pv_age_parse(const char *text, const char *never, uint64_t *ret_seconds)
{
    static const struct {
        char letter;
        uint32_t seconds;
    } UNITS[] = {{'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
    size_t len = strlen(text);
    char digits[8];
    uint64_t n = 0;
    if (strcmp(text, never) == 0) {
        *ret_seconds = 0;
        return true;
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(UNITS) && len > 1 && len <= sizeof(digits); i++) {
        if (text[len - 1] != UNITS[i].letter)
            continue;
        snprintf(digits, sizeof(digits), "%.*s", (int)len - 1, text);
        if (pv_u64_parse(digits, 1, 100000, &n) < 0)
            return false;
        *ret_seconds = n * UNITS[i].seconds;
        return true;
    }
    return false;
}
