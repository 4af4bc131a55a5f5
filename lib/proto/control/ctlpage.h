/* SPDX-License-Identifier: MIT */
/*
 * ctlpage.h - packed pages: messages with statements, as bytes instead of JSON. Neighbours in a log
 * differ in keys and signatures and in little else, so each is written as what differs from the one
 * before. docs/PROTOCOL-COORDINATOR.md "Packed pages". pv_ctl_parse() and pv_ctl_build() call it.
 *
 * Pure, no state. Fuzz target: fuzz_ctlmsg.
 */
#pragma once

#include "proto/control/ctlmsg.h"

enum {
    PV_CTLPAGE_ID = 2,        /* offset of the request's number, 8 bytes; 0: a push */
    PV_CTLPAGE_HEAD_MAX = 96, /* bytes before the first item */
    PV_CTLPAGE_FIRST = 0,     /* the first byte; JSON's is a brace or a blank */
};

/*
 * Writes an answer or push PV_CTL_STATEMENTS into buf.
 *   PV_ERR_NO_SPACE  longer than cap or PV_CTL_TEXT_MAX, also when unpacked
 *   PV_ERR_STATE     as pv_ctl_build()
 */
PV_MUST_CHECK int pv_ctlpage_build(const struct pv_ctl_msg *msg, void *buf, size_t cap,
                                   size_t *ret_len);
/* Bytes that one item takes at most: for filling a page of PV_CTLPAGE_ROOM. */
size_t pv_ctlpage_item_max(const struct pv_ctl_item *item);
#define PV_CTLPAGE_ROOM (PV_CTL_TEXT_MAX - PV_CTLPAGE_HEAD_MAX)

/* Is this message a packed page? */
static inline bool pv_ctlpage_is(struct pv_view text)
{
    return text.len > 0 && text.ptr[0] == PV_CTLPAGE_FIRST;
}
/* As pv_ctl_parse(), which calls it. */
PV_MUST_CHECK int pv_ctlpage_parse(struct pv_view text, struct pv_ctl_msg **ret_msg);
