/* SPDX-License-Identifier: MIT */
/*
 * natcore_text.h - a NAT configured and asked in words: "filtering=ei", "stats", "list".
 *
 * The settings are those of struct pv_nat_config; docs/TESTING.md lists them. Pure.
 */
#pragma once

#include "natcore.h"

/* Text that grows. text is NUL-terminated, NULL while empty; failed = no memory, text is cut. */
struct pv_nattext {
    char *text;
    size_t len, cap;
    bool failed;
};

void pv_nattext_add(struct pv_nattext *t, const char *fmt, ...) PV_PRINTF(2, 3);
void pv_nattext_done(struct pv_nattext *t);

/*
 * Sets one thing. Keys are the names of the fields with "-" for "_", for the lines also "loss",
 * "in-loss", "out-loss" and so on (without a side: both), and "profile" for a named NAT:
 *   full-cone, address-restricted, port-restricted, symmetric, symmetric-sequential,
 *   symmetric-block, linux (as MASQUERADE with INPUT accepting: pollution), linux-drop
 * Values: times "250ms", "30s" (a bare number is milliseconds), chances "5%" or "0.05", rates "2M"
 * or "500k" bits a second, ranges "1024-65535", lists "a,b", yes/no. PV_ERR_NOT_FOUND for an
 * unknown key, PV_ERR_MALFORMED for a bad value; nothing changes then.
 */
PV_MUST_CHECK int pv_nat_set(struct pv_nat_config *config, const char *key, const char *value);

/*
 * Carries out one line and puts a JSON object in reply:
 *   stats                 counters            list                mappings
 *   get                   the settings        set KEY=VALUE...    changes some
 *   flush                 forgets everything, like a reboot
 *   drop PROTO ADDR:PORT  forgets the mappings of a public endpoint (udp, tcp, icmp)
 * A line that is not understood gives {"error": "..."}.
 */
void pv_nat_command(struct pv_nat *nat, const char *line, pv_ns now, struct pv_nattext *reply);
