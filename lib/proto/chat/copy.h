/* SPDX-License-Identifier: MIT */
/*
 * copy.h - frames about sealed copies that members hold for members who are away (docs/PROTOCOL.md
 * "Members' copies"): lines of a chat connection that begin with {"copy":. What is in a copy is
 * proto/chat/parcel.h. Codec only; no state; thread-safe.
 */
#ifndef PV_COPY_H
#define PV_COPY_H

#include "base/pv.h"
#include "proto/chat/parcel.h"

enum pv_copy_kind {
    PV_COPY_KEEP,    /* sender to holder: node = receiver, box */
    PV_COPY_KEPT,    /* holder to sender: node = receiver, yes */
    PV_COPY_DROP,    /* sender to holder: node = receiver; it has been delivered */
    PV_COPY_DELIVER, /* holder to receiver: node = sender, box */
    PV_COPY_TAKEN,   /* receiver to holder: node = sender, yes: it may go */
};
/* Large; keep it off the stack. */
struct pv_copy_frame {
    enum pv_copy_kind kind;
    uint8_t key[PV_CHAT_ID_LEN]; /* the message's id, as its sender says */
    uint8_t node[PV_SIGN_PK_LEN];
    bool yes;
    size_t box_len;
    uint8_t box[PV_PARCEL_BOX_MAX]; /* KEEP, DELIVER: 1.. bytes */
};

/* Is this line of a chat connection one of ours? */
bool pv_copy_is_frame(struct pv_view line);
/* One line without its newline. PV_ERR_MALFORMED, PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_copy_frame_parse(struct pv_view line, struct pv_copy_frame *ret_frame);
/* The frame as a line with its newline. PV_ERR_LIMIT when the box is too long. */
PV_MUST_CHECK int pv_copy_frame_write(const struct pv_copy_frame *frame,
                                      char buf[static PV_CHAT_LINE_MAX], size_t *ret_len);

#endif /* PV_COPY_H */
