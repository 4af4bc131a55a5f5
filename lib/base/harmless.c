/* SPDX-License-Identifier: MIT */
/* harmless.c - text of others made harmless for a terminal. */
#include "base/harmless.h"

#include <string.h>

#include "base/text.h"

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

/* The joiners U+200C and U+200D stay: scripts and emoji need them. */
bool pv_char_is_harmful(uint32_t cp)
{
    return (cp < 0x20 && cp != '\t') || (cp >= 0x7f && cp < 0xa0) || cp == 0xad || cp == 0x61c ||
           cp == 0x200b || cp == 0x200e || cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) ||
           (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff || (cp >= 0xfff9 && cp <= 0xfffb) ||
           (cp >= 0xe0000 && cp <= 0xe007f);
}

/* Cut at a character, so that what is shown is valid UTF-8. */
size_t pv_harmless_text(struct pv_view text, const char *newline, char *dst, size_t cap)
{
    size_t n = 0;
    while (text.len > 0) {
        uint32_t cp = 0;
        size_t step = pv_utf8_char(text, &cp);
        struct pv_view piece = pv_view(text.ptr, step);
        if (step > 0 && cp == '\n')
            piece = pv_view(newline, strlen(newline));
        else if (step == 0 || pv_char_is_harmful(cp))
            piece = pv_view(REPLACEMENT, 3);
        if (n + piece.len >= cap)
            break;
        memcpy(dst + n, piece.ptr, piece.len);
        n += piece.len;
        text = pv_view(text.ptr + (step > 0 ? step : 1), text.len - (step > 0 ? step : 1));
    }
    dst[n] = '\0';
    return n;
}

size_t pv_harmless_show(struct pv_view text, char *dst, size_t cap)
{
    return pv_harmless_text(text, "\n    ", dst, cap);
}
