/* SPDX-License-Identifier: MIT */
/*
 * names.h - the names file: who is who in one network, written by p2pvpnd, read by libnss_p2pvpn
 * (docs/PROTOCOL-LOCAL.md "Names file"). Built and searched here; in place, without a copy.
 *
 * The reader trusts nothing in a file: opening checks the frame, every lookup checks what it
 * touches.
 * Does not: open files, follow DNS search lists. Any thread.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "base/text.h"

enum {
    PV_NAMES_MAX = 131072,  /* records: as many as a roster has statements */
    PV_NAMES_HEAD = 96,     /* bytes: magic 16, count 4, zero 4, network 64, zero 8 */
    PV_NAMES_RECORD = 84,   /* bytes: name 64, ip4 4, ip6 16 */
    PV_NAMES_FULL_BUF = 134 /* "NAME.NETWORK.p2p" and a NUL */
};

/* Length in bytes of a file of n records: header, records, and two lists of record numbers sorted
 * by address. */
#define PV_NAMES_SIZE(n) ((size_t)PV_NAMES_HEAD + (size_t)(n) * (PV_NAMES_RECORD + 8))

struct pv_names_entry {
    char name[PV_NAME_BUF];
    struct pv_addr ip4; /* port 0; PV_AF_NONE: none */
    struct pv_addr ip6;
};

/* An open file; borrows the bytes. */
struct pv_names {
    struct pv_view file;
    uint32_t n;
    char network[PV_NAME_BUF];
};

/*
 * Writes the file of these entries (sorted in place by name) into buf, PV_NAMES_SIZE(n) bytes.
 * PV_ERR_NO_SPACE, PV_ERR_LIMIT (n), PV_ERR_MALFORMED (a name), PV_ERR_EXISTS (a name twice),
 * PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_names_build(const char *network, struct pv_names_entry *entries, size_t n,
                                 uint8_t *buf, size_t cap);

/* PV_ERR_TRUNCATED, PV_ERR_UNSUPPORTED (another magic), PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_names_open(struct pv_view file, struct pv_names *ret_names);
/* Checks every record and both orders: PV_ERR_MALFORMED. For tests: lookups check what they
 * read. */
PV_MUST_CHECK int pv_names_check(const struct pv_names *names);

/* name in its canonical form; one label. PV_ERR_NOT_FOUND, PV_ERR_MALFORMED (the file). */
PV_MUST_CHECK int pv_names_by_name(const struct pv_names *names, const char *name,
                                   struct pv_names_entry *ret_entry);
/* Returns the i-th record by name; i < names->n. PV_ERR_MALFORMED (the file). */
PV_MUST_CHECK int pv_names_at(const struct pv_names *names, uint32_t i,
                              struct pv_names_entry *ret_entry);
/* Finds a record by its address; the port is ignored. PV_ERR_NOT_FOUND, PV_ERR_MALFORMED (the
 * file). */
PV_MUST_CHECK int pv_names_by_ip(const struct pv_names *names, const struct pv_addr *ip,
                                 struct pv_names_entry *ret_entry);

/*
 * Splits a host name as people write it: "bob" (network ""), "Bob.home.p2p" and "bob.home.p2p.".
 * PV_ERR_NOT_FOUND: not a name of an overlay.
 */
PV_MUST_CHECK int pv_names_split(const char *text, char ret_name[static PV_NAME_BUF],
                                 char ret_network[static PV_NAME_BUF]);
/*
 * Returns true if the word after "send" is an address, a key or "key:AbCd". No sentence continues
 * so: such a line is meant for this peer alone, whether it exists or not. ret_name: of "box",
 * "Box.home" and "box.home.p2p" the canonical name, which is a peer's if a machine has it; "" for
 * any other word.
 */
bool pv_names_is_address(const char *word, char ret_name[static PV_NAME_BUF]);
/* The same for the word after "send" in a line "send WORD TEXT", which may begin with blanks.
 * Returns false and "" for all other lines. */
bool pv_names_in_send(const char *line, char ret_name[static PV_NAME_BUF]);
/* "NAME.NETWORK.p2p"; returns buf. */
const char *pv_names_full(const char *name, const char *network,
                          char buf[static PV_NAMES_FULL_BUF]);
