/* SPDX-License-Identifier: MIT */
/*
 * copyjob.h - what members' copies ask of the store: copies held for others, and where copies of
 * own messages are. Carried by PV_CHATJOB_COPIES, served by daemon/store/store_copies.c. Each
 * operation is atomic and may be repeated.
 */
#ifndef PV_COPYJOB_H
#define PV_COPYJOB_H

#include "proto/chat/parcel.h"

enum {
    PV_COPIES_MAX = 10000,          /* held in all */
    PV_COPIES_MAX_BYTES = 64 << 20, /* of their boxes */
    PV_COPIES_MAX_OF_NODE = 1000,   /* of one sender, and for one receiver */
    PV_COPIES_MAX_BYTES_OF_NODE = 8 << 20,
    PV_COPIES_MAX_OF_PAIR = 250, /* of one sender for one receiver: a quarter of the receiver's, so
                                    that no sender can use up the place of the others */
    PV_COPIES_MAX_BYTES_OF_PAIR = 2 << 20,
    PV_COPIES_DAYS = 14, /* then a copy is deleted */
    PV_COPIES_MAX_LIST = 64,
};

enum pv_copyjob_kind {
    /* Hold a copy. In: from, to, key, box. PV_ERR_REFUSED: a quota is full, or the disk
     * nearly is. Copies older than PV_COPIES_DAYS are deleted first. */
    PV_COPYJOB_PUT,
    /* The next copy for `to` behind n; none when there is none. In: to, n. Out: copy. */
    PV_COPYJOB_NEXT,
    /* One is delivered. In: from, to, key. */
    PV_COPYJOB_DROP,
    /* Own undelivered messages to `to` of which holder has no copy, ascending. In: to, holder.
     * Out: messages, more. */
    PV_COPYJOB_MISSING,
    /* holder has one. In: to, key, holder. Out: messages without text = it, if it was not SENT. */
    PV_COPYJOB_PLACED,
    /* Which copies at holder are of messages that are delivered by now; forgotten here with the
     * answer. In: holder. Out: messages without text, at most PV_COPIES_MAX_LIST. */
    PV_COPYJOB_OVER,
    /* Members may have given up copies that they had: of messages that are not delivered MISSING
     * lists all from now on. */
    PV_COPYJOB_ANEW,
    /* Each: Out: total = copies held for others. */
    PV_COPYJOB_COUNT,
};

struct pv_copyjob {
    enum pv_copyjob_kind kind;
    uint8_t from[PV_SIGN_PK_LEN], to[PV_SIGN_PK_LEN], holder[PV_SIGN_PK_LEN];
    uint8_t key[PV_CHAT_ID_LEN];
    uint64_t n;
    size_t box_len;
    uint8_t *box; /* owned */
};

struct pv_stored_copy {
    uint64_t n; /* 0: there is none */
    uint8_t from[PV_SIGN_PK_LEN];
    uint8_t key[PV_CHAT_ID_LEN];
    size_t box_len;
    uint8_t *box; /* owned */
};
struct pv_copyjob_result {
    uint64_t total;
    struct pv_stored_copy copy; /* NEXT */
};

struct pv_copyjob *pv_copyjob_free(struct pv_copyjob *job); /* NULL is fine; returns NULL */
struct pv_copyjob_result *pv_copyjob_result_free(struct pv_copyjob_result *result);

#endif /* PV_COPYJOB_H */
