/* SPDX-License-Identifier: MIT */
/*
 * paperkey.h - the root key of a network as a text for paper: sealed with a key that comes from a
 * passphrase, in letters that are not mistaken for each other, with a letter at the end of each
 * line that tells in which one a slip is (docs/PROTOCOL-NETWORK.md "Root key on paper").
 *
 * Pure. The passphrase is not known here: crypto/pwhash.h makes the key.
 */
#pragma once

#include "base/pv.h"
#include "crypto/aead.h"
#include "crypto/pwhash.h"
#include "crypto/sign.h"

enum {
    PV_PAPERKEY_BOX_LEN = PV_SIGN_SEED_LEN + PV_AEAD_TAG_LEN,
    PV_PAPERKEY_LINES = 5,
    PV_PAPERKEY_CHARS = 119, /* letters, without blanks */
    /* Each letter with a blank or line break behind it, and the NUL. */
    PV_PAPERKEY_TEXT_BUF = 2 * PV_PAPERKEY_CHARS + 1,
};

struct pv_paperkey {
    struct pv_pwhash_cost cost;
    uint8_t salt[PV_PWHASH_SALT_LEN];
    uint8_t box[PV_PAPERKEY_BOX_LEN];
};

/* Seals a root seed with a key that is used for nothing else, and opens it. PV_ERR_AUTH: another
 * key, so another passphrase; the seed is zeros then. */
void pv_paperkey_seal(uint8_t box[static PV_PAPERKEY_BOX_LEN],
                      const uint8_t key[static PV_PWHASH_KEY_LEN],
                      const uint8_t seed[static PV_SIGN_SEED_LEN]);
PV_MUST_CHECK int pv_paperkey_open(uint8_t seed[static PV_SIGN_SEED_LEN],
                                   const uint8_t key[static PV_PWHASH_KEY_LEN],
                                   const uint8_t box[static PV_PAPERKEY_BOX_LEN]);

/* PV_PAPERKEY_LINES lines of groups of five letters, each line ending with a line break. */
void pv_paperkey_format(const struct pv_paperkey *paper, char text[static PV_PAPERKEY_TEXT_BUF]);
/* The same letters without blanks and line breaks: for a QR code. */
void pv_paperkey_format_code(const struct pv_paperkey *paper,
                             char text[static PV_PAPERKEY_CHARS + 1]);

/*
 * Reads what a person typed: upper and lower case, blanks and hyphens anywhere, the letter O for 0,
 * I and L for 1; lines that begin with '#' are left out. *ret_line: the line (from 1) in which the
 * slip is, 0 when that cannot be told.
 *   PV_ERR_MALFORMED    a slip
 *   PV_ERR_TRUNCATED    too few letters; *ret_line: the last one that is whole
 *   PV_ERR_UNSUPPORTED  of a newer version
 */
PV_MUST_CHECK int pv_paperkey_parse(const char *text, size_t len, struct pv_paperkey *ret_paper,
                                    unsigned *ret_line);
