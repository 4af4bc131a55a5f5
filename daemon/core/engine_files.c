/* SPDX-License-Identifier: MIT */
/* Files' place in the engine: who is there, notices in-band, what users ask, what is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/engine_int.h"
#include "proto/local/ctlapi_file.h"

#define META_FILES "files"

/* --- life ---------------------------------------------------------------------------------------
 */

int pv_engine_files_new(struct pv_engine *e, const struct pv_engine_config *cfg)
{
    const struct pv_filelink_config fc = {.rng = e->node.rng, .log = e->node.log};
    struct pv_view saved = pv_view(NULL, 0);
    e->passed.handle = -1;
    e->auto_accept = calloc(cfg->n_auto_accept + 1, sizeof(*e->auto_accept));
    if (e->auto_accept == NULL)
        return PV_ERR_NOMEM;
    if (cfg->n_auto_accept > 0)
        memcpy(e->auto_accept, cfg->auto_accept, cfg->n_auto_accept * sizeof(*e->auto_accept));
    e->n_auto_accept = cfg->n_auto_accept;
    for (size_t i = 0; i < cfg->saved->n_meta; i++)
        if (strcmp(cfg->saved->meta[i].name, META_FILES) == 0)
            saved = cfg->saved->meta[i].value;
    return pv_filelink_new(&e->files, &fc, saved);
}

void pv_engine_files_free(struct pv_engine *e)
{
    pv_filelink_free(e->files);
    free(e->auto_accept);
}

static void save(struct pv_engine *e)
{
    uint8_t *buf = malloc(PV_FILELINK_SAVE_MAX);
    if (buf == NULL)
        return;
    size_t len = pv_filelink_save(e->files, buf);
    pv_engine_set_meta(e, META_FILES, pv_view(buf, len));
    free(buf);
}

/* --- peers --------------------------------------------------------------------------------------
 */

/* The largest rule that names this peer. */
static uint64_t auto_max(const struct pv_engine *e, const char *name)
{
    uint64_t max = 0;
    for (size_t i = 0; i < e->n_auto_accept; i++) {
        const struct pv_auto_accept *rule = &e->auto_accept[i];
        if ((rule->name[0] == '\0' || strcmp(rule->name, name) == 0) && rule->max > max)
            max = rule->max;
    }
    return max;
}

static struct pv_filelink_peer as_peer(const struct pv_engine *e, const struct pv_peer *p,
                                       bool online)
{
    return (struct pv_filelink_peer){.pk = p->pk,
                                     .name = p->name,
                                     .addr = p->ip4,
                                     .online = online,
                                     .auto_max = auto_max(e, p->name)};
}

/* May it be reached? Of a peer nobody has said anything about, try. */
static bool is_there(const struct pv_engine *e, const struct pv_peer *p)
{
    return e->node.iface == PV_IFACE_UP && pv_peer_reach(p) != PV_REACH_NO;
}

void pv_engine_files_peer(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    const struct pv_filelink_peer peer = as_peer(e, p, is_there(e, p));
    pv_filelink_set_peer(e->files, &peer, now);
}

void pv_engine_files_gone(struct pv_engine *e, const uint8_t *pk, pv_ns now)
{
    pv_filelink_peer_gone(e->files, pk, now);
}

/* --- notices ------------------------------------------------------------------------------------
 */

void pv_engine_files_notice(struct pv_engine *e, struct pv_peer *p, struct pv_view body, pv_ns now)
{
    const struct pv_filelink_peer peer = as_peer(e, p, true);
    pv_filelink_handle_notice(e->files, &peer, body, now);
    pv_engine_run_files(e, now);
}

static void send_notices(struct pv_engine *e, pv_ns now)
{
    struct pv_filelink_transmit tx;
    while (pv_filelink_poll_transmit(e->files, &tx) == PV_OK) {
        struct pv_peer *p = pv_engine_peer_by_pk(e, tx.pk);
        if (p == NULL)
            continue;
        if (pv_peer_can_talk(p, now)) {
            pv_engine_send_inband(e, p, PV_INBAND_FILE, pv_view(tx.buf, tx.len));
            continue;
        }
        pv_peer_want(p, "a file waits", now); /* the notice is repeated when there is a path */
        pv_engine_touch(e, p, now);
    }
}

static struct pv_ctlapi_file shown(const struct pv_file_entry *f)
{
    return (struct pv_ctlapi_file){
        .number = f->number,
        .outgoing = f->outgoing,
        .peer = f->peer_name,
        .name = f->name,
        .size = f->size,
        .done = f->done,
        .time_ms = f->time_ms,
        .state = f->state,
        .why = f->why,
        .running = f->running,
        .online = f->online,
    };
}

static void tell_watchers(struct pv_engine *e, uint32_t number)
{
    const struct pv_file_entry *f = pv_filelink_find(e->files, number);
    if (f == NULL)
        return;
    const struct pv_ctlapi_file file = shown(f);
    pv_watch_tell(&e->node.watch, e->node.ctl, "file", pv_ctlapi_one_file_json(&file));
}

void pv_engine_run_files(struct pv_engine *e, pv_ns now)
{
    uint32_t number;
    send_notices(e, now);
    while (pv_filelink_poll_event(e->files, &number) == PV_OK)
        tell_watchers(e, number);
    if (pv_filelink_take_dirty(e->files, now))
        save(e);
}

/* --- operations ---------------------------------------------------------------------------------
 */

int pv_engine_poll_fileop(struct pv_engine *e, struct pv_engine_fileop *ret_op)
{
    if (e->n_fileops > 0) {
        *ret_op = e->fileops[0];
        e->n_fileops--;
        memmove(e->fileops, e->fileops + 1, e->n_fileops * sizeof(e->fileops[0]));
        return PV_OK;
    }
    struct pv_fileop op;
    int r = pv_filelink_poll_op(e->files, &op);
    if (r != PV_OK)
        return r;
    *ret_op = (struct pv_engine_fileop){.op = op};
    if (op.sid != 0)
        ret_op->op.sid = pv_sid(PV_STREAM_FILE, op.sid);
    const struct pv_member *self = pv_node_self(&e->node);
    if (self != NULL)
        ret_op->local = op.addr.family == PV_AF_INET6 ? self->ip6 : self->ip4;
    return PV_OK;
}

/* One more for the shell; full: the oldest are still there, and the client asks again. */
static bool add_op(struct pv_engine *e, const struct pv_engine_fileop *op)
{
    if (e->n_fileops == PV_ARRAY_LEN(e->fileops))
        return false;
    e->fileops[e->n_fileops++] = *op;
    return true;
}

void pv_engine_file_progress(struct pv_engine *e, uint64_t tag, uint64_t done, pv_ns now)
{
    pv_filelink_progress(e->files, tag, done, now);
}

void pv_engine_file_done(struct pv_engine *e, uint64_t tag, enum pv_file_why why, uint64_t done,
                         pv_ns now)
{
    pv_filelink_done(e->files, tag, why, done, now);
    pv_engine_run_files(e, now);
}

/* --- requests -----------------------------------------------------------------------------------
 */

static void drop_passed(struct pv_engine *e)
{
    if (e->passed.handle >= 0 &&
        !add_op(e, &(struct pv_engine_fileop){
                       .op = {.type = PV_FILEOP_RELEASE, .handle = e->passed.handle}}))
        pv_log(e->node.log, PV_LOG_WARN, "what=\"descriptor of a client not closed\"");
    e->passed.handle = -1;
}

void pv_engine_passed(struct pv_engine *e, uint32_t sid, const struct pv_engine_passed *file)
{
    drop_passed(e);
    e->passed = *file;
    e->passed_sid = sid;
}

void pv_engine_files_stop(struct pv_engine *e)
{
    pv_filelink_stop_all(e->files);
    drop_passed(e);
}

void pv_engine_files_client_gone(struct pv_engine *e, uint32_t sid)
{
    if (e->passed_sid == sid)
        drop_passed(e);
}

static void answer_file(struct pv_engine *e, uint32_t number, uint64_t handle)
{
    const struct pv_file_entry *f = pv_filelink_find(e->files, number);
    if (f == NULL) {
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, "files: out of memory: try again");
        return;
    }
    const struct pv_ctlapi_file file = shown(f);
    pv_ctlsrv_answer(e->node.ctl, handle, pv_ctlapi_one_file_json(&file));
}

void pv_engine_files_send(struct pv_engine *e, struct pv_peer *p,
                          const struct pv_ctlapi_request *req, uint64_t handle, pv_ns now)
{
    uint32_t number;
    uint32_t sid = pv_sid(PV_STREAM_CTL, pv_ctlsrv_sid(e->node.ctl, handle));
    if (e->passed.handle < 0 || e->passed_sid != sid) {
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_USAGE,
                       "send-file: no regular file came with the request: give the name of a file "
                       "you may read");
        return;
    }
    const struct pv_filelink_offer offer = {
        .peer = as_peer(e, p, is_there(e, p)),
        .name = pv_view(req->text, strlen(req->text)),
        .size = e->passed.size,
        .time_ms = pv_engine_wall_ms(e, now),
        .stamp = e->passed.stamp,
        .handle = e->passed.handle,
    };
    int r = pv_filelink_offer(e->files, &offer, now, &number);
    if (r != PV_OK) {
        char text[PV_CTLAPI_ERROR_BUF];
        snprintf(text, sizeof(text), "send-file: %s: %s", pv_strstatus(r),
                 r == PV_ERR_LIMIT ? "too many files are under way: `p2pvpnctl files` lists them"
                                   : "the name of the file is not UTF-8, or the file too large");
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, text);
        return;
    }
    e->passed.handle = -1; /* the offer's now */
    if (p->presence == PV_PRESENCE_UNKNOWN)
        pv_engine_subscribe(e, (const uint8_t(*)[PV_SIGN_PK_LEN]) & p->pk, 1);
    pv_peer_want(p, "a file waits", now);
    pv_engine_touch(e, p, now);
    answer_file(e, number, handle);
    pv_engine_run_files(e, now);
}

static void list(struct pv_engine *e, uint64_t handle)
{
    const struct pv_file_entry *f;
    json_t *out = pv_ctlapi_files_new();
    for (size_t i = 0; out != NULL && (f = pv_filelink_at(e->files, i)) != NULL; i++) {
        const struct pv_ctlapi_file file = shown(f);
        if (pv_ctlapi_files_add(out, &file) != PV_OK) {
            json_decref(out);
            out = NULL;
        }
    }
    pv_ctlsrv_answer(e->node.ctl, handle, out);
}

/* Gives the client the received file: its descriptor goes out with the answer. */
static int pass(struct pv_engine *e, uint32_t number, uint64_t handle)
{
    const struct pv_file_entry *f = pv_filelink_find(e->files, number);
    if (f == NULL)
        return PV_ERR_NOT_FOUND;
    if (f->outgoing || f->state != PV_FILE_DONE)
        return PV_ERR_STATE;
    struct pv_engine_fileop op = {.pass = true};
    op.op.sid = pv_sid(PV_STREAM_CTL, pv_ctlsrv_sid(e->node.ctl, handle));
    op.op.number = number;
    memcpy(op.op.id, f->id, sizeof(op.op.id));
    return add_op(e, &op) ? PV_OK : PV_ERR_LIMIT;
}

/* Nothing more happens to a file in this state. */
static bool is_over(enum pv_file_state state)
{
    return state != PV_FILE_OFFERED && state != PV_FILE_ACCEPTED;
}

/* "saved already": why what was asked for cannot be done with the file. */
static const char *state_words(enum pv_file_state state)
{
    static const char *const words[PV_FILE_N_STATES] = {
        [PV_FILE_OFFERED] = "offered and not accepted yet",
        [PV_FILE_ACCEPTED] = "accepted and not whole yet",
        [PV_FILE_DONE] = "transferred already",
        [PV_FILE_SAVED] = "saved already",
        [PV_FILE_REFUSED] = "refused",
        [PV_FILE_WITHDRAWN] = "withdrawn",
        [PV_FILE_FAILED] = "not transferred: it failed",
    };
    return words[state];
}

void pv_engine_files_request(struct pv_engine *e, const struct pv_ctlapi_request *req,
                             uint64_t handle, pv_ns now)
{
    char text[PV_CTLAPI_ERROR_BUF];
    int r = PV_ERR_UNSUPPORTED;
    if (req->cmd == PV_CTLAPI_FILES) {
        list(e, handle);
        return;
    }
    if (req->cmd == PV_CTLAPI_FILE_ACCEPT)
        r = pv_filelink_accept(e->files, req->number, now);
    else if (req->cmd == PV_CTLAPI_FILE_STOP)
        r = pv_filelink_stop(e->files, req->number, now);
    else if (req->cmd == PV_CTLAPI_FILE_GET)
        r = pass(e, req->number, handle);
    else if (req->cmd == PV_CTLAPI_FILE_SAVED)
        r = pv_filelink_saved(e->files, req->number, now);
    if (r == PV_OK) {
        answer_file(e, req->number, handle);
    } else {
        const struct pv_file_entry *f = pv_filelink_find(e->files, req->number);
        if (r == PV_ERR_STATE && f != NULL)
            snprintf(text, sizeof(text), "files: file %lu %s %s: `p2pvpnctl files` lists them",
                     (unsigned long)req->number,
                     f->outgoing         ? "goes out and is"
                     : is_over(f->state) ? "was"
                                         : "is",
                     state_words(f->state));
        else
            snprintf(text, sizeof(text), "files: %lu: %s: `p2pvpnctl files` lists them",
                     (unsigned long)req->number, pv_strstatus(r));
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, text);
    }
    pv_engine_run_files(e, now);
}
