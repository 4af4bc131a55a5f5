/* SPDX-License-Identifier: MIT */
/*
 * parcel.h - a chat message for somebody who is away: the content of the box that waits at the
 * coordinator (proto/control/copybox.h; DESIGN 4 and 8, docs/PROTOCOL-PEERS.md "Stored copies").
 *
 *   content  u8 1, id 16, u64 seq, u64 time (ms), text, signature 64
 *
 * The signature is the author's (identity key, context "p2pvpn chat v1") over network id, receiver
 * and the content before it: whoever stores a copy can neither read nor make one. The codec only;
 * no state; thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "chat/proto/chat.h"
#include "crypto/sign.h"
#include "proto/control/appsigner.h"
#include "proto/control/copybox.h"

enum {
    PV_PARCEL_HEAD = 1 + PV_CHAT_ID_LEN + 8 + 8, /* bytes before the text */
    PV_PARCEL_CONTENT_MAX = PV_PARCEL_HEAD + PV_CHAT_TEXT_MAX + PV_SIGN_LEN,
};

struct pv_parcel {
    uint8_t id[PV_CHAT_ID_LEN];
    uint64_t seq;        /* 1..2^53, of the sender and this conversation */
    uint64_t time_ms;    /* the sender's clock, a claim */
    struct pv_view text; /* pv_text_is_valid() */
};

/* Has signer sign for route->from. PV_ERR_MALFORMED (text, seq); errors of signer. */
PV_MUST_CHECK int pv_parcel_build(const struct pv_signal_route *route,
                                  const struct pv_appsigner *signer, const struct pv_parcel *parcel,
                                  uint8_t ret_content[static PV_PARCEL_CONTENT_MAX],
                                  size_t *ret_len);
/* The author is route->from, this node route->to; the text points into content. PV_ERR_AUTH (not
 * from the author, or not for us), PV_ERR_MALFORMED, PV_ERR_TRUNCATED, PV_ERR_UNSUPPORTED
 * (version), PV_ERR_LIMIT (length), PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_parcel_parse(const struct pv_signal_route *route, struct pv_view content,
                                  struct pv_parcel *ret_parcel);
