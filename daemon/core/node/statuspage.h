/* SPDX-License-Identifier: MIT */
/*
 * statuspage.h - what `p2pvpnctl status` says, while the parts write it: each part fills in what it
 * knows (part.h status()), and whoever has trouble adds a problem. Everything that the answer
 * points at lies in here, so that a part may leave its buffers.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "base/text.h"
#include "daemon/core/packets/fastpath.h"
#include "proto/local/connect.h"
#include "proto/local/ctlapi_status.h"
#include "proto/local/ctlcmd.h"
#include "proto/local/remedy.h"
#include "proto/roster/statement.h"

enum {
    PV_STATUSPAGE_MAX_PROBLEMS =
        48, /* ours: more than all parts can add; what is above is left out */
    PV_STATUSPAGE_PROBLEM_TEXT =
        600, /* bytes with the NUL: a report of the roster and its beginning */
    PV_STATUSPAGE_MAX_DROPS =
        PV_FP_DROP_REASONS + 24,   /* of packets; of the shell, chat and rooms */
    PV_STATUSPAGE_MAX_PUBLIC = 16, /* addresses as seen from outside */
};

/* Objects that one part writes: fields of the answer, in this order behind all others, each in a
 * row with its name. POST_QUANTUM is written by statuspage.c, of what is in pq. */
#define PV_STATUSPAGE_ROWS(X)       \
    X(HARD_NAT, "hard_nat")         \
    X(NAT_BINDING, "nat_binding")   \
    X(POST_QUANTUM, "post_quantum") \
    X(RELAYS, "relays")             \
    X(UDP, "udp")                   \
    X(DATAPATH, "datapath")         \
    X(LAN, "lan")                   \
    X(ROUTES, "routes")             \
    X(PORT_MAPPINGS, "port_mappings")
#define PV_STATUSPAGE_ENUMERATOR(word, name) PV_STATUS_##word,
enum pv_statuspage_field {
    PV_STATUSPAGE_ROWS(PV_STATUSPAGE_ENUMERATOR) PV_STATUS_FIELDS,
};
#undef PV_STATUSPAGE_ENUMERATOR

/* Sessions with members that no quantum computer opens later. */
struct pv_statuspage_pq {
    const char *state;          /* "on", "require", "off", "unable"; NULL: nobody told */
    const char *why;            /* "unable": why; NULL: null */
    unsigned hybrid, classical; /* sessions with keys */
    unsigned waiting;           /* of the classical ones: no packet passes */
    unsigned sealing_keys;      /* members whose signals and copies are hybrid boxes */
    const char *coordinator; /* its control channel: "hybrid", "classical"; NULL: there is none */
};

/* How often something was thrown away, and why; reason is a static text. */
struct pv_statuspage_drop {
    const char *reason;
    uint64_t count;
};

struct pv_statuspage {
    struct pv_ctlapi_status s;
    uint8_t head[PV_STATEMENT_HASH_LEN];
    struct pv_addr publics[PV_STATUSPAGE_MAX_PUBLIC];
    char coordinator[PV_HOSTPORT_BUF];
    char coordinator_todo[PV_REMEDY_BUF];
    char proxy_text[PV_CONNECT_WHY_MAX];
    char proxy_todo[PV_REMEDY_BUF];
    char relay[PV_ADDR_TEXT];

    struct pv_statuspage_pq pq;
    json_t *fields[PV_STATUS_FIELDS]; /* owned; NULL: left out */
    bool lacks_memory;                /* for one of them */

    char problem_texts[PV_STATUSPAGE_MAX_PROBLEMS][PV_STATUSPAGE_PROBLEM_TEXT];
    const char *problems[PV_STATUSPAGE_MAX_PROBLEMS];
    const char *remedies[PV_STATUSPAGE_MAX_PROBLEMS]; /* identifiers; NULL: none is named */
    size_t n_problems;

    struct pv_statuspage_drop drops[PV_STATUSPAGE_MAX_DROPS]; /* all reasons, also those at 0 */
    size_t n_drops;
};

/* Adds the sentence "what" + "why", which names no remedy, or one that somebody else said. */
void pv_statuspage_problem(struct pv_statuspage *st, const char *what, const char *why);
/* Adds the sentence "what" + the text of the remedy. */
void pv_statuspage_todo(struct pv_statuspage *st, const char *what, struct pv_remedy todo);
/* The same of problems that keep no packet back: of names, chat, files. */
void pv_statuspage_minor(struct pv_statuspage *st, const char *what, const char *why);
void pv_statuspage_minor_todo(struct pv_statuspage *st, const char *what, struct pv_remedy todo);
void pv_statuspage_drop(struct pv_statuspage *st, const char *reason, uint64_t count);
/* Takes value; NULL: there was no memory for it. */
void pv_statuspage_put(struct pv_statuspage *st, enum pv_statuspage_field field, json_t *value);
/* Of a page on the heap; NULL is fine; returns NULL. */
struct pv_statuspage *pv_statuspage_free(struct pv_statuspage *st);
/* The whole answer; NULL without memory. Only drops that happened are in it. */
json_t *pv_statuspage_json(struct pv_statuspage *st);
