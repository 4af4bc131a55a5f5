/* SPDX-License-Identifier: MIT */
/*
 * text.c - texts with one canonical form: base64url, keys, names, numbers, durations, UTF-8.
 * Decoders refuse every second spelling of a value, since keys and names are compared as text in
 * files, configuration and commands.
 */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char B64URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char B64STD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Writes PV_B64_LEN(src.len) characters, no NUL. */
static void encode64(struct pv_view src, const char *alphabet, char *dst)
{
    uint32_t acc = 0;
    unsigned bits = 0;

    for (size_t i = 0; i < src.len; i++) {
        acc = (acc << 8) | src.ptr[i];
        for (bits += 8; bits >= 6; bits -= 6)
            *dst++ = alphabet[(acc >> (bits - 6)) & 63];
    }
    if (bits > 0)
        *dst = alphabet[(acc << (6 - bits)) & 63];
}

/* Value of a digit, -1 for any other character. By ranges instead of a table: the two alphabets
 * differ in the last two characters only. */
static int digit64(char c, const char *alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == alphabet[62])
        return 62;
    return c == alphabet[63] ? 63 : -1;
}

/* dst has room for text_len * 6 / 8 bytes. */
static int decode64(const char *text, size_t text_len, const char *alphabet, uint8_t *dst)
{
    uint32_t acc = 0;
    unsigned bits = 0;

    for (size_t i = 0; i < text_len; i++) {
        int d = digit64(text[i], alphabet);
        if (d < 0)
            return PV_ERR_MALFORMED;
        acc = (acc << 6) | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *dst++ = (uint8_t)(acc >> bits);
        }
    }
    /* One character alone holds no byte; left-over bits must be zero or the form is not unique. */
    if (bits == 6 || (acc & ((1u << bits) - 1)) != 0)
        return PV_ERR_MALFORMED;
    return PV_OK;
}

int pv_b64url_encode(struct pv_view src, char *dst, size_t cap)
{
    if (src.len > SIZE_MAX / 8 || cap < PV_B64_LEN(src.len) + 1)
        return PV_ERR_NO_SPACE;
    encode64(src, B64URL, dst);
    dst[PV_B64_LEN(src.len)] = '\0';
    return PV_OK;
}

static int decode_into(const char *text, size_t text_len, const char *alphabet, uint8_t *dst,
                       size_t cap, size_t *ret_len)
{
    size_t len = text_len / 4 * 3 + text_len % 4 * 6 / 8;
    if (len > cap)
        return PV_ERR_NO_SPACE;
    int r = decode64(text, text_len, alphabet, dst);
    if (r < 0)
        return r;
    *ret_len = len;
    return PV_OK;
}

int pv_b64url_decode(const char *text, size_t text_len, uint8_t *dst, size_t cap, size_t *ret_len)
{
    return decode_into(text, text_len, B64URL, dst, cap, ret_len);
}

int pv_b64_encode(struct pv_view src, char *dst, size_t cap)
{
    const size_t len = PV_B64_LEN(src.len), whole = (src.len + 2) / 3 * 4;
    if (src.len > SIZE_MAX / 8 || cap < whole + 1)
        return PV_ERR_NO_SPACE;
    encode64(src, B64STD, dst);
    memset(dst + len, '=', whole - len);
    dst[whole] = '\0';
    return PV_OK;
}

/* The padding is of one length, so that a text has no second form. */
int pv_b64_decode(const char *text, size_t text_len, uint8_t *dst, size_t cap, size_t *ret_len)
{
    size_t len = text_len;
    if (text_len % 4 != 0)
        return PV_ERR_MALFORMED;
    while (len > 0 && text_len - len < 2 && text[len - 1] == '=')
        len--;
    return decode_into(text, len, B64STD, dst, cap, ret_len);
}

/* Fails never: the buffer has the size of every key. So callers may use it inside a log call. */
const char *pv_key_format(const uint8_t key[static PV_KEY_LEN], char buf[static PV_KEY_TEXT_BUF])
{
    encode64(pv_view(key, PV_KEY_LEN), B64URL, buf);
    buf[PV_KEY_TEXT] = '\0';
    return buf;
}

/* Decoded beside the result and wiped, because the same text form is used for private keys, and a
 * wrong text must leave the result as it was. */
int pv_key_parse(const char *text, uint8_t ret_key[static PV_KEY_LEN])
{
    uint8_t key[PV_KEY_LEN];
    if (strlen(text) != PV_KEY_TEXT)
        return PV_ERR_MALFORMED;
    int r = decode64(text, PV_KEY_TEXT, B64URL, key);
    if (r == PV_OK)
        memcpy(ret_key, key, sizeof(key));
    explicit_bzero(key, sizeof(key));
    return r;
}

const char *pv_key_shorten(const char *key_text, char buf[static PV_KEY_SHORT_BUF])
{
    snprintf(buf, PV_KEY_SHORT_BUF, "key:%.*s", PV_KEY_SHORT, key_text);
    return buf;
}

bool pv_key_is_short(const char *text, const uint8_t key[static PV_KEY_LEN])
{
    size_t len = strlen(text);
    return len >= PV_KEY_SHORT_BUF - 1 && memcmp(text, "key:", 4) == 0 &&
           strncmp(PV_KEY_STR(key), text + 4, len - 4) == 0;
}

/* The form of wg(8), standard base64 with padding, so that keys can be compared with its output. */
const char *pv_wgkey_format(const uint8_t key[static PV_KEY_LEN],
                            char buf[static PV_WG_KEY_TEXT_BUF])
{
    encode64(pv_view(key, PV_KEY_LEN), B64STD, buf);
    memcpy(buf + PV_KEY_TEXT, "=", 2);
    return buf;
}

int pv_wgkey_parse(const char *text, uint8_t ret_key[static PV_KEY_LEN])
{
    uint8_t key[PV_KEY_LEN];
    if (strlen(text) != PV_KEY_TEXT + 1 || text[PV_KEY_TEXT] != '=')
        return PV_ERR_MALFORMED;
    int r = decode64(text, PV_KEY_TEXT, B64STD, key);
    if (r == PV_OK)
        memcpy(ret_key, key, sizeof(key));
    explicit_bzero(key, sizeof(key));
    return r;
}

/* A DNS label (RFC 1123 s2.1) in lower case. "localhost" is refused, as every resolver has its own
 * answer to it. */
int pv_name_parse(const char *text, size_t text_len, char ret_name[static PV_NAME_BUF])
{
    char name[PV_NAME_BUF];

    if (text_len == 0 || text_len > PV_NAME_MAX)
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < text_len; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        bool inner = i > 0 && i + 1 < text_len;
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !(c == '-' && inner))
            return PV_ERR_MALFORMED;
        name[i] = c;
    }
    name[text_len] = '\0';
    if (strcmp(name, "localhost") == 0)
        return PV_ERR_MALFORMED;
    memcpy(ret_name, name, text_len + 1);
    return PV_OK;
}

bool pv_name_is_word(const char *name)
{
    static const char *const words[] = {"any", "all", "off", "auto", "default"};
    const bool hex = strncmp(name, "0x", 2) == 0;
    const char *number = hex ? name + 2 : name;
    const char *digits = hex ? "0123456789abcdef" : "0123456789";
    bool is = number[0] != '\0' && number[strspn(number, digits)] == '\0';
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++)
        is = is || strcmp(name, words[i]) == 0;
    return is;
}

/* Only the canonical form: what stands in a signed statement must have one spelling. */
bool pv_name_is_valid(const char *name)
{
    char canonical[PV_NAME_BUF];
    size_t len = strnlen(name, PV_NAME_BUF);
    return pv_name_parse(name, len, canonical) == PV_OK && strcmp(name, canonical) == 0;
}

/* Digits at the start of text; false when there are none or the number exceeds 64 bits. */
static bool parse_digits(const char *text, uint64_t *ret_value, const char **ret_end)
{
    uint64_t v = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
            return false;
    }
    *ret_value = v;
    *ret_end = p;
    return p != text;
}

/* No blanks, signs or leading '+', which strtoull() accepts: a configuration has one spelling. */
int pv_u64_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    uint64_t v;
    const char *end;
    if (!parse_digits(text, &v, &end) || *end != '\0' || v < min || v > max)
        return PV_ERR_MALFORMED;
    *ret_value = v;
    return PV_OK;
}

/* Both pairs of words, as people write either; nothing else counts as "off" by accident. */
int pv_switch_parse(const char *text, bool *ret_on)
{
    bool on = strcmp(text, "on") == 0 || strcmp(text, "yes") == 0;
    if (!on && strcmp(text, "off") != 0 && strcmp(text, "no") != 0)
        return PV_ERR_MALFORMED;
    *ret_on = on;
    return PV_OK;
}

/* 0: no such unit. A number alone is in seconds. */
static uint64_t unit_seconds(const char *unit)
{
    static const struct {
        char letter;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};

    if (unit[0] == '\0')
        return 1;
    for (size_t i = 0; i < PV_ARRAY_LEN(units); i++) {
        if (unit[0] == units[i].letter && unit[1] == '\0')
            return units[i].seconds;
    }
    return 0;
}

/* At most a century: durations are added to times, and the sum must not overflow. */
int pv_duration_parse(const char *text, uint64_t *ret_seconds)
{
    const uint64_t max = UINT64_C(100) * 366 * 86400;
    uint64_t v;
    const char *end;

    if (!parse_digits(text, &v, &end))
        return PV_ERR_MALFORMED;
    uint64_t unit = unit_seconds(end);
    if (unit == 0 || v > max / unit)
        return PV_ERR_MALFORMED;
    *ret_seconds = v * unit;
    return PV_OK;
}

/* Overlong forms and surrogates are none: they would let a character pass that callers look for. */
size_t pv_utf8_char(struct pv_view text, uint32_t *ret_char)
{
    *ret_char = 0;
    uint8_t b = text.len == 0 ? 0xff : text.ptr[0];
    size_t n = b < 0x80                ? 1
               : b >= 0xc2 && b < 0xe0 ? 2
               : (b & 0xf0) == 0xe0    ? 3
               : b >= 0xf0 && b < 0xf5 ? 4
                                       : 0;
    if (n == 0 || n > text.len)
        return 0;
    uint32_t c = n == 1 ? b : b & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((text.ptr[i] & 0xc0) != 0x80)
            return 0;
        c = (c << 6) | (text.ptr[i] & 0x3fu);
    }
    bool overlong = (n == 3 && c < 0x800) || (n == 4 && c < 0x10000);
    if (overlong || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *ret_char = c;
    return n;
}

/* NUL is refused, since such text becomes a C string sooner or later. */
bool pv_utf8_is_valid(struct pv_view text)
{
    uint32_t c;
    for (size_t n; text.len > 0; text = pv_view(text.ptr + n, text.len - n)) {
        n = pv_utf8_char(text, &c);
        if (n == 0 || c == 0)
            return false;
    }
    return true;
}

bool pv_text_is_valid(struct pv_view text)
{
    return text.len > 0 && text.len <= PV_TEXT_MAX && pv_utf8_is_valid(text);
}

/* 1,023.95 would be rounded to 1024.0: then the next unit says it better. */
const char *pv_bytes_format(double bytes, char buf[static PV_AMOUNT_BUF])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t u = 0;
    while (bytes >= 1023.95 && u + 1 < PV_ARRAY_LEN(units)) {
        bytes /= 1024.0;
        u++;
    }
    snprintf(buf, PV_AMOUNT_BUF, u == 0 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
    return buf;
}

/* Two units at most: a person who reads "3d 4h" does not want the seconds. The bound keeps the
 * conversion from double defined. */
const char *pv_duration_format(double seconds, char buf[static PV_AMOUNT_BUF])
{
    long long s = seconds < 0 ? 0 : seconds > 1e15 ? (long long)1e15 : (long long)seconds;
    if (s < 60)
        snprintf(buf, PV_AMOUNT_BUF, "%lld s", s);
    else if (s < 3600)
        snprintf(buf, PV_AMOUNT_BUF, "%lldm %llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, PV_AMOUNT_BUF, "%lldh %lldm", s / 3600, s / 60 % 60);
    else
        snprintf(buf, PV_AMOUNT_BUF, "%lldd %lldh", s / 86400, s / 3600 % 24);
    return buf;
}

/* --- texts by printf ----------------------------------------------------------------------- */

char *pv_text_print(char *buf, size_t cap, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, cap, fmt, ap);
    va_end(ap);
    return buf;
}

struct pv_text pv_text_in(char *buf, size_t cap)
{
    buf[0] = '\0';
    return (struct pv_text){.text = buf, .cap = cap};
}

void pv_text_add(struct pv_text *t, const char *fmt, ...)
{
    size_t room = t->cap - t->len;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->text + t->len, room, fmt, ap);
    va_end(ap);
    t->cut = t->cut || n < 0 || (size_t)n >= room;
    t->len = n < 0 || (size_t)n >= room ? t->cap - 1 : t->len + (size_t)n;
}

void pv_text_part(struct pv_text *t, const char *separator)
{
    if (t->len > 0)
        pv_text_add(t, "%s", separator);
}
