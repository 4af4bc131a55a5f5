/* SPDX-License-Identifier: MIT */
/*
 * ctlmsg_words.h - what ctlmsg.c and ctlpage.c share: the word of each message
 * type, the ranges of numbers, the block of a parsed message. Not for others.
 */
#pragma once

#include <stdalign.h>
#include <stddef.h>

#include "proto/control/ctlmsg.h"
#include "proto/control/jsonline.h"

#define PV_CTL_U64_MAX ((uint64_t)INT64_MAX) /* JSON libraries read integers as int64 */
#define PV_CTL_ID_MAX  PV_JSONLINE_EXACT_MAX

/* How a field stands in JSON, and what the member that holds it is. */
enum pv_ctl_form {
    PV_CTL_F_END,    /* behind the last field */
    PV_CTL_F_NUMBER, /* uint64_t up to PV_CTL_U64_MAX, or uint32_t */
    PV_CTL_F_BOOL,
    PV_CTL_F_FIXED,  /* base64: an array of bytes, all of them */
    PV_CTL_F_BYTES,  /* base64: struct pv_view, 1..max bytes */
    PV_CTL_F_EXACT,  /* base64: struct pv_view, max bytes */
    PV_CTL_F_TEXT,   /* const char *, up to max characters */
    PV_CTL_F_NAME,   /* char[PV_NAME_BUF] */
    PV_CTL_F_IP4,    /* uint8_t[PV_IP4_LEN] */
    PV_CTL_F_IP6,    /* uint8_t[PV_IP6_LEN] */
    PV_CTL_F_IP,     /* struct pv_addr, of either family, without a port */
    PV_CTL_F_ROLE,   /* enum pv_ctl_role */
    PV_CTL_F_ERROR,  /* enum pv_ctl_error, as its word */
    PV_CTL_F_RESULT, /* struct pv_ctl_result */
    PV_CTL_F_OBJECT, /* a struct, by the fields of */
    PV_CTL_F_LIST,   /* pointer to elements of size bytes, at most max, by the fields of */
};

enum pv_ctl_rule {         /* bits */
    PV_CTL_R_OPTIONAL = 1, /* left out, or null, when it is empty or 0 */
    PV_CTL_R_NULL = 2,     /* null when it is not there, and not left out */
    PV_CTL_R_SOME = 4,     /* not empty, not 0 */
    PV_CTL_R_TRUE = 8,     /* left out it is true */
    PV_CTL_R_LEADS = 16,   /* when it is 0 or left out, no field follows */
    PV_CTL_R_REQUEST = 32, /* in requests only */
    PV_CTL_R_PUSH = 64,    /* in pushes only */
};

struct pv_ctl_field {
    const char *name; /* NULL: it stands in a list without one */
    enum pv_ctl_form form;
    unsigned rule; /* enum pv_ctl_rule */
    /* Bytes from the start of the message, object or element; has, a bool: it is there; 0: always;
     * count, a size_t: the elements of a list. */
    size_t at, has, count;
    size_t size, max;
    const struct pv_ctl_field *of;
    const char *wrong; /* what is named when it is wrong; NULL: its name */
};

struct pv_ctl_word {
    const char *word;                  /* NULL: the type has none */
    unsigned kinds;                    /* bits 1 << enum pv_ctl_kind; 0: parse only */
    const struct pv_ctl_field *fields; /* in the order in which they are written and judged */
};

/* Has a message of this kind the field? */
static inline bool pv_ctl_is_of(const struct pv_ctl_field *f, enum pv_ctl_kind kind)
{
    return ((f->rule & PV_CTL_R_REQUEST) == 0 || kind == PV_CTL_REQUEST) &&
           ((f->rule & PV_CTL_R_PUSH) == 0 || kind == PV_CTL_PUSH);
}

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
