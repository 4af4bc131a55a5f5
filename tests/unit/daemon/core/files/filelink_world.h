/* SPDX-License-Identifier: MIT */
/*
 * filelink_world.h - two machines of files with everything that may go wrong between them: see
 * struct world.
 */
#pragma once

#include "daemon/core/chat/linkkeys.h"
#include "daemon/core/files/filelink.h"
#include "tests/unit/test_util.h"

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
    bool denied[2];  /* files that come, and that go */
    bool slow, full; /* its disk */
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
    unsigned loss; /* percent of the notices */
    unsigned full; /* the receiver's disk is full for so many transfers more */
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

static inline void look(void *owner, uint32_t number)
{
    const struct side *s = owner;
    assert_non_null(pv_filelink_find(s->link, number));
}

static inline void free_side(struct side *s)
{
    s->link = pv_filelink_free(s->link);
    pv_streams_done(&s->streams);
    pv_fifo_clear(&s->ops);
}

static inline void start(int i)
{
    struct side *s = &w.side[i];
    struct pv_filelink_config cfg = {.rng = w.rng,
                                     .keys = s->keys,
                                     .streams = &s->streams,
                                     .ops = &s->ops,
                                     .admits = admits,
                                     .send = send_notice,
                                     .tell = look,
                                     .owner = s};
    memcpy(cfg.own_pk, s->pk, sizeof(cfg.own_pk));
    assert_int_equal(pv_filelink_new(&s->link, &cfg, pv_view(s->saved, s->saved_len)), PV_OK);
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
                                        .id = id};
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
    assert_int_equal(offer(i, name, size, &number), PV_OK);
    return number;
}

static inline const struct pv_file_entry *file(int i, uint32_t number)
{
    const struct pv_file_entry *f = pv_filelink_find(w.side[i].link, number);
    assert_non_null(f);
    return f;
}

static inline size_t count_open(int i)
{
    size_t n = 0;
    for (size_t h = 0; h < MAX_HANDLES; h++)
        n += w.side[i].open[h];
    return n;
}
