/* SPDX-License-Identifier: MIT */
/* owner.c - the bytes of the question and of its answer. */
#include "proto/chat/owner.h"

#include "base/bytes.h"

enum {
    VERSION = 1,
    KIND_QUESTION = 1,
    KIND_ANSWER = 2,
};

void pv_proof_owner_build(const struct pv_proof_owner *msg, uint8_t buf[static PV_PROOF_OWNER_LEN])
{
    buf[0] = VERSION;
    buf[1] = msg->answer ? KIND_ANSWER : KIND_QUESTION;
    buf[2] = msg->ip6 ? 6 : 4;
    buf[3] = msg->answer ? (uint8_t)msg->typist : 0;
    pv_store_be16(buf + 4, msg->port);
}

int pv_proof_owner_parse(struct pv_view body, struct pv_proof_owner *ret_msg)
{
    if (body.len < 2)
        return PV_ERR_TRUNCATED;
    if (body.ptr[0] != VERSION)
        return PV_ERR_UNSUPPORTED;
    if (body.len < PV_PROOF_OWNER_LEN)
        return PV_ERR_TRUNCATED;
    if ((body.ptr[1] != KIND_QUESTION && body.ptr[1] != KIND_ANSWER) ||
        (body.ptr[2] != 4 && body.ptr[2] != 6))
        return PV_ERR_MALFORMED;
    ret_msg->answer = body.ptr[1] == KIND_ANSWER;
    ret_msg->ip6 = body.ptr[2] == 6;
    /* A typist that only a later version knows is nobody that we may show. */
    ret_msg->typist = ret_msg->answer && body.ptr[3] < PV_CHAT_TYPISTS
                          ? (enum pv_chat_typist)body.ptr[3]
                          : PV_CHAT_SOMEBODY;
    ret_msg->port = pv_load_be16(body.ptr + 4);
    return PV_OK;
}
