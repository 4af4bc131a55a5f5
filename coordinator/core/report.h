/* SPDX-License-Identifier: MIT */
/*
 * report.h - the report of a running coordinator for `p2pvpn-coordinator status`: numbers, as JSON
 * and as lines for people. No keys, no passwords, no names but those of [turn-user], nothing that
 * peers say: a reader learns how busy the server is.
 *
 * The JSON is versioned: fields are added, none changes its meaning while "version" stays.
 */
#pragma once

#include <jansson.h>

#include "base/metrics.h"
#include "coordinator/core/coord.h"

enum {
    PV_REPORT_VERSION = 1,      /* of the JSON: fields are added, none changes its meaning */
    PV_REPORT_ADDRS_MAX = 32,   /* ours: addresses, twice as many as can be listened on */
    PV_REPORT_TEXT_MAX = 16384, /* ours: bytes of the lines, NUL included */
};

struct pv_report {
    const char *version;
    const char *rights; /* what is in force, in words */
    uint64_t uptime_s;
    uint64_t udp_silent_s;                  /* pv_report_hear_udp() */
    const char *public_doubt;               /* what may be wrong with `public`; NULL: nothing */
    const char *addrs[PV_REPORT_ADDRS_MAX]; /* "0.0.0.0:3478", "tls:0.0.0.0:443" */
    size_t n_addrs;
    struct pv_coord_stats coord;
    struct pv_coord_kinds kinds;
    uint64_t tls;         /* connections through TLS */
    uint64_t handshakes;  /* of TLS, under way */
    uint64_t tls_refused; /* turned away: too many handshakes */
    uint64_t no_fds;      /* times when connections had to wait for descriptors */
    uint64_t waiting;     /* 1: they do now */
    bool relay_on;
    const struct pv_relaystats *relay;
    const char *users[PV_RELAYSTAT_USERS]; /* static users, as the relay numbers them */
    size_t n_users;
    struct {
        bool postgres;     /* kept in PostgreSQL, not in the state directory */
        const char *error; /* of the last operation that failed; NULL: none has since */
        uint64_t failed;   /* operations that did */
        uint64_t bytes;    /* of the database on the disk */
        uint64_t free;     /* bytes of the disk that are left */
    } store;
    uint64_t living; /* coordinators that share the database, this one too; 0: it is alone */
    struct {
        uint64_t turns;
        uint64_t slow;       /* longer than 5 ms */
        uint64_t hard;       /* of them those in which the thread itself worked for so long */
        uint64_t busy_us;    /* all of them together */
        uint64_t longest_us; /* of this minute and the one before */
    } loop;                  /* of the control thread */
    struct pv_metrics_process process;
};

/* {"version":1,"coordinator","rights","listen":[…],"uptime","networks","statements","online",
 * "connections":{…},"requests":{…},"relay":{…,"drops":{…}},"limits":{…},"store":{…},"cluster":{…},
 * "loop":{…},"process":{…}}; PROTOCOL-COORDINATOR.md has the fields, report.c and
 * turn/relaystats.c the numbers. NULL: out of memory. */
json_t *pv_report_json(const struct pv_report *r);

/* Turns a report into lines. PV_ERR_MALFORMED: it has another format; PV_ERR_NO_SPACE. */
PV_MUST_CHECK int pv_report_text(const json_t *doc, char ret_text[static PV_REPORT_TEXT_MAX]);
/* When UDP was last heard; zeroed at first, but for at, which is when the ports were opened. */
struct pv_report_udp {
    uint64_t received;
    pv_ns at;
};
/* Takes note of so many datagrams that have come in. Returns for how many seconds none has though
 * nodes were online, as exact as it is called often. */
uint64_t pv_report_hear_udp(struct pv_report_udp *u, uint64_t online, uint64_t received, pv_ns now);
/* Is that longer than nodes are silent? A node asks by UDP as soon as it is connected, of a
 * coordinator without a relay, too, and then at least every 110 s: the port is closed, here or in
 * front of this machine, or each of these nodes is in a network that lets no UDP out. */
bool pv_report_is_udp_silent(uint64_t received, uint64_t silent_s);
/* Does it serve, and can it store? Silence by UDP may be the nodes', so it is no failure. */
bool pv_report_is_well(const json_t *doc);
/* Turns a report into text for Prometheus (base/metrics.h), which the caller frees with free().
 * PV_ERR_MALFORMED: it has another format; PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_report_metrics(const json_t *doc, char **ret_text, size_t *ret_len);

/* --- rows ------------------------------------------------------------------------------------ */

/*
 * The numbers of a report, one row each: where it comes from, where it stands in
 * the JSON, and its sample for Prometheus. The relay's numbers have their rows in
 * turn/relaystats.c.
 */

struct pv_report_row {
    const char *object;      /* of the document; NULL: the document itself */
    size_t offset;           /* of a uint64_t in struct pv_report */
    struct pv_stat_row stat; /* no family: `limits`, or a sum of other rows, already shows it */
};

/* All of them, objects and families in the order in which they are shown. */
const struct pv_report_row *pv_report_rows(size_t *ret_n);
