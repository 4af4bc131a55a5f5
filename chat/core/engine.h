/* SPDX-License-Identifier: MIT */
/*
 * engine.h - chat as one pure machine: its parts, what they are told, and what they want.
 *
 * It sees the node by chat/node.h alone, and serves commands of a control server that it borrows.
 * It never blocks, and calls nothing but the node. Its owner's turn is:
 *
 *   pv_chat_set_wall()
 *   tell what happened: the functions of pv_chat_told(), streams, commands, timeouts
 *   pv_chat_run()
 *   carry out what waits: streams, files
 *
 * It calls its store directly. What is stored in a turn is brought to the disk at the end of
 * pv_chat_run(), and answers, events and bytes of streams leave only then.
 *
 * A part that cannot be without the values that parts had kept (chatpart.h waits) is made when the
 * store can give them: until then its commands are told so, and its connections are refused.
 * Not thread-safe.
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "base/streams.h"
#include "chat/core/base/chat.h"
#include "chat/core/files/files_part.h"
#include "chat/core/talk/asked.h"
#include "chat/node.h"

struct pv_chat_config {
    struct pv_rng rng;
    const struct pv_log *log;         /* borrowed, as all pointers here; may be NULL */
    const struct pv_overlay *overlay; /* the node */
    struct pv_chat_store *store;
    struct pv_ctlsrv *ctl;
    struct pv_events *events;
    struct pv_chat_given given;
    const struct pv_auto_accept *auto_accept; /* copied */
    size_t n_auto_accept;
    /* The parts to make, for tests; NULL: all. */
    const struct pv_chatpart *const *parts;
    size_t n_parts;
    uint64_t wall_us; /* wall clock now, Unix microseconds */
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chat_new(struct pv_chat **ret_chat, const struct pv_chat_config *cfg,
                              pv_ns now);
struct pv_chat *pv_chat_free(struct pv_chat *c); /* NULL is fine; returns NULL */

/* Wall clock now, Unix microseconds; may jump. */
void pv_chat_set_wall(struct pv_chat *c, uint64_t wall_us, pv_ns now);
/* How the node tells chat of changes and answers (chat/node.h). */
struct pv_overlay_told pv_chat_told(struct pv_chat *c);
/* Parts act on what they were told. After each call or several. */
void pv_chat_run(struct pv_chat *c, pv_ns now);
/* The end: what others must be told leaves now. */
void pv_chat_stop(struct pv_chat *c, pv_ns now);
void pv_chat_handle_timeout(struct pv_chat *c, pv_ns now);
pv_ns pv_chat_next_timeout(const struct pv_chat *c);

/* All commands that chat serves, by index. Returns false behind the last. */
bool pv_chat_serves(size_t i, enum pv_ctlapi_cmd *ret_cmd);
/* Runs a request of one of them. */
void pv_chat_command(struct pv_chat *c, struct pv_ctlapi_request *req, uint64_t handle, pv_ns now);
/* Chat's share of `status`. */
void pv_chat_status(struct pv_chat *c, const struct pv_chat_page *page, pv_ns now);

/* --- streams ------------------------------------------------------------------------------- */

/* sid: with its kind (base/streams.h). A stream is there from connected() or accepted() of
 * pv_chat_told() on until closed() or an operation CLOSE. */
void pv_chat_stream_bytes(struct pv_chat *c, uint32_t sid, struct pv_view bytes, pv_ns now);
void pv_chat_stream_closed(struct pv_chat *c, uint32_t sid, pv_ns now);
struct pv_view pv_chat_stream_out(struct pv_chat *c, uint32_t sid); /* until the next call */
void pv_chat_stream_wrote(struct pv_chat *c, uint32_t sid, size_t n, pv_ns now);
/* The next stream to be closed, once what it has is written; or to be looked at, since it has
 * output. PV_ERR_AGAIN. Connects the streams that are to open. */
PV_MUST_CHECK int pv_chat_next_close(struct pv_chat *c, uint32_t *ret_sid, pv_ns now);
PV_MUST_CHECK int pv_chat_next_look(struct pv_chat *c, uint32_t *ret_sid);
