/* SPDX-License-Identifier: MIT */
/* How near a mistyped word is to one that there is. */
#include "ctl/lib/like.h"

#include <string.h>

enum {
    WORD_MAX = 24, /* bytes of a command or flag; longer words are no mistyped ones */
    MAX_EDITS = 2,
    LETTERS_AN_EDIT = 3, /* of a short word two changed letters leave nothing that was meant */
};

/* How many letters have to be put in, taken out, changed or swapped with their neighbour to turn
 * one word into the other (optimal string alignment). */
static size_t edits(const char *a, size_t n, const char *b, size_t m)
{
    size_t d[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= n; i++) {
        for (size_t k = 0; k <= m; k++) {
            if (i == 0 || k == 0) {
                d[i][k] = i + k;
                continue;
            }
            size_t best = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
            if (d[i - 1][k] + 1 < best)
                best = d[i - 1][k] + 1;
            if (d[i][k - 1] + 1 < best)
                best = d[i][k - 1] + 1;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
                d[i - 2][k - 2] + 1 < best)
                best = d[i - 2][k - 2] + 1;
            d[i][k] = best;
        }
    }
    return d[n][m];
}

size_t pv_like(const char *typed, size_t len, const char *word)
{
    size_t n = strlen(word), most = len / LETTERS_AN_EDIT;
    if (len > WORD_MAX || n > WORD_MAX)
        return PV_LIKE_NONE;
    size_t cost = edits(typed, len, word, n);
    return cost <= most && cost <= MAX_EDITS ? cost : PV_LIKE_NONE;
}
