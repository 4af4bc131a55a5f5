/* SPDX-License-Identifier: MIT */
/*
 * token.c - the text forms of an invite (token), of another coordinator (move token) and of a
 * coordinator's address (URL). An invite's token is a secret: whoever has it can join. Buffers that
 * held one are wiped.
 */
#include "proto/roster/token.h"

#include <stdio.h>
#include <string.h>

#include "crypto/ct.h"
#include "crypto/hash.h"
#include "crypto/sign.h"

enum {
    VERSION_INVITE = 1,   /* first byte of an invite's token */
    VERSION_MOVE = 2,     /* of a move token; higher ones are of newer versions */
    TOKEN_PREFIX_LEN = 7, /* characters of token_prefix */
    TOKEN_CHECK_LEN = 4,  /* ours: bytes of the checksum; one slip in 2^32 goes unnoticed */
    URL_PREFIX_LEN = 9,   /* characters of url_prefix */
    URL_SECRET_TEXT = PV_B64_LEN(PV_URL_SECRET_LEN), /* characters of the secret */
};
static const char token_prefix[] = "p2pvpn-";
static const char url_prefix[] = "p2pvpn://";

/* Guards against slips of the hand, not against an attacker: whoever can change a token can also
 * make one. */
static void token_checksum(struct pv_view bin, uint8_t ret_sum[static TOKEN_CHECK_LEN])
{
    static const char context[] = "p2pvpn token v1"; /* hashed with its NUL */
    uint8_t hash[PV_BLAKE2B_LEN];

    pv_blake2b(hash, pv_view(context, sizeof(context)), bin, pv_view(NULL, 0));
    memcpy(ret_sum, hash, TOKEN_CHECK_LEN);
}

/* A text that is longer than any token of these versions: its first byte is its version all the
 * same, and all that a user has to know of one that is newer. */
static int judge_long(const char *text)
{
    uint8_t start[3];
    size_t n;

    if (pv_b64url_decode(text + TOKEN_PREFIX_LEN, 4, start, sizeof(start), &n) != PV_OK)
        return PV_ERR_MALFORMED;
    int r = start[0] > VERSION_MOVE ? PV_ERR_UNSUPPORTED : PV_ERR_MALFORMED;
    pv_wipe(start, sizeof(start));
    return r;
}

/* A token's bytes before their checksum, which is right, out of its text; in bin. */
static int open_text(const char *text, size_t len, uint8_t *bin, size_t cap,
                     struct pv_view *ret_body)
{
    uint8_t sum[TOKEN_CHECK_LEN];
    size_t n;

    if (len < TOKEN_PREFIX_LEN || memcmp(text, token_prefix, TOKEN_PREFIX_LEN) != 0)
        return PV_ERR_MALFORMED;
    int r = pv_b64url_decode(text + TOKEN_PREFIX_LEN, len - TOKEN_PREFIX_LEN, bin, cap, &n);
    if (r == PV_ERR_NO_SPACE)
        return judge_long(text);
    if (r != PV_OK || n <= TOKEN_CHECK_LEN)
        return PV_ERR_MALFORMED;
    *ret_body = pv_view(bin, n - TOKEN_CHECK_LEN);
    token_checksum(*ret_body, sum);
    return pv_ct_equal(sum, bin + ret_body->len, sizeof(sum)) ? PV_OK : PV_ERR_MALFORMED;
}

/* The text of what has been written, to which its checksum is added. PV_ERR_NO_SPACE. */
static int close_text(struct pv_writer *w, char *buf, size_t cap)
{
    uint8_t sum[TOKEN_CHECK_LEN];

    token_checksum(pv_written(w), sum);
    pv_put_bytes(w, sum, sizeof(sum));
    if (w->status != PV_OK)
        return w->status;
    if (cap < TOKEN_PREFIX_LEN + PV_B64_LEN(w->len) + 1)
        return PV_ERR_NO_SPACE;
    memcpy(buf, token_prefix, TOKEN_PREFIX_LEN);
    return pv_b64url_encode(pv_written(w), buf + TOKEN_PREFIX_LEN, cap - TOKEN_PREFIX_LEN);
}

/* Does the token begin as one of this version does? */
static int check_version(struct pv_reader *r, uint8_t want)
{
    uint8_t version = pv_get_u8(r);
    if (version > VERSION_MOVE)
        return PV_ERR_UNSUPPORTED;
    return version == want ? PV_OK : PV_ERR_MALFORMED;
}

static int parse_body(struct pv_view body, struct pv_token *token)
{
    struct pv_reader r = pv_reader(body);
    int status = check_version(&r, VERSION_INVITE);
    if (status != PV_OK)
        return status;
    pv_get_copy(&r, token->network_id, sizeof(token->network_id));
    pv_get_copy(&r, token->seed, sizeof(token->seed));
    struct pv_view list = pv_get_view16(&r, PV_TOKEN_LIST_MAX);
    if (pv_reader_end(&r) != PV_OK || pv_coordlist_check(list, PV_TOKEN_LIST_MAX) != PV_OK)
        return PV_ERR_MALFORMED;
    memcpy(token->list, list.ptr, list.len);
    token->list_len = list.len;
    return PV_OK;
}

/* The binary form is wiped whatever the result, because a mistyped token is as secret as a right
 * one. */
int pv_token_parse(const char *text, size_t len, struct pv_token *ret_token)
{
    uint8_t bin[PV_TOKEN_BIN_MAX];
    struct pv_token token = {.list_len = 0};
    struct pv_view body;
    int r = open_text(text, len, bin, sizeof(bin), &body);

    if (r == PV_OK)
        r = parse_body(body, &token);
    if (r == PV_OK)
        *ret_token = token;
    pv_wipe(bin, sizeof(bin));
    pv_token_done(&token);
    return r;
}

int pv_token_format(const struct pv_token *token, char *buf, size_t cap)
{
    uint8_t bin[PV_TOKEN_BIN_MAX];
    struct pv_writer w = pv_writer(bin, sizeof(bin));

    if (token->list_len > sizeof(token->list) ||
        pv_coordlist_check(pv_view(token->list, token->list_len), PV_TOKEN_LIST_MAX) != PV_OK)
        return PV_ERR_MALFORMED;
    pv_put_u8(&w, VERSION_INVITE);
    pv_put_bytes(&w, token->network_id, sizeof(token->network_id));
    pv_put_bytes(&w, token->seed, sizeof(token->seed));
    pv_put_view16(&w, pv_view(token->list, token->list_len));
    int r = close_text(&w, buf, cap);
    pv_wipe(bin, sizeof(bin));
    return r;
}

void pv_token_done(struct pv_token *token)
{
    pv_wipe(token, sizeof(*token));
}

void pv_token_rules(const uint8_t network_id[static PV_NETWORK_ID_LEN],
                    const uint8_t rules[static PV_STATEMENT_HASH_LEN],
                    uint8_t ret_mark[static PV_TOKEN_RULES_LEN])
{
    static const char context[] = "p2pvpn token rules v1"; /* hashed with its NUL */
    uint8_t hash[PV_BLAKE2B_LEN];

    pv_blake2b(hash, pv_view(context, sizeof(context)), pv_view(network_id, PV_NETWORK_ID_LEN),
               pv_view(rules, PV_STATEMENT_HASH_LEN));
    memcpy(ret_mark, hash, PV_TOKEN_RULES_LEN);
}

/* --- move tokens ------------------------------------------------------------------------------ */

int pv_movetoken_parse(const char *text, size_t len, struct pv_movetoken *ret_token)
{
    struct pv_view body;
    int status = open_text(text, len, ret_token->bin, sizeof(ret_token->bin), &body);
    if (status != PV_OK)
        return status;
    struct pv_reader r = pv_reader(body);
    status = check_version(&r, VERSION_MOVE);
    if (status != PV_OK)
        return status;
    pv_get_copy(&r, ret_token->network_id, sizeof(ret_token->network_id));
    ret_token->record = pv_get_view16(&r, PV_STATEMENT_MAX);
    return pv_reader_end(&r) == PV_OK ? PV_OK : PV_ERR_MALFORMED;
}

int pv_movetoken_format(const struct pv_movetoken *token, char *buf, size_t cap)
{
    uint8_t bin[PV_MOVETOKEN_BIN_MAX];
    struct pv_writer w = pv_writer(bin, sizeof(bin));
    pv_put_u8(&w, VERSION_MOVE);
    pv_put_bytes(&w, token->network_id, sizeof(token->network_id));
    pv_put_view16(&w, token->record);
    return close_text(&w, buf, cap);
}

/* --- URLs ------------------------------------------------------------------------------------- */

/* "?c=SECRET" */
static int parse_secret(const char *text, size_t len, struct pv_url *url)
{
    size_t n;

    if (len != 3 + URL_SECRET_TEXT || memcmp(text, "?c=", 3) != 0)
        return PV_ERR_MALFORMED;
    url->has_secret = true;
    return pv_b64url_decode(text + 3, URL_SECRET_TEXT, url->secret, sizeof(url->secret), &n);
}

/* Parsed, written back and compared, as addresses are: one spelling only. */
int pv_url_parse(const char *text, size_t len, struct pv_url *ret_url)
{
    struct pv_url url = {.has_secret = false};
    char key[PV_KEY_TEXT_BUF];

    if (len < URL_PREFIX_LEN || memcmp(text, url_prefix, URL_PREFIX_LEN) != 0)
        return PV_ERR_MALFORMED;
    text += URL_PREFIX_LEN;
    len -= URL_PREFIX_LEN;
    const char *slash = memchr(text, '/', len);
    if (slash == NULL)
        return PV_ERR_MALFORMED;
    size_t addr_len = (size_t)(slash - text);
    if (pv_hostport_parse(text, addr_len, &url.addr) != PV_OK || url.addr.tls)
        return PV_ERR_MALFORMED;
    text = slash + 1;
    len -= addr_len + 1;
    if (len < PV_KEY_TEXT)
        return PV_ERR_MALFORMED;
    memcpy(key, text, PV_KEY_TEXT);
    key[PV_KEY_TEXT] = '\0';
    int r = pv_key_parse(key, url.pk);
    if (r == PV_OK && len > PV_KEY_TEXT)
        r = parse_secret(text + PV_KEY_TEXT, len - PV_KEY_TEXT, &url);
    if (r == PV_OK)
        *ret_url = url;
    pv_url_done(&url);
    return r;
}

bool pv_url_has_key(const struct pv_url *url)
{
    uint8_t dh_pk[PV_DH_LEN];
    return pv_sign_pk_to_dh(url->pk, dh_pk) == PV_OK;
}

int pv_url_format(const struct pv_url *url, char *buf, size_t cap)
{
    char secret[URL_SECRET_TEXT + 1] = "";
    struct pv_hostport check;

    const char *addr = PV_HOSTPORT_STR(&url->addr);
    if (url->addr.tls || pv_hostport_parse(addr, strlen(addr), &check) != PV_OK)
        return PV_ERR_MALFORMED;
    if (url->has_secret) {
        int r = pv_b64url_encode(pv_view(url->secret, sizeof(url->secret)), secret, sizeof(secret));
        if (r != PV_OK)
            return r;
    }
    if (cap < URL_PREFIX_LEN + strlen(addr) + 1 + PV_KEY_TEXT +
                  (url->has_secret ? 3 + URL_SECRET_TEXT : 0) + 1)
        return PV_ERR_NO_SPACE;
    snprintf(buf, cap, "%s%s/%s%s%s", url_prefix, addr, PV_KEY_STR(url->pk),
             url->has_secret ? "?c=" : "", secret);
    pv_wipe(secret, sizeof(secret));
    return PV_OK;
}

void pv_url_done(struct pv_url *url)
{
    pv_wipe(url, sizeof(*url));
}
