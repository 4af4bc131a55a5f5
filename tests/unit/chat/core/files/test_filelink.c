/* SPDX-License-Identifier: MIT */
/* Files between two machines: every step, and whoever tries to disturb it. */
#include "chat/core/files/filelink.h"
#include "daemon/core/node/streamkinds.h"
#include "tests/unit/chat/overlay_of.h"
#include "tests/unit/daemon/core/peer/said.h"

/* --- two machines, and everything that may go wrong between them ----------------------------- */

enum {
    MAX_NOTICES = 64,
    MAX_XFERS = 32,
    MAX_HANDLES = 1024,
    MAX_KEPT = 256,
};

/* One daemon and its disk. */
struct side {
    struct pv_filelink *link;
    struct pv_streams streams;
    struct pv_fifo ops;
    const struct pv_linkkeys *keys; /* NULL: it asks for no proof */
    uint8_t pk[PV_SIGN_PK_LEN];
    const char *name;
    bool up;
    uint64_t auto_max;
    bool denied[2];         /* files that come, and that go */
    enum pv_file_room room; /* how each room is to it */
    unsigned told;          /* changes of files */
    bool slow, full;        /* its disk */
    uint8_t saved[PV_FILELINK_SAVE_MAX], writing[PV_FILELINK_SAVE_MAX];
    size_t saved_len, writing_len;
    uint64_t save;           /* which writing is */
    bool open[MAX_HANDLES];  /* descriptors it holds */
    uint64_t part[MAX_KEPT]; /* bytes kept, by number */
    bool whole[MAX_KEPT];
};

/* A transfer: the receiver's tag, and the sender's once it serves. */
struct xfer {
    bool used, served;
    int receiver;
    uint64_t tag, serve_tag;
    uint32_t number, sid;
    uint64_t at, size;
};

static struct world {
    struct test_rng state;
    struct pv_rng rng;
    pv_ns now;
    struct side side[2];
    struct {
        bool used;
        int to;
        size_t len;
        uint8_t buf[PV_FILE_NOTICE_MAX];
    } notices[MAX_NOTICES];
    struct xfer xfers[MAX_XFERS];
    unsigned loss;       /* percent of the notices */
    const uint8_t *room; /* in which users offer files; NULL: none */
    unsigned full;       /* the receiver's disk is full for so many transfers more */
    int next_handle;
} w;

static inline bool admits(const void *owner, const uint8_t *pk, bool to)
{
    return !((const struct side *)owner)->denied[to];
}

/* A notice of the side that sends: the network may lose it. */
static inline void send_notice(void *owner, const uint8_t *pk, struct pv_view notice, pv_ns now)
{
    const struct side *s = owner;
    int to = s == &w.side[0] ? 1 : 0;
    assert_memory_equal(pk, w.side[to].pk, PV_SIGN_PK_LEN);
    for (size_t n = 0; n < MAX_NOTICES; n++) {
        if (w.notices[n].used || pv_rng_below(&w.rng, 100) < w.loss)
            continue;
        w.notices[n].used = true;
        w.notices[n].to = to;
        w.notices[n].len = notice.len;
        memcpy(w.notices[n].buf, notice.ptr, notice.len);
        break;
    }
}

static inline void look(void *owner, uint32_t number, pv_ns now)
{
    struct side *s = owner;
    assert_non_null(pv_filelink_find(s->link, number));
    s->told++;
}

static inline enum pv_file_room room_of(const void *owner, const uint8_t *pk, const uint8_t *room)
{
    return ((const struct side *)owner)->room;
}

static inline void free_side(struct side *s)
{
    s->link = pv_filelink_free(s->link);
    pv_streams_done(&s->streams);
    pv_fifo_clear(&s->ops);
}

static enum pv_overlay_link key_of_pair(const void *owner, const uint8_t *pk, uint8_t *ret_key)
{
    const struct side *s = owner;
    return overlay_of_keys(s->keys, pk, ret_key);
}

static inline void start(int i)
{
    struct side *s = &w.side[i];
    struct pv_filelink_config cfg = {.rng = w.rng,
                                     .keys = key_of_pair,
                                     .streams = &s->streams,
                                     .ops = &s->ops,
                                     .admits = admits,
                                     .room = room_of,
                                     .send = send_notice,
                                     .tell = look,
                                     .owner = s};
    memcpy(cfg.own_pk, s->pk, sizeof(cfg.own_pk));
    assert_ok(pv_filelink_new(&s->link, &cfg, pv_view(s->saved, s->saved_len)));
    s->up = true;
}

static inline struct pv_filelink_peer peer_of(int i)
{
    const struct side *other = &w.side[1 - i];
    return (struct pv_filelink_peer){.pk = other->pk,
                                     .name = other->name,
                                     .addr = {.family = PV_AF_INET},
                                     .online = other->up,
                                     .auto_max = w.side[i].auto_max};
}

static inline void tell_presence(void)
{
    for (int i = 0; i < 2; i++) {
        const struct pv_filelink_peer peer = peer_of(i);
        if (w.side[i].up)
            pv_filelink_set_peer(w.side[i].link, &peer, w.now);
    }
}

static inline int begin(void **state)
{
    memset(&w, 0, sizeof(w));
    w.rng = test_rng_make(&w.state, 1);
    w.now = PV_S(100);
    for (int i = 0; i < 2; i++) {
        w.side[i].pk[0] = (uint8_t)(i + 1);
        w.side[i].name = i == 0 ? "alice" : "bob";
        start(i);
    }
    tell_presence();
    return 0;
}

static inline int end(void **state)
{
    for (int i = 0; i < 2; i++)
        free_side(&w.side[i]);
    return 0;
}

/* --- transfers ----------------------------------------------------------------------------- */

static inline void finish(struct xfer *x, enum pv_file_why why)
{
    const struct xfer old = *x;
    x->used = false;
    struct side *rx = &w.side[old.receiver], *tx = &w.side[1 - old.receiver];
    if (why == PV_FILE_WHY_NONE) {
        rx->whole[old.number] = true;
        assert_int_equal(rx->part[old.number], old.size);
    }
    if (rx->up)
        pv_filelink_done(rx->link, old.tag, why, old.at, w.now);
    if (tx->up && old.served)
        pv_filelink_done(tx->link, old.serve_tag, why, old.at, w.now);
}

static inline struct xfer *new_xfer(void)
{
    for (size_t i = 0; i < MAX_XFERS; i++)
        if (!w.xfers[i].used)
            return &w.xfers[i];
    fail_msg("more transfers than the machines may run");
    return NULL;
}

static inline void fetch(int i, const struct pv_fileop *op)
{
    struct side *other = &w.side[1 - i];
    struct xfer *x = new_xfer();
    uint8_t get[PV_FILE_GET_LEN];
    assert_int_equal(op->addr.port, PV_FILE_PORT);
    *x = (struct xfer){.used = true,
                       .receiver = i,
                       .tag = op->tag,
                       .number = op->number,
                       .at = w.side[i].part[op->number],
                       .size = op->size};
    if (w.side[i].whole[op->number]) {
        x->at = op->size;
        finish(x, PV_FILE_WHY_NONE);
        return;
    }
    if (!other->up || pv_filelink_accepted(other->link, w.side[i].pk, w.now, &x->sid) != PV_OK) {
        finish(x, PV_FILE_WHY_LOST);
        return;
    }
    pv_file_get_build(op->id, x->at, get);
    pv_filelink_handle_bytes(other->link, x->sid, pv_view(get, 10), w.now);
    pv_filelink_handle_bytes(other->link, x->sid, pv_view(get + 10, sizeof(get) - 10), w.now);
}

static inline struct xfer *by_sid(int sender, uint32_t sid)
{
    for (size_t i = 0; i < MAX_XFERS; i++) {
        struct xfer *x = &w.xfers[i];
        if (x->used && !x->served && x->receiver == 1 - sender && x->sid == sid)
            return x;
    }
    return NULL;
}

static inline void cancel(int i, uint64_t tag)
{
    for (size_t n = 0; n < MAX_XFERS; n++) {
        struct xfer *x = &w.xfers[n];
        if (x->used && ((x->receiver == i && x->tag == tag) ||
                        (x->receiver == 1 - i && x->served && x->serve_tag == tag)))
            finish(x, PV_FILE_WHY_LOST);
    }
}

static inline void run_op(int i, const struct pv_fileop *op)
{
    struct side *s = &w.side[i];
    struct xfer *x = by_sid(i, op->sid);
    switch (op->type) {
    case PV_FILEOP_FETCH:
        fetch(i, op);
        break;
    case PV_FILEOP_SERVE:
        assert_true(op->handle >= 0 && s->open[op->handle]);
        if (x == NULL) {
            pv_filelink_done(s->link, op->tag, PV_FILE_WHY_LOST, 0, w.now);
            break;
        }
        assert_int_equal(op->offset, x->at);
        x->served = true;
        x->serve_tag = op->tag;
        break;
    case PV_FILEOP_ANSWER:
    case PV_FILEOP_CLOSE:
        if (x != NULL)
            finish(x, op->type == PV_FILEOP_ANSWER ? op->why : PV_FILE_WHY_LOST);
        break;
    case PV_FILEOP_CANCEL:
        cancel(i, op->tag);
        break;
    case PV_FILEOP_RELEASE:
        assert_true(s->open[op->handle]);
        s->open[op->handle] = false;
        break;
    case PV_FILEOP_DROP:
        s->part[op->number] = 0;
        s->whole[op->number] = false;
        break;
    case PV_FILEOP_PASS:
        fail_msg("this is the part's");
    }
}

/* --- one turn ------------------------------------------------------------------------------ */

/* The write that is under way has ended. */
static inline void written(struct side *s)
{
    memcpy(s->saved, s->writing, s->writing_len);
    s->saved_len = s->writing_len;
    s->writing_len = 0;
    pv_filelink_kept(s->link, s->save, w.now);
}

/* A disk that is slow writes for some turns; one that is full never does. */
static inline void keep(struct side *s)
{
    if (s->full)
        return;
    s->writing_len = pv_filelink_save(s->link, s->writing, &s->save);
    if (!s->slow)
        written(s);
}

static inline void drain(int i)
{
    struct side *s = &w.side[i];
    struct pv_fileop op;
    while (s->up && pv_fifo_take(&s->ops, &op) == PV_OK)
        run_op(i, &op);
    if (s->up)
        pv_filelink_speak(s->link, w.now);
    if (s->up && pv_filelink_take_dirty(s->link, w.now))
        keep(s);
}

static inline void deliver(void)
{
    for (size_t n = 0; n < MAX_NOTICES; n++) {
        int to = w.notices[n].to;
        if (!w.notices[n].used)
            continue;
        w.notices[n].used = false;
        const struct pv_filelink_peer from = peer_of(to);
        if (w.side[to].up && from.online)
            pv_filelink_handle_notice(w.side[to].link, &from,
                                      pv_view(w.notices[n].buf, w.notices[n].len), w.now);
    }
}

static inline void move_bytes(void)
{
    for (size_t i = 0; i < MAX_XFERS; i++) {
        struct xfer *x = &w.xfers[i];
        struct side *rx = &w.side[x->receiver], *tx = &w.side[1 - x->receiver];
        if (!x->used || !x->served || !rx->up || !tx->up)
            continue;
        if (w.full > 0) {
            w.full--;
            finish(x, PV_FILE_WHY_DISK_FULL);
            continue;
        }
        uint64_t n = 1 + pv_rng_below(&w.rng, 400);
        x->at = x->at + n < x->size ? x->at + n : x->size;
        rx->part[x->number] = x->at;
        pv_filelink_progress(rx->link, x->tag, x->at, w.now);
        pv_filelink_progress(tx->link, x->serve_tag, x->at, w.now);
        if (x->at == x->size)
            finish(x, PV_FILE_WHY_NONE);
    }
}

static inline bool is_any_due(void)
{
    for (int i = 0; i < 2; i++)
        if (w.side[i].up && pv_filelink_next_timeout(w.side[i].link) <= w.now)
            return true;
    return false;
}

/* A word of one side may give the other something to keep or to say, at once. */
static inline void turn(pv_ns step)
{
    w.now += step;
    for (int i = 0; i < 2; i++)
        if (w.side[i].up && w.side[i].writing_len > 0 && pv_rng_below(&w.rng, 8) == 0)
            written(&w.side[i]);
    deliver();
    move_bytes();
    for (int i = 0; i < 2; i++)
        if (w.side[i].up)
            pv_filelink_handle_timeout(w.side[i].link, w.now);
    for (int round = 0; round < 8 || (round < 64 && is_any_due()); round++) {
        drain(0);
        drain(1);
    }
    assert_false(is_any_due());
}

static inline void turns(unsigned n)
{
    while (n-- > 0)
        turn(PV_MS(100));
}

static inline void kill_side(int i)
{
    w.side[i].up = false;
    w.side[i].writing_len = 0;
    free_side(&w.side[i]);
    memset(w.side[i].open, 0, sizeof(w.side[i].open)); /* the kernel closes them */
    for (size_t n = 0; n < MAX_XFERS; n++)
        if (w.xfers[n].used)
            finish(&w.xfers[n], PV_FILE_WHY_LOST);
}

/* --- users --------------------------------------------------------------------------------- */

static inline int offer_as(int i, const char *name, uint64_t size, const uint8_t *id,
                           uint32_t *ret_number)
{
    struct side *s = &w.side[i];
    while (s->open[w.next_handle % MAX_HANDLES])
        w.next_handle++;
    const struct pv_filelink_offer o = {.peer = peer_of(i),
                                        .name = pv_view(name, strlen(name)),
                                        .size = size,
                                        .time_ms = 1,
                                        .stamp = {.ino = (uint8_t)name[0]},
                                        .handle = w.next_handle++ % MAX_HANDLES,
                                        .id = id,
                                        .room = w.room};
    assert_false(s->open[o.handle]);
    s->open[o.handle] = true;
    int r = pv_filelink_offer(s->link, &o, w.now, ret_number);
    if (r != PV_OK)
        s->open[o.handle] = false;
    return r;
}

static inline int offer(int i, const char *name, uint64_t size, uint32_t *ret_number)
{
    return offer_as(i, name, size, NULL, ret_number);
}

static inline uint32_t must_offer(int i, const char *name, uint64_t size)
{
    uint32_t number = 0;
    assert_ok(offer(i, name, size, &number));
    return number;
}

static inline const struct pv_file_entry *file(int i, uint32_t number)
{
    const struct pv_file_entry *f = pv_filelink_find(w.side[i].link, number);
    assert_non_null(f);
    return f;
}

/* The file's state on this side after so many turns. */
static inline enum pv_file_state state_after(unsigned n, int i, uint32_t number)
{
    turns(n);
    return file(i, number)->state;
}

static inline size_t count_open(int i)
{
    size_t n = 0;
    for (size_t h = 0; h < MAX_HANDLES; h++)
        n += w.side[i].open[h];
    return n;
}

/* --- tests --------------------------------------------------------------------------------- */

PV_TEST_WORLD(begin, end);

PV_TEST(a_file_is_offered_accepted_and_arrives)
{
    uint32_t a = must_offer(0, "photo.jpg", 5000);
    turns(3);
    const struct pv_file_entry *f = pv_filelink_at(w.side[1].link, 0);
    assert_non_null(f);
    assert_string_equal(f->name, "photo.jpg");
    assert_string_equal(f->peer_name, "alice");
    assert_int_equal(f->size, 5000);
    assert_int_equal(f->state, PV_FILE_OFFERED);
    turns(50);
    assert_int_equal(f->state, PV_FILE_OFFERED);
    assert_int_equal(file(0, a)->state, PV_FILE_OFFERED);
    assert_ok(pv_filelink_accept(w.side[1].link, f->number, w.now));
    turns(200);
    assert_int_equal(f->state, PV_FILE_DONE);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
    assert_int_equal(file(0, a)->done, 5000);
    assert_int_equal(count_open(0), 0);
    assert_true(w.side[1].whole[f->number]);
    assert_ok(pv_filelink_saved(w.side[1].link, f->number, w.now));
    turns(2);
    assert_false(w.side[1].whole[f->number]);
    assert_int_equal(pv_filelink_saved(w.side[1].link, f->number, w.now), PV_ERR_STATE);
    assert_int_equal(pv_filelink_accept(w.side[1].link, 99, w.now), PV_ERR_NOT_FOUND);
}

PV_TEST(a_rule_accepts_up_to_its_size)
{
    w.side[1].auto_max = 1000;
    uint32_t small = must_offer(0, "small", 1000), large = must_offer(0, "large", 1001);
    uint32_t empty = must_offer(0, "empty", 0);
    assert_int_equal(state_after(100, 0, small), PV_FILE_DONE);
    assert_int_equal(file(0, empty)->state, PV_FILE_DONE);
    assert_int_equal(file(0, large)->state, PV_FILE_OFFERED);
    assert_int_equal(count_open(0), 1);
}

static void change_rules(int i, bool comes, bool goes)
{
    w.side[i].denied[0] = !comes;
    w.side[i].denied[1] = !goes;
    pv_filelink_rules_changed(w.side[i].link, w.now);
}

PV_TEST(files_go_the_way_that_rules_let_them)
{
    w.side[0].auto_max = w.side[1].auto_max = PV_FILE_SIZE_MAX;
    change_rules(1, false, true);
    uint32_t a = must_offer(0, "denied", 10), b = must_offer(1, "allowed", 10);
    assert_int_equal(state_after(100, 0, a), PV_FILE_REFUSED);
    assert_int_equal(file(0, a)->why, PV_FILE_WHY_RULES);
    assert_int_equal(file(1, b)->state, PV_FILE_DONE);
    assert_null(pv_filelink_at(w.side[1].link, 1)); /* no trace of what was denied */
}

/* Whichever of both knows the rule first. */
PV_TEST(a_rule_stops_what_moves_and_its_end_goes_on)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    uint32_t a = must_offer(0, "big", 100000);
    turns(20);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    for (int knows = 0; knows < 2; knows++) {
        change_rules(knows, knows == 0, knows == 1);
        turns(5);
        uint64_t had = w.side[1].part[in];
        turns(100);
        assert_true(had > 0 && had < 100000);
        assert_int_equal(w.side[1].part[in], had);
        assert_int_equal(file(1, in)->why, PV_FILE_WHY_RULES);
        change_rules(knows, true, true);
        turns(100);
        assert_true(w.side[1].part[in] > had);
    }
    assert_int_equal(state_after(1000, 0, a), PV_FILE_DONE);
}

/* Whichever of both knows the rule: both say why it waits, whatever its user and the other end say
 * of it meanwhile. */
PV_TEST(a_file_that_is_accepted_while_rules_deny_it_says_so_until_they_let_it)
{
    for (int knows = 0; knows < 2; knows++) {
        uint32_t a = must_offer(0, PV_STR("denied%d", knows), 10);
        turns(5);
        uint32_t in = pv_filelink_at(w.side[1].link, (size_t)knows)->number;
        change_rules(knows, knows == 0, knows == 1);
        assert_ok(pv_filelink_accept(w.side[1].link, in, w.now));
        for (unsigned i = 0; i < 2; i++) {
            turns(100);
            assert_int_equal(file(0, a)->why, PV_FILE_WHY_RULES);
            assert_int_equal(file(knows, knows == 0 ? a : in)->why, PV_FILE_WHY_RULES);
            assert_ok(pv_filelink_accept(w.side[1].link, in, w.now));
        }
        assert_int_equal(file(1, in)->state, PV_FILE_ACCEPTED);
        change_rules(knows, true, true);
        assert_int_equal(state_after(1000, 0, a), PV_FILE_DONE);
        assert_int_equal(file(1, in)->why, PV_FILE_WHY_NONE);
    }
}

PV_TEST(refused_and_withdrawn_reach_the_other_side)
{
    uint32_t a = must_offer(0, "no", 10), b = must_offer(0, "never mind", 10);
    turns(3);
    uint32_t in_a = pv_filelink_at(w.side[1].link, 0)->number;
    uint32_t in_b = pv_filelink_at(w.side[1].link, 1)->number;
    assert_ok(pv_filelink_stop(w.side[1].link, in_a, w.now));
    assert_ok(pv_filelink_stop(w.side[0].link, b, w.now));
    assert_int_equal(state_after(3, 0, a), PV_FILE_REFUSED);
    assert_int_equal(file(1, in_b)->state, PV_FILE_WITHDRAWN);
    assert_int_equal(pv_filelink_stop(w.side[1].link, in_a, w.now), PV_ERR_STATE);
    assert_int_equal(pv_filelink_accept(w.side[1].link, in_b, w.now), PV_ERR_STATE);
    assert_int_equal(count_open(0), 0);
}

/* Its sender hears that it arrived, and its receiver does not read that it was saved. */
PV_TEST(a_received_file_that_is_thrown_away_was_not_saved)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    uint32_t a = must_offer(0, "whole", 1000);
    assert_int_equal(state_after(100, 0, a), PV_FILE_DONE);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    assert_ok(pv_filelink_stop(w.side[1].link, in, w.now));
    assert_int_equal(file(1, in)->state, PV_FILE_SAVED);
    assert_int_equal(file(1, in)->why, PV_FILE_WHY_STOPPED);
    turns(5);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
    assert_int_equal(file(0, a)->why, PV_FILE_WHY_NONE);
    assert_int_equal(pv_filelink_stop(w.side[1].link, in, w.now), PV_ERR_STATE);
}

PV_TEST(a_restarted_sender_waits_for_the_same_file_and_goes_on)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    uint32_t a = must_offer(0, "big", 100000);
    turns(20);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    uint64_t had = w.side[1].part[in];
    assert_true(had > 0 && had < 100000);
    kill_side(0);
    tell_presence();
    start(0);
    tell_presence();
    turns(100);
    assert_int_equal(file(0, a)->why, PV_FILE_WHY_ABSENT);
    assert_int_equal(file(1, in)->why, PV_FILE_WHY_ABSENT);
    assert_int_equal(must_offer(0, "big", 100000), a);
    turns(5);
    assert_true(file(1, in)->running);
    assert_true(w.side[1].part[in] >= had);
    assert_int_equal(state_after(1000, 0, a), PV_FILE_DONE);
    /* Another size or stamp is another file. */
    assert_int_not_equal(must_offer(0, "big", 100000), a);
}

/* After a restart its word may come before anything else is heard of it. */
PV_TEST(an_offer_says_where_its_sender_is)
{
    struct pv_file_notice n = {.kind = PV_FILE_OFFER};
    uint8_t body[PV_FILE_NOTICE_MAX];
    struct pv_fileop op = {.type = PV_FILEOP_DROP};
    size_t len = 0;
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    must_offer(0, "big", 100000);
    turns(20);
    kill_side(1);
    start(1);
    const struct pv_file_entry *e = pv_filelink_at(w.side[1].link, 0);
    memcpy(n.id, e->id, sizeof(n.id));
    memcpy(n.name, e->name, sizeof(n.name));
    n.size = e->size;
    assert_ok(pv_file_notice_build(&n, body, &len));
    struct pv_filelink_peer alice = peer_of(1);
    alice.addr = pv_addr4(10, 66, 0, 7, 0);
    pv_filelink_handle_notice(w.side[1].link, &alice, pv_view(body, len), w.now);
    while (op.type != PV_FILEOP_FETCH)
        assert_ok(pv_fifo_take(&w.side[1].ops, &op));
    const struct pv_addr there = pv_addr4(10, 66, 0, 7, PV_FILE_PORT);
    assert_true(pv_addr_equal(&op.addr, &there));
}

/* Until the disk had it nothing of it is known to the next life. */
static void end_before_anything_is_kept(int i)
{
    kill_side(i);
    w.side[i].saved_len = 0;
    tell_presence();
    start(i);
    tell_presence();
}

static size_t count_files(int i)
{
    size_t n = 0;
    while (pv_filelink_at(w.side[i].link, n) != NULL)
        n++;
    return n;
}

PV_TEST(a_file_offered_by_its_id_again_comes_once)
{
    static const uint8_t id[PV_FILE_ID_LEN] = {7};
    uint32_t a = 0, again = 0;
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    assert_ok(offer_as(0, "big", 3000, id, &a));
    assert_int_equal(state_after(50, 0, a), PV_FILE_DONE);
    assert_ok(offer_as(0, "big", 3000, id, &again));
    assert_int_equal(again, a);
    assert_int_equal(offer_as(0, "big", 3001, id, &again), PV_ERR_EXISTS);
    end_before_anything_is_kept(0);
    assert_ok(offer_as(0, "big", 3000, id, &a));
    assert_int_equal(state_after(50, 0, a), PV_FILE_DONE);
    assert_int_equal(count_files(1), 1);
    assert_int_equal(count_open(0), 0);
}

/* The other side was away; of what it has long had there is nothing to tell. */
PV_TEST(a_file_that_is_over_is_no_news_when_its_peer_comes_back)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    const uint32_t a = must_offer(0, "big", 3000);
    assert_int_equal(state_after(50, 0, a), PV_FILE_DONE);
    turns(700);
    const unsigned told = w.side[0].told;
    struct pv_filelink_peer peer = peer_of(0);
    for (int i = 0; i < 2; i++) {
        peer.online = i == 1;
        pv_filelink_set_peer(w.side[0].link, &peer, w.now);
        drain(0);
    }
    assert_int_equal(w.side[0].told, told);
}

/* A notice of side 0 for side 1. */
static void tell_1(const struct pv_file_notice *n)
{
    const struct pv_filelink_peer from = peer_of(1);
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    assert_ok(pv_file_notice_build(n, buf, &len));
    pv_filelink_handle_notice(w.side[1].link, &from, pv_view(buf, len), w.now);
}

/* --- in rooms -------------------------------------------------------------------------------- */

static const uint8_t crew[PV_ROOM_ID_LEN] = {1}, team[PV_ROOM_ID_LEN] = {2},
                     nowhere[PV_ROOM_ID_LEN];

/* The newest that came to bob. */
static const struct pv_file_entry *newest(void)
{
    assert_true(count_files(1) > 0);
    return pv_filelink_at(w.side[1].link, count_files(1) - 1);
}

static uint32_t must_offer_in(const uint8_t *room, const char *name, uint64_t size)
{
    w.room = room;
    return must_offer(0, name, size);
}

PV_TEST(a_file_that_is_offered_in_a_room_knows_its_room)
{
    w.side[1].room = PV_FILE_ROOM_OPEN;
    const uint32_t a = must_offer_in(crew, "a", 100);
    turns(20);
    assert_memory_equal(file(0, a)->room, crew, sizeof(crew));
    assert_memory_equal(newest()->room, crew, sizeof(crew));
    assert_int_equal(count_files(1), 1);
    for (int i = 0; i < 2; i++) { /* also in the next life */
        keep(&w.side[i]);
        kill_side(i);
        start(i);
    }
    assert_memory_equal(file(0, a)->room, crew, sizeof(crew));
    assert_memory_equal(newest()->room, crew, sizeof(crew));
    /* Its sender may not move it. */
    w.side[0].room = PV_FILE_ROOM_OPEN;
    struct pv_file_notice n = {.kind = PV_FILE_ROOM_OFFER, .size = 100, .name = "a"};
    memcpy(n.id, newest()->id, sizeof(n.id));
    memcpy(n.room, team, sizeof(n.room));
    tell_1(&n);
    assert_memory_equal(newest()->room, crew, sizeof(crew));
    must_offer_in(NULL, "b", 100);
    tell_presence();
    turns(20);
    assert_memory_equal(newest()->room, nowhere, sizeof(nowhere));
}

PV_TEST(a_room_is_taken_as_soon_as_its_sender_is_known_to_be_in_it)
{
    w.side[1].auto_max = 1000;
    must_offer_in(crew, "a", 5000);
    turns(20);
    assert_memory_equal(newest()->room, nowhere, sizeof(nowhere));
    w.side[1].room = PV_FILE_ROOM_OPEN;
    turns(700); /* it is offered again each minute */
    assert_memory_equal(newest()->room, crew, sizeof(crew));
    assert_int_equal(count_files(1), 1);
}

/* An invitation and the first file are often said in one breath. */
PV_TEST(an_offer_that_is_before_its_room_waits_for_it)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    must_offer_in(crew, "a", 100);
    turns(20);
    assert_true(newest()->held);
    assert_int_equal(newest()->state, PV_FILE_OFFERED);
    w.side[1].room = PV_FILE_ROOM_CLOSED;
    pv_filelink_rooms_changed(w.side[1].link);
    assert_memory_equal(newest()->room, crew, sizeof(crew));
    turns(1300);
    assert_true(newest()->held);
    assert_int_equal(newest()->state, PV_FILE_OFFERED);
}

/* A room that this node has no place for, or a sender that it does not know to be in it. */
PV_TEST(an_offer_whose_room_does_not_come_is_for_this_node_alone)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    const uint32_t a = must_offer_in(crew, "a", 100);
    turns(20);
    assert_true(newest()->held);
    assert_int_equal(state_after(700, 0, a), PV_FILE_DONE);
    assert_false(newest()->held);
    assert_memory_equal(newest()->room, nowhere, sizeof(nowhere));
}

PV_TEST(an_offer_whose_room_came_in_no_life_of_the_receiver_is_told)
{
    must_offer_in(crew, "a", 100);
    turns(20);
    assert_true(newest()->held);
    keep(&w.side[1]);
    kill_side(1);
    start(1);
    assert_false(newest()->held);
    assert_int_equal(newest()->state, PV_FILE_OFFERED);
}

PV_TEST(an_offer_in_a_room_that_nobody_accepted_waits_and_is_told_then)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.side[1].room = PV_FILE_ROOM_CLOSED;
    const uint32_t a = must_offer_in(crew, "a", 100);
    turns(700);
    assert_true(newest()->held);
    assert_int_equal(newest()->state, PV_FILE_OFFERED);
    keep(&w.side[1]);
    kill_side(1);
    start(1);
    assert_true(newest()->held);
    turns(1);
    w.side[1].room = PV_FILE_ROOM_STRANGE; /* its sender has left the room */
    pv_filelink_rooms_changed(w.side[1].link);
    assert_true(newest()->held);
    const unsigned told = w.side[1].told;
    w.side[1].room = PV_FILE_ROOM_OPEN;
    pv_filelink_rooms_changed(w.side[1].link);
    drain(1);
    assert_false(newest()->held);
    assert_int_equal(w.side[1].told, told + 1);
    tell_presence();
    assert_int_equal(state_after(700, 0, a), PV_FILE_DONE); /* the rule holds by now */
}

PV_TEST(a_file_in_two_rooms_and_for_the_peer_alone_is_three_files)
{
    static const uint8_t id[PV_FILE_ID_LEN] = {7};
    uint32_t number = 0;
    w.side[1].room = PV_FILE_ROOM_OPEN;
    const uint32_t a = must_offer_in(crew, "a", 100), b = must_offer_in(team, "a", 100);
    const uint32_t c = must_offer_in(NULL, "a", 100);
    turns(20);
    assert_true(a != b && b != c && a != c);
    assert_int_equal(count_files(1), 3);
    assert_int_equal(must_offer_in(crew, "a", 100), a);
    assert_int_equal(must_offer_in(team, "a", 100), b);
    assert_int_equal(must_offer_in(NULL, "a", 100), c);
    w.room = crew;
    assert_ok(offer_as(0, "b", 100, id, &number));
    const uint32_t named = number;
    w.room = team; /* an id is for the same offer again */
    assert_int_equal(offer_as(0, "b", 100, id, &number), PV_ERR_EXISTS);
    w.room = NULL;
    assert_ok(offer_as(0, "b", 100, id, &number));
    assert_int_equal(number, named);
    assert_memory_equal(file(0, named)->room, crew, sizeof(crew));
}

PV_TEST(a_file_that_its_sender_forgot_comes_when_it_is_offered_again)
{
    static const uint8_t id[PV_FILE_ID_LEN] = {7};
    for (int yes = 0; yes < 2; yes++) {
        uint32_t a = 0;
        end(NULL);
        begin(NULL);
        w.side[1].auto_max = PV_FILE_SIZE_MAX;
        assert_ok(offer_as(0, "big", 100000, id, &a));
        turns(20);
        uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
        assert_true(file(1, in)->running);
        end_before_anything_is_kept(0);
        turns(50); /* it is asked, and does not know */
        assert_int_equal(file(1, in)->state, PV_FILE_WITHDRAWN);
        w.side[1].auto_max = yes == 1 ? PV_FILE_SIZE_MAX : 0;
        assert_ok(offer_as(0, "big", 100000, id, &a));
        turns(5);
        assert_int_equal(file(1, in)->state, yes == 1 ? PV_FILE_ACCEPTED : PV_FILE_OFFERED);
        if (yes == 0)
            assert_ok(pv_filelink_accept(w.side[1].link, in, w.now));
        assert_int_equal(state_after(1500, 0, a), PV_FILE_DONE);
        assert_int_equal(file(1, in)->state, PV_FILE_DONE);
        assert_int_equal(count_files(1), 1);
    }
}

PV_TEST(nothing_is_fetched_of_what_the_disk_does_not_know)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.side[1].full = true;
    uint32_t a = must_offer(0, "big", 3000);
    turns(50);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    assert_int_equal(file(1, in)->state, PV_FILE_ACCEPTED);
    assert_false(file(1, in)->running);
    assert_int_equal(file(1, in)->done, 0);
    w.side[1].full = false;
    keep(&w.side[1]);
    assert_int_equal(state_after(50, 0, a), PV_FILE_DONE);
}

PV_TEST(a_full_disk_is_told_and_tried_again)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.full = 1;
    uint32_t a = must_offer(0, "big", 3000);
    turns(20);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    assert_int_equal(file(0, a)->why, PV_FILE_WHY_DISK_FULL);
    assert_int_equal(file(1, in)->why, PV_FILE_WHY_DISK_FULL);
    assert_int_equal(file(1, in)->state, PV_FILE_ACCEPTED);
    assert_ok(pv_filelink_accept(w.side[1].link, in, w.now)); /* not in a minute: now */
    assert_int_equal(state_after(50, 0, a), PV_FILE_DONE);
}

PV_TEST(a_file_that_moves_again_waits_for_nothing)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.full = 1;
    must_offer(0, "big", 3000);
    turns(20);
    assert_int_equal(newest()->why, PV_FILE_WHY_DISK_FULL);
    for (int i = 0; i < 1300 && !newest()->running; i++) /* it is tried again by itself */
        turns(1);
    assert_true(newest()->running);
    assert_int_equal(newest()->why, PV_FILE_WHY_NONE);
}

PV_TEST(a_flood_of_offers_is_refused_and_hurts_nobody)
{
    struct pv_file_notice n = {.kind = PV_FILE_OFFER, .size = 1, .name = "x"};
    const struct pv_filelink_peer from = peer_of(1);
    size_t known = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t buf[PV_FILE_NOTICE_MAX];
        size_t len;
        n.id[0] = (uint8_t)i;
        n.id[1] = (uint8_t)(i >> 8);
        assert_ok(pv_file_notice_build(&n, buf, &len));
        pv_filelink_handle_notice(w.side[1].link, &from, pv_view(buf, len), w.now);
    }
    while (pv_filelink_at(w.side[1].link, known) != NULL)
        known++;
    assert_int_equal(known, PV_FILELINK_MAX_OFFERS);
    turns(5);
    assert_ok(pv_filelink_accept(w.side[1].link, 1, w.now));
}

PV_TEST(a_trusted_peer_fills_neither_the_table_nor_all_transfers)
{
    struct pv_file_notice n = {.kind = PV_FILE_OFFER, .size = 1, .name = "x"};
    size_t known = 0, running = 0;
    const struct pv_file_entry *f;
    w.side[1].auto_max = 100;
    for (unsigned i = 0; i < PV_FILELINK_MAX; i++) {
        n.id[0] = (uint8_t)i;
        n.id[1] = (uint8_t)(i >> 8);
        tell_1(&n);
    }
    keep(&w.side[1]);
    while ((f = pv_filelink_at(w.side[1].link, known)) != NULL) {
        known++;
        running += f->running;
    }
    assert_int_equal(known, PV_FILELINK_MAX_OF_PEER);
    assert_int_equal(running, PV_FILELINK_MAX_PEER_RUNNING);
}

PV_TEST(a_flood_of_notices_is_not_one_of_writes)
{
    unsigned saves = 0;
    for (unsigned i = 0; i < 10000; i++) {
        struct pv_file_notice n = {.kind = PV_FILE_OFFER, .size = 1, .name = "x", .id = {1}};
        n.kind = i % 2 == 0 ? PV_FILE_OFFER : PV_FILE_WITHDRAW;
        n.id[1] = (uint8_t)(i / 2);
        n.id[2] = (uint8_t)(i / 512);
        tell_1(&n);
        saves += pv_filelink_take_dirty(w.side[1].link, w.now);
    }
    assert_in_range(saves, 1, 100);
    assert_in_range(pv_filelink_next_timeout(w.side[1].link), w.now, w.now + PV_MS(100));
    w.now += PV_MS(100); /* and the last state is not forgotten */
    assert_true(pv_filelink_take_dirty(w.side[1].link, w.now));
    assert_false(pv_filelink_take_dirty(w.side[1].link, w.now));
}

PV_TEST(a_table_full_of_living_files_takes_no_more_and_old_ones_give_way)
{
    uint32_t number = 0;
    for (unsigned i = 0; i < PV_FILELINK_MAX; i++)
        assert_int_equal(must_offer(0, "x", i), i + 1);
    assert_int_equal(offer(0, "x", 10000, &number), PV_ERR_LIMIT);
    assert_ok(pv_filelink_stop(w.side[0].link, 7, w.now));
    assert_ok(offer(0, "x", 10000, &number));
    assert_null(pv_filelink_find(w.side[0].link, 7));
    assert_int_equal(number, PV_FILELINK_MAX + 1);
    uint8_t *buf = malloc(PV_FILELINK_SAVE_MAX);
    assert_non_null(buf);
    uint64_t save;
    assert_true(pv_filelink_save(w.side[0].link, buf, &save) <= PV_FILELINK_SAVE_MAX);
    free(buf);
}

PV_TEST(only_the_receiver_gets_a_file)
{
    const uint8_t eve[PV_SIGN_PK_LEN] = {66};
    uint8_t get[PV_FILE_GET_LEN];
    struct pv_fileop op;
    uint32_t sid = 0;
    uint32_t a = must_offer(0, "secret", 10);
    pv_file_get_build(file(0, a)->id, 0, get);
    while (pv_fifo_take(&w.side[0].ops, &op) == PV_OK)
        continue;
    assert_ok(pv_filelink_accepted(w.side[0].link, eve, w.now, &sid));
    pv_filelink_handle_bytes(w.side[0].link, sid, pv_view(get, sizeof(get)), w.now);
    assert_ok(pv_fifo_take(&w.side[0].ops, &op));
    assert_int_equal(op.type, PV_FILEOP_ANSWER);
    assert_int_equal(op.why, PV_FILE_WHY_GONE);
    assert_int_equal(pv_fifo_take(&w.side[0].ops, &op), PV_ERR_AGAIN);
}

/* As for a room: one id, and an offer to each of its members. */
PV_TEST(an_id_offered_to_many_is_a_file_for_each_and_eight_move_at_once)
{
    enum {
        MEMBERS = PV_FILELINK_MAX_RUNNING + 2
    };
    static const uint8_t id[PV_FILE_ID_LEN] = {7};
    struct pv_filelink *l = w.side[0].link;
    uint8_t get[PV_FILE_GET_LEN], pk[PV_SIGN_PK_LEN] = {0};
    uint32_t numbers[MEMBERS], sid = 0;
    size_t served = 0, busy = 0;
    struct pv_fileop op;
    pv_file_get_build(id, 0, get);
    for (uint8_t i = 0; i < MEMBERS; i++) {
        pk[0] = (uint8_t)(100 + i);
        const struct pv_filelink_offer o = {
            .peer = {.pk = pk, .name = "member", .addr = {.family = PV_AF_INET}, .online = true},
            .name = pv_view("plan", 4),
            .size = 9,
            .handle = i,
            .id = id};
        assert_ok(pv_filelink_offer(l, &o, w.now, &numbers[i]));
        assert_true(i == 0 || numbers[i] != numbers[i - 1]);
    }
    for (uint8_t i = 0; i < MEMBERS; i++) {
        pk[0] = (uint8_t)(100 + i);
        assert_ok(pv_filelink_accepted(l, pk, w.now, &sid));
        pv_filelink_handle_bytes(l, sid, pv_view(get, sizeof(get)), w.now);
        while (pv_fifo_take(&w.side[0].ops, &op) == PV_OK) {
            served += op.type == PV_FILEOP_SERVE && op.handle == i;
            busy += op.type == PV_FILEOP_ANSWER && op.why == PV_FILE_WHY_BUSY;
        }
    }
    assert_int_equal(served, PV_FILELINK_MAX_RUNNING);
    assert_int_equal(busy, 2);
    /* One ends, and no other. */
    assert_ok(pv_filelink_stop(l, numbers[1], w.now));
    assert_int_equal(file(0, numbers[1])->state, PV_FILE_WITHDRAWN);
    assert_int_equal(file(0, numbers[2])->state, PV_FILE_ACCEPTED); /* it asked */
}

/* Alice's secret for bob and his for her. */
static void tell_secrets(struct pv_linkkeys *const keys[2], struct said said[2])
{
    struct said_one tx;
    for (int i = 0; i < 4; i++) {
        while (said_take(&said[i % 2], &tx))
            (void)pv_linkkeys_take(keys[1 - i % 2], w.side[i % 2].pk,
                                   pv_view(tx.body, sizeof(tx.body)), w.now);
    }
}

/* Any user of bob's machine could ask alice, or answer her, in its stead. */
PV_TEST(nothing_moves_before_the_peers_daemon_proves_itself)
{
    struct pv_linkkeys *keys[2];
    struct said said[2] = {0};
    for (int i = 0; i < 2; i++) {
        keys[i] = said_new(&said[i], &w.rng, w.side[i].pk);
        w.side[i].auto_max = PV_FILE_SIZE_MAX;
    }
    kill_side(0);
    w.side[0].keys = keys[0];
    start(0);
    assert_int_equal(pv_linkkeys_state(keys[0], w.side[1].pk), PV_LINKKEYS_UNKNOWN);
    tell_presence();
    uint32_t out = must_offer(0, "hers", 10), in = must_offer(1, "his", 10);
    turns(600);
    assert_int_equal(pv_filelink_at(w.side[1].link, 1)->state, PV_FILE_ACCEPTED);
    assert_int_not_equal(file(0, out)->state, PV_FILE_DONE);
    assert_int_not_equal(file(1, in)->state, PV_FILE_DONE);
    /* He proves himself: she fetches. A request without a proof gets nothing of hers all the same.
     */
    pv_linkkeys_look(keys[0], w.side[1].pk, true, w.now);
    tell_secrets(keys, said);
    assert_int_equal(pv_linkkeys_state(keys[0], w.side[1].pk), PV_LINKKEYS_CONFIRMED);
    tell_presence();
    assert_int_equal(state_after(600, 1, in), PV_FILE_DONE);
    assert_int_not_equal(file(0, out)->state, PV_FILE_DONE);
    kill_side(0);
    for (int i = 0; i < 2; i++)
        said_free(&said[i], keys[i]);
}

PV_TEST(connections_that_do_not_ask_are_closed_and_few)
{
    struct pv_fileop op;
    uint32_t sid = 0;
    unsigned closed = 0;
    for (unsigned i = 0; i < PV_FILELINK_MAX_PEER_CONNS; i++)
        assert_ok(pv_filelink_accepted(w.side[0].link, w.side[1].pk, w.now, &sid));
    /* One more takes the place of the oldest. */
    assert_ok(pv_filelink_accepted(w.side[0].link, w.side[1].pk, w.now, &sid));
    assert_ok(pv_fifo_take(&w.side[0].ops, &op));
    assert_int_equal(op.type, PV_FILEOP_CLOSE);
    w.now += PV_S(PV_FILELINK_ASK_S);
    pv_filelink_handle_timeout(w.side[0].link, w.now);
    while (pv_fifo_take(&w.side[0].ops, &op) == PV_OK)
        closed += op.type == PV_FILEOP_CLOSE;
    assert_int_equal(closed, PV_FILELINK_MAX_PEER_CONNS);
    assert_ok(pv_filelink_accepted(w.side[0].link, w.side[1].pk, w.now, &sid));
    pv_filelink_handle_bytes(w.side[0].link, sid, pv_view("not what we speak, and too long.", 33),
                             w.now);
    assert_ok(pv_fifo_take(&w.side[0].ops, &op));
    assert_int_equal(op.type, PV_FILEOP_CLOSE);
}

/* How many of these connections the link closes until it has nothing more to do. */
static size_t count_closed(const uint32_t *sids, size_t n)
{
    struct pv_fileop op;
    size_t closed = 0;
    while (pv_fifo_take(&w.side[0].ops, &op) == PV_OK) {
        assert_int_equal(op.type, PV_FILEOP_CLOSE);
        for (size_t i = 0; i < n; i++)
            closed += op.sid == sids[i];
    }
    return closed;
}

/* A few members may take all places there are: the others come in all the same, and stay. */
PV_TEST(members_with_many_connections_keep_nobody_out)
{
    enum {
        HOSTILE = PV_FILELINK_MAX_CONNS / PV_FILELINK_MAX_PEER_CONNS
    };
    uint8_t pk[HOSTILE + 1][PV_SIGN_PK_LEN] = {{0}};
    uint32_t theirs[PV_FILELINK_MAX_CONNS], sid = 0, honest = 0;
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        pk[i % HOSTILE][0] = (uint8_t)(i % HOSTILE + 1);
        assert_ok(pv_filelink_accepted(w.side[0].link, pk[i % HOSTILE], w.now + i, &theirs[i]));
    }
    assert_int_equal(count_closed(theirs, PV_FILELINK_MAX_CONNS), 0);
    pk[HOSTILE][0] = 0xff;
    assert_ok(pv_filelink_accepted(w.side[0].link, pk[HOSTILE], w.now + 100, &honest));
    assert_int_equal(count_closed(theirs, PV_FILELINK_MAX_CONNS), 1);
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        assert_ok(pv_filelink_accepted(w.side[0].link, pk[i % HOSTILE], w.now + 200 + i, &sid));
        assert_int_equal(count_closed(&honest, 1), 0);
    }
}

PV_TEST(a_corrupt_file_fails_at_the_third_time)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    uint32_t a = must_offer(0, "x", 1000000);
    turns(5);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    for (unsigned i = 0; i < PV_FILELINK_MAX_CORRUPT; i++) {
        assert_int_equal(file(1, in)->state, PV_FILE_ACCEPTED);
        for (size_t n = 0; n < MAX_XFERS; n++)
            if (w.xfers[n].used)
                finish(&w.xfers[n], PV_FILE_WHY_CORRUPT);
        turns(30);
    }
    assert_int_equal(file(1, in)->state, PV_FILE_FAILED);
    assert_int_equal(file(0, a)->state, PV_FILE_FAILED);
}

/* --- 100 lives of kills, cuts, lost notices and slow disks ----------------------------------- */

/* A send-file: it offers again when the daemon was away, by the same id. */
struct sending {
    int from;
    char name[8];
};

static void offer_again(const struct sending *s, uint8_t number)
{
    const uint8_t id[PV_FILE_ID_LEN] = {1, number};
    uint32_t unused;
    if (w.side[s->from].up)
        assert_ok(offer_as(s->from, s->name, number % 2 == 0 ? 20000 : 100, id, &unused));
}

/* Each has arrived, once. */
static void check_sendings(uint64_t seed, const struct sending *all, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        for (int i = 0; i < 2; i++) {
            unsigned found = 0;
            const struct pv_file_entry *f;
            for (size_t at = 0; (f = pv_filelink_at(w.side[i].link, at)) != NULL; at++) {
                if (strcmp(f->name, all[k].name) != 0)
                    continue;
                found++;
                if (f->state != PV_FILE_DONE)
                    fail_msg("seed %llu: file %s of %s is %s (%s)", (unsigned long long)seed,
                             f->name, w.side[i].name, pv_file_state_name(f->state),
                             pv_file_why_text(f->why));
                assert_true(f->outgoing == (i == all[k].from));
                assert_true(f->outgoing || w.side[i].whole[f->number]);
            }
            if (found != 1)
                fail_msg("seed %llu: file %s is there %u times at %s", (unsigned long long)seed,
                         all[k].name, found, w.side[i].name);
        }
    }
}

/* One seed: files both ways through kills, cuts and losses; at the end all have arrived, once. */
static void live_through(uint64_t seed)
{
    struct sending sendings[100];
    size_t n_sendings = 0;
    assert_int_equal(begin(NULL), 0);
    w.rng = test_rng_make(&w.state, seed);
    w.loss = pv_rng_below(&w.rng, 60);
    w.side[0].auto_max = w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.side[0].slow = w.side[1].slow = true;
    for (unsigned i = 0; i < 300; i++) {
        int s = (int)pv_rng_below(&w.rng, 2);
        unsigned dice = pv_rng_below(&w.rng, 40);
        if (dice == 0 && w.side[s].up) {
            kill_side(s);
            tell_presence();
        } else if (dice < 4 && !w.side[s].up) {
            start(s);
            tell_presence();
        } else if (dice == 9) { /* a little later */
            for (size_t n = 0; n < n_sendings; n++)
                offer_again(&sendings[n], (uint8_t)n);
        } else if (dice < 8 && w.side[s].up && n_sendings < PV_ARRAY_LEN(sendings)) {
            struct sending *new = &sendings[n_sendings];
            new->from = s;
            snprintf(new->name, sizeof(new->name), "f%zu", n_sendings);
            offer_again(new, (uint8_t)n_sendings++);
        } else if (dice == 8) {
            for (size_t n = 0; n < MAX_XFERS; n++)
                if (w.xfers[n].used && pv_rng_below(&w.rng, 2) == 0)
                    finish(&w.xfers[n], PV_FILE_WHY_LOST);
        }
        turn(PV_MS(50 + pv_rng_below(&w.rng, 1000)));
    }
    w.loss = 0;
    for (int i = 0; i < 2; i++)
        if (!w.side[i].up)
            start(i);
    tell_presence();
    for (size_t n = 0; n < n_sendings; n++)
        offer_again(&sendings[n], (uint8_t)n);
    turns(4000);
    check_sendings(seed, sendings, n_sendings);
    assert_int_equal(count_open(0), 0);
    assert_int_equal(count_open(1), 0);
    assert_int_equal(end(NULL), 0);
}

PV_TEST(files_arrive_through_kills_cuts_and_losses)
{
    uint64_t seeds = getenv("PV_SIM_LONG") != NULL ? 300 : 30;
    end(NULL);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        live_through(seed);
    begin(NULL);
}

/* --- places that many members want ----------------------------------------------------------- */

/* Each peer keeps some, offers give way in turn, and this node's users always find one. */

enum {
    GREEDY = 40, /* peers that offer all they may: more than the table can hold */
    HONEST = 200,
    HELD_BY_USERS = PV_FILELINK_MAX - PV_FILELINK_MAX_INCOMING,
};

static struct pv_streams streams;
static struct pv_fifo ops;
static struct pv_filelink *node;
static struct test_rng seed;
static struct pv_rng rng;
static uint8_t saved[PV_FILELINK_SAVE_MAX];
static pv_ns now;
static unsigned asked_for; /* a member, */
static size_t too_many;    /* that was told so often that there are too many */

static void count_notice(void *owner, const uint8_t *pk, struct pv_view notice, pv_ns at)
{
    struct pv_file_notice n;
    assert_ok(pv_file_notice_parse(notice, &n));
    too_many += (unsigned)(pk[0] | pk[1] << 8) == asked_for && n.kind == PV_FILE_STATE &&
                n.state == PV_FILE_REFUSED && n.why == PV_FILE_WHY_TOO_MANY;
}

static void restart(struct pv_view table)
{
    const struct pv_filelink_config cfg = {
        .rng = rng, .streams = &streams, .ops = &ops, .send = count_notice};
    assert_ok(pv_filelink_new(&node, &cfg, table));
}

static int begin_alone(void **unused)
{
    rng = test_rng_make(&seed, 1);
    now = PV_S(100);
    restart(pv_view(NULL, 0));
    return 0;
}

static int end_alone(void **unused)
{
    node = pv_filelink_free(node);
    pv_fifo_clear(&ops);
    return 0;
}

/* --- what happens -------------------------------------------------------------------------- */

/* A word of this member; auto_max: what a rule lets it send. */
static void hear(unsigned member, const struct pv_file_notice *n, uint64_t auto_max)
{
    const uint8_t pk[PV_SIGN_PK_LEN] = {(uint8_t)member, (uint8_t)(member >> 8)};
    const struct pv_filelink_peer from = {.pk = pk,
                                          .name = "member",
                                          .addr = {.family = PV_AF_INET},
                                          .online = true,
                                          .auto_max = auto_max};
    struct pv_fileop op;
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    assert_ok(pv_file_notice_build(n, buf, &len));
    pv_filelink_handle_notice(node, &from, pv_view(buf, len), now);
    while (pv_fifo_take(&ops, &op) == PV_OK)
        continue;
}

static void offers_by_rule(unsigned member, unsigned id, uint64_t auto_max)
{
    const struct pv_file_notice n = {.kind = PV_FILE_OFFER,
                                     .size = 1,
                                     .name = "x",
                                     .id = {(uint8_t)id, (uint8_t)(id >> 8), (uint8_t)member}};
    hear(member, &n, auto_max);
}

static void offers(unsigned member, unsigned id)
{
    offers_by_rule(member, id, 0);
}

/* Everybody offers all that one peer may. */
static void offer_all_they_may(unsigned peers)
{
    for (unsigned id = 0; id < PV_FILELINK_MAX_OFFERS; id++)
        for (unsigned member = 1; member <= peers; member++)
            offers(member, id);
}

/* A user of this node offers a file; the size tells it from the others. */
static int user_sends(uint64_t size)
{
    static const uint8_t pk[PV_SIGN_PK_LEN] = {0xff, 0xff};
    uint32_t number;
    const struct pv_filelink_offer o = {
        .peer = {.pk = pk, .name = "friend"}, .name = pv_view("mine", 4), .size = size};
    return pv_filelink_offer(node, &o, now, &number);
}

/* --- what is there ------------------------------------------------------------------------- */

/* Files of this member (0: of everybody) that come in and are in this state. */
static size_t count(unsigned member, enum pv_file_state in)
{
    const struct pv_file_entry *f;
    size_t n = 0;
    for (size_t i = 0; (f = pv_filelink_at(node, i)) != NULL; i++)
        n += !f->outgoing && f->state == in &&
             (member == 0 || (unsigned)(f->peer[0] | f->peer[1] << 8) == member);
    return n;
}

/* How many files does this node tell the member to be too many now? Messages to others are read and
 * forgotten. */
static size_t count_told_too_many(unsigned member)
{
    asked_for = member;
    too_many = 0;
    pv_filelink_speak(node, now);
    return too_many;
}

static void accept_all(void)
{
    const struct pv_file_entry *f;
    for (size_t i = 0; (f = pv_filelink_at(node, i)) != NULL; i++)
        if (!f->outgoing && f->state == PV_FILE_OFFERED)
            assert_ok(pv_filelink_accept(node, f->number, now));
}

/* --- tests ---------------------------------------------------------------------------------- */

PV_TEST_IN(users_send_whatever_members_offer, begin_alone, end_alone)
{
    offer_all_they_may(GREEDY);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    for (unsigned i = 0; i < HELD_BY_USERS; i++) {
        assert_ok(user_sends(i));
        offers(1 + i % GREEDY, PV_FILELINK_MAX_OFFERS + i);
    }
    assert_int_equal(user_sends(HELD_BY_USERS), PV_ERR_LIMIT);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
}

PV_TEST_IN(the_member_that_offers_most_makes_room_and_hears_why, begin_alone, end_alone)
{
    for (unsigned member = 1; member <= 23; member++)
        for (unsigned id = 0; id < PV_FILELINK_MAX_OFFERS; id++)
            offers(member, id);
    for (unsigned id = 0; id < 15; id++)
        offers(24, id);
    offers(25, 0);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    assert_int_equal(count_told_too_many(23), 0);
    /* The newest of those that have most is the last one of member 23. */
    offers(HONEST, 0);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 1);
    assert_int_equal(count(23, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS - 1);
    assert_int_equal(count(23, PV_FILE_REFUSED), 1);
    assert_int_equal(count_told_too_many(23), 1);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    /* It asks again: that is over, and pushes nobody out. */
    offers(23, PV_FILELINK_MAX_OFFERS - 1);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 1);
    assert_int_equal(count(23, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS - 1);
}

PV_TEST_IN(members_that_have_the_same_leave_each_other_alone, begin_alone, end_alone)
{
    enum {
        EQUALS = PV_FILELINK_MAX_INCOMING / PV_FILELINK_MAX_OFFERS
    };
    offer_all_they_may(EQUALS);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    for (unsigned id = 100; id < 200; id++)
        for (unsigned member = 1; member <= EQUALS; member++)
            offers(member, id);
    assert_int_equal(count(0, PV_FILE_REFUSED), 0);
    /* One more comes near them and stops there, and they do not take it back. */
    for (unsigned id = 0; id < 100; id++)
        offers(HONEST, id);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS - 1);
    for (unsigned id = 200; id < 300; id++)
        for (unsigned member = 1; member <= EQUALS; member++)
            offers(member, id);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS - 1);
    assert_int_equal(count(0, PV_FILE_REFUSED), PV_FILELINK_MAX_OFFERS - 1);
}

PV_TEST_IN(each_keeps_its_first_offer, begin_alone, end_alone)
{
    for (unsigned member = 1; member <= PV_FILELINK_MAX_INCOMING; member++)
        offers(member, 0);
    for (unsigned id = 1; id < 10; id++)
        offers(1, id);
    offers(PV_FILELINK_MAX_INCOMING + 1, 0);
    offers_by_rule(PV_FILELINK_MAX_INCOMING + 1, 1, 100);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    assert_int_equal(count(1, PV_FILE_OFFERED), 1);
    assert_int_equal(count(0, PV_FILE_REFUSED), 0);
}

PV_TEST_IN(a_file_accepted_or_received_gives_way_to_nobody, begin_alone, end_alone)
{
    uint32_t number = 0;
    offer_all_they_may(GREEDY);
    accept_all();
    /* One of them has arrived, and waits for its user. */
    const struct pv_file_entry *f = pv_filelink_at(node, 0);
    const uint8_t member = f->peer[0];
    uint64_t save;
    struct pv_fileop op;
    assert_true(pv_filelink_take_dirty(node, now));
    (void)pv_filelink_save(node, saved, &save);
    pv_filelink_kept(node, save, now);
    assert_ok(pv_fifo_take(&ops, &op));
    assert_int_equal(op.type, PV_FILEOP_FETCH);
    number = op.number;
    pv_filelink_done(node, op.tag, PV_FILE_WHY_NONE, 1, now);
    assert_int_equal(count(member, PV_FILE_DONE), 1);
    for (unsigned id = 100; id < 200; id++) {
        offers(HONEST, id);
        offers_by_rule(HONEST, id + 100, 100);
    }
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 0);
    assert_int_equal(count(HONEST, PV_FILE_ACCEPTED), 0);
    assert_int_equal(count(0, PV_FILE_ACCEPTED), PV_FILELINK_MAX_INCOMING - 1);
    assert_int_equal(pv_filelink_find(node, number)->state, PV_FILE_DONE);
    /* A file that the user has done with makes room. */
    assert_ok(pv_filelink_saved(node, number, now));
    offers(HONEST, 300);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 1);
}

/* A rule says that the user wants its files; it does not say that nobody else may have any. */
PV_TEST_IN(a_peer_with_a_rule_goes_before_spare_offers_and_not_before_all, begin_alone, end_alone)
{
    offer_all_they_may(GREEDY);
    for (unsigned id = 0; id < PV_FILELINK_MAX; id++)
        offers_by_rule(HONEST, id, 100);
    assert_int_equal(count(HONEST, PV_FILE_ACCEPTED), PV_FILELINK_MAX_OF_PEER);
    for (unsigned member = 1; member <= GREEDY; member++)
        assert_in_range(count(member, PV_FILE_OFFERED), 3, 4);
    assert_ok(user_sends(0));
}

/* Its daemon said that it knows nothing of a file, and offers it again. */
PV_TEST_IN(an_offer_that_comes_back_needs_a_place_like_another, begin_alone, end_alone)
{
    for (unsigned id = 0; id < PV_FILELINK_MAX; id++) {
        struct pv_fileop op;
        uint64_t save;
        offers_by_rule(1, id, 100);
        (void)pv_filelink_save(node, saved, &save);
        pv_filelink_kept(node, save, now);
        assert_ok(pv_fifo_take(&ops, &op));
        pv_filelink_done(node, op.tag, PV_FILE_WHY_GONE, 0, now);
        while (pv_fifo_take(&ops, &op) == PV_OK)
            continue;
    }
    assert_int_equal(count(1, PV_FILE_WITHDRAWN), PV_FILELINK_MAX);
    (void)count_told_too_many(1);
    for (unsigned id = 0; id < PV_FILELINK_MAX_OFFERS; id++)
        offers(1, id);
    assert_int_equal(count_told_too_many(1), 0);
    offers(1, PV_FILELINK_MAX_OFFERS);
    assert_int_equal(count_told_too_many(1), 1);
    assert_int_equal(count(1, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS);
    for (unsigned id = PV_FILELINK_MAX_OFFERS; id < PV_FILELINK_MAX; id++)
        offers_by_rule(1, id, 100);
    assert_int_equal(count(1, PV_FILE_OFFERED) + count(1, PV_FILE_ACCEPTED),
                     PV_FILELINK_MAX_OF_PEER);
}

/* --- transfers ------------------------------------------------------------------------------- */

/* The member offers one more file, which a rule accepts, and the disk has it at once. */
static void offer_kept(unsigned member)
{
    static unsigned id;
    uint64_t save;
    offers_by_rule(member, ++id, UINT64_MAX);
    (void)pv_filelink_save(node, saved, &save);
    pv_filelink_kept(node, save, now);
}

/* Takes what the machine wants done; tags of what began go behind the *n there are. */
static unsigned take_ops(uint64_t *tags, size_t *n)
{
    struct pv_fileop op;
    unsigned cancelled = 0;
    while (pv_fifo_take(&ops, &op) == PV_OK) {
        cancelled += op.type == PV_FILEOP_CANCEL;
        if (op.type == PV_FILEOP_FETCH)
            tags[(*n)++] = op.tag;
    }
    return cancelled;
}

static void offer_and_look(unsigned member, uint64_t *tags, size_t *n)
{
    offer_kept(member);
    assert_int_equal(take_ops(tags, n), 0);
}

PV_TEST_IN(a_peer_without_a_transfer_gets_one_of_who_has_most, begin_alone, end_alone)
{
    uint64_t tags[64];
    size_t n = 0;
    for (unsigned i = 0; i < PV_FILELINK_MAX_RUNNING; i++)
        offer_and_look(10 + i % 2, tags, &n);
    assert_int_equal(n, PV_FILELINK_MAX_RUNNING);
    offer_kept(12);
    assert_int_equal(take_ops(tags, &n), 1);
    assert_int_equal(n, PV_FILELINK_MAX_RUNNING + 1);
    offer_kept(12); /* it has one */
    assert_int_equal(take_ops(tags, &n), 0);
}

PV_TEST_IN(a_member_that_holds_a_place_by_a_few_bytes_gives_way, begin_alone, end_alone)
{
    uint64_t tags[64];
    size_t n = 0;
    for (unsigned i = 0; i < PV_FILELINK_MAX_RUNNING; i++)
        offer_and_look(10 + i, tags, &n);
    offer_kept(30);
    assert_int_equal(take_ops(tags, &n), 0);
    for (unsigned s = 1; s <= 2 * PV_FILELINK_LEAST_S; s++) {
        now += PV_S(1);
        for (size_t i = 1; i < PV_FILELINK_MAX_RUNNING; i++)
            pv_filelink_progress(node, tags[i], s * PV_FILELINK_LEAST_BYTES / 10, now);
        if (s <= PV_FILELINK_LEAST_S)
            pv_filelink_progress(node, tags[0], s * PV_FILELINK_LEAST_BYTES / 10, now);
        pv_filelink_handle_timeout(node, now);
        (void)pv_filelink_take_dirty(node, now);
        assert_true(pv_filelink_next_timeout(node) > now); /* it does not spin */
        assert_int_equal(take_ops(tags, &n), s == 2 * PV_FILELINK_LEAST_S);
    }
    assert_int_equal(n, PV_FILELINK_MAX_RUNNING + 1);
}
