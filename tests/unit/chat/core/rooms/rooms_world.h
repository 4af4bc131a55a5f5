/* SPDX-License-Identifier: MIT */
/*
 * rooms_world.h - rooms between four nodes: each a machine on the daemon's own tables in memory;
 * lines between them arrive at once and in order while their connection is up. The fourth node does
 * as it likes.
 */
#pragma once

#include <sqlite3.h>

#include "chat/core/base/roomjob.h"
#include "chat/core/rooms/rooms.h"
#include "tests/unit/chat/chat_jobs.h"
#include "tests/unit/chat/overlay_of.h"
#include "tests/unit/chat/store/chat_db.h"
#include "tests/unit/proto/roster/roster_fixture.h"

enum {
    NODES = 4,
    ANNA = 0,
    BOB = 1,
    CARL = 2,
    EVE = 3, /* has no machine: its lines are written by hand */
    MAX_LINES = 256,
};

struct node {
    struct keys keys;
    struct pv_rooms *rooms;
    struct pv_chatqueue queue;
    sqlite3 *db;
    bool full;       /* its disk */
    bool low_disk;   /* nearly */
    bool keeps_all;  /* it cannot forget a room */
    char said[4096]; /* texts that came, in order */
    unsigned invited, left, sent, failed, delivered;
    int last_status;
    const uint8_t *denies;             /* whom rules let not chat with it; NULL: nobody */
    bool choked;                       /* its lines do not get out */
    bool hesitates;                    /* its user accepts no invitation by itself */
    uint8_t marks[PV_ROOMS_MARKS_LEN]; /* as its disk has it */
    size_t marks_len;
    bool refuses[NODES]; /* whose connections were closed for what came on them */
};

static struct {
    struct world world;
    struct pv_roster *roster;
    struct test_rng rng;
    pv_ns now;
    struct node n[NODES];
    bool up[NODES][NODES];
    unsigned lines;
    uint64_t wall_s, max_bytes; /* of what the stores are told */
} w;

static inline int index_of(const uint8_t *pk)
{
    for (int i = 0; i < NODES; i++) {
        if (memcmp(w.n[i].keys.pk, pk, PV_SIGN_PK_LEN) == 0)
            return i;
    }
    return -1;
}

static inline bool admits(const void *owner, const uint8_t *pk)
{
    const struct node *n = owner;
    return n->denies == NULL || memcmp(n->denies, pk, PV_SIGN_PK_LEN) != 0;
}

static inline void connect(int a, int b, bool up);

/* A line of the owner goes to the other node if a connection is there. */
static inline void say_line(void *owner, const uint8_t *pk, struct pv_view line, pv_ns now)
{
    const struct node *n = owner;
    int i = (int)(n - w.n), to = index_of(pk);
    w.lines++;
    if (n->choked)
        pv_rooms_unsaid(n->rooms, pk, now);
    else if (to >= 0 && w.up[i][to] && w.n[to].rooms != NULL &&
             pv_rooms_handle_frame(w.n[to].rooms, n->keys.pk, pv_view(line.ptr, line.len - 1),
                                   now) == PV_ERR_REFUSED)
        w.n[to].refuses[i] = true;
}

static inline void want_peer(void *owner, const uint8_t *pk, pv_ns now)
{
    const struct node *n = owner;
    int i = (int)(n - w.n), to = index_of(pk);
    assert_true(to >= 0);
    if (!w.up[i][to])
        connect(i, to, true);
}

static inline void take_event(void *owner, const struct pv_rooms_event *e, pv_ns now)
{
    struct node *n = owner;
    if (e->type == PV_ROOMS_MESSAGE) {
        size_t at = strlen(n->said);
        assert_true(at + strlen(e->msg.text) + 2 < sizeof(n->said));
        snprintf(n->said + at, sizeof(n->said) - at, "%s%s", at > 0 ? " " : "", e->msg.text);
    }
    n->invited += e->type == PV_ROOMS_INVITED;
    if (e->type == PV_ROOMS_INVITED && !n->hesitates &&
        memcmp(e->node, n->keys.pk, sizeof(e->node)) == 0)
        (void)!pv_rooms_accept(n->rooms, e->room, now);
    n->left += e->type == PV_ROOMS_LEFT;
    n->sent += e->type == PV_ROOMS_SENT && e->status == PV_OK;
    n->failed += (e->type == PV_ROOMS_SENT || e->type == PV_ROOMS_DONE) && e->status < 0;
    n->delivered += e->type == PV_ROOMS_STATE && e->msg.state == PV_CHAT_DELIVERED;
    if (e->type == PV_ROOMS_DONE || e->type == PV_ROOMS_SENT)
        n->last_status = e->status;
}

static inline bool find_known(const void *owner, const uint8_t *pk,
                              struct pv_overlay_member *ret_member)
{
    return overlay_of_roster(w.roster, pk, ret_member);
}

static inline void start(int i)
{
    static struct test_rng queue_rng;
    const struct pv_rng rng = test_rng_make(&queue_rng, 1);
    struct pv_rooms_config cfg = {.rng = {.fill = test_rng_fill, .ctx = &w.rng},
                                  .jobs = &w.n[i].queue,
                                  .signer = pv_appsigner_of(w.n[i].keys.sk),
                                  .known = find_known,
                                  .admits = admits,
                                  .say = say_line,
                                  .want = want_peer,
                                  .tell = take_event,
                                  .owner = &w.n[i]};
    memcpy(cfg.own_pk, w.n[i].keys.pk, sizeof(cfg.own_pk));
    pv_chatqueue_init(&w.n[i].queue, &rng, NULL);
    assert_ok(pv_rooms_new(&w.n[i].rooms, &cfg));
    pv_rooms_set_marks(w.n[i].rooms, pv_view(w.n[i].marks, w.n[i].marks_len));
    pv_rooms_set_network(w.n[i].rooms, pv_roster_network_id(w.roster), w.n[i].keys.pk, w.now);
}

static inline void stop(int i)
{
    w.n[i].rooms = pv_rooms_free(w.n[i].rooms);
    pv_chatqueue_done(&w.n[i].queue);
}

static inline int setup(void **state)
{
    static const char *const names[NODES] = {"anna", "bob", "carl", "eve"};
    memset(&w, 0, sizeof(w));
    w.world = world_make(3);
    w.roster = roster_of(&w.world);
    w.rng.state = 7;
    w.now = PV_S(100);
    w.wall_s = 1790000000;
    for (int i = 0; i < NODES; i++) {
        w.n[i].keys = keys_of((unsigned)i + 1);
        struct item m =
            make_member(&w.world, &w.world.creator, &w.n[i].keys, names[i], (uint16_t)(100 + i));
        add(w.roster, &m);
        settle(w.roster);
        w.n[i].db = chat_db_open();
        if (i != EVE)
            start(i);
    }
    return 0;
}

static inline int teardown(void **state)
{
    for (int i = 0; i < NODES; i++) {
        if (w.n[i].rooms != NULL)
            stop(i);
        sqlite3_close(w.n[i].db);
    }
    return test_teardown(state); /* the roster */
}

/* --- the world ----------------------------------------------------------------------------- */

static inline void run_jobs(struct node *n)
{
    uint64_t tag;
    struct pv_chatjob *job;
    while (take_chat_job(&n->queue, &tag, &job)) {
        struct pv_chatjob_result *res = NULL;
        job->terms = (struct pv_chatjob_terms){
            .now_s = w.wall_s, .max_bytes = w.max_bytes, .low_disk = n->low_disk};
        bool fails = n->full || (n->keeps_all && job->room->kind == PV_ROOMJOB_FORGET);
        int r = fails ? PV_ERR_NO_SPACE : chat_db_run(n->db, job, &res);
        answer_chat_job(&n->queue, tag, r, res, w.now);
        pv_chatjob_free(job);
        pv_chatjob_result_free(res);
    }
}

static inline void keep_marks(struct node *n)
{
    uint8_t list[PV_ROOMS_MARKS_LEN];
    size_t len = pv_rooms_take_marks(n->rooms, false, list);
    if (len > 0) {
        memcpy(n->marks, list, len);
        n->marks_len = len;
    }
}

static inline bool drain(int i)
{
    struct node *n = &w.n[i];
    run_jobs(n);
    bool any = pv_rooms_speak(n->rooms, w.now);
    keep_marks(n);
    return any;
}

static inline void run_for(pv_ns duration)
{
    pv_ns end = w.now + duration;
    for (unsigned turns = 0;; turns++) {
        bool any = false;
        pv_ns next = PV_NEVER;
        for (int i = 0; i < NODES; i++) {
            if (w.n[i].rooms == NULL)
                continue;
            any = drain(i) || any;
            next = pv_min_ns(next, pv_rooms_next_timeout(w.n[i].rooms));
            next = pv_min_ns(next, pv_chatqueue_next_timeout(&w.n[i].queue));
        }
        assert_true(turns < 20000); /* somebody says things for ever */
        if (any)
            continue;
        if (next > end)
            break;
        w.now = next > w.now ? next : w.now;
        for (int i = 0; i < NODES; i++) {
            if (w.n[i].rooms != NULL)
                pv_chatqueue_handle_timeout(&w.n[i].queue, w.now);
            if (w.n[i].rooms != NULL && pv_rooms_next_timeout(w.n[i].rooms) <= w.now)
                pv_rooms_handle_timeout(w.n[i].rooms, w.now);
        }
    }
    w.now = end;
}

static inline void tell_up(int a, int b, bool up)
{
    if (w.n[a].rooms == NULL)
        return;
    assert_ok(pv_rooms_peer_online(w.n[a].rooms, w.n[b].keys.pk, up, w.now));
    pv_rooms_peer_up(w.n[a].rooms, w.n[b].keys.pk, up, w.now);
}

static inline void connect(int a, int b, bool up)
{
    w.up[a][b] = w.up[b][a] = up;
    tell_up(a, b, up);
    tell_up(b, a, up);
}

static inline void all_meet(void)
{
    for (int a = 0; a < EVE; a++) {
        for (int b = 0; b < a; b++)
            connect(a, b, true);
    }
    run_for(PV_S(1));
}

static inline void alone(int i)
{
    for (int b = 0; b < NODES; b++) {
        if (b != i)
            connect(i, b, false);
    }
}

static inline void restart(int i)
{
    bool up[NODES];
    memcpy(up, w.up[i], sizeof(up));
    alone(i);
    stop(i);
    start(i);
    run_for(PV_MS(10));
    for (int b = 0; b < NODES; b++) {
        if (up[b])
            connect(i, b, true);
    }
}

/* --- what they do -------------------------------------------------------------------------- */

static inline const uint8_t *room_of(int i, const char *name)
{
    return pv_rooms_find(w.n[i].rooms, name, false);
}

static inline int open_room(int i, const char *name)
{
    int r = pv_rooms_open(w.n[i].rooms, 1, name, 1790000000000u + w.now / PV_MS(1), w.now);
    run_for(PV_S(1));
    return r < 0 ? r : w.n[i].last_status;
}

static inline int invite(int i, const char *room, int whom)
{
    const uint8_t *id = room_of(i, room);
    int r = id == NULL ? PV_ERR_STATE
                       : pv_rooms_invite(w.n[i].rooms, 2, id, w.n[whom].keys.pk, 5, w.now);
    run_for(PV_S(1));
    return r < 0 ? r : w.n[i].last_status;
}

static inline int leave(int i, const char *room)
{
    const uint8_t *id = room_of(i, room);
    int r = id == NULL ? PV_ERR_STATE : pv_rooms_leave(w.n[i].rooms, 3, id, 6, w.now);
    run_for(PV_S(1));
    return r;
}

/* name: what the client calls it, one byte again and again; 0: nothing. */
static inline int say_as(int i, const char *room, const char *text, uint8_t name)
{
    uint8_t id[PV_CHAT_ID_LEN];
    memset(id, name, sizeof(id));
    const struct pv_rooms_say say = {
        .room = room_of(i, room), .text = text, .id = name == 0 ? NULL : id};
    int r = say.room == NULL ? PV_ERR_STATE
                             : pv_rooms_say(w.n[i].rooms, 4, &say, 7 + w.now / PV_MS(1), w.now);
    run_for(PV_MS(100));
    return r;
}

static inline int say(int i, const char *room, const char *text)
{
    return say_as(i, room, text, 0);
}

static inline void anna_and_bob(void)
{
    run_for(PV_MS(1));
    all_meet();
    assert_ok(open_room(ANNA, "crew"));
    assert_ok(invite(ANNA, "crew", BOB));
}

/* That much later this node has shown these texts. */
#define assert_said_after(duration, node, texts)    \
    do {                                            \
        run_for(duration);                          \
        assert_string_equal(w.n[node].said, texts); \
    } while (0)
