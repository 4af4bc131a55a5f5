/* SPDX-License-Identifier: MIT */
/*
 * nodewire.h - the bytes by which chat and the node speak over a unix socket when they are two
 * programs (docs/adr/0125): frames, and the structs of node.h inside them. nodeserve.h is the
 * node's end, nodecall.h chat's.
 *
 * A frame has a head of PV_NODEWIRE_HEAD bytes (type 1, descriptor 1, length of the body 4) and a
 * body. If its descriptor byte is 1, a file descriptor travels with it (unix(7) SCM_RIGHTS).
 * Integers are big-endian. Texts have a 16-bit length, are UTF-8 and hold no NUL. Both programs are
 * of one package, so there is no version: an unknown type is an error like any other.
 *
 * Pure; no state.
 */
#pragma once

#include "base/bytes.h"
#include "chat/node.h"

enum {
    PV_NODEWIRE_HEAD = 6,     /* bytes before a body */
    PV_NODEWIRE_MAX = 32768,  /* bytes of a body; the longest holds one text of PV_TEXT_MAX */
    PV_NODEWIRE_MEMBERS = 32, /* ours: members in one answer to NEXT */
};

/* Frames from chat. ASK: the node answers each with one REPLY, in their order; chat waits for it.
 * All others have no answer, or one in a frame of their own. */
#define PV_NODEWIRE_REQUESTS(X) \
    X(FIND) /* ASK */           \
    X(NEXT) /* ASK */           \
    X(MAY)  /* ASK */           \
    X(LINK) /* ASK */           \
    X(SIGN) /* ASK */           \
    X(EXPLAIN)                  \
    X(WANT)                     \
    X(NOTICE)                   \
    X(KEEP)                     \
    X(COLLECT)                  \
    X(CONNECT)                  \
    X(NOTIFY)                   \
    X(TELL)                     \
    X(REPORT)
/* Frames from the node. CONNECTED (unless it failed) and ACCEPTED bring a descriptor. */
#define PV_NODEWIRE_NEWS(X) \
    X(REPLY)                \
    X(OWN)                  \
    X(MEMBER)               \
    X(GONE)                 \
    X(HEARD)                \
    X(EXPLAINED)            \
    X(KEPT)                 \
    X(COLLECTED)            \
    X(COPIES)               \
    X(CONNECTED)            \
    X(ACCEPTED)             \
    X(NOTIFIED)             \
    X(ASKED)

#define PV_NODEWIRE_ENUMERATOR(name) PV_NODEWIRE_##name,
enum pv_nodewire_type {
    PV_NODEWIRE_REQUESTS(PV_NODEWIRE_ENUMERATOR) PV_NODEWIRE_N_REQUESTS,
    PV_NODEWIRE_BEFORE_NEWS = 127,
    PV_NODEWIRE_NEWS(PV_NODEWIRE_ENUMERATOR) PV_NODEWIRE_AFTER_NEWS,
};

/* One frame; body is borrowed. */
struct pv_nodewire_frame {
    unsigned type; /* enum pv_nodewire_type, or a number that is none */
    bool has_fd;
    struct pv_view body;
};

/* Begins a frame in buf: what is written behind is its body. */
struct pv_writer pv_nodewire_begin(uint8_t buf[static PV_NODEWIRE_HEAD + PV_NODEWIRE_MAX]);
/* Ends it, and returns the whole frame, in buf. PV_ERR_NO_SPACE: the body is too long. */
PV_MUST_CHECK int pv_nodewire_end(struct pv_writer *w, enum pv_nodewire_type type, bool has_fd,
                                  struct pv_view *ret_frame);
/* Takes the first frame of bytes. Its length is PV_NODEWIRE_HEAD + body.len. PV_ERR_AGAIN: bytes
 * do not hold a whole frame yet. PV_ERR_MALFORMED: the head is none. */
PV_MUST_CHECK int pv_nodewire_next(struct pv_view bytes, struct pv_nodewire_frame *ret_frame);

/* --- fields: put and get agree. A get() of something that put() never writes fails the reader
 * with PV_ERR_MALFORMED. --------------------------------------------------------------------- */

/* A text; get() writes at most cap bytes with the NUL. */
void pv_nodewire_put_text(struct pv_writer *w, const char *text);
void pv_nodewire_get_text(struct pv_reader *r, char *ret_text, size_t cap);
/* A number of an enum below n. */
unsigned pv_nodewire_get_enum(struct pv_reader *r, unsigned n);
bool pv_nodewire_get_bool(struct pv_reader *r);
/* PV_OK or a negative status. */
void pv_nodewire_put_status(struct pv_writer *w, int status);
int pv_nodewire_get_status(struct pv_reader *r);
void pv_nodewire_put_addr(struct pv_writer *w, const struct pv_addr *a);
void pv_nodewire_get_addr(struct pv_reader *r, struct pv_addr *ret_addr);
void pv_nodewire_put_own(struct pv_writer *w, const struct pv_overlay_own *own);
void pv_nodewire_get_own(struct pv_reader *r, struct pv_overlay_own *ret_own);
void pv_nodewire_put_member(struct pv_writer *w, const struct pv_overlay_member *m);
void pv_nodewire_get_member(struct pv_reader *r, struct pv_overlay_member *ret_member);

/* A query with what it points to; a word longer than PV_CTLAPI_PEER_BUF means nothing, and is cut
 * to a word that means nothing either. */
struct pv_nodewire_query {
    struct pv_overlay_query query; /* points into the fields below */
    uint8_t key[PV_SIGN_PK_LEN];
    struct pv_addr addr;
    char word[PV_CTLAPI_PEER_BUF];
};
void pv_nodewire_put_query(struct pv_writer *w, const struct pv_overlay_query *query);
void pv_nodewire_get_query(struct pv_reader *r, struct pv_nodewire_query *ret_query);
