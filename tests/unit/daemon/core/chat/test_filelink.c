/* SPDX-License-Identifier: MIT */
/* Two machines of files with everything that may go wrong between them: see struct world. */
#include "daemon/core/chat/filelink.h"
#include "tests/unit/test_util.h"

enum {
    MAX_NOTICES = 64,
    MAX_XFERS = 32,
    MAX_HANDLES = 1024,
    MAX_KEPT = 64,
};

/* One daemon and its disk. */
struct side {
    struct pv_filelink *link;
    uint8_t pk[PV_SIGN_PK_LEN];
    const char *name;
    bool up;
    uint64_t auto_max;
    uint8_t saved[PV_FILELINK_SAVE_MAX];
    size_t saved_len;
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
    unsigned loss; /* percent of the notices */
    unsigned full; /* the receiver's disk is full for so many transfers more */
    int next_handle;
} w;

static void start(int i)
{
    struct side *s = &w.side[i];
    const struct pv_filelink_config cfg = {.rng = w.rng};
    assert_int_equal(pv_filelink_new(&s->link, &cfg, pv_view(s->saved, s->saved_len)), PV_OK);
    s->up = true;
}

static struct pv_filelink_peer peer_of(int i)
{
    const struct side *other = &w.side[1 - i];
    return (struct pv_filelink_peer){.pk = other->pk,
                                     .name = other->name,
                                     .addr = {.family = PV_AF_INET},
                                     .online = other->up,
                                     .auto_max = w.side[i].auto_max};
}

static void tell_presence(void)
{
    for (int i = 0; i < 2; i++) {
        const struct pv_filelink_peer peer = peer_of(i);
        if (w.side[i].up)
            pv_filelink_set_peer(w.side[i].link, &peer, w.now);
    }
}

static int begin(void **state)
{
    (void)state;
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

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        pv_filelink_free(w.side[i].link);
    return 0;
}

/* --- transfers ----------------------------------------------------------------------------- */

static void finish(struct xfer *x, enum pv_file_why why)
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

static struct xfer *new_xfer(void)
{
    for (size_t i = 0; i < MAX_XFERS; i++)
        if (!w.xfers[i].used)
            return &w.xfers[i];
    fail_msg("more transfers than the machines may run");
    return NULL;
}

static void fetch(int i, const struct pv_fileop *op)
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

static struct xfer *by_sid(int sender, uint32_t sid)
{
    for (size_t i = 0; i < MAX_XFERS; i++) {
        struct xfer *x = &w.xfers[i];
        if (x->used && !x->served && x->receiver == 1 - sender && x->sid == sid)
            return x;
    }
    return NULL;
}

static void cancel(int i, uint64_t tag)
{
    for (size_t n = 0; n < MAX_XFERS; n++) {
        struct xfer *x = &w.xfers[n];
        if (x->used && ((x->receiver == i && x->tag == tag) ||
                        (x->receiver == 1 - i && x->served && x->serve_tag == tag)))
            finish(x, PV_FILE_WHY_LOST);
    }
}

static void run_op(int i, const struct pv_fileop *op)
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
    }
}

/* --- one turn ------------------------------------------------------------------------------ */

static void drain(int i)
{
    struct side *s = &w.side[i];
    struct pv_filelink_transmit tx;
    struct pv_fileop op;
    uint32_t number;
    while (s->up && pv_filelink_poll_op(s->link, &op) == PV_OK)
        run_op(i, &op);
    while (s->up && pv_filelink_poll_transmit(s->link, &tx) == PV_OK) {
        assert_memory_equal(tx.pk, w.side[1 - i].pk, sizeof(tx.pk));
        for (size_t n = 0; n < MAX_NOTICES; n++) {
            if (w.notices[n].used || pv_rng_below(&w.rng, 100) < w.loss)
                continue;
            w.notices[n].used = true;
            w.notices[n].to = 1 - i;
            w.notices[n].len = tx.len;
            memcpy(w.notices[n].buf, tx.buf, tx.len);
            break;
        }
    }
    while (s->up && pv_filelink_poll_event(s->link, &number) == PV_OK)
        assert_non_null(pv_filelink_find(s->link, number));
    if (s->up && pv_filelink_take_dirty(s->link, w.now))
        s->saved_len = pv_filelink_save(s->link, s->saved);
}

static void deliver(void)
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

static void move_bytes(void)
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

static void turn(pv_ns step)
{
    w.now += step;
    deliver();
    move_bytes();
    for (int i = 0; i < 2; i++)
        if (w.side[i].up)
            pv_filelink_handle_timeout(w.side[i].link, w.now);
    for (int round = 0; round < 8; round++) {
        drain(0);
        drain(1);
    }
    for (int i = 0; i < 2; i++)
        if (w.side[i].up)
            assert_true(pv_filelink_next_timeout(w.side[i].link) > w.now);
}

static void turns(unsigned n)
{
    while (n-- > 0)
        turn(PV_MS(100));
}

static void kill_side(int i)
{
    w.side[i].up = false;
    w.side[i].link = pv_filelink_free(w.side[i].link);
    memset(w.side[i].open, 0, sizeof(w.side[i].open)); /* the kernel closes them */
    for (size_t n = 0; n < MAX_XFERS; n++)
        if (w.xfers[n].used)
            finish(&w.xfers[n], PV_FILE_WHY_LOST);
}

/* --- users --------------------------------------------------------------------------------- */

static int offer(int i, const char *name, uint64_t size, uint32_t *ret_number)
{
    struct side *s = &w.side[i];
    const struct pv_filelink_offer o = {.peer = peer_of(i),
                                        .name = pv_view(name, strlen(name)),
                                        .size = size,
                                        .time_ms = 1,
                                        .stamp = {.ino = (uint8_t)name[0]},
                                        .handle = w.next_handle++ % MAX_HANDLES};
    assert_false(s->open[o.handle]);
    s->open[o.handle] = true;
    int r = pv_filelink_offer(s->link, &o, w.now, ret_number);
    if (r != PV_OK)
        s->open[o.handle] = false;
    return r;
}

static uint32_t must_offer(int i, const char *name, uint64_t size)
{
    uint32_t number = 0;
    assert_int_equal(offer(i, name, size, &number), PV_OK);
    return number;
}

static const struct pv_file_entry *file(int i, uint32_t number)
{
    const struct pv_file_entry *f = pv_filelink_find(w.side[i].link, number);
    assert_non_null(f);
    return f;
}

static size_t count_open(int i)
{
    size_t n = 0;
    for (size_t h = 0; h < MAX_HANDLES; h++)
        n += w.side[i].open[h];
    return n;
}

/* --- tests --------------------------------------------------------------------------------- */

static void a_file_is_offered_accepted_and_arrives(void **state)
{
    (void)state;
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
    assert_int_equal(pv_filelink_accept(w.side[1].link, f->number, w.now), PV_OK);
    turns(200);
    assert_int_equal(f->state, PV_FILE_DONE);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
    assert_int_equal(file(0, a)->done, 5000);
    assert_int_equal(count_open(0), 0);
    assert_true(w.side[1].whole[f->number]);
    assert_int_equal(pv_filelink_saved(w.side[1].link, f->number, w.now), PV_OK);
    turns(2);
    assert_false(w.side[1].whole[f->number]);
    assert_int_equal(pv_filelink_saved(w.side[1].link, f->number, w.now), PV_ERR_STATE);
    assert_int_equal(pv_filelink_accept(w.side[1].link, 99, w.now), PV_ERR_NOT_FOUND);
}

static void a_rule_accepts_up_to_its_size(void **state)
{
    (void)state;
    w.side[1].auto_max = 1000;
    uint32_t small = must_offer(0, "small", 1000), large = must_offer(0, "large", 1001);
    uint32_t empty = must_offer(0, "empty", 0);
    turns(100);
    assert_int_equal(file(0, small)->state, PV_FILE_DONE);
    assert_int_equal(file(0, empty)->state, PV_FILE_DONE);
    assert_int_equal(file(0, large)->state, PV_FILE_OFFERED);
    assert_int_equal(count_open(0), 1);
}

static void refused_and_withdrawn_reach_the_other_side(void **state)
{
    (void)state;
    uint32_t a = must_offer(0, "no", 10), b = must_offer(0, "never mind", 10);
    turns(3);
    uint32_t in_a = pv_filelink_at(w.side[1].link, 0)->number;
    uint32_t in_b = pv_filelink_at(w.side[1].link, 1)->number;
    assert_int_equal(pv_filelink_stop(w.side[1].link, in_a, w.now), PV_OK);
    assert_int_equal(pv_filelink_stop(w.side[0].link, b, w.now), PV_OK);
    turns(3);
    assert_int_equal(file(0, a)->state, PV_FILE_REFUSED);
    assert_int_equal(file(1, in_b)->state, PV_FILE_WITHDRAWN);
    assert_int_equal(pv_filelink_stop(w.side[1].link, in_a, w.now), PV_ERR_STATE);
    assert_int_equal(pv_filelink_accept(w.side[1].link, in_b, w.now), PV_ERR_STATE);
    assert_int_equal(count_open(0), 0);
}

static void a_restarted_sender_waits_for_the_same_file_and_goes_on(void **state)
{
    (void)state;
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
    turns(1000);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
    /* Another size or stamp is another file. */
    assert_int_not_equal(must_offer(0, "big", 100000), a);
}

static void a_full_disk_is_told_and_tried_again(void **state)
{
    (void)state;
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.full = 1;
    uint32_t a = must_offer(0, "big", 3000);
    turns(20);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    assert_int_equal(file(0, a)->why, PV_FILE_WHY_DISK_FULL);
    assert_int_equal(file(1, in)->why, PV_FILE_WHY_DISK_FULL);
    assert_int_equal(file(1, in)->state, PV_FILE_ACCEPTED);
    assert_int_equal(pv_filelink_accept(w.side[1].link, in, w.now),
                     PV_OK); /* not in a minute: now */
    turns(50);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
}

static void a_flood_of_offers_is_refused_and_hurts_nobody(void **state)
{
    struct pv_file_notice n = {.kind = PV_FILE_OFFER, .size = 1, .name = "x"};
    const struct pv_filelink_peer from = peer_of(1);
    size_t known = 0;
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t buf[PV_FILE_NOTICE_MAX];
        size_t len;
        n.id[0] = (uint8_t)i;
        n.id[1] = (uint8_t)(i >> 8);
        assert_int_equal(pv_file_notice_build(&n, buf, &len), PV_OK);
        pv_filelink_handle_notice(w.side[1].link, &from, pv_view(buf, len), w.now);
    }
    while (pv_filelink_at(w.side[1].link, known) != NULL)
        known++;
    assert_int_equal(known, PV_FILELINK_MAX_OFFERS);
    turns(5);
    assert_int_equal(pv_filelink_accept(w.side[1].link, 1, w.now), PV_OK);
}

/* A notice of side 0 for side 1. */
static void tell_1(const struct pv_file_notice *n)
{
    const struct pv_filelink_peer from = peer_of(1);
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    assert_int_equal(pv_file_notice_build(n, buf, &len), PV_OK);
    pv_filelink_handle_notice(w.side[1].link, &from, pv_view(buf, len), w.now);
}

static void a_trusted_peer_fills_neither_the_table_nor_all_transfers(void **state)
{
    struct pv_file_notice n = {.kind = PV_FILE_OFFER, .size = 1, .name = "x"};
    size_t known = 0, running = 0;
    const struct pv_file_entry *f;
    (void)state;
    w.side[1].auto_max = 100;
    for (unsigned i = 0; i < PV_FILELINK_MAX; i++) {
        n.id[0] = (uint8_t)i;
        n.id[1] = (uint8_t)(i >> 8);
        tell_1(&n);
    }
    while ((f = pv_filelink_at(w.side[1].link, known)) != NULL) {
        known++;
        running += f->running;
    }
    assert_int_equal(known, PV_FILELINK_MAX_OF_PEER);
    assert_int_equal(running, PV_FILELINK_MAX_PEER_RUNNING);
}

static void a_flood_of_notices_is_not_one_of_writes(void **state)
{
    unsigned saves = 0;
    (void)state;
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

static void a_table_full_of_living_files_takes_no_more_and_old_ones_give_way(void **state)
{
    uint32_t number = 0;
    (void)state;
    for (unsigned i = 0; i < PV_FILELINK_MAX; i++)
        assert_int_equal(must_offer(0, "x", i), i + 1);
    assert_int_equal(offer(0, "x", 10000, &number), PV_ERR_LIMIT);
    assert_int_equal(pv_filelink_stop(w.side[0].link, 7, w.now), PV_OK);
    assert_int_equal(offer(0, "x", 10000, &number), PV_OK);
    assert_null(pv_filelink_find(w.side[0].link, 7));
    assert_int_equal(number, PV_FILELINK_MAX + 1);
    uint8_t *buf = malloc(PV_FILELINK_SAVE_MAX);
    assert_non_null(buf);
    assert_true(pv_filelink_save(w.side[0].link, buf) <= PV_FILELINK_SAVE_MAX);
    free(buf);
}

static void only_the_receiver_gets_a_file(void **state)
{
    const uint8_t eve[PV_SIGN_PK_LEN] = {66};
    uint8_t get[PV_FILE_GET_LEN];
    struct pv_fileop op;
    uint32_t sid = 0;
    (void)state;
    uint32_t a = must_offer(0, "secret", 10);
    pv_file_get_build(file(0, a)->id, 0, get);
    while (pv_filelink_poll_op(w.side[0].link, &op) == PV_OK)
        continue;
    assert_int_equal(pv_filelink_accepted(w.side[0].link, eve, w.now, &sid), PV_OK);
    pv_filelink_handle_bytes(w.side[0].link, sid, pv_view(get, sizeof(get)), w.now);
    assert_int_equal(pv_filelink_poll_op(w.side[0].link, &op), PV_OK);
    assert_int_equal(op.type, PV_FILEOP_ANSWER);
    assert_int_equal(op.why, PV_FILE_WHY_GONE);
    assert_int_equal(pv_filelink_poll_op(w.side[0].link, &op), PV_ERR_AGAIN);
}

static void connections_that_do_not_ask_are_closed_and_few(void **state)
{
    struct pv_fileop op;
    uint32_t sid = 0;
    unsigned closed = 0;
    (void)state;
    for (unsigned i = 0; i < PV_FILELINK_MAX_PEER_CONNS; i++)
        assert_int_equal(pv_filelink_accepted(w.side[0].link, w.side[1].pk, w.now, &sid), PV_OK);
    /* One more takes the place of the oldest. */
    assert_int_equal(pv_filelink_accepted(w.side[0].link, w.side[1].pk, w.now, &sid), PV_OK);
    assert_int_equal(pv_filelink_poll_op(w.side[0].link, &op), PV_OK);
    assert_int_equal(op.type, PV_FILEOP_CLOSE);
    w.now += PV_S(PV_FILELINK_ASK_S);
    pv_filelink_handle_timeout(w.side[0].link, w.now);
    while (pv_filelink_poll_op(w.side[0].link, &op) == PV_OK)
        closed += op.type == PV_FILEOP_CLOSE;
    assert_int_equal(closed, PV_FILELINK_MAX_PEER_CONNS);
    assert_int_equal(pv_filelink_accepted(w.side[0].link, w.side[1].pk, w.now, &sid), PV_OK);
    pv_filelink_handle_bytes(w.side[0].link, sid, pv_view("not what we speak, and too long.", 33),
                             w.now);
    assert_int_equal(pv_filelink_poll_op(w.side[0].link, &op), PV_OK);
    assert_int_equal(op.type, PV_FILEOP_CLOSE);
}

static void a_corrupt_file_fails_at_the_third_time(void **state)
{
    (void)state;
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

/* One seed: files both ways through kills, cuts and losses; at the end all have arrived. */
static void live_through(uint64_t seed)
{
    static const char *const names[] = {"alpha", "beta", "gamma", "delta"};
    assert_int_equal(begin(NULL), 0);
    w.rng = test_rng_make(&w.state, seed);
    w.loss = pv_rng_below(&w.rng, 60);
    w.side[0].auto_max = w.side[1].auto_max = PV_FILE_SIZE_MAX;
    for (unsigned i = 0; i < 300; i++) {
        uint32_t number = 0;
        int s = (int)pv_rng_below(&w.rng, 2);
        unsigned dice = pv_rng_below(&w.rng, 40);
        if (dice == 0 && w.side[s].up) {
            kill_side(s);
            tell_presence();
        } else if (dice < 4 && !w.side[s].up) {
            start(s);
            tell_presence();
        } else if (dice < 8 && w.side[s].up) {
            (void)!offer(s, names[pv_rng_below(&w.rng, 4)], 20000, &number);
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
    for (int i = 0; i < 2; i++) { /* the users run send-file again for what is not over */
        for (size_t n = 0; pv_filelink_at(w.side[i].link, n) != NULL; n++) {
            const struct pv_file_entry *f = pv_filelink_at(w.side[i].link, n);
            uint32_t number = 0;
            if (f->outgoing && (f->state == PV_FILE_OFFERED || f->state == PV_FILE_ACCEPTED))
                assert_int_equal(offer(i, f->name, f->size, &number), PV_OK);
        }
    }
    turns(4000);
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        for (; pv_filelink_at(w.side[i].link, n) != NULL; n++) {
            const struct pv_file_entry *f = pv_filelink_at(w.side[i].link, n);
            if (f->state != PV_FILE_DONE)
                fail_msg("seed %llu: file %u of %s is %s (%s)", (unsigned long long)seed, f->number,
                         w.side[i].name, pv_file_state_name(f->state), pv_file_why_text(f->why));
            assert_true(f->outgoing || w.side[i].whole[f->number]);
        }
        assert_int_equal(count_open(i), 0);
    }
    assert_int_equal(end(NULL), 0);
}

static void files_arrive_through_kills_cuts_and_losses(void **state)
{
    (void)state;
    end(NULL);
    for (uint64_t seed = 1; seed <= 100; seed++)
        live_through(seed);
    begin(NULL);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_file_is_offered_accepted_and_arrives),
        EACH(a_rule_accepts_up_to_its_size),
        EACH(refused_and_withdrawn_reach_the_other_side),
        EACH(a_restarted_sender_waits_for_the_same_file_and_goes_on),
        EACH(a_full_disk_is_told_and_tried_again),
        EACH(a_flood_of_offers_is_refused_and_hurts_nobody),
        EACH(a_trusted_peer_fills_neither_the_table_nor_all_transfers),
        EACH(a_flood_of_notices_is_not_one_of_writes),
        EACH(a_table_full_of_living_files_takes_no_more_and_old_ones_give_way),
        EACH(only_the_receiver_gets_a_file),
        EACH(connections_that_do_not_ask_are_closed_and_few),
        EACH(a_corrupt_file_fails_at_the_third_time),
        EACH(files_arrive_through_kills_cuts_and_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
