/* SPDX-License-Identifier: MIT */
/*
 * chatstore.h - the store as chat calls it: each operation (chatop.h) is done, or has failed, when
 * the call returns.
 *
 * Operations are done one by one, so the failure of one undoes no other. What they wrote survives
 * the end of the process at once, and a power cut once settle() has returned. So nothing that says
 * that something is stored may leave the process before: chat's engine settles once a turn, before
 * it gives bytes and answers away (docs/adr/0130).
 */
#pragma once

#include "chat/core/base/chatop.h"

enum {
    PV_CHAT_STORE_ERROR = 240, /* bytes of the reason, with the NUL */
};

struct pv_chat_store {
    void *self;
    /* Does one operation. *ret is written whole and the caller's (pv_chatop_result_done()), empty
     * on failure. A negative status, with a sentence "what failed: why: what to do" in error:
     * PV_ERR_LIMIT, PV_ERR_EXISTS, PV_ERR_MALFORMED, PV_ERR_NOMEM, PV_ERR_UNSUPPORTED, an errno. */
    int (*run)(struct pv_chat_store *store, const struct pv_chatop *op,
               struct pv_chatop_result *ret);
    /* Brings to the disk what was written since the last call. A failure is for good: nobody knows
     * what the disk has, and all later operations fail. The reason is in error. */
    int (*settle)(struct pv_chat_store *store);
    bool off;                        /* of the last operation: the database cannot be used */
    char error[PV_CHAT_STORE_ERROR]; /* of the last failure */
};

static inline int pv_chat_store_run(struct pv_chat_store *store, const struct pv_chatop *op,
                                    struct pv_chatop_result *ret)
{
    return store->run(store, op, ret);
}
