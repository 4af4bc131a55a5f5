/* SPDX-License-Identifier: MIT */
/* repeats.c - lets through the first of lines that repeat, and counts the others. */
#include "base/repeats.h"

#include <string.h>

static bool is_at(const struct pv_repeats *r, size_t i, const char *text)
{
    return r->said[i].at != 0 && strncmp(r->said[i].text, text, PV_REPEATS_TEXT - 1) == 0;
}

/* The place of this text; if it has none, that of the text that was said longest ago. */
static size_t find(const struct pv_repeats *r, const char *text)
{
    size_t oldest = 0;
    for (size_t i = 0; i < PV_REPEATS_TEXTS; i++) {
        if (is_at(r, i, text))
            return i;
        if (r->said[i].at < r->said[oldest].at)
            oldest = i;
    }
    return oldest;
}

bool pv_repeats_say(struct pv_repeats *r, const char *text, pv_ns now, uint64_t *ret_more)
{
    size_t i = find(r, text);
    bool fresh = is_at(r, i, text) && now < r->said[i].at + PV_REPEATS_AGAIN;
    /* A token is PV_REPEATS_EVERY of the bucket's, which fills by one a second. */
    if (fresh || !pv_bucket_take(&r->tokens, 1, PV_REPEATS_BURST * PV_REPEATS_EVERY,
                                 PV_REPEATS_EVERY, now)) {
        r->more++;
        return false;
    }
    size_t len = strnlen(text, PV_REPEATS_TEXT - 1);
    memcpy(r->said[i].text, text, len);
    r->said[i].text[len] = '\0';
    r->said[i].at = r->last = now;
    *ret_more = r->more;
    r->more = 0;
    return true;
}

bool pv_repeats_take_rest(struct pv_repeats *r, pv_ns now, uint64_t *ret_more)
{
    if (now < pv_repeats_next_timeout(r))
        return false;
    *ret_more = r->more;
    r->more = 0;
    r->last = now;
    return true;
}

pv_ns pv_repeats_next_timeout(const struct pv_repeats *r)
{
    return r->more == 0 ? PV_NEVER : r->last + PV_REPEATS_AGAIN;
}
