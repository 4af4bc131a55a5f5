/* SPDX-License-Identifier: MIT */
/* tuilink.c - finds addresses by the characters of RFC 3986. */
#include "chat/screen/tuilink.h"

#include <string.h>

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 3986 section 2: unreserved, reserved, and "%" of an escape. */
static bool is_of_address(char c)
{
    return c != '\0' && (is_alnum(c) || strchr("-._~:/?#[]@!$&'()*+,;=%", c) != NULL);
}

static size_t count(const char *text, size_t len, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += text[i] == c;
    return n;
}

/* "(see https://a.org/b)." ends before the bracket, "https://a.org/b_(c)" has both of its own. */
static size_t without_end(const char *text, size_t len)
{
    while (len > 0) {
        const char last = text[len - 1];
        const char opens = last == ')' ? '(' : last == ']' ? '[' : '\0';
        const bool unpaired = opens != '\0' && count(text, len, opens) < count(text, len, last);
        if (!unpaired && strchr(".,;:!?'", last) == NULL)
            break;
        len--;
    }
    return len;
}

/* Bytes of the scheme and "://"; 0: text begins with none. */
static size_t scheme_of(const char *text)
{
    return strncasecmp(text, "https://", 8) == 0 ? 8 : strncasecmp(text, "http://", 7) == 0 ? 7 : 0;
}

bool pv_tuilink_next(const char *text, size_t *at, size_t *ret_len)
{
    for (size_t i = *at; text[i] != '\0'; i++) {
        const size_t scheme = scheme_of(text + i);
        size_t len = scheme;
        if (scheme == 0 || (i > 0 && is_alnum(text[i - 1])))
            continue;
        while (is_of_address(text[i + len]))
            len++;
        len = without_end(text + i, len);
        if (len <= scheme || len > PV_TUILINK_MAX ||
            !(is_alnum(text[i + scheme]) || text[i + scheme] == '['))
            continue;
        *at = i;
        *ret_len = len;
        return true;
    }
    return false;
}
