/* SPDX-License-Identifier: MIT */
/*
 * ctlmsg_words.h - what ctlmsg.c and ctlmsg_parse.c share: the word of each message type and the
 * ranges of numbers. Not for others.
 */
#ifndef PV_CTLMSG_WORDS_H
#define PV_CTLMSG_WORDS_H

#include "proto/control/ctlmsg.h"
#include "proto/control/jsonline.h"

#define PV_CTL_U64_MAX ((uint64_t)INT64_MAX) /* JSON libraries read integers as int64 */
#define PV_CTL_ID_MAX  PV_JSONLINE_EXACT_MAX

struct pv_ctl_word {
    const char *word; /* NULL: the type has none */
    unsigned kinds;   /* bits 1 << enum pv_ctl_kind; 0: parse only */
};

extern const struct pv_ctl_word pv_ctl_words[PV_CTL_TYPE_COUNT];

#endif /* PV_CTLMSG_WORDS_H */
