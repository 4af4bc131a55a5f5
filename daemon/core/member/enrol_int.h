/* SPDX-License-Identifier: MIT */
/* enrol_int.h - one attempt to become a member, as enrol.c (begins, ends) and enrol_guest.c (the
 * coordinator's part in it) both see it. */
#ifndef PV_ENROL_INT_H
#define PV_ENROL_INT_H

#include "daemon/core/member/enrol.h"
#include "daemon/core/member/puts.h"
#include "proto/roster/roster_make.h"
#include "proto/roster/token.h"

enum pv_enrol_step {
    PV_ENROL_NONE,
    PV_ENROL_ROOT,     /* create: the keeper is making the root key */
    PV_ENROL_CONNECT,  /* guest connection */
    PV_ENROL_FETCH,    /* join: record and invite */
    PV_ENROL_JOIN,     /* join: reservation */
    PV_ENROL_REGISTER, /* join: member statement */
    PV_ENROL_CREATE,   /* create: statements */
    PV_ENROL_SAVE,     /* the statements are being stored */
    PV_ENROL_NETWORK,  /* with them the membership is */
    PV_ENROL_IFACE,    /* the interface is coming up */
    PV_ENROL_INVITE,   /* create: the first invite, for which a member's connection is needed */
};

struct pv_enrol {
    struct pv_node *node;
    struct pv_puts puts; /* the first invite's */
    uint64_t attempt;    /* number of this one */

    /* this attempt; wiped at its end */
    enum pv_enrol_step step;
    bool create;
    uint64_t handle;        /* ctl */
    pv_ns deadline;         /* of this step */
    pv_ns until;            /* of all, until membership is certain */
    char name[PV_NAME_BUF]; /* of this node, as asked for */
    bool name_given;        /* by the user: another one will not do */
    char network[PV_NAME_BUF];
    struct pv_prefix range;
    uint8_t secret[PV_URL_SECRET_LEN]; /* create */
    bool has_secret;
    uint8_t invite_sk[PV_SIGN_SK_LEN]; /* join */
    uint8_t invite_pk[PV_SIGN_PK_LEN];
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t rules_mark[PV_TOKEN_RULES_LEN]; /* join: of the rules that the token vouches for */
    size_t list_len;
    uint8_t list[PV_TOKEN_LIST_MAX]; /* coordinators */
    /* join: a coordinator of the list that is there does not know the token */
    enum pv_ctl_error unknown;
    struct pv_created created;
    struct pv_roster *roster;       /* owned, until membership is certain */
    char why[PV_COORD_WHY_MAX + 1]; /* of the last failure, for the message at the deadline */
    unsigned jobs;                  /* results still missing in this step */
    struct pv_put *invite;          /* owned: INVITE, until it is sent */
};

/* Before membership is certain: a refusal, the deadline or the client's going ends the attempt. */
static inline bool pv_enrol_is_guest(const struct pv_enrol *x)
{
    return x->step != PV_ENROL_NONE && x->step < PV_ENROL_SAVE;
}

/* --- enrol.c --------------------------------------------------------------------------------- */

/* Ends the attempt: back to what was before. The user reads "WHAT: why: remedy". */
void pv_enrol_fail(struct pv_enrol *x, enum pv_ctlapi_code code, pv_ns now, const char *why,
                   const char *remedy);
/* Of the jobs whose results end this step. */
uint64_t pv_enrol_job_tag(const struct pv_enrol *x);

/* --- enrol_guest.c ---------------------------------------------------------------------------- */

/* A join goes on at the next coordinator of its token. False: there is none. */
bool pv_enrol_ask_next(struct pv_enrol *x, pv_ns now);
/* The guest's connection is there, or was refused. */
void pv_enrol_guest_push(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now);
/* The statements are stored: the network is next. */
void pv_enrol_save_network(struct pv_enrol *x, pv_ns now);
/* The answer to what was asked in this step. */
void pv_enrol_guest_answer(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now);

#endif /* PV_ENROL_INT_H */
