/* SPDX-License-Identifier: MIT */
/*
 * ctlmsg_words.h - what ctlmsg.c, ctlmsg_parse.c and ctlpage.c share: the word of each message
 * type, the ranges of numbers, the block of a parsed message. Not for others.
 */
#ifndef PV_CTLMSG_WORDS_H
#define PV_CTLMSG_WORDS_H

#include <stdalign.h>
#include <stddef.h>

#include "proto/control/ctlmsg.h"
#include "proto/control/jsonline.h"

#define PV_CTL_U64_MAX ((uint64_t)INT64_MAX) /* JSON libraries read integers as int64 */
#define PV_CTL_ID_MAX  PV_JSONLINE_EXACT_MAX

#define PV_CTL_CAP_PAGES "pages" /* of hello's caps: packed pages are read */
#define PV_CTL_CAP_MOVED "moved" /* of hello's caps: error "moved" is followed */

struct pv_ctl_word {
    const char *word; /* NULL: the type has none */
    unsigned kinds;   /* bits 1 << enum pv_ctl_kind; 0: parse only */
};

/* A parsed message and everything it points to, in one block. */
struct pv_ctl_owned {
    struct pv_ctl_msg msg; /* first: pv_ctl_msg_free() gets its address */
    size_t cap;            /* bytes of mem */
    size_t used;
    alignas(max_align_t) uint8_t mem[];
};
/* Zeroed but for cap; NULL without memory. */
struct pv_ctl_owned *pv_ctl_owned_new(size_t cap);

extern const struct pv_ctl_word pv_ctl_words[PV_CTL_TYPE_COUNT];

#endif /* PV_CTLMSG_WORDS_H */
