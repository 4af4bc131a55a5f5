/* SPDX-License-Identifier: MIT */
/* invite.h - a new invite: the statement that the coordinator gets, and the token for whom it is
 * meant. */
#pragma once

#include "daemon/core/member/puts.h"

/* The terms wished for. */
struct pv_invite_terms {
    uint32_t uses;
    uint64_t expires_s; /* seconds from now */
    uint8_t flags;      /* enum pv_st_invite_flag */
    uint32_t lifetime;  /* of members by it: seconds, 0 = for ever */
    const char *tag;    /* of members by it: a valid name; NULL: none */
};

/* The clock that judges windows of invites, Unix seconds: the coordinator's where it ever told it,
 * as this machine's may be wrong. */
uint64_t pv_invite_clock_s(const struct pv_node *n, pv_ns now);

/* A put of the invite with its token, and of its tag, which counts here at once, to be sent by the
 * caller, signed by this key: this node's, or root's, by which whoever joins becomes an admin
 * (rootkey.h). The coordinator's clock judges the window, so the window follows it where it is
 * known. PV_ERR_NOMEM, PV_ERR_LIMIT (the coordinators do not fit a token, or this node has no room
 * for another tag), or why the statement cannot be made. */
PV_MUST_CHECK int pv_invite_make(struct pv_node *n, struct pv_signer by,
                                 const struct pv_invite_terms *terms, pv_ns now,
                                 struct pv_put **ret_put);
