/* SPDX-License-Identifier: MIT */
/*
 * text.h - text forms of bytes (base64url, base64, hex), numbers and durations, and the rules for
 * names (DESIGN 3: [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?).
 */
#pragma once

#include "base/pv.h"

enum {
    PV_NAME_MAX = 63,              /* characters, RFC 1035 s2.3.4 (a DNS label) */
    PV_NAME_BUF = PV_NAME_MAX + 1, /* with the NUL */
    PV_KEY_LEN = 32,               /* bytes: Ed25519 and X25519 public keys, hashes, secrets */
    PV_KEY_TEXT = 43,              /* characters: a key in base64url, no padding */
    PV_KEY_TEXT_BUF = PV_KEY_TEXT + 1,
    PV_WG_KEY_TEXT_BUF = 45, /* wg's form: base64 with padding, and the NUL */
    PV_AMOUNT_BUF = 32,      /* bytes for a size or a duration, with the NUL */
    PV_TEXT_MAX = 16384,     /* bytes of a text that a person writes, without the NUL */
    PV_STR_BUF = 1024,       /* bytes for what PV_STR() prints, with the NUL */
};
#define PV_B64_LEN(n) (((n)*4 + 2) / 3) /* characters of n bytes in unpadded base64 */

/* Unpadded base64url (RFC 4648 s5). dst gets PV_B64_LEN(src.len) characters and a NUL;
 * PV_ERR_NO_SPACE when cap is smaller than that. */
PV_MUST_CHECK int pv_b64url_encode(struct pv_view src, char *dst, size_t cap);
/* Strict: no padding, no other characters, unused bits zero. PV_ERR_MALFORMED, PV_ERR_NO_SPACE. */
PV_MUST_CHECK int pv_b64url_decode(const char *text, size_t text_len, uint8_t *dst, size_t cap,
                                   size_t *ret_len);
/* Base64 with padding (RFC 4648 s4): encode needs room for (src.len + 2) / 3 * 4 characters and a
 * NUL, decode is as strict. The same errors. */
PV_MUST_CHECK int pv_b64_encode(struct pv_view src, char *dst, size_t cap);
PV_MUST_CHECK int pv_b64_decode(const char *text, size_t text_len, uint8_t *dst, size_t cap,
                                size_t *ret_len);
/* A 32-byte key in base64url; never fails. Returns buf. */
const char *pv_key_format(const uint8_t key[static PV_KEY_LEN], char buf[static PV_KEY_TEXT_BUF]);
#define PV_KEY_STR(key) pv_key_format(key, (char[PV_KEY_TEXT_BUF]){0})
/* PV_ERR_MALFORMED unless text is exactly 43 valid characters. */
PV_MUST_CHECK int pv_key_parse(const char *text, uint8_t ret_key[static PV_KEY_LEN]);
/* The short form of a key for people, "key:AbCd". Commands accept it if only one key begins so. */
enum {
    PV_KEY_SHORT = 4, /* characters of the key in it; more are taken as well */
    PV_KEY_SHORT_BUF = 4 + PV_KEY_SHORT + 1, /* with the NUL */
};
/* Its short form; key_text: from pv_key_format(), or what another program gave as one. Returns buf.
 */
const char *pv_key_shorten(const char *key_text, char buf[static PV_KEY_SHORT_BUF]);
#define PV_KEY_SHORT_STR(key_text) pv_key_shorten(key_text, (char[PV_KEY_SHORT_BUF]){0})
/* Returns true if text is "key:" and at least the first PV_KEY_SHORT characters of this key. */
bool pv_key_is_short(const char *text, const uint8_t key[static PV_KEY_LEN]);
/* wg's form of a key: base64 with '+', '/' and one '='. */
const char *pv_wgkey_format(const uint8_t key[static PV_KEY_LEN],
                            char buf[static PV_WG_KEY_TEXT_BUF]);
#define PV_WGKEY_STR(key) pv_wgkey_format(key, (char[PV_WG_KEY_TEXT_BUF]){0})
/* PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_wgkey_parse(const char *text, uint8_t ret_key[static PV_KEY_LEN]);

/* Lower-cases ASCII and checks the grammar of a node or network name.
 * Refused: bad characters or length, "localhost". PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_name_parse(const char *text, size_t text_len,
                                char ret_name[static PV_NAME_BUF]);
/* Returns true if the canonical name is reserved: commands use it for several machines or none
 * ("any", "off"), or programs read it as an address without asking a name server (inet_aton(3):
 * "42" is 0.0.0.42). A machine must not have such a name. */
bool pv_name_is_word(const char *name);
/* Already in canonical form? */
bool pv_name_is_valid(const char *name);

/* Whole string, decimal, within [min, max]. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_u64_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
/* "on" or "yes", "off" or "no". PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_switch_parse(const char *text, bool *ret_on);
/* "90", "90s", "15m", "24h", "7d", "2w": seconds. PV_ERR_MALFORMED, also when above 100 years. */
PV_MUST_CHECK int pv_duration_parse(const char *text, uint64_t *ret_seconds);

/* Decodes the first character of text (RFC 3629). Returns its length, 1 to 4 bytes; 0: text does
 * not begin with a character. */
size_t pv_utf8_char(struct pv_view text, uint32_t *ret_char);
/* Valid UTF-8 (RFC 3629) without NUL? */
bool pv_utf8_is_valid(struct pv_view text);
/* 1..PV_TEXT_MAX bytes of such UTF-8? */
bool pv_text_is_valid(struct pv_view text);

/* For people: "1.2 MiB" (of 1024), "3d 2h", "12 s". Return buf. */
const char *pv_bytes_format(double bytes, char buf[static PV_AMOUNT_BUF]);
const char *pv_duration_format(double seconds, char buf[static PV_AMOUNT_BUF]);
#define PV_BYTES_STR(bytes)      pv_bytes_format(bytes, (char[PV_AMOUNT_BUF]){0})
#define PV_DURATION_STR(seconds) pv_duration_format(seconds, (char[PV_AMOUNT_BUF]){0})

/* snprintf() into cap bytes at buf. Returns buf. */
char *pv_text_print(char *buf, size_t cap, const char *fmt, ...) PV_PRINTF(3, 4);
/* The same in a buffer of its own, of PV_STR_BUF bytes, for a text that is passed on at once. */
#define PV_STR(...) pv_text_print((char[PV_STR_BUF]){0}, PV_STR_BUF, __VA_ARGS__)

/* A text that is put together in the caller's buffer, and cut at its end. */
struct pv_text {
    char *text; /* always ended by a NUL */
    size_t len, cap;
    bool cut;
};

/* Empty, in so many bytes; at least one. */
struct pv_text pv_text_in(char *buf, size_t cap);
/* Appends. A text that is too long is cut at the buffer's end, possibly inside a character. */
void pv_text_add(struct pv_text *t, const char *fmt, ...) PV_PRINTF(2, 3);
/* Appends the separator unless the text is still empty: call it before each item of a list. */
void pv_text_part(struct pv_text *t, const char *separator);
