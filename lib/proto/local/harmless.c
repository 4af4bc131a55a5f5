/* SPDX-License-Identifier: MIT */
/* Strings of answers made harmless, and JSON in ASCII. */
#include "proto/local/harmless.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/harmless.h"
#include "base/jsonread.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "proto/local/ctlapi.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

enum {
    GROWTH = 3, /* of a byte that becomes U+FFFD */
    ESCAPE = 6, /* "\u1234", at most one for each byte of UTF-8 that is not ASCII, and for DEL */
};

/* A copy on the heap, *ret_len bytes, which the caller wipes and frees; NULL without memory. */
static char *clean_copy(const char *text, size_t len, const char *newline, size_t *ret_len)
{
    char *clean = malloc(len * GROWTH + 1);
    if (clean != NULL)
        *ret_len = pv_harmless_text(pv_view(text, len), newline, clean, len * GROWTH + 1);
    return clean;
}

static int clean_string(json_t *string, const char *key)
{
    const char *text = json_string_value(string);
    size_t len = json_string_length(string), n = 0;
    char *clean =
        clean_copy(text, len, key != NULL && strcmp(key, "text") == 0 ? "\n" : REPLACEMENT, &n);
    if (clean == NULL)
        return PV_ERR_NOMEM;
    bool same = n == len && memcmp(clean, text, n) == 0;
    int r = same || json_string_setn(string, clean, n) == 0 ? PV_OK : PV_ERR_NOMEM;
    pv_wipe(clean, n); /* it may be a token */
    free(clean);
    return r;
}

/* 1 when it is harmless, else 0; PV_ERR_NOMEM. */
static int key_is_clean(const char *key)
{
    size_t len = strlen(key), n = 0;
    char *clean = clean_copy(key, len, REPLACEMENT, &n);
    if (clean == NULL)
        return PV_ERR_NOMEM;
    bool same = n == len && memcmp(clean, key, n) == 0;
    free(clean);
    return same;
}

/* Not deeper than the parser lets an answer be. */
static int clean_value(json_t *value, const char *name)
{
    int r = json_is_string(value) ? clean_string(value, name) : PV_OK;
    const char *key;
    json_t *member;
    void *next;
    PV_EACH_JSON(value, element) {
        if (r == PV_OK)
            r = clean_value(element, name);
    }
    json_object_foreach_safe(value, next, key, member) {
        int clean = key_is_clean(key);
        if (r == PV_OK)
            r = clean < 0 ? clean : clean_value(member, key);
        if (clean == 0)
            json_object_del(value, key);
    }
    return r;
}

int pv_harmless_json(json_t *value)
{
    return clean_value(value, NULL);
}

/* The characters that jansson leaves as they are behind its own escapes: DEL, and all that is not
 * ASCII; above U+FFFF as two surrogates. */
static size_t put_character(uint32_t cp, char *dst)
{
    if (cp < 0x7f) {
        *dst = (char)cp;
        return 1;
    }
    if (cp <= 0xffff)
        return (size_t)snprintf(dst, ESCAPE + 1, "\\u%04x", cp);
    cp -= 0x10000;
    return (size_t)snprintf(dst, 2 * ESCAPE + 1, "\\u%04x\\u%04x", 0xd800 + (cp >> 10),
                            0xdc00 + (cp & 0x3ff));
}

char *pv_harmless_dump(const json_t *obj, size_t *ret_len)
{
    size_t len = 0, n = 0, others = 0;
    char *line = pv_ctlapi_dump(obj, &len);
    for (size_t i = 0; i < len && line != NULL; i++)
        others += (uint8_t)line[i] >= 0x7f;
    char *ascii = line == NULL ? NULL : malloc(len + others * (ESCAPE - 1) + 1);
    /* The encoder of JSON gives valid UTF-8. */
    for (size_t i = 0, step = 1; ascii != NULL && i < len && step > 0; i += step) {
        uint32_t cp;
        step = pv_utf8_char(pv_view(line + i, len - i), &cp);
        n += put_character(cp, ascii + n);
    }
    if (line != NULL)
        pv_wipe(line, len);
    free(line);
    if (ascii != NULL)
        ascii[n] = '\0';
    *ret_len = n;
    return ascii;
}
