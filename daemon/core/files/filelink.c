/* SPDX-License-Identifier: MIT */
/* filelink.c - the table of files, what users do with them, and time. Notices and transfers are in
 * filelink_peer.c. */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/files/filelink_int.h"

enum {
    SAVE_RATE = 10, /* of the table, a second, ours: what a disk does beside everything else */
    SAVE_BURST = 100,
    SAVE_LATER_MS = 100,
};

/* --- the table ----------------------------------------------------------------------------- */

bool pv_file_is_final(const struct pv_file *f)
{
    return f->e.state != PV_FILE_OFFERED && f->e.state != PV_FILE_ACCEPTED;
}

/* Tables are small (PV_FILELINK_MAX): a walk costs less than a map would. */
static struct pv_file *by_number(struct pv_filelink *l, uint32_t number)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->files[i].e.number == number)
            return &l->files[i];
    return NULL;
}

struct pv_file *pv_filelink_by_id(struct pv_filelink *l, const uint8_t *pk, const uint8_t *id,
                                  bool outgoing)
{
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        if (f->e.outgoing == outgoing && memcmp(f->e.id, id, sizeof(f->e.id)) == 0 &&
            memcmp(f->e.peer, pk, sizeof(f->e.peer)) == 0)
            return f;
    }
    return NULL;
}

void pv_file_op(struct pv_filelink *l, const struct pv_fileop *op)
{
    if (pv_fifo_put(l->ops, op, sizeof(*op)) != PV_OK)
        pv_log(l->log, PV_LOG_WARN, "what=\"operation on a file lost\" why=\"out of memory\"");
}

/* The shell opened the descriptor and closes it; until then its number is not used for another. */
static void release(struct pv_filelink *l, struct pv_file *f)
{
    if (f->handle >= 0)
        pv_file_op(l, &(struct pv_fileop){.type = PV_FILEOP_RELEASE, .handle = f->handle});
    f->handle = -1;
}

void pv_file_cancel(struct pv_filelink *l, struct pv_file *f)
{
    if (f->tag != 0)
        pv_file_op(l, &(struct pv_fileop){.type = PV_FILEOP_CANCEL, .tag = f->tag});
    f->tag = 0;
    f->e.running = false;
}

void pv_file_drop(struct pv_filelink *l, const struct pv_file *f)
{
    struct pv_fileop op = {.type = PV_FILEOP_DROP, .number = f->e.number};
    memcpy(op.id, f->e.id, sizeof(op.id));
    pv_file_op(l, &op);
}

bool pv_file_is_spent(const struct pv_file *f)
{
    return pv_file_is_final(f) && (f->e.outgoing || f->e.state != PV_FILE_DONE);
}

struct pv_file *pv_filelink_add(struct pv_filelink *l)
{
    /* The oldest entry that nobody needs makes room. One that waits for a user or a peer never
     * does. */
    for (size_t i = 0; l->n == PV_FILELINK_MAX && i < l->n; i++) {
        if (!pv_file_is_spent(&l->files[i]))
            continue;
        memmove(&l->files[i], &l->files[i + 1], (l->n - i - 1) * sizeof(l->files[0]));
        l->n--;
    }
    if (l->n == PV_FILELINK_MAX)
        return NULL;
    struct pv_file *f = &l->files[l->n++];
    *f = (struct pv_file){.e.number = ++l->last_number,
                          .handle = -1,
                          .fetch_at = PV_NEVER,
                          .doubt_at = PV_NEVER,
                          .tell_at = PV_NEVER,
                          .save = l->n_saves + 1,
                          .changed = true};
    l->dirty = true;
    return f;
}

void pv_file_set_why(struct pv_filelink *l, struct pv_file *f, enum pv_file_why why)
{
    if (f->e.why == why)
        return;
    f->e.why = why;
    f->changed = true;
    l->dirty = true;
}

void pv_file_set(struct pv_filelink *l, struct pv_file *f, enum pv_file_state state,
                 enum pv_file_why why, pv_ns now)
{
    if (f->e.state == state && f->e.why == why)
        return;
    f->e.state = state;
    f->e.why = why;
    f->changed = true;
    f->save = l->n_saves + 1;
    l->dirty = true;
    pv_file_tell(f, now);
    if (!pv_file_is_final(f))
        return;
    pv_file_cancel(l, f);
    release(l, f);
    /* The bytes of a file that will not be whole, or that its user has, only fill the disk. */
    if (!f->e.outgoing && state != PV_FILE_DONE)
        pv_file_drop(l, f);
}

bool pv_filelink_has_room(const struct pv_filelink *l, const struct pv_file *f)
{
    size_t n = 0, of_peer = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct pv_file *other = &l->files[i];
        /* The tag marks a transfer under way, in either direction. */
        if (other->tag == 0)
            continue;
        n++;
        of_peer += other->e.outgoing == f->e.outgoing &&
                   memcmp(other->e.peer, f->e.peer, sizeof(f->e.peer)) == 0;
    }
    return n < PV_FILELINK_MAX_RUNNING && of_peer < PV_FILELINK_MAX_PEER_RUNNING;
}

/* --- requests of users --------------------------------------------------------------------- */

/* The stamp tells the file from another of the same name and size, without reading it. */
static struct pv_file *find_same(struct pv_filelink *l, const struct pv_filelink_offer *o,
                                 const char *name)
{
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        if (f->e.outgoing && !pv_file_is_final(f) && f->e.size == o->size &&
            memcmp(f->e.peer, o->peer.pk, sizeof(f->e.peer)) == 0 &&
            memcmp(&f->stamp, &o->stamp, sizeof(f->stamp)) == 0 && strcmp(f->e.name, name) == 0)
            return f;
    }
    return NULL;
}

/* The file that this offer means: that of its id, or one that waits for it. */
static int find_meant(struct pv_filelink *l, const struct pv_filelink_offer *o, const char *name,
                      struct pv_file **ret_file)
{
    *ret_file = o->id == NULL ? NULL : pv_filelink_by_id(l, o->peer.pk, o->id, true);
    const struct pv_file *f = *ret_file;
    if (f == NULL)
        *ret_file = find_same(l, o, name);
    else if (f->e.size != o->size || memcmp(&f->stamp, &o->stamp, sizeof(f->stamp)) != 0 ||
             strcmp(f->e.name, name) != 0)
        return PV_ERR_EXISTS;
    return PV_OK;
}

static void know_peer(struct pv_file *f, const struct pv_filelink_peer *peer)
{
    memcpy(f->e.peer, peer->pk, sizeof(f->e.peer));
    memcpy(f->e.peer_name, peer->name, strlen(peer->name) + 1);
    f->e.online = peer->online;
    pv_file_set_addr(f, &peer->addr);
}

int pv_filelink_offer(struct pv_filelink *l, const struct pv_filelink_offer *o, pv_ns now,
                      uint32_t *ret_number)
{
    char name[PV_FILE_NAME_BUF];
    if (o->size > PV_FILE_SIZE_MAX || o->name.len == 0)
        return PV_ERR_MALFORMED;
    struct pv_file *f = NULL;
    int r = pv_file_name_clean(o->name, name);
    if (r == PV_OK)
        r = find_meant(l, o, name, &f);
    if (r != PV_OK)
        return r;
    if (f == NULL) {
        f = pv_filelink_add(l);
        if (f == NULL)
            return PV_ERR_LIMIT;
        f->e.outgoing = true;
        f->e.size = o->size;
        f->e.time_ms = o->time_ms;
        f->stamp = o->stamp;
        memcpy(f->e.name, name, sizeof(f->e.name));
        if (o->id != NULL)
            memcpy(f->e.id, o->id, sizeof(f->e.id));
        else
            pv_rng_fill(&l->rng, f->e.id, sizeof(f->e.id));
    }
    *ret_number = f->e.number;
    release(l, f);
    f->handle = o->handle;
    if (pv_file_is_final(f)) {
        release(l, f);
        return PV_OK;
    }
    know_peer(f, &o->peer);
    pv_file_set_why(l, f, PV_FILE_WHY_NONE);
    pv_file_tell(f, now); /* the receiver may be waiting for it */
    return PV_OK;
}

/* A file that was accepted already is tried anew at once: the user does not want to wait for the
 * next attempt. */
int pv_filelink_accept(struct pv_filelink *l, uint32_t number, pv_ns now)
{
    struct pv_file *f = by_number(l, number);
    if (f == NULL)
        return PV_ERR_NOT_FOUND;
    if (f->e.outgoing || pv_file_is_final(f))
        return PV_ERR_STATE;
    pv_file_set(l, f, PV_FILE_ACCEPTED, PV_FILE_WHY_NONE, now);
    f->retries = 0;
    f->fetch_at = now;
    pv_filelink_run(l, now);
    return PV_OK;
}

int pv_filelink_stop(struct pv_filelink *l, uint32_t number, pv_ns now)
{
    struct pv_file *f = by_number(l, number);
    if (f == NULL)
        return PV_ERR_NOT_FOUND;
    /* A received file that nobody has saved can still be stopped: its bytes are deleted, and the
     * sender still hears that it arrived. */
    bool unsaved = !f->e.outgoing && f->e.state == PV_FILE_DONE;
    if (pv_file_is_final(f) && !unsaved)
        return PV_ERR_STATE;
    if (unsaved)
        return pv_filelink_saved(l, number, now);
    pv_file_set(l, f, f->e.outgoing ? PV_FILE_WITHDRAWN : PV_FILE_REFUSED, PV_FILE_WHY_STOPPED,
                now);
    pv_filelink_run(l, now);
    return PV_OK;
}

int pv_filelink_saved(struct pv_filelink *l, uint32_t number, pv_ns now)
{
    struct pv_file *f = by_number(l, number);
    if (f == NULL)
        return PV_ERR_NOT_FOUND;
    if (f->e.outgoing || f->e.state != PV_FILE_DONE)
        return PV_ERR_STATE;
    pv_file_set(l, f, PV_FILE_SAVED, PV_FILE_WHY_NONE, now);
    return PV_OK;
}

const struct pv_file_entry *pv_filelink_at(const struct pv_filelink *l, size_t i)
{
    return i < l->n ? &l->files[i].e : NULL;
}

const struct pv_file_entry *pv_filelink_find(const struct pv_filelink *l, uint32_t number)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->files[i].e.number == number)
            return &l->files[i].e;
    return NULL;
}

/* --- peers --------------------------------------------------------------------------------- */

void pv_filelink_set_peer(struct pv_filelink *l, const struct pv_filelink_peer *peer, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        if (memcmp(f->e.peer, peer->pk, sizeof(f->e.peer)) != 0)
            continue;
        bool came = peer->online && !f->e.online;
        know_peer(f, peer);
        if (!came)
            continue;
        f->changed = true;
        if (!pv_file_is_final(f) || f->tell_at != PV_NEVER)
            pv_file_tell(f, now);
        /* A peer that comes back is asked at once: the waiting was for its absence. */
        if (f->e.state == PV_FILE_ACCEPTED && !f->e.outgoing) {
            f->retries = 0;
            f->fetch_at = now;
        }
    }
    pv_filelink_run(l, now);
}

/* Its files fail without a word to it: a node that is no member any more is told nothing. */
void pv_filelink_peer_gone(struct pv_filelink *l, const uint8_t *pk, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        if (memcmp(f->e.peer, pk, sizeof(f->e.peer)) != 0)
            continue;
        f->e.online = false;
        if (!pv_file_is_final(f))
            pv_file_set(l, f, PV_FILE_FAILED, PV_FILE_WHY_GONE, now);
        f->tell_at = PV_NEVER;
        f->tell_now = false;
    }
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        struct pv_file_conn *c = &l->conns[i];
        if (c->sid != 0 && memcmp(c->pk, pk, sizeof(c->pk)) == 0)
            pv_file_close(l, c);
    }
}

/* --- life ---------------------------------------------------------------------------------- */

/* A list that cannot be read does not stop the daemon: new files move all the same, and the log
 * says what happened to the old ones. */
int pv_filelink_new(struct pv_filelink **ret_link, const struct pv_filelink_config *cfg,
                    struct pv_view saved)
{
    struct pv_filelink *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return PV_ERR_NOMEM;
    l->rng = cfg->rng;
    l->log = cfg->log;
    l->keys = cfg->keys;
    l->streams = cfg->streams;
    l->ops = cfg->ops;
    l->admits = cfg->admits;
    l->send = cfg->send;
    l->tell = cfg->tell;
    l->owner = cfg->owner;
    memcpy(l->own_pk, cfg->own_pk, sizeof(l->own_pk));
    int r = pv_filelink_load(l, saved);
    if (r != PV_OK)
        pv_log(l->log, PV_LOG_WARN, "what=\"list of files not read\" why=\"%s\"", pv_strstatus(r));
    *ret_link = l;
    return PV_OK;
}

struct pv_filelink *pv_filelink_free(struct pv_filelink *l)
{
    for (size_t i = 0; l != NULL && i < PV_FILELINK_MAX_CONNS; i++)
        pv_file_conn_end(l, &l->conns[i]);
    free(l);
    return NULL;
}

void pv_filelink_stop_all(struct pv_filelink *l)
{
    for (size_t i = 0; i < l->n; i++)
        /* States stay as they are: the next life of the daemon goes on from the saved table. */
        release(l, &l->files[i]);
}

bool pv_filelink_take_dirty(struct pv_filelink *l, pv_ns now)
{
    if (!l->dirty || now < l->save_at)
        return false;
    /* Peers cause changes: without a limit one of them could make us write the table
     * without end. */
    if (!pv_bucket_take(&l->saves, SAVE_RATE, SAVE_BURST, 1, now)) {
        l->save_at = now + PV_MS(SAVE_LATER_MS);
        return false;
    }
    l->dirty = false;
    return true;
}

void pv_filelink_kept(struct pv_filelink *l, uint64_t save, pv_ns now)
{
    if (save > l->kept)
        l->kept = save;
    pv_filelink_run(l, now);
}

void pv_filelink_speak(struct pv_filelink *l, pv_ns now)
{
    pv_filelink_send_notices(l, now);
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        if (f->changed && l->tell != NULL)
            l->tell(l->owner, f->e.number);
        f->changed = false;
    }
}
