/* SPDX-License-Identifier: MIT */
/* rooms_sync.c - what members of a room tell each other: who has what, who asks for what. */
#include <stdlib.h>
#include <string.h>

#include "chat/core/rooms/rooms_int.h"

enum {
    ASK_S = 10,      /* ours: until the node asks again for texts that did not come */
    LIST_S = 60,     /* ours: until the same list is sent to a member again */
    AGAIN_MS = 200,  /* ours: until a member that got records is told again what there is */
    PENDING_S = 30,  /* ours: an invitation is fetched within this, or forgotten */
    UNSAID_S = 1,    /* ours: until the node says again what it could not send */
    ONLINE_MS = 500, /* ours: one that comes online is told within this, not by all at once */
    RETELL_S = 10, /* ours: a member that still lacks something is told again after 10, 20, 40 s */
    RETELLS = 3,   /* ours: those three times; then it waits for the next connection */
};

bool pv_rooms_may_talk(const struct pv_rooms *rs, const uint8_t *pk)
{
    struct pv_overlay_member m;
    return rs->in_network && rs->cfg.known(rs->cfg.owner, pk, &m) && pv_overlay_is_in(&m);
}

/* A node that the roster does not name counts as revoked: nobody vouches for its key. */
bool pv_rooms_admits(const struct pv_rooms *rs, const uint8_t *pk)
{
    return rs->cfg.admits == NULL || pv_rooms_same(pk, rs->cfg.own_pk) ||
           rs->cfg.admits(rs->cfg.owner, pk);
}

static bool is_revoked(const struct pv_rooms *rs, const uint8_t *pk)
{
    struct pv_overlay_member m;
    return !rs->cfg.known(rs->cfg.owner, pk, &m) || m.kind == PV_OVERLAY_REMOVED;
}

/* How far the author's log may go here. */
static uint64_t log_end(const struct pv_rooms_node *author)
{
    /* The LEAVE record of an author names its last text: what the author signs later does not
     * count. */
    if (room_is_in(author))
        return PV_ROOM_MAX_TEXTS;
    return author->left_seq < PV_ROOM_MAX_TEXTS ? author->left_seq : PV_ROOM_MAX_TEXTS;
}

/* Does m lack something that we have and it may get? */
static bool lacks(const struct pv_rooms_room *room, const struct pv_rooms_node *m)
{
    if (memcmp(m->digest, room->digest, sizeof(m->digest)) != 0)
        return true;
    for (size_t i = 0; i < room->n_members; i++) {
        const struct pv_rooms_node *author = room->members[i];
        /* Texts from before the invitation of m (base) are not for m, and deleted ones are for
         * nobody: m does not lack them. */
        if (author->last > m->known[i] && author->last > m->base[i] && author->last > author->low)
            return true;
    }
    return false;
}

/* --- time ---------------------------------------------------------------------------------- */

void pv_rooms_rearm(struct pv_rooms *rs, struct pv_rooms_room *room)
{
    pv_ns next = pv_min_ns(room->ask_at, room->pending_until);
    for (size_t i = 0; i < room->n_members; i++)
        next = pv_min_ns(next, room->members[i]->tell_at);
    pv_heap_set(&rs->timers, &room->timer, next);
}

void pv_rooms_tell(struct pv_rooms_room *room, struct pv_rooms_node *m, pv_ns at)
{
    if (m != room->self && m->told != room->version)
        m->tell_at = pv_min_ns(m->tell_at, at);
}

void pv_rooms_tell_all(struct pv_rooms *rs, struct pv_rooms_room *room, pv_ns within, pv_ns now)
{
    /* The moments are random. A member whose HAVE comes before its moment, and shows that it lacks
     * nothing, is not told at all: handle_have() clears tell_at. */
    uint32_t ms = (uint32_t)(within / PV_MS(1));
    for (size_t i = 0; i < room->n_members; i++) {
        struct pv_rooms_node *m = room->members[i];
        pv_ns at = ms == 0 ? now : now + PV_MS(ms / 4 + pv_rng_below(&rs->cfg.rng, ms * 3 / 4 + 1));
        if (m != room->self && room_is_in(m) && lacks(room, m))
            pv_rooms_tell(room, m, at);
    }
    pv_rooms_rearm(rs, room);
}

/* --- saying -------------------------------------------------------------------------------- */

static void begin_frame(struct pv_rooms *rs, const struct pv_rooms_room *room,
                        enum pv_room_frame_kind kind)
{
    struct pv_room_frame *f = &rs->out;
    f->kind = kind;
    f->n_have = f->n_gone = f->n_prefix = f->n_records = 0;
    memcpy(f->room, room->id, sizeof(f->room));
}

static void add_have(struct pv_rooms *rs, const uint8_t *author, uint64_t seq)
{
    struct pv_room_have *h = &rs->out.have[rs->out.n_have++];
    memcpy(h->author, author, sizeof(h->author));
    h->seq = seq;
}

static void send_have(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_rooms_node *m)
{
    begin_frame(rs, room, PV_ROOM_F_HAVE);
    memcpy(rs->out.digest, room->digest, sizeof(rs->out.digest));
    for (size_t i = 0; i < room->n_members; i++) {
        const struct pv_rooms_node *author = room->members[i];
        if (author->last > 0)
            add_have(rs, author->pk, author->last);
        if (author->low > 0) {
            struct pv_room_have *gone = &rs->out.gone[rs->out.n_gone++];
            memcpy(gone->author, author->pk, sizeof(gone->author));
            gone->seq = author->low;
        }
    }
    /* HAVE is built from the state of this version. A change after it raises the version, and m is
     * told again. So it is without one, a few times: its store may have failed, which we do not
     * see. */
    m->again = m->told == room->version ? m->again + 1 : 0;
    m->told = room->version;
    m->tell_at =
        m->again < RETELLS && lacks(room, m) ? rs->now + (PV_S(RETELL_S) << m->again) : PV_NEVER;
    pv_rooms_put(rs, m->pk);
}

static void send_list(struct pv_rooms *rs, struct pv_rooms_room *room, const uint8_t *pk)
{
    begin_frame(rs, room, PV_ROOM_F_LIST);
    for (size_t i = 0; i < room->n_records; i++)
        memcpy(rs->out.prefix[rs->out.n_prefix++], room->records[i].rec.hash, PV_ROOM_PREFIX_LEN);
    pv_rooms_put(rs, pk);
}

/* To a member whose records are others; not again while neither side has news. */
static void send_list_to(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_rooms_node *m,
                         pv_ns now)
{
    if (now < m->list_at && memcmp(m->listed, room->digest, sizeof(m->listed)) == 0 &&
        memcmp(m->listed_for, m->digest, sizeof(m->listed_for)) == 0)
        return;
    m->list_at = now + PV_S(LIST_S);
    memcpy(m->listed, room->digest, sizeof(m->listed));
    memcpy(m->listed_for, m->digest, sizeof(m->listed_for));
    send_list(rs, room, m->pk);
}

/* A connection on which nothing is said is closed: one is made with somebody who has more of the
 * author and is there, with the author first. */
static void want_source(struct pv_rooms *rs, const struct pv_rooms_room *room, size_t author)
{
    for (size_t k = 0; k < room->n_members; k++) {
        const struct pv_rooms_node *m = room->members[(author + k) % room->n_members];
        struct pv_rooms_peer *peer = NULL;
        if (m != room->self && m->known[author] > room->members[author]->taken &&
            pv_rooms_may_talk(rs, m->pk))
            peer = pv_rooms_peer_find(rs, m->pk);
        if (peer == NULL || !peer->online)
            continue;
        peer->wanted = rs->any_wanted = true;
        return;
    }
}

void pv_rooms_ask(struct pv_rooms *rs, struct pv_rooms_room *room, pv_ns now)
{
    struct pv_rooms_source source[PV_ROOM_MAX_MEMBERS];
    bool waiting = false;
    if (!pv_rooms_is_wanted(rs, room)) {
        room->ask_at = PV_NEVER;
        return;
    }
    for (size_t i = 0; i < room->n_members; i++) {
        struct pv_rooms_node *author = room->members[i];
        source[i].member = SIZE_MAX;
        if (author->taken >= log_end(author) || is_revoked(rs, author->pk) ||
            !pv_rooms_admits(rs, author->pk))
            continue;
        if (pv_rooms_find_source(rs, room, i, now, &source[i]))
            waiting = true;
        else if (author != room->self)
            want_source(rs, room, i);
        if (source[i].member == SIZE_MAX)
            continue;
        author->asked_until = now + PV_S(ASK_S);
        memcpy(author->asked, room->members[source[i].member]->pk, sizeof(author->asked));
    }
    for (size_t p = 0; waiting && p < room->n_members; p++) {
        begin_frame(rs, room, PV_ROOM_F_WANT);
        for (size_t i = 0; i < room->n_members; i++) {
            if (source[i].member == p)
                add_have(rs, room->members[i]->pk, source[i].above);
        }
        if (rs->out.n_have > 0)
            pv_rooms_put(rs, room->members[p]->pk);
    }
    room->ask_at = waiting ? now + PV_S(ASK_S) : PV_NEVER;
}

void pv_rooms_ask_all(struct pv_rooms *rooms, pv_ns now)
{
    for (size_t i = 0; rooms->in_network && i < rooms->n_rooms; i++) {
        struct pv_rooms_room *room = rooms->rooms[i];
        pv_rooms_ask(rooms, room, now);
        /* And one that this node may tell now of what it lacks is told. */
        for (size_t k = 0; !room->pending && k < room->n_members; k++) {
            struct pv_rooms_node *m = room->members[k];
            if (m != room->self && room_is_in(m) && lacks(room, m))
                m->told = 0;
        }
        pv_rooms_tell_all(rooms, room, PV_MS(ONLINE_MS), now);
    }
}

void pv_rooms_run(struct pv_rooms *rs, struct pv_rooms_room *room, pv_ns now)
{
    for (size_t i = 0; i < room->n_members; i++) {
        struct pv_rooms_node *m = room->members[i];
        if (m->tell_at > now)
            continue;
        struct pv_rooms_peer *peer = pv_rooms_peer_find(rs, m->pk);
        m->tell_at = PV_NEVER; /* who is away is told when it comes */
        if (peer == NULL || (m->told == room->version && !lacks(room, m)) ||
            !pv_rooms_may_talk(rs, m->pk))
            continue;
        if (peer->up)
            send_have(rs, room, m);
        else if (peer->online)
            peer->wanted = rs->any_wanted = true;
    }
    if (room->ask_at <= now)
        pv_rooms_ask(rs, room, now);
    pv_rooms_rearm(rs, room);
}

/* Our own texts got somewhere. */
static void note_sent(struct pv_rooms *rs, struct pv_rooms_room *room, uint64_t seq)
{
    if (seq <= room->sent)
        return;
    room->sent = seq;
    pv_rooms_mark(rs, room, 0, seq, PV_CHAT_SENT);
}

/* The member has our texts above `above` and up to seq. */
static void note_delivered_to(struct pv_rooms *rs, struct pv_rooms_room *room, uint64_t above,
                              uint64_t seq)
{
    if (above >= room->delivered_above && seq <= room->delivered)
        return; /* another one said so */
    pv_rooms_mark(rs, room, above, seq, PV_CHAT_DELIVERED);
    const bool meets = above <= room->delivered && seq >= room->delivered_above;
    room->delivered_above = meets && room->delivered_above < above ? room->delivered_above : above;
    room->delivered = meets && room->delivered > seq ? room->delivered : seq;
}

/* A text counts as delivered as soon as one other member has it: that member hands it on. A member
 * has none of those from before its invitation, which it counts as known; and one may claim more
 * than we wrote, which must not make what we write later count. */
void pv_rooms_note_delivered(struct pv_rooms *rs, struct pv_rooms_room *room)
{
    const size_t self = room->self == NULL ? SIZE_MAX : pv_rooms_index(room, room->self->pk);
    for (size_t i = 0; self != SIZE_MAX && i < room->n_members; i++) {
        struct pv_rooms_node *m = room->members[i];
        const uint64_t has = m->known[self] < room->self->last ? m->known[self] : room->self->last;
        if (i == self || has <= m->noted || has <= m->base[self])
            continue;
        const uint64_t began = pv_rooms_began_at(room, m, room->self);
        const uint64_t above = began > m->noted ? began : m->noted;
        m->noted = has;
        if (has > above)
            note_delivered_to(rs, room, above, has);
    }
}

/* A mark that failed is made again. */
void pv_rooms_note_again(struct pv_rooms_room *room)
{
    room->sent = room->delivered_above = room->delivered = 0;
    for (size_t i = 0; i < room->n_members; i++)
        room->members[i]->noted = 0;
}

/* --- hearing: HAVE ------------------------------------------------------------------------- */

/* Somebody speaks of a room that we do not know: are we invited? */
static void begin_pending(struct pv_rooms *rs, const struct pv_room_frame *f, const uint8_t *pk,
                          pv_ns now)
{
    struct pv_rooms_room *room = NULL;
    if (pv_rooms_is_being_forgotten(rs, f->room) || !pv_rooms_admits(rs, pk))
        return;
    if (!pv_rooms_has_own_place(rs) || !pv_rooms_make_pending_place(rs, pk) ||
        pv_rooms_room_new(rs, f->room, &room) < 0) {
        rs->counts.full++;
        return;
    }
    room->pending = true;
    room->pending_until = now + PV_S(PENDING_S);
    memcpy(room->from, pk, sizeof(room->from));
    send_list(rs, room, pk);
    pv_rooms_rearm(rs, room);
}

/* A list is the whole vector, so an author that it does not name is one of whom the member has
 * nothing. */
static void read_numbers(const struct pv_rooms_room *room, const struct pv_room_have *list,
                         size_t n, uint64_t numbers[static PV_ROOM_MAX_MEMBERS])
{
    memset(numbers, 0, PV_ROOM_MAX_MEMBERS * sizeof(numbers[0]));
    for (size_t i = 0; i < n; i++) {
        size_t author = pv_rooms_index(room, list[i].author);
        if (author != SIZE_MAX)
            numbers[author] = list[i].seq;
    }
}

/* A member that lacks something is told how far we are, and asks. */
static void handle_have(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_rooms_node *m,
                        const struct pv_room_frame *f, pv_ns now)
{
    memcpy(m->digest, f->digest, sizeof(m->digest));
    read_numbers(room, f->have, f->n_have, m->known);
    read_numbers(room, f->gone, f->n_gone, m->gone);
    memcpy(m->had, m->known, sizeof(m->had));
    pv_rooms_note_claim(room, m, now);
    if (memcmp(m->digest, room->digest, sizeof(m->digest)) != 0)
        send_list_to(rs, room, m, now);
    pv_rooms_note_delivered(rs, room);
    pv_rooms_ask(rs, room, now);
    m->tell_at = PV_NEVER;
    if (room_is_in(m) && lacks(room, m))
        pv_rooms_tell(room, m, now);
    else if (room_is_in(m)) /* it must know that we have all, to delete its own */
        pv_rooms_tell(room, m, now + PV_MS(AGAIN_MS));
    pv_rooms_run(rs, room, now);
}

/* --- hearing: WANT ------------------------------------------------------------------------- */

/* Hands the texts to the member that asked for them. */
static void hand_out(struct pv_rooms *rs, struct pv_rooms_room *room, const uint8_t *pk,
                     const struct pv_roomop_result *result)
{
    struct pv_rooms_peer *peer = pv_rooms_peer_find(rs, pk);
    uint64_t own = 0;
    size_t used = 0;
    if (peer == NULL || result->n_texts == 0 || !peer->up)
        return;
    begin_frame(rs, room, PV_ROOM_F_RECORDS);
    for (size_t i = 0; i < result->n_texts; i++) {
        const struct pv_room_text *t = &result->texts[i];
        struct pv_room_record rec = {.type = PV_ROOM_TEXT, .seq = t->seq, .time_ms = t->time_ms};
        size_t len = 0;
        memcpy(rec.room, room->id, sizeof(rec.room));
        memcpy(rec.signer, t->author, sizeof(rec.signer));
        /* The store keeps the fields and the signature. The record is joined again here, byte for
         * byte as its author signed it. */
        rec.text = pv_view(t->text, strlen(t->text));
        if (pv_room_text_join(&rec, t->sig, rs->raw, &len) != PV_OK ||
            used + len > sizeof(rs->out.bytes))
            break;
        memcpy(rs->out.bytes + used, rs->raw, len);
        rs->out.records[rs->out.n_records++] = pv_view(rs->out.bytes + used, len);
        used += len;
        own = pv_rooms_same(t->author, rs->cfg.own_pk) ? t->seq : own;
    }
    /* Every answer costs at least 1 KiB of the allowance: many small questions are bounded
     * as well. */
    uint32_t kib = (uint32_t)(used / 1024) + 1;
    if (!pv_bucket_take(&peer->served, PV_ROOMS_SERVE_RATE, PV_ROOMS_SERVE_BURST, kib, rs->now))
        return; /* it asks again */
    pv_rooms_put(rs, pk);
    note_sent(rs, room, own);
}

static void handle_want(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_rooms_node *m,
                        const struct pv_room_frame *f)
{
    struct pv_room_have haves[PV_ROOM_MAX_MEMBERS];
    struct pv_roomop op = {.kind = PV_ROOMOP_READ, .room = room->id, .haves = haves};
    struct pv_chatop_result done;
    bool outdated = false;
    if (!room_is_in(m)) {
        rs->counts.strangers++;
        return;
    }
    for (size_t i = 0; i < f->n_have; i++) {
        size_t author = pv_rooms_index(room, f->have[i].author);
        if (author == SIZE_MAX || is_revoked(rs, f->have[i].author))
            continue;
        struct pv_room_have h = f->have[i];
        if (m->base[author] > h.seq) /* from before it was invited */
            h.seq = m->base[author];
        if (h.seq < room->members[author]->low)
            outdated = true;
        else
            haves[op.n_haves++] = h;
    }
    /* It does not know yet what is deleted here, and must ask somebody else. */
    if (outdated) {
        m->told = 0;
        pv_rooms_tell(room, m, rs->now);
        pv_rooms_rearm(rs, room);
    }
    if (op.n_haves == 0)
        return;
    if (pv_rooms_do(rs, &op, &done) == PV_OK)
        hand_out(rs, room, m->pk, done.room);
    pv_chatop_result_done(&done);
}

/* --- hearing: LIST ------------------------------------------------------------------------- */

static bool has_prefix(const struct pv_room_frame *f, const uint8_t *hash)
{
    for (size_t i = 0; i < f->n_prefix; i++) {
        if (memcmp(f->prefix[i], hash, PV_ROOM_PREFIX_LEN) == 0)
            return true;
    }
    return false;
}

static bool lacks_of(const struct pv_rooms_room *room, const struct pv_room_frame *f)
{
    for (size_t i = 0; i < f->n_prefix; i++) {
        bool known = false;
        for (size_t k = 0; k < room->n_records && !known; k++)
            known = memcmp(f->prefix[i], room->records[k].rec.hash, PV_ROOM_PREFIX_LEN) == 0;
        if (!known)
            return true;
    }
    return false;
}

/* Records that it lacks, in an order in which it can check them. */
static void handle_list(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_rooms_node *m,
                        const struct pv_room_frame *f, pv_ns now)
{
    size_t used = 0;
    begin_frame(rs, room, PV_ROOM_F_RECORDS);
    for (size_t i = 0; i < room->n_records; i++) {
        const struct pv_rooms_record *r = &room->records[i];
        /* The order of records[] stays: a record comes behind those on which it rests. */
        if (has_prefix(f, r->rec.hash))
            continue;
        if (used + r->len > PV_ROOM_PAGE || rs->out.n_records == PV_ROOM_FRAME_MAX_RECORDS)
            break;
        rs->out.records[rs->out.n_records++] = pv_view(r->raw, r->len);
        used += r->len;
    }
    if (rs->out.n_records > 0) {
        pv_rooms_put(rs, m->pk);
        /* Then it may know authors of whom it could not ask before. One that asks for the same
         * again has no place for them, and is told as often as anybody who lacks something. */
        if (m->handed != room->version || f->n_prefix > m->handed_for) {
            m->told = 0;
            pv_rooms_tell(room, m, now + PV_MS(AGAIN_MS));
            pv_rooms_rearm(rs, room);
        }
        m->handed = room->version;
        m->handed_for = f->n_prefix;
    }
    if (lacks_of(room, f))
        send_list_to(rs, room, m, now);
}

/* --- hearing: RECORDS ---------------------------------------------------------------------- */

/* Before a user accepts a room it has nothing to tell but that this node is invited. */
static void tell_change(struct pv_rooms *rs, const struct pv_rooms_room *room,
                        const struct pv_room_record *rec)
{
    if (!pv_rooms_is_accepted(rs, room) &&
        !(rec->type == PV_ROOM_INVITE && pv_rooms_same(rec->node, rs->cfg.own_pk)))
        return;
    struct pv_rooms_event e = {.type =
                                   rec->type == PV_ROOM_LEAVE ? PV_ROOMS_LEFT : PV_ROOMS_INVITED};
    memcpy(e.room, room->id, sizeof(e.room));
    memcpy(e.node, rec->type == PV_ROOM_LEAVE ? rec->signer : rec->node, sizeof(e.node));
    memcpy(e.by, rec->signer, sizeof(e.by));
    if (rec->type != PV_ROOM_CREATE)
        pv_rooms_event_push(rs, &e);
}

/* A text that follows what we have of its author. */
static int take_text(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_view raw,
                     const struct pv_room_record *rec)
{
    struct pv_rooms_node *author = pv_rooms_member_find(room, rec->signer);
    struct pv_room_record verified;
    /* The signature is checked last. It is the expensive check, and texts that we have or cannot
     * use would let any member make us pay for it. */
    if (author == NULL || is_revoked(rs, rec->signer)) {
        rs->counts.strangers++;
        return PV_OK;
    }
    if (room->pending || !pv_rooms_is_wanted(rs, room) || !pv_rooms_is_next(author, rec->seq) ||
        author->full_until > rs->now || !pv_rooms_admits(rs, rec->signer))
        return PV_OK; /* known, or something before it is missing, or it is not for now */
    if (rec->seq > log_end(author)) {
        rs->counts.full++;
        return PV_OK;
    }
    int r = pv_room_record_parse(raw, rs->network, &verified);
    if (r < 0 && r != PV_ERR_NOMEM)
        return PV_ERR_AUTH;
    if (r == PV_OK)
        r = pv_rooms_batch(rs, room, author, rec, raw.ptr + raw.len - PV_SIGN_LEN);
    return r == PV_ERR_LIMIT || r == PV_ERR_NOMEM ? PV_OK : r; /* it is asked for again */
}

/* Does the record bring us back into a room that we left, and is there no place for one more? It
 * comes again with a later list. */
static bool brings_back_too_many(const struct pv_rooms *rs, const struct pv_rooms_room *room,
                                 const struct pv_room_record *rec)
{
    return rec->type == PV_ROOM_INVITE && pv_rooms_same(rec->node, rs->cfg.own_pk) &&
           !room->pending && room->self != NULL && !room_is_in(room->self) &&
           rec->round > room->self->left && !pv_rooms_has_place_back(rs, room);
}

/* A record of another kind; added to raws when it is new. */
static int take_record(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_view raw,
                       const struct pv_room_record *rec, struct pv_room_raw *ret_raw)
{
    struct pv_room_record verified;
    for (size_t i = 0; i < room->n_records; i++) {
        if (memcmp(room->records[i].rec.hash, rec->hash, sizeof(rec->hash)) == 0)
            return PV_ERR_EXISTS;
    }
    int r = pv_room_record_parse(raw, rs->network, &verified);
    if (r < 0)
        return r == PV_ERR_NOMEM ? r : PV_ERR_AUTH;
    /* Nobody we have heard of: made up, to fill the room's places, or newer than our roster; then
     * it comes again with the next list. */
    struct pv_overlay_member m;
    if (rec->type == PV_ROOM_INVITE && !rs->cfg.known(rs->cfg.owner, rec->node, &m)) {
        rs->counts.strangers++;
        return PV_ERR_REFUSED;
    }
    if (brings_back_too_many(rs, room, rec)) {
        rs->counts.full++;
        return PV_ERR_REFUSED;
    }
    ret_raw->bytes = malloc(raw.len);
    if (ret_raw->bytes == NULL)
        return PV_ERR_NOMEM;
    memcpy(ret_raw->bytes, raw.ptr, raw.len);
    ret_raw->len = raw.len;
    if (rec->type == PV_ROOM_INVITE && pv_rooms_same(rec->node, rs->cfg.own_pk) &&
        room->self != NULL)
        pv_rooms_note_left(rs, room);
    /* The copy for the store is made before the record enters the room: the room then never has a
     * record that could not be stored. */
    r = pv_rooms_add(rs, room, raw, rec, &ret_raw->replaces, ret_raw->replaced);
    if (r < 0) {
        free(ret_raw->bytes);
        ret_raw->bytes = NULL;
        rs->counts.full += r == PV_ERR_LIMIT;
    }
    return r;
}

/* The record that invited us, last. */
static const struct pv_room_record *own_invitation(const struct pv_rooms *rs,
                                                   const struct pv_rooms_room *room)
{
    for (size_t i = 0; i < room->n_records; i++) {
        const struct pv_room_record *rec = &room->records[i].rec;
        if (rec->type == PV_ROOM_INVITE && pv_rooms_same(rec->node, rs->cfg.own_pk) &&
            rec->round == room->self->round)
            return rec;
    }
    return NULL;
}

/* A room we are invited to becomes ours, unless there are too many, or rules deny chat to who
 * invited us. False: it is forgotten. */
static bool adopt(struct pv_rooms *rs, struct pv_rooms_room *room)
{
    if (!pv_rooms_has_place(rs, room->members[0]->pk)) {
        rs->counts.full++;
        return false;
    }
    const struct pv_room_record *invitation = own_invitation(rs, room);
    if (invitation != NULL && !pv_rooms_admits(rs, invitation->signer))
        return false;
    struct pv_room_raw *raws = calloc(room->n_records, sizeof(*raws));
    for (size_t i = 0; raws != NULL && i < room->n_records; i++) {
        raws[i].bytes = malloc(room->records[i].len);
        if (raws[i].bytes == NULL) {
            pv_room_raws_free(raws, i);
            return false;
        }
        memcpy(raws[i].bytes, room->records[i].raw, room->records[i].len);
        raws[i].len = room->records[i].len;
    }
    room->pending = false;
    room->pending_until = PV_NEVER;
    pv_rooms_settle(room);
    pv_rooms_begin_logs(room);
    if (raws == NULL || pv_rooms_keep(rs, room, raws, room->n_records, NULL) < 0)
        return false;
    pv_rooms_name_new(rs, room);
    if (invitation != NULL)
        tell_change(rs, room, invitation);
    return true;
}

/* New records of a room; raws are taken. */
static void settle_records(struct pv_rooms *rs, struct pv_rooms_room *room,
                           struct pv_room_raw *raws, size_t n, pv_ns now)
{
    if (room->pending) {
        pv_room_raws_free(raws, n);
        rs->n_forgotten = 0;
        if (room_is_in(room->self)) {
            room->closed = !adopt(rs, room);
        } else if (n > 0) {
            send_list(rs, room, room->from); /* there may be more */
        } else {
            room->closed = true;
        }
        if (room->closed)
            room->pending_until = now;
    } else if (n > 0 || rs->n_forgotten > 0) {
        pv_rooms_settle(room);
        pv_rooms_begin_logs(room);
        if (pv_rooms_keep(rs, room, raws, n, NULL) < 0)
            return;
    } else {
        free(raws);
    }
    pv_rooms_rearm(rs, room);
}

static int handle_records(struct pv_rooms *rs, struct pv_rooms_room *room,
                          const struct pv_room_frame *f, const uint8_t *pk, pv_ns now)
{
    struct pv_room_raw *raws = calloc(PV_ROOM_FRAME_MAX_RECORDS, sizeof(*raws));
    size_t n = 0;
    int r = raws == NULL ? PV_ERR_NOMEM : PV_OK;
    rs->n_forgotten = 0;
    for (size_t i = 0; r == PV_OK && i < f->n_records; i++) {
        struct pv_room_record rec;
        rs->n_ahead = f->n_records - i - 1;
        if (pv_room_record_parse(f->records[i], NULL, &rec) < 0 ||
            memcmp(rec.room, room->id, sizeof(rec.room)) != 0) {
            rs->counts.bad_frames++;
            r = PV_ERR_REFUSED;
            break;
        }
        /* The parse above checked only the form. Each of these two verifies the signature after its
         * cheap checks. */
        int got = rec.type == PV_ROOM_TEXT ? take_text(rs, room, f->records[i], &rec)
                                           : take_record(rs, room, f->records[i], &rec, &raws[n]);
        /* One in the place of another says nothing new, and there can be any number of these. */
        if (rec.type != PV_ROOM_TEXT && got == PV_OK && !room->pending && !raws[n].replaces)
            tell_change(rs, room, &rec);
        n += rec.type != PV_ROOM_TEXT && got == PV_OK;
        if (got == PV_ERR_AUTH) {
            rs->counts.forged++;
            r = PV_ERR_REFUSED;
        } else if (got == PV_ERR_NOMEM) {
            r = got;
        }
    }
    memcpy(room->source, pk, sizeof(room->source));
    room->has_source = true;
    if (raws == NULL)
        return r;
    /* Good records before a bad one stay: their signatures hold whoever sent them. */
    settle_records(rs, room, raws, n, now);
    room = pv_rooms_room_find(rs, f->room);
    if (room != NULL) {
        (void)pv_rooms_take(rs, room, NULL); /* else the texts are asked for again */
        struct pv_rooms_node *m = pv_rooms_member_find(room, pk);
        if (n > 0 && m != NULL && memcmp(m->digest, room->digest, sizeof(m->digest)) != 0)
            send_list(rs, room, pk); /* until the lists are the same, or nothing new comes */
    }
    return r;
}

/* --- frames -------------------------------------------------------------------------------- */

static int dispatch(struct pv_rooms *rs, const uint8_t *pk, pv_ns now)
{
    const struct pv_room_frame *f = &rs->in;
    struct pv_rooms_room *room = pv_rooms_room_find(rs, f->room);
    if (room == NULL) {
        if (f->kind == PV_ROOM_F_HAVE)
            begin_pending(rs, f, pk, now);
        return PV_OK;
    }
    struct pv_rooms_node *m = pv_rooms_member_find(room, pk);
    if (room->pending && !pv_rooms_same(room->from, pk))
        return PV_OK; /* only the records of who invited us are of use */
    if (room->pending && f->kind == PV_ROOM_F_HAVE)
        send_list(rs, room, pk); /* some may have been missed */
    if (room->pending)
        return f->kind == PV_ROOM_F_RECORDS ? handle_records(rs, room, f, pk, now) : PV_OK;
    if (m == NULL && f->kind == PV_ROOM_F_HAVE) { /* who invited it may not have told us yet */
        send_list(rs, room, pk);
        return PV_OK;
    }
    if (m == NULL && f->kind != PV_ROOM_F_RECORDS) { /* these are signed, whoever sends them */
        rs->counts.strangers++;
        return PV_OK;
    }
    switch (f->kind) {
    case PV_ROOM_F_HAVE:
        handle_have(rs, room, m, f, now);
        break;
    case PV_ROOM_F_WANT:
        handle_want(rs, room, m, f);
        break;
    case PV_ROOM_F_LIST:
        if (room_is_in(m))
            handle_list(rs, room, m, f, now);
        break;
    case PV_ROOM_F_RECORDS:
        return handle_records(rs, room, f, pk, now);
    }
    return PV_OK;
}

int pv_rooms_handle_frame(struct pv_rooms *rooms, const uint8_t *pk, struct pv_view line, pv_ns now)
{
    rooms->now = now;
    struct pv_rooms_peer *peer = pv_rooms_peer_find(rooms, pk);
    if (!rooms->loaded || peer == NULL || !pv_rooms_may_talk(rooms, pk))
        return PV_OK;
    /* The limit comes before the parser: a flood costs us no parsing. */
    if (!pv_bucket_take(&peer->frames, PV_ROOMS_FRAME_RATE, PV_ROOMS_FRAME_BURST, 1, now)) {
        rooms->counts.floods++;
        return PV_ERR_REFUSED;
    }
    int r = pv_room_frame_parse(line, &rooms->in);
    if (r == PV_ERR_NOMEM)
        return r;
    if (r < 0) {
        rooms->counts.bad_frames++;
        return PV_ERR_REFUSED;
    }
    return dispatch(rooms, pk, now);
}

/* --- peers --------------------------------------------------------------------------------- */

void pv_rooms_peer_free(struct pv_rooms *rs, struct pv_rooms_peer *peer)
{
    PV_MAP_DEL(rs->peers, peer);
    free(peer);
}

/* The entry of a peer that is away has its allowances alone: in a full table it gives way. */
static void make_place(struct pv_rooms *rs)
{
    struct pv_rooms_peer *peer = rs->peers;
    if (HASH_CNT(hh, rs->peers) < PV_ROOMS_MAX_PEERS)
        return;
    while (peer != NULL && (peer->online || peer->up))
        peer = peer->hh.next;
    if (peer != NULL)
        pv_rooms_peer_free(rs, peer);
}

static int make_peer(struct pv_rooms *rs, const uint8_t *pk, struct pv_rooms_peer **ret_peer)
{
    struct pv_rooms_peer *peer = calloc(1, sizeof(*peer));
    int r;
    if (peer == NULL)
        return PV_ERR_NOMEM;
    memcpy(peer->pk, pk, sizeof(peer->pk));
    make_place(rs);
    PV_MAP_ADD(&rs->peer_map, rs->peers, pk, peer, r);
    if (r < 0) {
        free(peer);
        return r;
    }
    *ret_peer = peer;
    return PV_OK;
}

void pv_rooms_peer_gone(struct pv_rooms *rooms, const uint8_t *pk)
{
    struct pv_rooms_peer *peer = pv_rooms_peer_find(rooms, pk);
    if (peer != NULL)
        pv_rooms_peer_free(rooms, peer);
}

void pv_rooms_peer_up(struct pv_rooms *rooms, const uint8_t *pk, bool up, pv_ns now)
{
    rooms->now = now;
    struct pv_rooms_peer *peer = pv_rooms_peer_find(rooms, pk);
    if (peer == NULL && (!up || pv_rooms_peer_online(rooms, pk, true, now) < 0))
        return;
    peer = pv_rooms_peer_find(rooms, pk);
    peer->up = up;
    /* The wish for a connection is fulfilled by any connection, whichever side made it. */
    peer->wanted = peer->wanted && !up;
    for (size_t i = 0; i < rooms->n_rooms; i++) {
        struct pv_rooms_room *room = rooms->rooms[i];
        struct pv_rooms_node *m = pv_rooms_member_find(room, pk);
        if (m == NULL || m == room->self || !up)
            continue;
        /* A new connection: what was said on the old one may be lost, and so may the other's
         * memory. */
        memset(m->known, 0, sizeof(m->known));
        memset(m->gone, 0, sizeof(m->gone));
        memset(m->digest, 0, sizeof(m->digest));
        m->told = 0;
        m->list_at = 0;
        if (room_is_in(m))
            pv_rooms_tell(room, m, now);
        pv_rooms_run(rooms, room, now);
    }
}

void pv_rooms_unsaid(struct pv_rooms *rooms, const uint8_t *pk, pv_ns now)
{
    rooms->now = now;
    for (size_t i = 0; i < rooms->n_rooms; i++) {
        struct pv_rooms_room *room = rooms->rooms[i];
        struct pv_rooms_node *m = pv_rooms_member_find(room, pk);
        if (m == NULL || m == room->self)
            continue;
        m->told = 0;
        m->list_at = 0;
        if (room_is_in(m))
            pv_rooms_tell(room, m, now + PV_S(UNSAID_S));
        pv_rooms_rearm(rooms, room);
    }
}

int pv_rooms_peer_online(struct pv_rooms *rooms, const uint8_t *pk, bool online, pv_ns now)
{
    struct pv_rooms_peer *peer = pv_rooms_peer_find(rooms, pk);
    /* Of thousands of members most are never there. */
    if (peer == NULL && !online)
        return PV_OK;
    const int r = peer == NULL ? make_peer(rooms, pk, &peer) : PV_OK;
    if (r < 0)
        return r;
    peer->online = online;
    peer->wanted = peer->wanted && online;
    /* A peer with a connection was told when the connection came up (pv_rooms_peer_up). */
    for (size_t i = 0; online && !peer->up && i < rooms->n_rooms; i++) {
        struct pv_rooms_room *room = rooms->rooms[i];
        struct pv_rooms_node *m = pv_rooms_member_find(room, pk);
        if (m == NULL || !room_is_in(m))
            continue;
        if (lacks(room, m))
            pv_rooms_tell(room, m, now + PV_MS(pv_rng_below(&rooms->cfg.rng, ONLINE_MS)));
        pv_rooms_ask(rooms, room, now); /* this node may lack something as well */
        pv_rooms_rearm(rooms, room);
    }
    return PV_OK;
}
