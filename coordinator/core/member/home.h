/* SPDX-License-Identifier: MIT */
/*
 * home.h - which of several coordinators with one database is the home of a network: the one where
 * its members meet, which has it in memory and stores what changes. The others send its members
 * there.
 *
 * A home is a row of the database: holder, and a number, the fence, that grows with each change.
 * The holder lives as long as it renews its own row, by the clock of the database. Here is only
 * what is concluded from these; the change itself is made where the fence is still that of the
 * facts, and every write checks the fence: so at most one coordinator stores for a network,
 * whatever clocks, pauses and partitions do. Pure.
 */
#pragma once

#include "base/pv.h"
#include "coordinator/core/member/storeop.h"

enum {
    PV_HOME_ADDRS_MAX = 4,   /* ours: addresses of a home that nodes are told */
    PV_HOME_ADDR_MAX = 280,  /* characters of one, PV_CTL_ADDR_TEXT_MAX */
    PV_HOME_EMPTY_MS = 5000, /* ours: a home that was given and where nobody came may be taken */
    PV_HOME_PLEA_MS = 30000, /* ours: and one whose members cannot get there, after that */
};

/* The state of the one that has the home. */
enum pv_home_holder {
    PV_HOME_NOBODY, /* there is none, or it has left */
    PV_HOME_ALIVE,
    PV_HOME_SILENT, /* it has not renewed, or was killed */
};

/* The database's word, at one moment of its clock. */
struct pv_home_facts {
    bool known;     /* the network exists */
    int64_t me;     /* number of the coordinator that asks */
    int64_t holder; /* number of the one that has the home; 0: none */
    int64_t fence;  /* 0: it never had a home */
    bool loaded;    /* the holder has it in memory */
    enum pv_home_holder state;
    int64_t age_ms; /* since the holder has it */
    bool patient;   /* me has renewed for as long as a lease lasts, without a break */
    bool draining;  /* me gives its homes away */
    bool unread;    /* me could not read this network lately, and who else takes it may */
    int64_t homes;  /* that me has */
    int64_t least;  /* living coordinator with the fewest, but for me; 0: there is none */
    int64_t least_homes;
};

enum pv_home_verdict {
    PV_HOME_NONE,  /* no such network */
    PV_HOME_TAKE,  /* it is, or becomes, home of the one that asks */
    PV_HOME_GIVE,  /* it becomes home of `least` */
    PV_HOME_THERE, /* its home is the holder */
    PV_HOME_WAIT,  /* ask again soon: its holder may come back */
};

/*
 * A member knocks at me. pleads: it was told before where the home is, and is back: it cannot get
 * there.
 */
enum pv_home_verdict pv_home_judge(const struct pv_home_facts *f, bool pleads);

/* The answer to PV_STOREOP_HOME and PV_STOREOP_LEAVE. */
struct pv_home_answer {
    enum pv_home_verdict verdict; /* TAKE: done; GIVE never: it is THERE then */
    int64_t fence;                /* TAKE */
    uint64_t epoch;               /* TAKE: of receipts from now on; above all in rows */
    struct pv_storeop *rows;      /* TAKE: owned: all of the network; NULL: it has none */
    struct pv_storeop *entries;   /* TAKE: owned: its log; NULL: it has none */
    bool was_elsewhere;           /* TAKE: another coordinator had it before */
    const char *why;              /* TAKE: for the log; static; NULL: nobody says */
    size_t n_to;
    char to[PV_HOME_ADDRS_MAX][PV_HOME_ADDR_MAX + 1]; /* THERE: "HOST:PORT" each; may be none */
};

struct pv_home_answer *pv_home_answer_free(struct pv_home_answer *a); /* NULL is fine */
/* Takes "HOST:PORT HOST:PORT" apart. */
void pv_home_set_addrs(struct pv_home_answer *a, struct pv_view addrs);
