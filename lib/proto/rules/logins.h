/* SPDX-License-Identifier: MIT */
/*
 * logins.h - the accounts that a rule opens for ssh (docs/adr/0134): "ssh:ada,bob" in text, the
 * names in bytes (PROTOCOL-NETWORK.md "Statements").
 *
 * A set has one form: names in ascending order, each once, commas between. A name has no character
 * with a meaning in sshd_config, in a shell or in an address, so it is never quoted. No state.
 * Fuzz target: fuzz_rules.
 */
#pragma once

#include "proto/rules/ports.h"

enum {
    PV_LOGIN_MAX = 32,   /* characters of a name, as useradd has it */
    PV_LOGINS_MAX = 128, /* ours: bytes of a set; a rule stays a short statement */
    PV_LOGINS_PORT = 22, /* sshd's, where a rule names none */
    PV_LOGINS_TEXT = 11 + PV_LOGINS_MAX + 1, /* "ssh/65535:", the names and the NUL */
};

struct pv_logins {
    char names[PV_LOGINS_MAX + 1]; /* "ada,bob"; "": none; zeros behind */
};

/* Is this the name of an account that a rule may open: 1 to 32 of a-z A-Z 0-9 _ . -, a letter or _
 * first? */
bool pv_login_is_valid(const char *name, size_t len);

/* Reads bytes in the one form, also none. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_logins_decode(struct pv_view bytes, struct pv_logins *ret_logins);
static inline bool pv_logins_are_none(const struct pv_logins *l)
{
    return l->names[0] == '\0';
}
bool pv_logins_have(const struct pv_logins *l, const char *name);
/* The next name from *at on, which begins as l->names; false at the end. */
bool pv_logins_next(const char **at, char ret_name[static PV_LOGIN_MAX + 1]);

/* Does the text begin as one of these does ("ssh:", "ssh/2222:"), right or wrong? */
bool pv_logins_are_meant(const char *text);
/* "ssh:ada,bob", "ssh/2222:ada": the names, and sshd's TCP port as the one range of *ret_ports.
 * PV_ERR_MALFORMED; PV_ERR_LIMIT: more than PV_LOGINS_MAX bytes. */
PV_MUST_CHECK int pv_logins_parse(const char *text, struct pv_ports *ret_ports,
                                  struct pv_logins *ret_logins);
/* May a rule with these names have these ports: one of TCP? */
bool pv_logins_fit(const struct pv_logins *l, const struct pv_ports *ports);
/* Such a text of names and ports that fit. Returns buf. */
const char *pv_logins_format(const struct pv_logins *l, const struct pv_ports *ports,
                             char buf[static PV_LOGINS_TEXT]);
#define PV_LOGINS_STR(logins, ports) pv_logins_format(logins, ports, (char[PV_LOGINS_TEXT]){0})
/* What a rule is about, in text: its accounts, or its ports. */
#define PV_ABOUT_STR(logins, ports) \
    (pv_logins_are_none(logins) ? PV_PORTS_STR(ports) : PV_LOGINS_STR(logins, ports))
