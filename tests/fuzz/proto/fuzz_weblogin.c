/* SPDX-License-Identifier: MIT */
/* fuzz_weblogin - fields of requests, four lines: whatever they say, nobody is let in without the
 * page's own origin and both secrets of a session. "@" stands for the cookie, "%" for the key. */
#include <stdlib.h>
#include <string.h>

#include "proto/local/weblogin.h"
#include "tests/fuzz/fuzz_util.h"

enum {
    FIELDS = 4,
    FIELD_BUF = 512,
};

static void fill(void *ctx, uint8_t *dst, size_t len)
{
    uint8_t *next = ctx;
    for (size_t i = 0; i < len; i++)
        dst[i] = (*next)++;
}

/* One line, in which the two signs are what they stand for. */
static void take_field(struct pv_view *rest, const char *cookie, const char *key,
                       char dst[static FIELD_BUF])
{
    size_t n = 0;
    while (rest->len > 0 && *rest->ptr != '\n') {
        const char *put = *rest->ptr == '@' ? cookie : *rest->ptr == '%' ? key : NULL;
        size_t more = put == NULL ? 1 : strlen(put);
        if (n + more < FIELD_BUF)
            memcpy(dst + n, put == NULL ? (const char *)rest->ptr : put, more);
        n += n + more < FIELD_BUF ? more : 0;
        *rest = pv_view(rest->ptr + 1, rest->len - 1);
    }
    dst[n] = '\0';
    if (rest->len > 0)
        *rest = pv_view(rest->ptr + 1, rest->len - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char scheme[] = "http://";
    char field[FIELDS][FIELD_BUF], cookie[PV_KEY_TEXT_BUF], key[PV_KEY_TEXT_BUF];
    char token[PV_KEY_TEXT_BUF];
    uint8_t start = 1;
    struct pv_rng rng = {.fill = fill, .ctx = &start};
    struct pv_weblogin l;
    struct pv_view rest = pv_view(data, len);
    pv_weblogin_init(&l, &rng);
    (void)pv_weblogin_token(&l, token);
    if (pv_weblogin_enter(&l, pv_view(token, strlen(token)), &rng, 1, cookie, key) != PV_OK)
        abort();
    for (size_t i = 0; i < FIELDS; i++)
        take_field(&rest, cookie, key, field[i]);
    const struct pv_weblogin_asked asked = {
        .host = field[0], .origin = field[1], .cookie = field[2], .key = field[3]};
    uint64_t session;
    unsigned page = pv_weblogin_judge(&l, PV_WEBLOGIN_PAGE, &asked, 2, &session);
    unsigned use = pv_weblogin_judge(&l, PV_WEBLOGIN_USE, &asked, 2, &session);
    bool own = strncmp(field[1], scheme, strlen(scheme)) == 0 &&
               strcmp(field[1] + strlen(scheme), field[0]) == 0;
    bool both = strstr(field[2], cookie) != NULL && strcmp(field[3], key) == 0;
    if ((page != 200 && page != 403) || (use == 200 && (page != 200 || !own || !both)))
        abort();
    if (pv_weblogin_enter(&l, pv_view(data, len), &rng, 2, cookie, key) == PV_OK &&
        len != PV_KEY_TEXT)
        abort();
    return 0;
}
