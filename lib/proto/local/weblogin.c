/* SPDX-License-Identifier: MIT */
/* weblogin.c - tokens, sessions, and whether a request comes from the page. */
#include "proto/local/weblogin.h"

#include <string.h>

#include "crypto/ct.h"
#include "proto/local/scrape.h"

#define COOKIE "p2pvpn-" /* the port follows: cookies of one host are those of all its ports */
#define SCHEME "http://"

void pv_weblogin_init(struct pv_weblogin *l, const struct pv_rng *rng)
{
    *l = (struct pv_weblogin){.last = 0};
    pv_rng_fill(rng, l->token, sizeof(l->token));
}

const char *pv_weblogin_token(const struct pv_weblogin *l, char buf[static PV_KEY_TEXT_BUF])
{
    return pv_key_format(l->token, buf);
}

static bool parse(struct pv_view text, uint8_t ret_secret[static PV_KEY_LEN])
{
    char copy[PV_KEY_TEXT_BUF] = "";
    if (text.len != PV_KEY_TEXT)
        return false;
    memcpy(copy, text.ptr, text.len);
    bool whole = pv_key_parse(copy, ret_secret) == PV_OK;
    pv_wipe(copy, sizeof(copy));
    return whole;
}

/* A place for one more: one that is free or has ended, else the one that was unused longest. */
static struct pv_weblogin_session *find_place(struct pv_weblogin *l)
{
    struct pv_weblogin_session *place = &l->session[0];
    for (size_t i = 0; i < PV_WEBLOGIN_SESSIONS && place->number != 0; i++)
        if (l->session[i].number == 0 || l->session[i].used < place->used)
            place = &l->session[i];
    return place;
}

int pv_weblogin_enter(struct pv_weblogin *l, struct pv_view token, const struct pv_rng *rng,
                      pv_ns now, char ret_cookie[static PV_KEY_TEXT_BUF],
                      char ret_key[static PV_KEY_TEXT_BUF])
{
    uint8_t shown[PV_KEY_LEN];
    bool right = parse(token, shown) && pv_ct_equal(shown, l->token, sizeof(shown));
    pv_wipe(shown, sizeof(shown));
    if (!right)
        return PV_ERR_AUTH;
    struct pv_weblogin_session *s = find_place(l);
    s->number = ++l->last;
    s->used = now;
    pv_rng_fill(rng, l->token, sizeof(l->token));
    pv_rng_fill(rng, s->cookie, sizeof(s->cookie));
    pv_rng_fill(rng, s->key, sizeof(s->key));
    (void)pv_key_format(s->cookie, ret_cookie);
    (void)pv_key_format(s->key, ret_key);
    return PV_OK;
}

/* --- requests ------------------------------------------------------------------------------ */

/* The next "name=value" of a Cookie field (RFC 6265 s4.2.1); false: there is no more. */
static bool next_cookie(struct pv_view *rest, struct pv_view *ret_name, struct pv_view *ret_value)
{
    while (rest->len > 0 && (*rest->ptr == ' ' || *rest->ptr == ';'))
        *rest = pv_view(rest->ptr + 1, rest->len - 1);
    if (rest->len == 0)
        return false;
    const uint8_t *end = memchr(rest->ptr, ';', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    const uint8_t *is = memchr(rest->ptr, '=', len);
    size_t name = is == NULL ? len : (size_t)(is - rest->ptr);
    size_t value = is == NULL ? len : name + 1;
    *ret_name = pv_view(rest->ptr, name);
    *ret_value = pv_view(rest->ptr + value, len - value);
    *rest = pv_view(rest->ptr + len, rest->len - len);
    return true;
}

static void end_idle(struct pv_weblogin_session *s, pv_ns now)
{
    if (now >= s->used && now - s->used > PV_WEBLOGIN_IDLE)
        s->number = 0;
}

/* The session's number; 0: there is none. All are compared, whichever it is. */
static uint64_t use_session(struct pv_weblogin *l, const uint8_t cookie[static PV_KEY_LEN],
                            const uint8_t key[static PV_KEY_LEN], pv_ns now)
{
    uint64_t found = 0;
    for (size_t i = 0; i < PV_WEBLOGIN_SESSIONS; i++) {
        struct pv_weblogin_session *s = &l->session[i];
        end_idle(s, now);
        bool same_cookie = pv_ct_equal(s->cookie, cookie, PV_KEY_LEN);
        bool same_key = pv_ct_equal(s->key, key, PV_KEY_LEN);
        if (s->number != 0 && same_cookie && same_key) {
            s->used = now;
            found = s->number;
        }
    }
    return found;
}

bool pv_weblogin_goes_on(struct pv_weblogin *l, uint64_t session, pv_ns now)
{
    for (size_t i = 0; i < PV_WEBLOGIN_SESSIONS; i++) {
        struct pv_weblogin_session *s = &l->session[i];
        end_idle(s, now);
        if (s->number != 0 && s->number == session) {
            s->used = now;
            return true;
        }
    }
    return false;
}

static uint64_t find_session(struct pv_weblogin *l, const struct pv_weblogin_asked *asked,
                             pv_ns now)
{
    uint8_t cookie[PV_KEY_LEN], key[PV_KEY_LEN];
    struct pv_view name, value;
    uint64_t found = 0;
    if (asked->cookie == NULL || asked->key == NULL ||
        !parse(pv_view(asked->key, strlen(asked->key)), key))
        return 0;
    struct pv_view rest = pv_view(asked->cookie, strnlen(asked->cookie, PV_WEBLOGIN_COOKIE_MAX));
    while (found == 0 && next_cookie(&rest, &name, &value))
        if (name.len >= strlen(COOKIE) && memcmp(name.ptr, COOKIE, strlen(COOKIE)) == 0 &&
            parse(value, cookie))
            found = use_session(l, cookie, key, now);
    pv_wipe(cookie, sizeof(cookie));
    pv_wipe(key, sizeof(key));
    return found;
}

unsigned pv_weblogin_judge(struct pv_weblogin *l, enum pv_weblogin_what what,
                           const struct pv_weblogin_asked *asked, pv_ns now, uint64_t *ret_session)
{
    const char *host = asked->host, *origin = asked->origin;
    const size_t n = strlen(SCHEME);
    *ret_session = 0;
    if (host == NULL || !pv_scrape_is_this_machine(pv_view(host, strlen(host))))
        return 403;
    if (what == PV_WEBLOGIN_PAGE)
        return 200;
    /* A browser names the origin with every POST (Fetch s3.2), and leaves out port 80 in both. */
    if (origin == NULL || strncmp(origin, SCHEME, n) != 0 || strcmp(origin + n, host) != 0)
        return 403;
    if (what == PV_WEBLOGIN_USE)
        *ret_session = find_session(l, asked, now);
    return what == PV_WEBLOGIN_ENTER || *ret_session != 0 ? 200 : 401;
}
