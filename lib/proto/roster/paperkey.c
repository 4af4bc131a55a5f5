/* SPDX-License-Identifier: MIT */
/* paperkey.c - the letters of a root key on paper: Crockford's base 32, which has no I, L, O and
 * U, with a check letter a line and a checksum over all. */
#include "proto/roster/paperkey.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/hash.h"

enum {
    VERSION = 1,
    CHECK_LEN = 4, /* bytes of the checksum */
    BIN_LEN = 1 + 2 + PV_PWHASH_SALT_LEN + PV_PAPERKEY_BOX_LEN + CHECK_LEN,
    LINE_BYTES = 15,
    LINE_CHARS = 25, /* 24 for LINE_BYTES, and the check letter */
    GROUP = 5,       /* letters between blanks */
};
_Static_assert((PV_PAPERKEY_LINES - 1) * LINE_BYTES < BIN_LEN &&
                   BIN_LEN <= PV_PAPERKEY_LINES * LINE_BYTES,
               "the last line holds the rest");

static const char LETTERS[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
static const char box_context[] = "p2pvpn root key v1";
static const char text_context[] = "p2pvpn root key text v1";

/* --- the box ---------------------------------------------------------------------------------- */

void pv_paperkey_seal(uint8_t box[static PV_PAPERKEY_BOX_LEN],
                      const uint8_t key[static PV_PWHASH_KEY_LEN],
                      const uint8_t seed[static PV_SIGN_SEED_LEN])
{
    /* Each key seals once, as its salt is drawn for that: the counter may be 0. */
    pv_aead_seal(box, key, 0, pv_view(box_context, sizeof(box_context)),
                 pv_view(seed, PV_SIGN_SEED_LEN));
}

int pv_paperkey_open(uint8_t seed[static PV_SIGN_SEED_LEN],
                     const uint8_t key[static PV_PWHASH_KEY_LEN],
                     const uint8_t box[static PV_PAPERKEY_BOX_LEN])
{
    memset(seed, 0, PV_SIGN_SEED_LEN);
    return pv_aead_open(seed, key, 0, pv_view(box_context, sizeof(box_context)),
                        pv_view(box, PV_PAPERKEY_BOX_LEN));
}

/* --- letters ---------------------------------------------------------------------------------- */

/* Bytes of line i, and letters without the check letter. */
static size_t bytes_of(size_t i)
{
    size_t left = BIN_LEN - i * LINE_BYTES;
    return left < LINE_BYTES ? left : LINE_BYTES;
}

static size_t chars_of(size_t i)
{
    return (bytes_of(i) * 8 + 4) / 5;
}

/* Odd weights modulo 32: any one letter that is wrong changes the sum, and so do most swaps. The
 * line's own number keeps lines from being swapped. */
static uint8_t check_of(const uint8_t *v, size_t n, size_t line)
{
    size_t sum = line;
    for (size_t i = 0; i < n; i++)
        sum += (2 * i + 1) * v[i];
    return (uint8_t)(sum % 32);
}

/* Five bits a letter, from the first bit on; those left over are zero. */
static void to_digits(const uint8_t *bytes, size_t n, uint8_t *digits, size_t n_digits)
{
    for (size_t i = 0; i < n_digits; i++) {
        unsigned acc = 0;
        for (size_t bit = 5 * i; bit < 5 * i + 5; bit++)
            acc = acc << 1 | (bit / 8 < n ? (unsigned)bytes[bit / 8] >> (7 - bit % 8) & 1u : 0u);
        digits[i] = (uint8_t)acc;
    }
}

/* False: bits that must be left over are not zero. */
static bool to_bytes(const uint8_t *digits, size_t n_digits, uint8_t *bytes, size_t n)
{
    memset(bytes, 0, n);
    for (size_t bit = 0; bit < 5 * n_digits; bit++) {
        unsigned one = (unsigned)digits[bit / 5] >> (4 - bit % 5) & 1u;
        if (bit / 8 < n)
            bytes[bit / 8] |= (uint8_t)(one << (7 - bit % 8));
        else if (one != 0)
            return false;
    }
    return true;
}

/* Value of a letter as people write it; -1: none. */
static int digit_of(char c)
{
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    c = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
    const char *at = c == '\0' ? NULL : strchr(LETTERS, c);
    return at == NULL ? -1 : (int)(at - LETTERS);
}

/* --- the text --------------------------------------------------------------------------------- */

static void checksum(const uint8_t *bin, uint8_t ret_check[static CHECK_LEN])
{
    uint8_t hash[PV_BLAKE2B_LEN];
    pv_blake2b(hash, pv_view(text_context, sizeof(text_context)), pv_view(bin, BIN_LEN - CHECK_LEN),
               pv_view(NULL, 0));
    memcpy(ret_check, hash, CHECK_LEN);
}

void pv_paperkey_format_code(const struct pv_paperkey *paper,
                             char text[static PV_PAPERKEY_CHARS + 1])
{
    uint8_t bin[BIN_LEN], digits[LINE_CHARS];
    struct pv_writer w = pv_writer(bin, sizeof(bin));

    pv_put_u8(&w, VERSION);
    pv_put_u8(&w, paper->cost.passes);
    pv_put_u8(&w, paper->cost.memory);
    pv_put_bytes(&w, paper->salt, sizeof(paper->salt));
    pv_put_bytes(&w, paper->box, sizeof(paper->box));
    checksum(bin, bin + w.len);
    for (size_t line = 0; line < PV_PAPERKEY_LINES; line++) {
        size_t n = chars_of(line);
        to_digits(bin + line * LINE_BYTES, bytes_of(line), digits, n);
        digits[n] = check_of(digits, n, line);
        for (size_t i = 0; i <= n; i++)
            *text++ = LETTERS[digits[i]];
    }
    *text = '\0';
}

void pv_paperkey_format(const struct pv_paperkey *paper, char text[static PV_PAPERKEY_TEXT_BUF])
{
    char code[PV_PAPERKEY_CHARS + 1];

    pv_paperkey_format_code(paper, code);
    for (size_t i = 0; i < PV_PAPERKEY_CHARS; i++) {
        *text++ = code[i];
        if (i % LINE_CHARS == LINE_CHARS - 1 || i == PV_PAPERKEY_CHARS - 1)
            *text++ = '\n';
        else if (i % LINE_CHARS % GROUP == GROUP - 1)
            *text++ = ' ';
    }
    *text = '\0';
}

/* The letters of a text, as their values. Line breaks say nothing: mail wraps as it likes. */
static int collect(const char *text, size_t len, uint8_t digits[static PV_PAPERKEY_CHARS],
                   unsigned *ret_line)
{
    size_t n = 0;
    bool begins = true, comment = false; /* of a line */

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        comment = begins ? c == '#' : comment;
        begins = c == '\n' || (begins && (c == ' ' || c == '\t' || c == '\r'));
        /* Beyond ASCII is what a QR code below the letters is drawn with. */
        if (comment || (c != '\0' && strchr(" \t\r\n-", c) != NULL) || (uint8_t)c > 127)
            continue;
        int d = digit_of(c);
        *ret_line = (unsigned)(n / LINE_CHARS + 1);
        if (d < 0 || n == PV_PAPERKEY_CHARS) {
            *ret_line = n == PV_PAPERKEY_CHARS ? 0 : *ret_line;
            return PV_ERR_MALFORMED;
        }
        digits[n++] = (uint8_t)d;
    }
    *ret_line = (unsigned)(n / LINE_CHARS);
    return n == PV_PAPERKEY_CHARS ? PV_OK : PV_ERR_TRUNCATED;
}

int pv_paperkey_parse(const char *text, size_t len, struct pv_paperkey *ret_paper,
                      unsigned *ret_line)
{
    uint8_t digits[PV_PAPERKEY_CHARS], bin[BIN_LEN], check[CHECK_LEN];
    struct pv_paperkey p;

    *ret_line = 0;
    int status = collect(text, len, digits, ret_line);
    /* A line that is wrong is told before what is missing: a letter left out moves all others. */
    for (size_t line = 0; line < PV_PAPERKEY_LINES; line++) {
        const uint8_t *v = digits + line * LINE_CHARS;
        size_t n = chars_of(line);
        if (status != PV_OK && (status != PV_ERR_TRUNCATED || line >= *ret_line))
            return status;
        if (v[n] != check_of(v, n, line) ||
            !to_bytes(v, n, bin + line * LINE_BYTES, bytes_of(line))) {
            *ret_line = (unsigned)(line + 1);
            return PV_ERR_MALFORMED;
        }
    }
    *ret_line = 0;
    checksum(bin, check);
    if (memcmp(check, bin + BIN_LEN - CHECK_LEN, CHECK_LEN) != 0)
        return PV_ERR_MALFORMED;
    struct pv_reader r = pv_reader(pv_view(bin, sizeof(bin)));
    if (pv_get_u8(&r) != VERSION)
        return PV_ERR_UNSUPPORTED;
    p.cost.passes = pv_get_u8(&r);
    p.cost.memory = pv_get_u8(&r);
    pv_get_copy(&r, p.salt, sizeof(p.salt));
    pv_get_copy(&r, p.box, sizeof(p.box));
    *ret_paper = p;
    return PV_OK;
}
