/* SPDX-License-Identifier: MIT */
/* rooms_set.c - records of a room and what follows from them: members, rounds, what each may get;
 * which rooms users want to be in, and how many there may be. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "chat/core/rooms/rooms_int.h"

/* --- rooms --------------------------------------------------------------------------------- */

struct pv_rooms_room *pv_rooms_room_find(const struct pv_rooms *rs, const uint8_t *id)
{
    for (size_t i = 0; i < rs->n_rooms; i++) {
        if (memcmp(rs->rooms[i]->id, id, PV_ROOM_ID_LEN) == 0 && !rs->rooms[i]->closed)
            return rs->rooms[i];
    }
    return NULL;
}

int pv_rooms_room_new(struct pv_rooms *rs, const uint8_t *id, struct pv_rooms_room **ret_room)
{
    /* Invitations have places of their own: made-up ones cannot keep users from opening rooms. */
    if (rs->n_rooms >= PV_ROOM_MAX_LOADED + PV_ROOMS_MAX_PENDING)
        return PV_ERR_LIMIT;
    void *grown = pv_vec_room(rs->rooms, rs->n_rooms, &rs->cap_rooms, 8, sizeof(rs->rooms[0]));
    if (grown == NULL)
        return PV_ERR_NOMEM;
    rs->rooms = grown;
    struct pv_rooms_room *room = calloc(1, sizeof(*room));
    if (room == NULL || pv_heap_reserve(&rs->timers, rs->n_rooms + 1) < 0) {
        free(room);
        return PV_ERR_NOMEM;
    }
    memcpy(room->id, id, sizeof(room->id));
    room->version = 1;
    room->ask_at = PV_NEVER;
    room->pending_until = PV_NEVER;
    rs->rooms[rs->n_rooms++] = room;
    *ret_room = room;
    return PV_OK;
}

void pv_rooms_room_free(struct pv_rooms *rs, struct pv_rooms_room *room)
{
    for (size_t i = 0; i < rs->n_rooms; i++) {
        if (rs->rooms[i] != room)
            continue;
        /* The order of rooms means nothing: the last one fills the gap. */
        rs->rooms[i] = rs->rooms[--rs->n_rooms];
        break;
    }
    pv_heap_set(&rs->timers, &room->timer, PV_NEVER);
    for (size_t i = 0; i < room->n_records; i++)
        free(room->records[i].raw);
    free(room->records);
    for (size_t i = 0; i < room->n_members; i++)
        free(room->members[i]);
    pv_room_texts_free(room->batch, room->n_batch);
    free(room);
}

const struct pv_room_record *pv_rooms_creation(const struct pv_rooms_room *room)
{
    return room->n_records == 0 ? NULL : &room->records[0].rec;
}

/* --- members ------------------------------------------------------------------------------- */

size_t pv_rooms_index(const struct pv_rooms_room *room, const uint8_t *pk)
{
    for (size_t i = 0; i < room->n_members; i++) {
        if (pv_rooms_same(room->members[i]->pk, pk))
            return i;
    }
    return SIZE_MAX;
}

struct pv_rooms_node *pv_rooms_member_find(const struct pv_rooms_room *room, const uint8_t *pk)
{
    size_t i = pv_rooms_index(room, pk);
    return i == SIZE_MAX ? NULL : room->members[i];
}

static int add_member(struct pv_rooms *rs, struct pv_rooms_room *room, const uint8_t *pk)
{
    if (room->n_members == PV_ROOM_MAX_MEMBERS)
        return PV_ERR_LIMIT;
    struct pv_rooms_node *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return PV_ERR_NOMEM;
    memcpy(m->pk, pk, sizeof(m->pk));
    m->tell_at = PV_NEVER;
    room->members[room->n_members++] = m;
    if (pv_rooms_same(pk, rs->cfg.own_pk))
        room->self = m;
    return PV_OK;
}

/* --- records ------------------------------------------------------------------------------- */

/* Round 1 needs nothing, unless it is the creator, who has it; each later one needs that the node
 * left before. */
static bool may_invite(const struct pv_rooms_room *room, const struct pv_room_record *rec)
{
    const struct pv_rooms_node *node = pv_rooms_member_find(room, rec->node);
    if (pv_rooms_same(rec->node, rec->signer))
        return false;
    return node == NULL
               ? rec->round == 1
               : rec->round <= node->left + 1 && (node != room->members[0] || rec->round > 1);
}

/* May the record stand on those that are here? Rights are not lost: who was ever in the room may
 * have invited, so that the order in which records come does not matter. */
static bool may_stand(const struct pv_rooms_room *room, const struct pv_room_record *rec)
{
    const struct pv_rooms_node *signer = pv_rooms_member_find(room, rec->signer);
    if (memcmp(rec->room, room->id, sizeof(room->id)) != 0)
        return false;
    switch (rec->type) {
    case PV_ROOM_CREATE:
        return room->n_records == 0;
    case PV_ROOM_INVITE:
        return signer != NULL && may_invite(room, rec);
    case PV_ROOM_LEAVE:
        return signer != NULL && rec->round <= signer->round;
    case PV_ROOM_TEXT: /* it stands in a log */
        return false;
    }
    return false;
}

/* The record that says the same: of several the one with the lowest hash stands, everywhere. */
static size_t find_same(const struct pv_rooms_room *room, const struct pv_room_record *rec)
{
    for (size_t i = 1; i < room->n_records; i++) {
        const struct pv_room_record *r = &room->records[i].rec;
        if (r->type == rec->type && r->round == rec->round &&
            pv_rooms_same(r->signer, rec->signer) &&
            (rec->type == PV_ROOM_LEAVE || pv_rooms_same(r->node, rec->node)))
            return i;
    }
    return SIZE_MAX;
}

static bool is_known(const struct pv_rooms_room *room, const struct pv_room_record *rec)
{
    for (size_t i = 0; i < room->n_records; i++) {
        if (memcmp(room->records[i].rec.hash, rec->hash, sizeof(rec->hash)) == 0)
            return true;
    }
    return false;
}

static int count_member(struct pv_rooms *rs, struct pv_rooms_room *room, const uint8_t *pk,
                        uint32_t round)
{
    int r = pv_rooms_member_find(room, pk) != NULL ? PV_OK : add_member(rs, room, pk);
    struct pv_rooms_node *m = r < 0 ? NULL : pv_rooms_member_find(room, pk);
    if (m == NULL)
        return r < 0 ? r : PV_ERR_NOMEM;
    m->round = round > m->round ? round : m->round;
    return PV_OK;
}

/* The word of a standing record about members. */
static int count_record(struct pv_rooms *rs, struct pv_rooms_room *room,
                        const struct pv_room_record *rec)
{
    struct pv_rooms_node *m = pv_rooms_member_find(room, rec->signer);
    switch (rec->type) {
    case PV_ROOM_CREATE:
        return count_member(rs, room, rec->signer, 1);
    case PV_ROOM_INVITE:
        return count_member(rs, room, rec->node, rec->round);
    case PV_ROOM_LEAVE:
        /* Records may come in any order: only the newest LEAVE says where the log ends. */
        if (rec->round >= m->left)
            m->left_seq = rec->seq;
        m->left = rec->round > m->left ? rec->round : m->left;
        return PV_OK;
    case PV_ROOM_TEXT: /* may_stand() lets none through */
        return PV_OK;
    }
    return PV_OK;
}

/* --- places -------------------------------------------------------------------------------- */

/* Did it leave the network, or was it removed? */
static bool is_gone(const struct pv_rooms *rs, const uint8_t *pk)
{
    struct pv_overlay_member known;
    return rs->cfg.known(rs->cfg.owner, pk, &known) && pv_overlay_is_former(&known);
}

static bool is_former(const struct pv_rooms *rs, const struct pv_rooms_node *m)
{
    return !room_is_in(m) || is_gone(rs, m->pk);
}

/* When it left by its own word; 0: it did not. */
static uint64_t left_at(const struct pv_rooms_room *room, const struct pv_rooms_node *m)
{
    uint64_t at = 0;
    for (size_t i = 0; i < room->n_records; i++) {
        const struct pv_room_record *r = &room->records[i].rec;
        if (r->type == PV_ROOM_LEAVE && r->round == m->left && pv_rooms_same(r->signer, m->pk))
            at = r->time_ms;
    }
    return at;
}

/* Members that it invited stand by its invitation. */
static bool has_invited(const struct pv_rooms_room *room, const uint8_t *pk)
{
    for (size_t i = 0; i < room->n_records; i++) {
        const struct pv_room_record *r = &room->records[i].rec;
        if (r->type == PV_ROOM_INVITE && pv_rooms_same(r->signer, pk))
            return true;
    }
    return false;
}

/* Who gives way first? The member that left first, and a removed one before all; everywhere the
 * same, or members would hand each other for ever what the other has forgotten. */
static bool left_before(uint64_t at, const uint8_t *pk, uint64_t other_at, const uint8_t *other_pk)
{
    return at != other_at ? at < other_at : memcmp(pk, other_pk, PV_SIGN_PK_LEN) < 0;
}

/* The place that is given up for rec: SIZE_MAX: none can be. */
static size_t find_former(const struct pv_rooms *rs, const struct pv_rooms_room *room,
                          const struct pv_room_record *rec, uint64_t *ret_at)
{
    size_t found = SIZE_MAX;
    for (size_t i = 1; i < room->n_members; i++) {
        const struct pv_rooms_node *m = room->members[i];
        if (m == room->self || !is_former(rs, m) || has_invited(room, m->pk) ||
            pv_rooms_same(m->pk, rec->signer) || pv_rooms_same(m->pk, rec->node))
            continue;
        uint64_t at = left_at(room, m);
        if (found == SIZE_MAX || left_before(at, m->pk, *ret_at, room->members[found]->pk)) {
            found = i;
            *ret_at = at;
        }
    }
    return found;
}

/* Is the node which rec invites gone from the network, or does the frame at hand say that it has
 * left again, and when? */
static bool leaves_again(const struct pv_rooms *rs, const struct pv_room_record *rec,
                         uint64_t *ret_at)
{
    *ret_at = 0;
    if (is_gone(rs, rec->node))
        return true;
    for (size_t i = rs->in.n_records - rs->n_ahead; i < rs->in.n_records; i++) {
        struct pv_room_record later;
        if (pv_room_record_parse(rs->in.records[i], NULL, &later) == PV_OK &&
            later.type == PV_ROOM_LEAVE && later.round >= rec->round &&
            pv_rooms_same(later.signer, rec->node)) {
            *ret_at = later.time_ms;
            return true;
        }
    }
    return false;
}

/* Forgets a node and the records that are about it. */
static void forget_node(struct pv_rooms *rs, struct pv_rooms_room *room, size_t node)
{
    struct pv_rooms_node *gone = room->members[node];
    size_t left = 0;
    for (size_t i = 0; i < room->n_records; i++) {
        struct pv_rooms_record *r = &room->records[i];
        bool about = (r->rec.type == PV_ROOM_INVITE && pv_rooms_same(r->rec.node, gone->pk)) ||
                     (r->rec.type == PV_ROOM_LEAVE && pv_rooms_same(r->rec.signer, gone->pk));
        if (!about) {
            room->records[left++] = *r;
            continue;
        }
        if (rs->n_forgotten < PV_ARRAY_LEN(rs->forgotten))
            memcpy(rs->forgotten[rs->n_forgotten++], r->rec.hash, PV_BLAKE2B_LEN);
        free(r->raw);
    }
    room->n_records = left;
    free(gone);
    room->n_members--;
    memmove(&room->members[node], &room->members[node + 1],
            (room->n_members - node) * sizeof(room->members[0]));
    /* The knowledge of logs stands by the author's place. */
    for (size_t i = 0; i < room->n_members; i++) {
        uint64_t *lists[] = {room->members[i]->known, room->members[i]->gone,
                             room->members[i]->had};
        for (size_t k = 0; k < PV_ARRAY_LEN(lists); k++) {
            memmove(&lists[k][node], &lists[k][node + 1],
                    (room->n_members - node) * sizeof(lists[k][0]));
            lists[k][room->n_members] = 0;
        }
    }
}

/* A place for the record. PV_ERR_LIMIT: all are taken by who is in the room, or stands for who is.
 * PV_ERR_REFUSED: it is about a node that left before all who have places. */
static int make_place(struct pv_rooms *rs, struct pv_rooms_room *room,
                      const struct pv_room_record *rec)
{
    uint64_t at = 0, former_at = 0;
    bool new_node = rec->type == PV_ROOM_INVITE && pv_rooms_member_find(room, rec->node) == NULL;
    if (room->n_records < PV_ROOM_MAX_RECORDS &&
        (!new_node || room->n_members < PV_ROOM_MAX_MEMBERS))
        return PV_OK;
    size_t former = find_former(rs, room, rec, &former_at);
    if (former == SIZE_MAX)
        return PV_ERR_LIMIT;
    if (new_node && leaves_again(rs, rec, &at) &&
        left_before(at, rec->node, former_at, room->members[former]->pk))
        return PV_ERR_REFUSED;
    forget_node(rs, room, former);
    return PV_OK;
}

/* --- adding -------------------------------------------------------------------------------- */

int pv_rooms_add(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_view raw,
                 const struct pv_room_record *rec, bool *ret_replaces,
                 uint8_t ret_replaced[static PV_BLAKE2B_LEN])
{
    struct pv_room_record again;
    *ret_replaces = false;
    if (is_known(room, rec))
        return PV_ERR_EXISTS;
    if (!may_stand(room, rec))
        return PV_ERR_REFUSED;
    size_t same = find_same(room, rec);
    /* Of two records that say the same all members keep the one with the lower hash: their digests
     * agree, in whatever order the records came. */
    if (same != SIZE_MAX && memcmp(room->records[same].rec.hash, rec->hash, sizeof(rec->hash)) < 0)
        return PV_ERR_EXISTS;
    int r = same == SIZE_MAX ? make_place(rs, room, rec) : PV_OK;
    if (r < 0)
        return r;
    uint8_t *copy = malloc(raw.len);
    if (copy == NULL)
        return PV_ERR_NOMEM;
    memcpy(copy, raw.ptr, raw.len);
    /* Views of the record must point into our copy: the caller's bytes end with the frame. */
    r = pv_room_record_parse(pv_view(copy, raw.len), NULL, &again);
    if (r == PV_OK && same == SIZE_MAX) {
        struct pv_rooms_record *grown =
            reallocarray(room->records, room->n_records + 1, sizeof(*grown));
        r = grown == NULL ? PV_ERR_NOMEM : PV_OK;
        room->records = grown == NULL ? room->records : grown;
    }
    if (r == PV_OK)
        r = count_record(rs, room, &again);
    if (r < 0) {
        free(copy);
        return r;
    }
    size_t at = same == SIZE_MAX ? room->n_records++ : same;
    if (same != SIZE_MAX) {
        *ret_replaces = true;
        memcpy(ret_replaced, room->records[at].rec.hash, PV_BLAKE2B_LEN);
        free(room->records[at].raw);
    }
    room->records[at] = (struct pv_rooms_record){.raw = copy, .len = raw.len, .rec = again};
    return PV_OK;
}

/* --- what follows -------------------------------------------------------------------------- */

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, PV_BLAKE2B_LEN);
}

static void make_digest(struct pv_rooms_room *room)
{
    uint8_t hashes[PV_ROOM_MAX_RECORDS][PV_BLAKE2B_LEN];
    for (size_t i = 0; i < room->n_records; i++)
        memcpy(hashes[i], room->records[i].rec.hash, PV_BLAKE2B_LEN);
    /* Members get records in different orders. Sorting makes the digest depend on the set alone. */
    qsort(hashes, room->n_records, sizeof(hashes[0]), by_hash);
    pv_blake2b(room->digest, pv_view(hashes, room->n_records * sizeof(hashes[0])), pv_view(NULL, 0),
               pv_view(NULL, 0));
}

/* The texts that the invitation of m's present round keeps from it; of several the least. */
static void make_base(const struct pv_rooms_room *room, struct pv_rooms_node *m)
{
    bool first = true;
    memset(m->base, 0, sizeof(m->base));
    for (size_t i = 0; i < room->n_records; i++) {
        const struct pv_room_record *rec = &room->records[i].rec;
        uint64_t base[PV_ROOM_MAX_MEMBERS] = {0};
        struct pv_room_have h;
        if (rec->type != PV_ROOM_INVITE || rec->round != m->round ||
            !pv_rooms_same(rec->node, m->pk))
            continue;
        for (size_t k = 0; pv_room_base(rec, k, &h); k++) {
            size_t author = pv_rooms_index(room, h.author);
            if (author != SIZE_MAX)
                base[author] = h.seq;
        }
        for (size_t k = 0; k < PV_ROOM_MAX_MEMBERS; k++)
            /* Several invitations of one round may stand: a member gets what any of its inviters
             * would give it. */
            m->base[k] = first || base[k] < m->base[k] ? base[k] : m->base[k];
        first = false;
    }
}

uint64_t pv_rooms_began_at(const struct pv_rooms_room *room, const struct pv_rooms_node *m,
                           const struct pv_rooms_node *author)
{
    uint64_t most = 0;
    for (size_t i = 0; i < room->n_records; i++) {
        const struct pv_room_record *rec = &room->records[i].rec;
        struct pv_room_have h;
        if (rec->type != PV_ROOM_INVITE || !pv_rooms_same(rec->node, m->pk))
            continue;
        for (size_t k = 0; pv_room_base(rec, k, &h); k++) {
            if (pv_rooms_same(h.author, author->pk) && h.seq > most && h.seq <= author->last)
                most = h.seq;
        }
    }
    return most;
}

void pv_rooms_settle(struct pv_rooms_room *room)
{
    make_digest(room);
    for (size_t i = 0; i < room->n_members; i++)
        make_base(room, room->members[i]);
    /* A member that was told an older list is told again. */
    room->version++;
}

void pv_rooms_begin_logs(struct pv_rooms_room *room)
{
    for (size_t i = 0; room_is_in(room->self) && i < room->n_members; i++) {
        struct pv_rooms_node *m = room->members[i];
        /* Nobody hands us what lies before our invitation: waiting for it would stop the log for
         * ever. */
        if (room->self->base[i] > m->taken)
            m->taken = room->self->base[i];
        if (room->self->base[i] > m->last)
            m->last = room->self->base[i];
    }
}

/* --- how many there may be ------------------------------------------------------------------- */

/* Others draw this node into rooms without asking, so neither one of them nor many may take the
 * places of the rest. Rooms that were left have places of their own, and give way. */

static bool is_ours(const struct pv_rooms_room *room)
{
    return !room->pending && !room->closed && room->self != NULL;
}

static bool is_left(const struct pv_rooms_room *room)
{
    return is_ours(room) && !room_is_in(room->self);
}

static bool is_made_by(const struct pv_rooms_room *room, const uint8_t *pk)
{
    return pv_rooms_same(room->members[0]->pk, pk);
}

struct tally {
    unsigned in;         /* rooms that we are in, */
    unsigned of_others;  /* of these made by others */
    unsigned left;       /* that we left */
    unsigned of_creator; /* made by one node, in all */
};

static struct tally count(const struct pv_rooms *rs, const uint8_t *creator)
{
    struct tally n = {0};
    for (size_t i = 0; i < rs->n_rooms; i++) {
        const struct pv_rooms_room *room = rs->rooms[i];
        if (!is_ours(room))
            continue;
        bool left = is_left(room);
        n.in += !left;
        n.left += left;
        n.of_others += !left && !is_made_by(room, rs->cfg.own_pk);
        n.of_creator += is_made_by(room, creator);
    }
    return n;
}

bool pv_rooms_has_own_place(const struct pv_rooms *rs)
{
    return count(rs, rs->cfg.own_pk).in < PV_ROOM_MAX_ROOMS;
}

bool pv_rooms_has_place(const struct pv_rooms *rs, const uint8_t *creator)
{
    const struct tally n = count(rs, creator);
    if (n.in >= PV_ROOM_MAX_ROOMS)
        return false;
    /* Rooms that we left count for who made them: a member cannot draw us into new ones as fast as
     * we leave. Our own come back to us after a disk was lost. */
    return pv_rooms_same(creator, rs->cfg.own_pk) ||
           (n.of_others < PV_ROOMS_MAX_OF_OTHERS && n.of_creator < PV_ROOMS_MAX_OF_CREATOR);
}

bool pv_rooms_has_place_back(const struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    const struct tally n = count(rs, rs->cfg.own_pk);
    return n.in < PV_ROOM_MAX_ROOMS &&
           (is_made_by(room, rs->cfg.own_pk) || n.of_others < PV_ROOMS_MAX_OF_OTHERS);
}

bool pv_rooms_are_full(const struct pv_rooms *rooms)
{
    const struct tally n = count(rooms, rooms->cfg.own_pk);
    return n.in >= PV_ROOM_MAX_ROOMS || n.of_others >= PV_ROOMS_MAX_OF_OTHERS;
}

/* --- invitations that are being fetched ----------------------------------------------------- */

static bool is_fetched(const struct pv_rooms_room *room)
{
    return room->pending && !room->closed;
}

static unsigned count_fetched_for(const struct pv_rooms *rs, const uint8_t *pk)
{
    unsigned n = 0;
    for (size_t i = 0; i < rs->n_rooms; i++)
        n += is_fetched(rs->rooms[i]) && pv_rooms_same(rs->rooms[i]->from, pk);
    return n;
}

/* The oldest of the peer that has most; NULL: there is none. */
static struct pv_rooms_room *find_greediest(const struct pv_rooms *rs, unsigned *ret_n)
{
    struct pv_rooms_room *found = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < rs->n_rooms; i++) {
        struct pv_rooms_room *room = rs->rooms[i];
        unsigned n = is_fetched(room) ? count_fetched_for(rs, room->from) : 0;
        if (n > *ret_n || (n > 0 && n == *ret_n && room->pending_until < found->pending_until)) {
            *ret_n = n;
            found = room;
        }
    }
    return found;
}

/* Any member can make up ids of rooms: a few of them must not keep the invitations of others out.
 * A peer that has at least two more than the newcomer gives one up, so that places do not go to and
 * fro. */
bool pv_rooms_make_pending_place(struct pv_rooms *rs, const uint8_t *pk)
{
    unsigned of_peer = count_fetched_for(rs, pk), all = 0, most;
    if (of_peer >= PV_ROOMS_MAX_PEER_PENDING)
        return false;
    for (size_t i = 0; i < rs->n_rooms; i++)
        all += is_fetched(rs->rooms[i]);
    if (all < PV_ROOMS_MAX_PENDING)
        return true;
    struct pv_rooms_room *room = find_greediest(rs, &most);
    if (room == NULL || most < of_peer + 2)
        return false;
    pv_rooms_room_free(rs, room);
    return true;
}

/* --- rooms that were left ------------------------------------------------------------------ */

/* How little would be missed with a room? */
struct worth {
    bool spoke;          /* this node's users wrote in it: what they said stays longest */
    unsigned of_creator; /* rooms by the same node that were left: who made most gives way first */
    uint64_t left_ms;    /* when, by our clock then */
};

static unsigned count_left_of(const struct pv_rooms *rs, const uint8_t *creator)
{
    unsigned n = 0;
    for (size_t i = 0; i < rs->n_rooms; i++)
        n += is_left(rs->rooms[i]) && is_made_by(rs->rooms[i], creator);
    return n;
}

static uint64_t left_ms(const struct pv_rooms_room *room)
{
    uint64_t ms = 0;
    for (size_t i = 0; i < room->n_records; i++) {
        const struct pv_room_record *rec = &room->records[i].rec;
        if (rec->type == PV_ROOM_LEAVE && pv_rooms_same(rec->signer, room->self->pk) &&
            rec->time_ms > ms)
            ms = rec->time_ms;
    }
    return ms;
}

static struct worth worth_of(const struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    return (struct worth){.spoke = room->self->last > 0,
                          .of_creator = count_left_of(rs, room->members[0]->pk),
                          .left_ms = left_ms(room)};
}

static bool goes_before(const struct worth *a, const struct worth *b)
{
    if (a->spoke != b->spoke)
        return !a->spoke;
    return a->of_creator != b->of_creator ? a->of_creator > b->of_creator : a->left_ms < b->left_ms;
}

static struct pv_rooms_room *find_least(const struct pv_rooms *rs, const struct pv_rooms_room *kept)
{
    struct pv_rooms_room *least = NULL;
    struct worth least_worth = {0};
    for (size_t i = 0; i < rs->n_rooms; i++) {
        struct pv_rooms_room *room = rs->rooms[i];
        if (!is_left(room) || room == kept || room->n_batch > 0)
            continue;
        const struct worth worth = worth_of(rs, room);
        if (least != NULL && !goes_before(&worth, &least_worth))
            continue;
        least = room;
        least_worth = worth;
    }
    return least;
}

static bool begin_forgetting(struct pv_rooms *rs, const uint8_t *id)
{
    void *grown = pv_vec_room(rs->forgetting, rs->n_forgetting, &rs->cap_forgetting, 4,
                              sizeof(rs->forgetting[0]));
    if (grown == NULL)
        return false;
    rs->forgetting = grown;
    memcpy(rs->forgetting[rs->n_forgetting++], id, sizeof(rs->forgetting[0]));
    return true;
}

void pv_rooms_forget_left(struct pv_rooms *rs, const struct pv_rooms_room *kept)
{
    unsigned left = count(rs, rs->cfg.own_pk).left;
    for (; left > PV_ROOM_MAX_LEFT; left--) {
        struct pv_rooms_room *room = find_least(rs, kept);
        /* Without memory it stays until the next one is left. */
        if (room == NULL || !begin_forgetting(rs, room->id))
            return;
        pv_rooms_room_free(rs, room);
    }
}

void pv_rooms_forget_page(struct pv_rooms *rs)
{
    struct pv_roomop op = {.kind = PV_ROOMOP_FORGET};
    struct pv_chatop_result done;
    if (rs->n_forgetting == 0)
        return;
    op.room = rs->forgetting[0];
    /* After a failure the store may have all of it yet: it is loaded again, and gives way again. */
    rs->doubt = pv_rooms_do(rs, &op, &done) != PV_OK;
    if (!rs->doubt && !done.more)
        memmove(rs->forgetting, rs->forgetting + 1, --rs->n_forgetting * sizeof(rs->forgetting[0]));
    pv_chatop_result_done(&done);
}

bool pv_rooms_is_being_forgotten(const struct pv_rooms *rs, const uint8_t *id)
{
    for (size_t i = 0; i < rs->n_forgetting; i++)
        if (memcmp(rs->forgetting[i], id, sizeof(rs->forgetting[i])) == 0)
            return true;
    return false;
}
