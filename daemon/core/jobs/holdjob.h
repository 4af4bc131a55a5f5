/* SPDX-License-Identifier: MIT */
/*
 * holdjob.h - what members' copies ask of the store: copies held for others, and where copies of
 * own messages are. Carried by PV_CHATJOB_HOLD, served by daemon/store/store_hold.c. Each operation
 * is atomic and may be repeated.
 */
#ifndef PV_HOLDJOB_H
#define PV_HOLDJOB_H

#include "proto/chat/parcel.h"

enum {
    PV_HOLD_MAX_COPIES = 10000,   /* held in all */
    PV_HOLD_MAX_BYTES = 64 << 20, /* of their boxes */
    PV_HOLD_MAX_OF_NODE = 1000,   /* of one sender, and for one receiver */
    PV_HOLD_MAX_BYTES_OF_NODE = 8 << 20,
    PV_HOLD_DAYS = 14, /* then a copy is deleted */
    PV_HOLD_MAX_LIST = 64,
};

enum pv_holdjob_kind {
    /* Hold a copy. In: from, to, key, box, wall_s. PV_ERR_REFUSED: a quota is full. What is older
     * than PV_HOLD_DAYS is deleted first. */
    PV_HOLDJOB_PUT,
    /* The next copy for `to` behind n; none when there is none. In: to, n. Out: copy. */
    PV_HOLDJOB_NEXT,
    /* One is delivered. In: from, to, key. */
    PV_HOLDJOB_DROP,
    /* Own undelivered messages to `to` of which holder has no copy, ascending. In: to, holder.
     * Out: messages, more. */
    PV_HOLDJOB_UNHELD,
    /* holder has one. In: to, key, holder. Out: messages without text = it, if it was not SENT. */
    PV_HOLDJOB_HELD,
    /* Which copies at holder are of messages that are delivered by now; forgotten here with the
     * answer. In: holder. Out: messages without text, at most PV_HOLD_MAX_LIST. */
    PV_HOLDJOB_OVER,
    /* Each: Out: total = copies held for others. */
    PV_HOLDJOB_COUNT,
};

struct pv_holdjob {
    enum pv_holdjob_kind kind;
    uint8_t from[PV_SIGN_PK_LEN], to[PV_SIGN_PK_LEN], holder[PV_SIGN_PK_LEN];
    uint8_t key[PV_CHAT_ID_LEN];
    uint64_t n, wall_s;
    size_t box_len;
    uint8_t *box; /* owned */
};

struct pv_hold_copy {
    uint64_t n; /* 0: there is none */
    uint8_t from[PV_SIGN_PK_LEN];
    uint8_t key[PV_CHAT_ID_LEN];
    size_t box_len;
    uint8_t *box; /* owned */
};
struct pv_holdjob_result {
    uint64_t total;
    struct pv_hold_copy copy; /* NEXT */
};

struct pv_holdjob *pv_holdjob_free(struct pv_holdjob *job); /* NULL is fine; returns NULL */
struct pv_holdjob_result *pv_holdjob_result_free(struct pv_holdjob_result *result);

#endif /* PV_HOLDJOB_H */
