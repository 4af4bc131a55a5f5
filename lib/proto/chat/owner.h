/* SPDX-License-Identifier: MIT */
/*
 * owner.h - the in-band question and answer about the user who opened a connection of plain text
 * (docs/PROTOCOL-PEERS.md "Proof of the daemon"). Codec only. No state; thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "proto/chat/chat.h"

enum {
    PV_PROOF_OWNER_LEN = 6, /* bytes of the in-band message */
};

/* Whose is the connection that came from your address and this port to my port PV_CHAT_PORT? */
struct pv_proof_owner {
    bool answer, ip6;
    uint16_t port;
    enum pv_chat_typist typist; /* answer */
};
void pv_proof_owner_build(const struct pv_proof_owner *msg, uint8_t buf[static PV_PROOF_OWNER_LEN]);
/* PV_ERR_TRUNCATED, PV_ERR_MALFORMED, PV_ERR_UNSUPPORTED (version: ignore it). Bytes behind the
 * fields are for later versions and skipped. */
PV_MUST_CHECK int pv_proof_owner_parse(struct pv_view body, struct pv_proof_owner *ret_msg);
