/* SPDX-License-Identifier: MIT */
/* sshkeys.c - checks and rewrites public host keys. A key is copied byte for byte or not at all. */
#include "proto/roster/sshkeys.h"

#include <stdio.h>
#include <string.h>

enum {
    RSA_BYTES_MIN = 256, /* of the modulus: 2,048 bits, what ssh-keygen makes at least by itself */
    RSA_BYTES_MAX = 512, /* ours: 4,096 bits; the list has to stay short */
    EXPONENT_MAX = 3,    /* bytes: ssh-keygen always takes 65,537 */
};

static const struct kind {
    const char *type;  /* of the line, and the first string of the key */
    const char *curve; /* NULL: none */
    size_t point;      /* bytes of the key itself; 0: of RSA */
    bool app;          /* what a security key is for follows */
} KINDS[PV_SSHKEY_KINDS] = {
    [PV_SSHKEY_NONE] = {"", NULL, 0, false},
    [PV_SSHKEY_ED25519] = {"ssh-ed25519", NULL, 32, false},
    [PV_SSHKEY_P256] = {"ecdsa-sha2-nistp256", "nistp256", 65, false},
    [PV_SSHKEY_P384] = {"ecdsa-sha2-nistp384", "nistp384", 97, false},
    [PV_SSHKEY_P521] = {"ecdsa-sha2-nistp521", "nistp521", 133, false},
    [PV_SSHKEY_RSA] = {"ssh-rsa", NULL, 0, false},
    [PV_SSHKEY_HOST_KINDS] = {"", NULL, 0, false},
    [PV_SSHKEY_SK_ED25519] = {"sk-ssh-ed25519@openssh.com", NULL, 32, true},
    [PV_SSHKEY_SK_P256] = {"sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", 65, true},
};

/* --- the binary form ------------------------------------------------------------------------- */

/* A string of RFC 4251 s5: u32 length and bytes. */
static struct pv_view get_string(struct pv_reader *r)
{
    const uint32_t len = pv_get_u32(r);
    if (len > PV_SSHKEY_MAX)
        pv_reader_fail(r, PV_ERR_MALFORMED);
    return r->status == PV_OK ? pv_get_bytes(r, len) : pv_view(NULL, 0);
}

static bool is_text(struct pv_view v, const char *text)
{
    return v.len > 0 && v.len == strlen(text) && memcmp(v.ptr, text, v.len) == 0;
}

/* Takes a positive number of RFC 4251 s5 in its one form. Returns its bytes without the leading
 * zero; 0: it is none. *ret_last: its last byte. */
static size_t get_number(struct pv_reader *r, uint8_t *ret_last)
{
    struct pv_view v = get_string(r);
    if (v.len > 1 && v.ptr[0] == 0 && (v.ptr[1] & 0x80) != 0)
        v = pv_view(v.ptr + 1, v.len - 1);
    else if (v.len == 0 || v.ptr[0] == 0 || (v.ptr[0] & 0x80) != 0)
        return 0;
    *ret_last = v.ptr[v.len - 1];
    return v.len;
}

/* The modulus is odd, and so is the exponent. */
static bool is_rsa(struct pv_reader *r)
{
    uint8_t last_e = 0, last_n = 0;
    const size_t e = get_number(r, &last_e), n = get_number(r, &last_n);
    return e >= 1 && e <= EXPONENT_MAX && n >= RSA_BYTES_MIN && n <= RSA_BYTES_MAX &&
           (last_e & last_n & 1) != 0;
}

static bool is_app(struct pv_view app)
{
    bool good = app.len >= 4 && app.len <= PV_SSHKEY_APP_MAX && memcmp(app.ptr, "ssh:", 4) == 0;
    for (size_t i = 0; good && i < app.len; i++)
        good = app.ptr[i] > ' ' && app.ptr[i] < 0x7f;
    return good;
}

/* A point is uncompressed (SEC 1 s2.3.3), as OpenSSH writes it. */
static bool is_point(struct pv_reader *r, const struct kind *kind)
{
    if (kind->curve != NULL && !is_text(get_string(r), kind->curve))
        return false;
    const struct pv_view point = get_string(r);
    if (point.len != kind->point || (kind->curve != NULL && point.ptr[0] != 4))
        return false;
    return !kind->app || is_app(get_string(r));
}

enum pv_sshkey_kind pv_sshkey_kind_of(struct pv_view key)
{
    struct pv_reader r = pv_reader(key);
    const struct pv_view type = get_string(&r);
    enum pv_sshkey_kind k = PV_SSHKEY_KINDS - 1;
    while (k != PV_SSHKEY_NONE && !is_text(type, KINDS[k].type))
        k--;
    if (k == PV_SSHKEY_NONE || key.len > PV_SSHKEY_MAX)
        return PV_SSHKEY_NONE;
    const bool good = k == PV_SSHKEY_RSA ? is_rsa(&r) : is_point(&r, &KINDS[k]);
    return good && pv_reader_end(&r) == PV_OK ? k : PV_SSHKEY_NONE;
}

/* --- lists ------------------------------------------------------------------------------------ */

bool pv_sshkeys_next(struct pv_view *list, struct pv_view *ret_key)
{
    struct pv_reader r = pv_reader(*list);
    const struct pv_view key = pv_get_view16(&r, PV_SSHKEY_MAX);
    if (list->len == 0 || r.status != PV_OK)
        return false;
    *list = r.rest;
    *ret_key = key;
    return true;
}

/* The order of a list. */
static int compare(struct pv_view a, struct pv_view b)
{
    const enum pv_sshkey_kind ka = pv_sshkey_kind_of(a), kb = pv_sshkey_kind_of(b);
    if (ka != kb)
        return ka < kb ? -1 : 1;
    const int r = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return r != 0 ? r : a.len < b.len ? -1 : a.len > b.len;
}

static bool fits(enum pv_sshkey_kind kind, enum pv_sshkeys_use use)
{
    return kind != PV_SSHKEY_NONE && (use == PV_SSHKEYS_LOGIN || kind < PV_SSHKEY_HOST_KINDS);
}

int pv_sshkeys_check(struct pv_view list, enum pv_sshkeys_use use)
{
    struct pv_view key, last = {.len = 0};
    if (list.len > PV_SSHKEYS_MAX)
        return PV_ERR_MALFORMED;
    while (pv_sshkeys_next(&list, &key)) {
        const enum pv_sshkey_kind kind = pv_sshkey_kind_of(key);
        if (!fits(kind, use) ||
            (last.len > 0 && (compare(last, key) >= 0 ||
                              (use == PV_SSHKEYS_HOST && pv_sshkey_kind_of(last) == kind))))
            return PV_ERR_MALFORMED;
        last = key;
    }
    return list.len == 0 ? PV_OK : PV_ERR_MALFORMED;
}

/* Puts a key in its place, unless it is there or, of a host's, one of its kind. False: no room. */
static bool insert(struct pv_sshkeys *keys, struct pv_view key)
{
    struct pv_view rest = pv_sshkeys_view(keys), other;
    const enum pv_sshkey_kind kind = pv_sshkey_kind_of(key);
    const size_t len = 2 + key.len;
    size_t at = 0;
    while (pv_sshkeys_next(&rest, &other)) {
        const int order = compare(other, key);
        if (order == 0 || (keys->use == PV_SSHKEYS_HOST && pv_sshkey_kind_of(other) == kind))
            return true;
        if (order < 0)
            at = keys->len - rest.len;
    }
    _Static_assert(PV_SSHKEYS_MAX >= 53 + 106 + 138 + 174 + 2 + PV_SSHKEY_MAX, "a host's all fit");
    if (len > sizeof(keys->list) - keys->len) {
        keys->full = true;
        return false;
    }
    memmove(keys->list + at + len, keys->list + at, keys->len - at);
    pv_store_be16(keys->list + at, (uint16_t)key.len);
    memcpy(keys->list + at + 2, key.ptr, key.len);
    keys->len += len;
    return true;
}

bool pv_sshkeys_remove(struct pv_sshkeys *keys, struct pv_view key)
{
    struct pv_view rest = pv_sshkeys_view(keys), other;
    while (pv_sshkeys_next(&rest, &other)) {
        if (!pv_view_equal(other, key))
            continue;
        const size_t end = keys->len - rest.len, len = 2 + other.len;
        memmove(keys->list + end - len, keys->list + end, rest.len);
        keys->len -= len;
        return true;
    }
    return false;
}

/* --- lines ------------------------------------------------------------------------------------ */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the next word off a line. */
static struct pv_view take_word(struct pv_view *line)
{
    size_t from = 0, to;
    while (from < line->len && is_blank(line->ptr[from]))
        from++;
    for (to = from; to < line->len && !is_blank(line->ptr[to]);)
        to++;
    const struct pv_view word = pv_view(line->ptr + from, to - from);
    *line = pv_view(line->ptr + to, line->len - to);
    return word;
}

static struct pv_view take_line(struct pv_view *text)
{
    size_t len = 0;
    while (len < text->len && text->ptr[len] != '\n')
        len++;
    const struct pv_view line = pv_view(text->ptr, len);
    const size_t used = len + (len < text->len ? 1 : 0);
    *text = pv_view(text->ptr + used, text->len - used);
    return line;
}

/* The word before the key must be its type: a line of a file with options begins with these. */
static bool read_line(struct pv_sshkeys *keys, struct pv_view type, struct pv_view line)
{
    uint8_t bytes[PV_SSHKEY_MAX];
    size_t len = 0;
    const struct pv_view word = take_word(&line);
    if (pv_b64_decode((const char *)word.ptr, word.len, bytes, sizeof(bytes), &len) < 0)
        return false;
    const struct pv_view key = pv_view(bytes, len);
    const enum pv_sshkey_kind kind = pv_sshkey_kind_of(key);
    return fits(kind, keys->use) && is_text(type, KINDS[kind].type) && insert(keys, key);
}

size_t pv_sshkeys_read(struct pv_sshkeys *keys, struct pv_view text)
{
    size_t n_bad = 0;
    while (text.len > 0) {
        struct pv_view line = take_line(&text);
        const struct pv_view type = take_word(&line);
        if (type.len > 0 && type.ptr[0] != '#' && !read_line(keys, type, line))
            n_bad++;
    }
    return n_bad;
}

const char *pv_sshkey_format(struct pv_view key, char buf[static PV_SSHKEY_LINE_BUF])
{
    const char *type = KINDS[pv_sshkey_kind_of(key)].type;
    const size_t len = strlen(type);
    snprintf(buf, PV_SSHKEY_LINE_BUF, "%s ", type);
    if (key.len > PV_SSHKEY_MAX ||
        pv_b64_encode(key, buf + len + 1, PV_SSHKEY_LINE_BUF - len - 1) < 0)
        buf[0] = '\0';
    return buf;
}

int pv_sshkey_read_print(const char *print, uint8_t ret_hash[static PV_SHA256_LEN])
{
    static const char type[] = "SHA256:";
    char text[PV_SSHKEY_PRINT_LEN + 2]; /* with the padding, which OpenSSH leaves out */
    size_t len = 0;
    if (strncmp(print, type, sizeof(type) - 1) != 0 ||
        strlen(print) != sizeof(type) - 1 + PV_SSHKEY_PRINT_LEN)
        return PV_ERR_MALFORMED;
    snprintf(text, sizeof(text), "%s=", print + sizeof(type) - 1);
    const int r = pv_b64_decode(text, PV_SSHKEY_PRINT_LEN + 1, ret_hash, PV_SHA256_LEN, &len);
    return r == PV_OK && len == PV_SHA256_LEN ? PV_OK : PV_ERR_MALFORMED;
}

bool pv_sshkey_has_hash(struct pv_view key, const uint8_t hash[static PV_SHA256_LEN])
{
    uint8_t own[PV_SHA256_LEN];
    return pv_sha256(own, key) == PV_OK && memcmp(own, hash, sizeof(own)) == 0;
}

bool pv_sshkey_has_print(struct pv_view key, const char *print)
{
    uint8_t hash[PV_SHA256_LEN];
    return pv_sshkey_read_print(print, hash) == PV_OK && pv_sshkey_has_hash(key, hash);
}
