/* SPDX-License-Identifier: MIT */
/* rooms_store.c - what rooms have stored and load again; queues of lines and events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/core/rooms/rooms_int.h"

enum {
    /* Of text in one TAKE. The check comes before a text is added, so one text may
     * exceed it. */
    MAX_BATCH_BYTES = 1048576,
    RELOAD_S = 5,       /* ours: after the store failed */
    FULL_S = 600,       /* ours: until an author whose texts were not taken is asked for again */
    DISK_S = 30,        /* ours: the same, when the disk had no room: after 30, 60, 120, 240 s, */
    DISK_DOUBLINGS = 4, /* then every 480 s; what comes for nothing costs others, too */
    HAND_ON_MS = 40000, /* texts of others are offered to those who may lack them within this */
};

/* Rows name their network: rooms of another one that this node was in are not found. */
int pv_rooms_do(struct pv_rooms *rs, struct pv_roomop *op, struct pv_chatop_result *ret)
{
    const struct pv_chatop carrier = {.kind = PV_CHATOP_ROOM, .room = op};
    op->network = rs->network;
    return pv_chat_store_run(rs->cfg.store, &carrier, ret);
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
    if (rooms->doubt)
        pv_rooms_reload(rooms, now);
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

/* Nothing of the batch is stored: the disk has the truth, and the texts are asked for again from
 * there. */
static void untake(struct pv_rooms_room *room)
{
    for (size_t i = 0; i < room->n_members; i++)
        room->members[i]->taken = room->members[i]->last;
}

/* The store took less than it was given: an author has as much here as it may. Its log ends where
 * it ends on disk, and it is not asked for more of it for a while. */
static void hold_back(struct pv_rooms *rs, struct pv_rooms_room *room,
                      const struct pv_chatop_result *result)
{
    for (size_t i = 0; i < room->n_members; i++) {
        struct pv_rooms_node *m = room->members[i];
        uint64_t end = m->last;
        for (size_t k = 0; k < result->n_msgs; k++) {
            const struct pv_chat_record *msg = &result->msgs[k];
            end = pv_rooms_same(msg->author, m->pk) && msg->seq > end ? msg->seq : end;
        }
        if (end == m->taken)
            continue;
        pv_log(rs->cfg.log, PV_LOG_INFO, "what=\"texts of a room left for later\" why=\"%s\"",
               result->later == PV_CHAT_LATER_DISK ? "the disk is nearly full"
                                                   : "their author has as many here as it may");
        m->taken = end;
        m->full = result->later == PV_CHAT_LATER_FULL;
        m->full_until = rs->now + PV_S(m->full ? FULL_S : DISK_S << m->refused);
        m->refused += !m->full && m->refused < DISK_DOUBLINGS ? 1 : 0;
    }
}

/* Tells what is stored now; ret_said: the text that our user said, NULL: others said all. */
static void handle_taken(struct pv_rooms *rs, struct pv_rooms_room *room,
                         struct pv_chatop_result *result, struct pv_chat_record *ret_said)
{
    bool own = false;
    const pv_ns now = rs->now;
    if (result->later != PV_CHAT_LATER_NO)
        hold_back(rs, room, result);
    pv_rooms_note_gaps(room, result, ret_said != NULL, now);
    for (size_t i = 0; i < room->n_members; i++)
        room->members[i]->last = room->members[i]->taken;
    for (size_t i = 0; i < result->n_msgs; i++) {
        struct pv_chat_record *msg = &result->msgs[i];
        struct pv_rooms_event e = {.type = PV_ROOMS_MESSAGE, .msg = *msg};
        own = own || msg->outgoing;
        if (msg->outgoing && ret_said == NULL) /* our own, that others had kept for us */
            continue;
        if (msg->outgoing)
            *ret_said = *msg;
        msg->text = NULL; /* the result must not free it */
        memcpy(e.room, room->id, sizeof(e.room));
        if (!msg->outgoing)
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
    pv_rooms_ask(rs, room, now);
    pv_rooms_run(rs, room, now);
}

int pv_rooms_take(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_chat_record *ret_said)
{
    const size_t n = room->n_batch;
    struct pv_roomop op = {
        .kind = PV_ROOMOP_TAKE, .room = room->id, .texts = room->batch, .n_texts = n};
    struct pv_chatop_result done;
    if (n == 0)
        return PV_OK;
    int r = pv_rooms_do(rs, &op, &done);
    pv_room_texts_free(room->batch, n);
    room->batch = NULL;
    room->n_batch = 0;
    if (r == PV_OK && done.later == PV_CHAT_LATER_NO && done.n_msgs != n) {
        rs->doubt = true; /* what is here is not what is there */
        r = PV_ERR_STATE;
    }
    if (r == PV_OK)
        handle_taken(rs, room, &done, ret_said);
    else
        untake(room);
    pv_chatop_result_done(&done);
    return r;
}

/* --- records ------------------------------------------------------------------------------- */

/* Where each author's log goes to. */
static size_t list_haves(const struct pv_rooms_room *room,
                         struct pv_room_have ret_haves[static PV_ROOM_MAX_MEMBERS])
{
    size_t n = 0;
    for (size_t i = 0; i < room->n_members; i++) {
        if (room->members[i]->last == 0)
            continue;
        memcpy(ret_haves[n].author, room->members[i]->pk, sizeof(ret_haves[n].author));
        ret_haves[n++].seq = room->members[i]->last;
    }
    return n;
}

static void tell_done(struct pv_rooms *rs, const struct pv_rooms_room *room,
                      const struct pv_room_record *own)
{
    struct pv_rooms_event e = {.type = PV_ROOMS_DONE, .did = own->type};
    memcpy(e.room, room->id, sizeof(e.room));
    memcpy(e.node, own->type == PV_ROOM_INVITE ? own->node : own->signer, sizeof(e.node));
    memcpy(e.by, rs->cfg.own_pk, sizeof(e.by));
    pv_rooms_event_push(rs, &e);
}

int pv_rooms_keep(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_room_raw *raws,
                  size_t n, const struct pv_room_record *own)
{
    struct pv_room_have haves[PV_ROOM_MAX_MEMBERS];
    struct pv_roomop op = {.kind = PV_ROOMOP_KEEP,
                           .room = room->id,
                           .records = raws,
                           .n_records = n,
                           .forget = (const uint8_t(*)[PV_BLAKE2B_LEN])rs->forgotten,
                           .n_forget = rs->n_forgotten,
                           .haves = haves,
                           .n_haves = list_haves(room, haves)};
    struct pv_chatop_result unused;
    int r = pv_rooms_do(rs, &op, &unused);
    pv_chatop_result_done(&unused);
    pv_room_raws_free(raws, n);
    rs->n_forgotten = 0;
    if (r != PV_OK) {
        rs->doubt = true; /* what is here is not what is there */
        return r;
    }
    if (own != NULL)
        tell_done(rs, room, own);
    pv_rooms_note_left(rs, room);
    pv_rooms_tell_all(rs, room, 0, rs->now); /* behind what is said of the frame at hand */
    pv_rooms_forget_left(rs, room);
    return PV_OK;
}

/* --- loading ------------------------------------------------------------------------------- */

/* Nobody knows what the disk has of what is in memory, so all of it is given up. */
void pv_rooms_reload(struct pv_rooms *rs, pv_ns now)
{
    pv_log(rs->cfg.log, PV_LOG_WARN, "what=\"rooms are loaded again\" why=\"the store failed\"");
    pv_rooms_drop_all(rs);
    rs->load_at = rs->in_network ? now + PV_S(RELOAD_S) : PV_NEVER;
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
        m->last = m->taken = from->haves[i].seq;
        m->low = from->gone[i];
    }
    pv_rooms_settle(room);
    return PV_OK;
}

/* Peers may have come before the rooms were there. Each is treated as if it came now. */
static void meet_all(struct pv_rooms *rs)
{
    for (struct pv_rooms_peer *peer = rs->peers; peer != NULL; peer = peer->hh.next) {
        if (peer->up)
            pv_rooms_peer_up(rs, peer->pk, true, rs->now);
        else if (peer->online)
            (void)!pv_rooms_peer_online(rs, peer->pk, true, rs->now);
    }
}

void pv_rooms_load(struct pv_rooms *rs)
{
    struct pv_roomop op = {.kind = PV_ROOMOP_LOAD};
    struct pv_chatop_result done;
    int r = pv_rooms_do(rs, &op, &done);
    rs->load_at = r == PV_OK ? PV_NEVER : rs->now + PV_S(RELOAD_S);
    rs->loaded = r == PV_OK;
    for (size_t i = 0; rs->loaded && i < done.room->n_rooms; i++)
        /* A room that is not whole would tell the others less than it has, and refuse its users. */
        if (load_room(rs, &done.room->rooms[i]) == PV_ERR_NOMEM)
            pv_rooms_reload(rs, rs->now);
    pv_chatop_result_done(&done);
    if (!rs->loaded)
        return;
    pv_rooms_note_loaded(rs);
    pv_rooms_forget_left(rs, NULL);
    if (rs->sweep.again)
        pv_rooms_sweep(rs, rs->sweep.keep_s, rs->now);
    meet_all(rs);
}

/* --- states -------------------------------------------------------------------------------- */

void pv_rooms_mark(struct pv_rooms *rs, struct pv_rooms_room *room, uint64_t above, uint64_t seq,
                   enum pv_chat_state state)
{
    struct pv_roomop op = {
        .kind = PV_ROOMOP_MARK, .room = room->id, .above = above, .seq = seq, .state = state};
    struct pv_chatop_result done;
    if (pv_rooms_do(rs, &op, &done) != PV_OK)
        pv_rooms_note_again(room);
    for (size_t i = 0; i < done.n_msgs; i++) {
        struct pv_rooms_event e = {.type = PV_ROOMS_STATE, .msg = done.msgs[i]};
        memcpy(e.room, room->id, sizeof(e.room));
        done.msgs[i].text = NULL;
        pv_rooms_event_push(rs, &e);
    }
    pv_chatop_result_done(&done);
}
