/* SPDX-License-Identifier: MIT */
/* rooms.c - life of rooms, what users do with them, and time. */
#include "chat/core/rooms/rooms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/vec.h"
#include "chat/core/rooms/rooms_int.h"
#include "crypto/hash.h"

/* --- life ---------------------------------------------------------------------------------- */

int pv_rooms_new(struct pv_rooms **ret_rooms, const struct pv_rooms_config *cfg)
{
    struct pv_rooms *rs = calloc(1, sizeof(*rs));
    if (rs == NULL)
        return PV_ERR_NOMEM;
    rs->cfg = *cfg;
    rs->load_at = PV_NEVER;
    pv_heap_init(&rs->timers);
    rs->peer_map = pv_map_make(&rs->cfg.rng, PV_ROOMS_MAX_PEERS);
    *ret_rooms = rs;
    return PV_OK;
}

/* A look that was begun begins anew with the rooms that are loaded; a room that was not forgotten
 * whole gives way again. */
void pv_rooms_drop_all(struct pv_rooms *rs)
{
    while (rs->n_rooms > 0)
        pv_rooms_room_free(rs, rs->rooms[rs->n_rooms - 1]);
    pv_rooms_drop_lines(rs);
    rs->sweep.again = rs->sweep.again || rs->sweep.on;
    rs->sweep.on = false;
    rs->n_forgetting = 0;
    rs->loaded = rs->doubt = false;
}

/* Before another network, or none. */
static void forget_all(struct pv_rooms *rs)
{
    pv_rooms_drop_all(rs);
    while (rs->peers != NULL)
        pv_rooms_peer_free(rs, rs->peers);
    rs->load_at = PV_NEVER;
}

struct pv_rooms *pv_rooms_free(struct pv_rooms *rooms)
{
    struct pv_rooms_event e;
    if (rooms == NULL)
        return NULL;
    forget_all(rooms);
    while (pv_fifo_take(&rooms->events, &e) == PV_OK)
        pv_chat_record_done(&e.msg);
    pv_heap_done(&rooms->timers);
    free(rooms->rooms);
    free(rooms->forgetting);
    free(rooms);
    return NULL;
}

void pv_rooms_set_network(struct pv_rooms *rooms, const uint8_t *network, const uint8_t *own_pk,
                          pv_ns now)
{
    rooms->now = now;
    if (rooms->in_network)
        forget_all(rooms);
    else /* who is there came before the network */
        pv_rooms_drop_all(rooms);
    rooms->in_network = network != NULL;
    memcpy(rooms->cfg.own_pk, own_pk, sizeof(rooms->cfg.own_pk));
    if (network != NULL) {
        memcpy(rooms->network, network, sizeof(rooms->network));
        pv_rooms_load(rooms);
    }
}

bool pv_rooms_are_ready(const struct pv_rooms *rooms)
{
    return rooms->loaded;
}

struct pv_rooms_peer *pv_rooms_peer_find(const struct pv_rooms *rs, const uint8_t *pk)
{
    struct pv_rooms_peer *peer = NULL;
    PV_MAP_FIND(&rs->peer_map, rs->peers, pk, PV_SIGN_PK_LEN, peer);
    return peer;
}

struct pv_rooms_counts pv_rooms_counts(const struct pv_rooms *rooms)
{
    return rooms->counts;
}

/* --- what there is ------------------------------------------------------------------------- */

static unsigned count_in(const struct pv_rooms_room *room)
{
    unsigned n = 0;
    for (size_t i = 0; i < room->n_members; i++)
        n += room_is_in(room->members[i]);
    return n;
}

/* The first member is the node that made the room. */
static struct pv_rooms_info info_of(const struct pv_rooms *rooms, const struct pv_rooms_room *room)
{
    return (struct pv_rooms_info){.id = room->id,
                                  .creator = room->members[0]->pk,
                                  .left = !room_is_in(room->self),
                                  .invited =
                                      room_is_in(room->self) && !pv_rooms_is_accepted(rooms, room),
                                  .members = count_in(room)};
}

bool pv_rooms_info(const struct pv_rooms *rooms, size_t i, struct pv_rooms_info *ret_info)
{
    for (size_t k = 0; k < rooms->n_rooms; k++) {
        const struct pv_rooms_room *room = rooms->rooms[k];
        if (!pv_rooms_is_listed(room) || i-- > 0)
            continue;
        *ret_info = info_of(rooms, room);
        return true;
    }
    return false;
}

bool pv_rooms_look(const struct pv_rooms *rooms, const uint8_t *id, struct pv_rooms_info *ret_info)
{
    const struct pv_rooms_room *room = pv_rooms_room_find(rooms, id);
    if (room == NULL || !pv_rooms_is_listed(room))
        return false;
    *ret_info = info_of(rooms, room);
    return true;
}

bool pv_rooms_member(const struct pv_rooms *rooms, const uint8_t *id, size_t i,
                     struct pv_rooms_member *ret_member)
{
    const struct pv_rooms_room *room = pv_rooms_room_find(rooms, id);
    if (room == NULL || i >= room->n_members)
        return false;
    const struct pv_rooms_node *m = room->members[i];
    *ret_member = (struct pv_rooms_member){
        .pk = m->pk, .is_creator = i == 0, .has_left = !room_is_in(m), .texts = m->last};
    return true;
}

bool pv_rooms_holding(const struct pv_rooms *rooms, pv_ns now, const uint8_t **ret_author,
                      const uint8_t **ret_room)
{
    for (size_t i = 0; i < rooms->n_rooms; i++) {
        const struct pv_rooms_room *room = rooms->rooms[i];
        for (size_t k = 0; k < room->n_members; k++) {
            const struct pv_rooms_node *m = room->members[k];
            if (!m->full || m->full_until <= now)
                continue;
            *ret_author = m->pk;
            *ret_room = room->id;
            return true;
        }
    }
    return false;
}

/* --- users --------------------------------------------------------------------------------- */

/* Signs rec into rs->raw; room may be NULL. Its length, or PV_ERR_MALFORMED, PV_ERR_NOMEM. */
static int make_record(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_room_record *rec,
                       const struct pv_room_have *base, size_t n_base)
{
    const struct pv_room_make make = {
        .network = rs->network, .signer = rs->cfg.signer, .base = base, .n_base = n_base};
    size_t len = 0;
    memcpy(rec->signer, rs->cfg.own_pk, sizeof(rec->signer));
    if (room != NULL)
        memcpy(rec->room, room->id, sizeof(rec->room));
    int r = pv_room_record_make(&make, rec, rs->raw, &len);
    /* Our own record goes through the parser as a stranger's would: the parser fills in hash and
     * room. */
    return r < 0                                                        ? r
           : pv_room_record_parse(pv_view(rs->raw, len), NULL, rec) < 0 ? PV_ERR_MALFORMED
                                                                        : (int)len;
}

/* Adds the record in rs->raw, len bytes, and stores it. */
static int add_own(struct pv_rooms *rs, struct pv_rooms_room *room,
                   const struct pv_room_record *rec, size_t len)
{
    struct pv_room_raw *raw = calloc(1, sizeof(*raw));
    if (raw != NULL)
        raw->bytes = malloc(len);
    if (raw == NULL || raw->bytes == NULL) {
        free(raw);
        return PV_ERR_NOMEM;
    }
    memcpy(raw->bytes, rs->raw, len);
    raw->len = len;
    rs->n_ahead = rs->n_forgotten = 0;
    int r = pv_rooms_add(rs, room, pv_view(rs->raw, len), rec, &raw->replaces, raw->replaced);
    if (r < 0) {
        pv_room_raws_free(raw, 1);
        return r;
    }
    pv_rooms_settle(room);
    return pv_rooms_keep(rs, room, raw, 1, rec);
}

int pv_rooms_open(struct pv_rooms *rooms, const char *name, uint64_t wall_ms, pv_ns now,
                  uint8_t ret_room[static PV_ROOM_ID_LEN])
{
    struct pv_room_record rec = {.type = PV_ROOM_CREATE, .time_ms = wall_ms};
    struct pv_rooms_room *room = NULL;
    char small[PV_NAME_BUF];
    rooms->now = now;
    name += name[0] == '#';
    if (!rooms->loaded)
        return PV_ERR_STATE;
    if (pv_name_parse(name, strlen(name), small) < 0 || !pv_room_name_is_valid(small))
        return PV_ERR_MALFORMED;
    name = small;
    if (pv_rooms_is_name_taken(rooms, name))
        return PV_ERR_EXISTS;
    if (!pv_rooms_has_own_place(rooms))
        return PV_ERR_LIMIT;
    snprintf(rec.name, sizeof(rec.name), "%.*s", PV_ROOM_NAME_MAX, name);
    pv_rng_fill(&rooms->cfg.rng, rec.nonce, sizeof(rec.nonce));
    int len = make_record(rooms, NULL, &rec, NULL, 0);
    if (len < 0)
        return len;
    int r = pv_rooms_room_new(rooms, rec.room, &room);
    if (r == PV_OK) {
        r = add_own(rooms, room, &rec, (size_t)len);
        if (r < 0)
            pv_rooms_room_free(rooms, room);
        else
            pv_rooms_name_new(rooms, room);
        memcpy(ret_room, rec.room, sizeof(rec.room));
    }
    return r;
}

static int by_author(const void *a, const void *b)
{
    return memcmp(a, b, PV_SIGN_PK_LEN);
}

/* How far the author's log goes. An author's own word counts also while its texts are on their way
 * here, or it has gone with them. Of one whose texts wait with the others, as all do until a
 * user here has accepted the room, their word counts, too, or who is invited here would be shown
 * what was said before. */
static uint64_t end_of_log(const struct pv_rooms *rs, const struct pv_rooms_room *room,
                           size_t author, bool has_texts)
{
    uint64_t end = room->members[author]->last;
    const bool only_itself = has_texts && pv_rooms_admits(rs, room->members[author]->pk);
    for (size_t i = 0; i < room->n_members; i++) {
        const uint64_t known = room->members[i]->known[author];
        if (i == author || !only_itself)
            end = known > end && known <= PV_ROOM_MAX_TEXTS ? known : end;
    }
    return end;
}

int pv_rooms_invite(struct pv_rooms *rooms, const uint8_t *id, const uint8_t *pk, uint64_t wall_ms,
                    pv_ns now)
{
    struct pv_room_have base[PV_ROOM_MAX_MEMBERS];
    struct pv_room_record rec = {.type = PV_ROOM_INVITE, .time_ms = wall_ms};
    struct pv_rooms_room *room = rooms->loaded ? pv_rooms_room_find(rooms, id) : NULL;
    size_t n = 0;
    if (room == NULL || !room_is_in(room->self))
        return PV_ERR_STATE;
    /* A revoked member could never fetch a text: inviting it would only take a place. */
    if (!pv_rooms_may_talk(rooms, pk))
        return PV_ERR_NOT_FOUND;
    const struct pv_rooms_node *m = pv_rooms_member_find(room, pk);
    if (room_is_in(m))
        return PV_ERR_EXISTS;
    for (size_t i = 0; i < room->n_members; i++) {
        const uint64_t end = end_of_log(rooms, room, i, pv_rooms_is_accepted(rooms, room));
        if (end == 0)
            continue;
        memcpy(base[n].author, room->members[i]->pk, sizeof(base[n].author));
        base[n++].seq = end;
    }
    qsort(base, n, sizeof(base[0]), by_author);
    memcpy(rec.node, pk, sizeof(rec.node));
    /* Rounds count invitations. One above the leaves so far brings the member back, and an old
     * invitation that is sent again cannot. */
    rec.round = m == NULL ? 1 : m->left + 1;
    const int len = make_record(rooms, room, &rec, base, n);
    if (len < 0)
        return len;
    const int r = pv_rooms_accept(rooms, id, now); /* whoever invites wants to be in it */
    return r < 0 ? r : add_own(rooms, room, &rec, (size_t)len);
}

int pv_rooms_leave(struct pv_rooms *rooms, const uint8_t *id, uint64_t wall_ms, pv_ns now)
{
    struct pv_room_record rec = {.type = PV_ROOM_LEAVE, .time_ms = wall_ms};
    struct pv_rooms_room *room = rooms->loaded ? pv_rooms_room_find(rooms, id) : NULL;
    rooms->now = now;
    if (room == NULL || !room_is_in(room->self))
        return PV_ERR_STATE;
    rec.round = room->self->round;
    rec.seq = room->self->last;
    int len = make_record(rooms, room, &rec, NULL, 0);
    if (len < 0)
        return len;
    return add_own(rooms, room, &rec, (size_t)len);
}

/* --- what they say ------------------------------------------------------------------------- */

/* Signs the text and stores it. */
static int say_now(struct pv_rooms *rs, struct pv_rooms_room *room, const struct pv_rooms_say *say,
                   uint64_t wall_ms, struct pv_chat_record *ret_said)
{
    struct pv_room_record rec = {.type = PV_ROOM_TEXT, .time_ms = wall_ms};
    if (!room_is_in(room->self) || pv_rooms_is_behind_itself(room, rs->now))
        return PV_ERR_STATE;
    if (room->self->last >= PV_ROOM_MAX_TEXTS)
        return PV_ERR_LIMIT;
    rec.seq = room->self->last + 1;
    rec.text = pv_view(say->text, strlen(say->text));
    int len = make_record(rs, room, &rec, NULL, 0);
    if (len < 0)
        return len;
    pv_rooms_refute_claims(room);
    int r = pv_rooms_batch(rs, room, room->self, &rec, rs->raw + len - PV_SIGN_LEN);
    if (r < 0)
        return r;
    if (say->id != NULL) {
        struct pv_room_text *t = &room->batch[room->n_batch - 1];
        memcpy(t->said, say->id, sizeof(t->said));
        t->has_said = true;
    }
    return pv_rooms_take(rs, room, ret_said);
}

/* Looks for a text that was said before, *ret_said. PV_ERR_EXISTS: another text has its id. */
static int look_for_said(struct pv_rooms *rs, const struct pv_rooms_say *say,
                         struct pv_chat_record *ret_said)
{
    struct pv_roomop op = {.kind = PV_ROOMOP_SAID, .room = say->room, .said = say->id};
    struct pv_chatop_result done;
    int r = pv_rooms_do(rs, &op, &done);
    if (r == PV_OK && done.n_msgs == 0) {
        r = PV_ERR_NOT_FOUND;
    } else if (r == PV_OK && strcmp(done.msgs[0].text, say->text) != 0) {
        r = PV_ERR_EXISTS;
    } else if (r == PV_OK) {
        *ret_said = done.msgs[0];
        done.msgs[0].text = NULL;
    }
    pv_chatop_result_done(&done);
    return r;
}

int pv_rooms_say(struct pv_rooms *rooms, const struct pv_rooms_say *say, uint64_t wall_ms,
                 pv_ns now, struct pv_chat_record *ret_said)
{
    struct pv_rooms_room *room = rooms->loaded ? pv_rooms_room_find(rooms, say->room) : NULL;
    int r = pv_rooms_accept(rooms, say->room, now);
    if (r < 0)
        return r;
    if (!pv_text_is_valid(pv_view(say->text, strlen(say->text))))
        return PV_ERR_MALFORMED;
    r = say->id == NULL ? PV_ERR_NOT_FOUND : look_for_said(rooms, say, ret_said);
    return r == PV_ERR_NOT_FOUND ? say_now(rooms, room, say, wall_ms, ret_said) : r;
}

/* --- time ---------------------------------------------------------------------------------- */

void pv_rooms_handle_timeout(struct pv_rooms *rooms, pv_ns now)
{
    struct pv_heap_node *node;
    rooms->now = now;
    if (rooms->doubt)
        pv_rooms_reload(rooms, now);
    if (now >= rooms->load_at)
        pv_rooms_load(rooms);
    pv_rooms_sweep_page(rooms);
    pv_rooms_forget_page(rooms);
    while ((node = pv_heap_pop_due(&rooms->timers, now)) != NULL) {
        struct pv_rooms_room *room = PV_CONTAINER_OF(node, struct pv_rooms_room, timer);
        /* A room that closes is freed only here: callers of frames still hold pointers to it when
         * it closes. */
        if (room->closed || (room->pending && room->pending_until <= now))
            pv_rooms_room_free(rooms, room);
        else
            pv_rooms_run(rooms, room, now);
    }
}

pv_ns pv_rooms_next_timeout(const struct pv_rooms *rooms)
{
    if (rooms->doubt || rooms->sweep.on || rooms->n_forgetting > 0)
        return 0; /* the next page in the next turn of the loop */
    return pv_min_ns(pv_heap_next(&rooms->timers), rooms->load_at);
}
