/* SPDX-License-Identifier: MIT */
/*
 * ctlsrv.h - connections of the control socket: lines in, checked requests to be served, answers
 * back.
 *
 * A stream machine: knows JSON lines, limits and who may ask what; what a request does is decided
 * by the part that has its command (p2pvpnd: daemon/core/client/commands.c), which answers by
 * handle, at once or later, after any number of events. A request that is refused here (malformed,
 * not permitted, too many) is answered here. Requests that last, `watch` and `wait`, get some of
 * the connections only, so that others find one soon. Needs no clock. Not thread-safe.
 *
 * Requests of one connection run side by side; replies carry the request's id.
 */
#pragma once

#include <jansson.h>

#include "base/pv.h"
#include "proto/local/ctlcmd.h"

enum {
    PV_CTLSRV_MAX_CONNS = 72,           /* open at once: the usher's, and some that just end */
    PV_CTLSRV_LASTING = 56,             /* of the usher's, those with a request that lasts */
    PV_CTLSRV_LASTING_OF_ROOT = 40,     /* of them root's */
    PV_CTLSRV_LASTING_OF_USER = 16,     /* of them of any other user */
    PV_CTLSRV_MAX_REQUESTS = 16,        /* unanswered, of one connection */
    PV_CTLSRV_MAX_REFUSED = 64,         /* of bytes that came together; more ends it */
    PV_CTLSRV_MAX_OUT = 8388608,        /* bytes waiting for one reader; more closes it */
    PV_CTLSRV_MAX_OUT_TOTAL = 33554432, /* bytes waiting for all */
};

struct pv_ctlapi_request;
struct pv_streams;
struct pv_ctlsrv; /* opaque */

/* streams: borrowed; what is written and closed. flag: the one of p2pvpnctl that means this node,
 * borrowed; "": none. own: of p2pvpnd --user. Both are for commands in the texts of replies
 * (remedy.h). PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlsrv_new(struct pv_ctlsrv **ret_srv, struct pv_streams *streams,
                                const char *flag, bool own);
struct pv_ctlsrv *pv_ctlsrv_free(struct pv_ctlsrv *srv); /* NULL is fine; returns NULL */

/* --- streams ------------------------------------------------------------------------------- */

/* A client of this user connected; sids are never 0 and below 2^28. may_change: as root may.
 * PV_ERR_LIMIT, PV_ERR_NOMEM: close it. */
PV_MUST_CHECK int pv_ctlsrv_accepted(struct pv_ctlsrv *srv, uint32_t uid, bool may_change,
                                     uint32_t *ret_sid);
/* Runs one request, which is freed afterwards. An answer is owed to handle, which is never 0 and
 * never used twice. It may call all below but closed(), handle_bytes() and tidy(). */
typedef void pv_ctlsrv_serve(void *arg, struct pv_ctlapi_request *req, uint64_t handle);
/* Each request that these bytes complete is served before this returns. arg: serve's. */
void pv_ctlsrv_handle_bytes(struct pv_ctlsrv *srv, uint32_t sid, struct pv_view bytes,
                            pv_ctlsrv_serve *serve, void *arg);
/* The client is gone: its requests are cancelled, the sid is forgotten. */
void pv_ctlsrv_closed(struct pv_ctlsrv *srv, uint32_t sid);

/* The bytes to write next; valid until the next call. Empty for an unknown sid. */
struct pv_view pv_ctlsrv_out(struct pv_ctlsrv *srv, uint32_t sid);
void pv_ctlsrv_wrote(struct pv_ctlsrv *srv, uint32_t sid, size_t n);

/* A request that was served, and whose client is gone: what it started is dropped. No answer is
 * due; one that comes is ignored. It may call all but closed(), handle_bytes() and tidy(). */
typedef void pv_ctlsrv_cancelled(void *arg, uint64_t handle);
/* Forgets connections that were closed here, and tells of the requests that ended with one. */
void pv_ctlsrv_tidy(struct pv_ctlsrv *srv, pv_ctlsrv_cancelled *cancelled, void *arg);

/* Is that client still connected? */
bool pv_ctlsrv_is_open(const struct pv_ctlsrv *srv, uint32_t sid);

/* --- requests ------------------------------------------------------------------------------ */

/* The connection a request came on; 0: its client is gone. */
uint32_t pv_ctlsrv_sid(const struct pv_ctlsrv *srv, uint64_t handle);

/* Ends the request: {"id","ok":true} and the fields of body, which it takes. NULL, which the
 * builders of ctlapi.h give without memory, fails the request with PV_CTLAPI_FAILED. */
void pv_ctlsrv_answer(struct pv_ctlsrv *srv, uint64_t handle, json_t *body);
/* Ends the request: {"id","ok":true}. */
void pv_ctlsrv_done(struct pv_ctlsrv *srv, uint64_t handle);
/* Ends the request: {"id","ok":false,"code","error"}. text is "what failed: why: what to do". */
void pv_ctlsrv_fail(struct pv_ctlsrv *srv, uint64_t handle, enum pv_ctlapi_code code,
                    const char *text);
/* The same with a text that is put together here; what is too long is cut. */
void pv_ctlsrv_failf(struct pv_ctlsrv *srv, uint64_t handle, enum pv_ctlapi_code code,
                     const char *fmt, ...) PV_PRINTF(4, 5);
/* The handle of a request that came by no connection of this server. Who calls what answers it has
 * set where a failure goes: fn, with the text as it would be sent; NULL: nowhere, as other answers
 * to it. */
#define PV_CTLSRV_ELSEWHERE UINT64_MAX
typedef void pv_ctlsrv_failed(void *arg, enum pv_ctlapi_code code, const char *text);
void pv_ctlsrv_divert(struct pv_ctlsrv *srv, pv_ctlsrv_failed *fn, void *arg);
/* {"id","event",…body} for a request that is not over. Takes body; NULL is dropped. */
void pv_ctlsrv_event(struct pv_ctlsrv *srv, uint64_t handle, const char *event, json_t *body);
/* Bytes that wait for the client of this request to read them; 0: it is gone. */
size_t pv_ctlsrv_backlog(const struct pv_ctlsrv *srv, uint64_t handle);
