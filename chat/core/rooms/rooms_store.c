/* SPDX-License-Identifier: MIT */
/* rooms_store.c - queues of rooms: store jobs and their results, lines, events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/core/rooms/rooms_int.h"

enum {
    /* Of text in one TAKE job. The check comes before a text is added, so one text may
     * exceed it. */
    MAX_BATCH_BYTES = 1048576,
    RELOAD_S = 5,       /* ours: after the store failed */
    JOB_S = 30,         /* a job without a result for so long has failed */
    FULL_S = 600,       /* ours: until an author whose texts were not taken is asked for again */
    DISK_S = 30,        /* ours: the same, when the disk had no room: after 30, 60, 120, 240 s, */
    DISK_DOUBLINGS = 4, /* then every 480 s; what comes for nothing costs others, too */
    HAND_ON_MS = 40000, /* texts of others are offered to those who may lack them within this */
};

/* --- jobs ---------------------------------------------------------------------------------- */

static pv_chatqueue_done_fn job_done;

/* Rows name their network: rooms of another one that this node was in are not found. */
struct pv_chatop *pv_rooms_job_new(const struct pv_rooms *rs, enum pv_roomop_kind kind,
                                   const uint8_t *room)
{
    struct pv_chatop *job = pv_chatop_new(PV_CHATOP_ROOM);
    if (job != NULL)
        job->room = calloc(1, sizeof(*job->room));
    if (job == NULL || job->room == NULL)
        return pv_chatop_free(job);
    job->room->kind = kind;
    memcpy(job->room->network, rs->network, sizeof(job->room->network));
    if (room != NULL)
        memcpy(job->room->room, room, sizeof(job->room->room));
    return job;
}

struct pv_rooms_job *pv_rooms_emit(struct pv_rooms *rs, struct pv_chatop *job)
{
    struct pv_rooms_job *entry =
        pv_chatqueue_add(rs->cfg.jobs, job, job_done, rs, rs->now + PV_S(JOB_S), sizeof(*entry));
    if (entry == NULL)
        return NULL;
    entry->kind = job->room->kind;
    memcpy(entry->room, job->room->room, sizeof(entry->room));
    return entry;
}

static void tell_done(struct pv_rooms *rs, const struct pv_rooms_job *entry, int status)
{
    struct pv_rooms_event e = {.type =
                                   entry->kind == PV_ROOMOP_SAID ? PV_ROOMS_SENT : PV_ROOMS_DONE,
                               .tag = entry->wait.tag,
                               .status = status,
                               .did = entry->did};
    memcpy(e.room, entry->room, sizeof(e.room));
    memcpy(e.node, entry->pk, sizeof(e.node));
    memcpy(e.by, rs->cfg.own_pk, sizeof(e.by));
    if (entry->has_user)
        pv_rooms_event_push(rs, &e);
}

static void give_up_job(struct pv_chatwait *wait)
{
    struct pv_rooms_job *entry = PV_CONTAINER_OF(wait, struct pv_rooms_job, wait);
    tell_done(wait->self, entry, PV_ERR_CLOSED);
    free(entry->text);
}

void pv_rooms_drop_jobs(struct pv_rooms *rs)
{
    /* A look that was begun begins anew with the rooms that are loaded. */
    rs->sweep.again = rs->sweep.again || rs->sweep.on;
    rs->sweep.on = false;
    pv_chatqueue_forget(rs->cfg.jobs, rs, give_up_job);
}

/* --- lines and events ---------------------------------------------------------------------- */

/* A line that finds no room is lost, and nobody minds: the next "have" shows again what the member
 * lacks. */
void pv_rooms_put(struct pv_rooms *rs, const uint8_t *pk)
{
    size_t len = 0;
    if (rs->lines.n == PV_ROOMS_MAX_OUT || pv_room_frame_write(&rs->out, rs->line, &len) != PV_OK)
        return;
    struct pv_rooms_line line = {.bytes = malloc(len), .len = len};
    if (line.bytes == NULL)
        return;
    memcpy(line.bytes, rs->line, len);
    memcpy(line.pk, pk, sizeof(line.pk));
    if (pv_fifo_put(&rs->lines, &line, sizeof(line)) != PV_OK)
        free(line.bytes);
}

void pv_rooms_drop_lines(struct pv_rooms *rs)
{
    struct pv_rooms_line line;
    while (pv_fifo_take(&rs->lines, &line) == PV_OK)
        free(line.bytes);
}

void pv_rooms_event_push(struct pv_rooms *rs, const struct pv_rooms_event *event)
{
    struct pv_chat_record msg = event->msg;
    if (pv_fifo_put(&rs->events, event, sizeof(*event)) != PV_OK)
        pv_chat_record_done(&msg); /* what it tells is stored */
}

/* Asked for after every event: a walk over all peers only when one of them is wanted. */
static bool say_wishes(struct pv_rooms *rs, pv_ns now)
{
    struct pv_rooms_peer *peer, *next;
    bool any = rs->any_wanted;
    rs->any_wanted = false;
    if (!any)
        return false;
    for (peer = rs->peers; peer != NULL; peer = next) {
        next = peer->hh.next;
        if (!peer->wanted)
            continue;
        peer->wanted = false;
        rs->cfg.want(rs->cfg.owner, peer->pk, now);
    }
    return true;
}

bool pv_rooms_speak(struct pv_rooms *rooms, pv_ns now)
{
    struct pv_rooms_line line;
    struct pv_rooms_event event;
    while (pv_fifo_take(&rooms->events, &event) == PV_OK) {
        rooms->cfg.tell(rooms->cfg.owner, &event, now);
        pv_chat_record_done(&event.msg);
    }
    bool any = rooms->lines.n > 0;
    while (pv_fifo_take(&rooms->lines, &line) == PV_OK) {
        rooms->cfg.say(rooms->cfg.owner, line.pk, pv_view(line.bytes, line.len), now);
        free(line.bytes);
    }
    return say_wishes(rooms, now) || any;
}

/* --- texts --------------------------------------------------------------------------------- */

int pv_rooms_batch(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_rooms_node *author,
                   const struct pv_room_record *rec, const uint8_t *sig)
{
    size_t bytes = 0;
    for (size_t i = 0; i < room->n_batch; i++)
        bytes += strlen(room->batch[i].text);
    if (room->n_batch == PV_ROOMOP_MAX_TEXTS || bytes > MAX_BATCH_BYTES)
        return PV_ERR_LIMIT;
    if (room->batch == NULL)
        room->batch = calloc(PV_ROOMOP_MAX_TEXTS, sizeof(*room->batch));
    char *text = room->batch == NULL ? NULL : strndup((const char *)rec->text.ptr, rec->text.len);
    if (text == NULL)
        return PV_ERR_NOMEM;
    struct pv_room_text *t = &room->batch[room->n_batch++];
    struct pv_overlay_member known;
    const bool is_known = rs->cfg.known(rs->cfg.owner, author->pk, &known);
    *t = (struct pv_room_text){.seq = rec->seq, .time_ms = rec->time_ms, .text = text};
    t->skips = rec->seq != author->taken + 1;
    t->own = author == room->self;
    memcpy(t->author, author->pk, sizeof(t->author));
    snprintf(t->author_name, sizeof(t->author_name), "%s", is_known ? known.name : "?");
    memcpy(t->id, rec->hash, sizeof(t->id));
    memcpy(t->sig, sig, sizeof(t->sig));
    /* From here on the next text of this author is expected, although the store has not seen this
     * one yet. */
    author->taken = rec->seq;
    author->skip_to = 0;
    author->gap_since = 0;
    return PV_OK;
}

/* Own texts up to seq of the log are stored (msg), or failed. */
static void tell_said(struct pv_rooms *rs, struct pv_rooms_room *room, uint64_t seq, int status,
                      const struct pv_chat_record *msg)
{
    size_t left = 0;
    for (size_t i = 0; i < room->n_says; i++) {
        struct pv_rooms_event e = {
            .type = PV_ROOMS_SENT, .tag = room->says[i].tag, .status = status};
        if (status == PV_OK && room->says[i].seq != seq) {
            room->says[left++] = room->says[i];
            continue;
        }
        memcpy(e.room, room->id, sizeof(e.room));
        if (status == PV_OK && msg != NULL && pv_chat_record_copy(&e.msg, msg) < 0)
            e.status = PV_ERR_NOMEM;
        pv_rooms_event_push(rs, &e);
    }
    room->n_says = left;
}

/* Nothing of what was on the way to the store is there. */
static void untake(struct pv_rooms *rs, struct pv_rooms_room *room, int status)
{
    pv_room_texts_free(room->batch, room->n_batch);
    room->batch = NULL;
    room->n_batch = 0;
    for (size_t i = 0; i < room->n_members; i++)
        /* The disk has the truth: the texts are asked for again from there. */
        room->members[i]->taken = room->members[i]->flight = room->members[i]->last;
    tell_said(rs, room, 0, status, NULL);
}

void pv_rooms_take(struct pv_rooms *rs, struct pv_rooms_room *room)
{
    /* One TAKE job at a time: when one fails, a second one behind it would leave a gap in the log
     * on disk. Texts also wait for the records on which they rest (saving). */
    if (room->taking || room->n_batch == 0 || room->saving > 0)
        return;
    struct pv_chatop *job = pv_rooms_job_new(rs, PV_ROOMOP_TAKE, room->id);
    size_t n = room->n_batch;
    if (job != NULL) {
        job->room->texts = room->batch;
        job->room->n_texts = n;
        room->batch = NULL;
        room->n_batch = 0;
    }
    if (pv_rooms_emit(rs, job) == NULL) {
        untake(rs, room, PV_ERR_NOMEM);
        return;
    }
    room->taking = true;
    room->n_flight = n;
    for (size_t i = 0; i < room->n_members; i++)
        room->members[i]->flight = room->members[i]->taken;
}

/* Texts of the author that wait behind those that were not taken go too: they would leave a gap. */
static void forget_batch_of(struct pv_rooms_room *room, const uint8_t *author)
{
    size_t left = 0;
    for (size_t i = 0; i < room->n_batch; i++) {
        if (pv_rooms_same(room->batch[i].author, author))
            free(room->batch[i].text);
        else
            room->batch[left++] = room->batch[i];
    }
    room->n_batch = left;
}

/* The store took less than it was given: an author has as much here as it may. Its log ends where
 * it ends on disk, and it is not asked for more of it for a while. */
static void hold_back(struct pv_rooms *rs, struct pv_rooms_room *room,
                      const struct pv_chatop_result *result, pv_ns now)
{
    for (size_t i = 0; i < room->n_members; i++) {
        struct pv_rooms_node *m = room->members[i];
        uint64_t end = m->last;
        for (size_t k = 0; k < result->n_msgs; k++) {
            const struct pv_chat_record *msg = &result->msgs[k];
            end = pv_rooms_same(msg->author, m->pk) && msg->seq > end ? msg->seq : end;
        }
        if (end == m->flight)
            continue;
        pv_log(rs->cfg.log, PV_LOG_INFO, "what=\"texts of a room left for later\" why=\"%s\"",
               result->later == PV_CHAT_LATER_DISK ? "the disk is nearly full"
                                                   : "their author has as many here as it may");
        forget_batch_of(room, m->pk);
        m->flight = m->taken = end;
        m->full = result->later == PV_CHAT_LATER_FULL;
        m->full_until = now + PV_S(m->full ? FULL_S : DISK_S << m->refused);
        m->refused += !m->full && m->refused < DISK_DOUBLINGS ? 1 : 0;
    }
}

static void handle_taken(struct pv_rooms *rs, struct pv_rooms_room *room, int status,
                         struct pv_chatop_result *result, pv_ns now)
{
    bool own = false;
    room->taking = false;
    if (status < 0) {
        untake(rs, room, status);
        return;
    }
    if (result->later != PV_CHAT_LATER_NO) {
        hold_back(rs, room, result, now);
    } else if (result->n_msgs != room->n_flight) { /* what is here is not what is there */
        pv_rooms_reload(rs, now);
        return;
    }
    pv_rooms_note_gaps(room, result, now);
    for (size_t i = 0; i < room->n_members; i++) {
        struct pv_rooms_node *m = room->members[i];
        m->last = m->flight;
    }
    for (size_t i = 0; i < result->n_msgs; i++) {
        struct pv_rooms_event e = {.type = PV_ROOMS_MESSAGE, .msg = result->msgs[i]};
        memcpy(e.room, room->id, sizeof(e.room));
        own = own || result->msgs[i].outgoing;
        if (result->msgs[i].outgoing) {
            tell_said(rs, room, result->msgs[i].seq, PV_OK, &result->msgs[i]);
            continue;
        }
        /* The event owns the strings now: the result must not free them. */
        memset(&result->msgs[i], 0, sizeof(result->msgs[i]));
        pv_rooms_event_push(rs, &e);
    }
    room->version++;
    if (own)
        pv_rooms_note_delivered(rs, room);
    struct pv_rooms_node *source =
        room->has_source ? pv_rooms_member_find(room, room->source) : NULL;
    /* The giver hears at once how far we are: it need not offer the same texts again. */
    if (source != NULL)
        pv_rooms_tell(room, source, now);
    /* Texts of others are offered late. Their author tells all whom it can reach, and we serve only
     * the rest. */
    pv_rooms_tell_all(rs, room, own ? 0 : PV_MS(HAND_ON_MS), now);
    pv_rooms_take(rs, room);
    pv_rooms_ask(rs, room, now);
    pv_rooms_run(rs, room, now);
}

/* --- records ------------------------------------------------------------------------------- */

int pv_rooms_keep(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_room_raw *raws,
                  size_t n, const struct pv_room_record *own, uint64_t tag)
{
    struct pv_chatop *job = pv_rooms_job_new(rs, PV_ROOMOP_KEEP, room->id);
    if (job == NULL) {
        pv_room_raws_free(raws, n);
        return PV_ERR_NOMEM;
    }
    /* The job owns raws from here: emitting it takes them also when it fails. */
    job->room->records = raws;
    job->room->n_records = n;
    if (rs->n_forgotten > 0) { /* without memory: they give way again after the next start */
        size_t len = rs->n_forgotten * sizeof(*job->room->forget);
        job->room->forget = malloc(len);
        if (job->room->forget != NULL) {
            memcpy(job->room->forget, rs->forgotten, len);
            job->room->n_forget = rs->n_forgotten;
        }
        rs->n_forgotten = 0;
    }
    for (size_t i = 0; i < room->n_members; i++) {
        struct pv_room_have *h = &job->room->haves[job->room->n_haves];
        if (room->members[i]->last == 0)
            continue;
        memcpy(h->author, room->members[i]->pk, sizeof(h->author));
        h->seq = room->members[i]->last;
        job->room->n_haves++;
    }
    struct pv_rooms_job *entry = pv_rooms_emit(rs, job);
    if (entry == NULL)
        return PV_ERR_NOMEM;
    entry->has_user = own != NULL;
    entry->wait.tag = tag;
    if (own != NULL) {
        entry->did = own->type;
        memcpy(entry->pk, own->type == PV_ROOM_INVITE ? own->node : own->signer, sizeof(entry->pk));
    }
    room->saving++;
    return PV_OK;
}

/* --- loading ------------------------------------------------------------------------------- */

void pv_rooms_ask_load(struct pv_rooms *rs)
{
    rs->load_at = PV_NEVER;
    if (pv_rooms_emit(rs, pv_rooms_job_new(rs, PV_ROOMOP_LOAD, NULL)) == NULL)
        rs->load_at = rs->now + PV_S(RELOAD_S);
}

/* Nobody knows what the disk has of what is in memory, so all of it is given up, and whoever waits
 * for a text of his own to be stored is told. */
void pv_rooms_reload(struct pv_rooms *rs, pv_ns now)
{
    pv_log(rs->cfg.log, PV_LOG_WARN, "what=\"rooms are loaded again\" why=\"the store failed\"");
    while (rs->n_rooms > 0) {
        struct pv_rooms_room *room = rs->rooms[rs->n_rooms - 1];
        tell_said(rs, room, 0, PV_ERR_CLOSED, NULL);
        pv_rooms_room_free(rs, room);
    }
    pv_rooms_drop_jobs(rs);
    pv_rooms_drop_lines(rs);
    rs->loaded = false;
    rs->load_at = now + PV_S(RELOAD_S);
}

/* A room as it is on disk; what is damaged in it is left out. PV_ERR_NOMEM: it is not whole. */
static int load_room(struct pv_rooms *rs, const struct pv_roomop_room *from)
{
    struct pv_rooms_room *room = NULL;
    int r = pv_rooms_room_new(rs, from->id, &room);
    if (r < 0)
        return r;
    rs->n_ahead = 0;
    for (size_t i = 0; i < from->n_records; i++) {
        struct pv_room_record rec;
        struct pv_view raw = pv_view(from->records[i].bytes, from->records[i].len);
        uint8_t replaced[PV_BLAKE2B_LEN];
        bool replaces;
        /* Signatures are not checked again: each record was verified before it was stored. */
        if (pv_room_record_parse(raw, NULL, &rec) == PV_OK &&
            pv_rooms_add(rs, room, raw, &rec, &replaces, replaced) == PV_ERR_NOMEM)
            return PV_ERR_NOMEM;
    }
    /* Without a creation nobody's place in the room can be checked, and a room that does not name
     * us is not ours. */
    if (room->n_records == 0 || room->self == NULL) {
        pv_rooms_room_free(rs, room);
        return PV_OK;
    }
    rs->n_forgotten = 0;
    for (size_t i = 0; i < from->n_haves; i++) {
        struct pv_rooms_node *m = pv_rooms_member_find(room, from->haves[i].author);
        if (m == NULL)
            continue;
        m->last = m->flight = m->taken = from->haves[i].seq;
        m->low = from->gone[i];
    }
    pv_rooms_settle(room);
    return PV_OK;
}

static void handle_loaded(struct pv_rooms *rs, int status, const struct pv_chatop_result *result,
                          pv_ns now)
{
    if (status < 0 || result->room == NULL) {
        rs->load_at = now + PV_S(RELOAD_S);
        return;
    }
    for (size_t i = 0; i < result->room->n_rooms; i++) {
        /* A room that is not whole would tell the others less than it has, and refuse its users. */
        if (load_room(rs, &result->room->rooms[i]) == PV_ERR_NOMEM) {
            pv_rooms_reload(rs, now);
            return;
        }
    }
    rs->loaded = true;
    pv_rooms_note_loaded(rs);
    pv_rooms_forget_left(rs, NULL);
    if (rs->sweep.again)
        pv_rooms_sweep(rs, rs->sweep.keep_s, now);
    /* Peers may have come before the rooms were there. Each is treated as if it came now. */
    for (struct pv_rooms_peer *peer = rs->peers; peer != NULL; peer = peer->hh.next) {
        if (peer->up)
            pv_rooms_peer_up(rs, peer->pk, true, now);
        else if (peer->online)
            (void)!pv_rooms_peer_online(rs, peer->pk, true, now);
    }
}

/* --- results ------------------------------------------------------------------------------- */

static void handle_marked(struct pv_rooms *rs, struct pv_chatop_result *result)
{
    for (size_t i = 0; i < result->n_msgs; i++) {
        struct pv_rooms_event e = {.type = PV_ROOMS_STATE, .msg = result->msgs[i]};
        memcpy(e.room, result->msgs[i].peer, sizeof(e.room));
        memset(&result->msgs[i], 0, sizeof(result->msgs[i]));
        pv_rooms_event_push(rs, &e);
    }
}

static void handle_kept(struct pv_rooms *rs, struct pv_rooms_room *room, int status, pv_ns now)
{
    if (status < 0) {
        pv_rooms_reload(rs, now);
        return;
    }
    pv_rooms_note_left(rs, room);
    /* Only the last of several saves ends the silence: all records that we tell are then
     * on disk. */
    if (--room->saving > 0)
        return;
    pv_rooms_tell_all(rs, room, 0, now);
    pv_rooms_take(rs, room);
    pv_rooms_run(rs, room, now);
}

/* A reload or another network drops all jobs: nobody is called for those any more. */
static void job_done(struct pv_chatwait *wait, struct pv_chatqueue_result *done, pv_ns now)
{
    struct pv_rooms *rooms = wait->self;
    struct pv_rooms_job *entry = PV_CONTAINER_OF(wait, struct pv_rooms_job, wait);
    rooms->now = now;
    /* A job that never ends leaves memory and disk in doubt, so all rooms are loaded anew. */
    if (done == NULL) {
        pv_rooms_reload(rooms, now);
        return;
    }
    struct pv_chatop_result *result = pv_chatop_result_of(done);
    /* A success without a result breaks the store's contract. Treating it as a failure spares every
     * handler the check. */
    int status = done->status == PV_OK && result == NULL ? PV_ERR_STATE : done->status;
    struct pv_rooms_room *room = pv_rooms_room_find(rooms, entry->room);
    if (entry->kind == PV_ROOMOP_LOAD) {
        handle_loaded(rooms, status, result, now);
    } else if (entry->kind == PV_ROOMOP_KEEP) {
        tell_done(rooms, entry, status);
        if (room != NULL)
            handle_kept(rooms, room, status, now);
        pv_rooms_forget_left(rooms, pv_rooms_room_find(rooms, entry->room));
    } else if (entry->kind == PV_ROOMOP_FORGET) {
        pv_rooms_handle_forgotten(rooms, entry->room, status, result, now);
    } else if (entry->kind == PV_ROOMOP_MARK && status == PV_OK) {
        handle_marked(rooms, result);
    } else if (entry->kind == PV_ROOMOP_MARK && room != NULL) {
        pv_rooms_note_again(room);
    } else if (entry->kind == PV_ROOMOP_TAKE && room != NULL) {
        handle_taken(rooms, room, status, result, now);
    } else if (entry->kind == PV_ROOMOP_SAID) {
        pv_rooms_handle_said(rooms, room, entry, status, result, now);
    } else if (entry->kind == PV_ROOMOP_DROP) {
        pv_rooms_handle_dropped(rooms, room, status, result);
    } else if (entry->kind == PV_ROOMOP_READ && room != NULL) {
        pv_rooms_hand_out(rooms, room, entry->pk, status < 0 ? NULL : result->room);
    }
    free(entry->text);
}
