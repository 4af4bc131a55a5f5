/* SPDX-License-Identifier: MIT */
/*
 * fuzz_filelink - files between this node and two members who say what the input chooses: notices
 * in any order, connections that ask for files, silence; users who send, accept, stop and take; an
 * owner whose transfers end in every way, and who starts again from what was saved.
 *
 * Each byte of the input is an operation, its arguments follow; missing ones are zero. Descriptors
 * are given back once each, transfers that were begun are known until they are over and not too
 * many, time goes on, and a table that was saved is read again.
 */
#include <stdio.h>

#include "chat/core/files/filelink.h"
#include "crypto/ct.h"
#include "daemon/core/node/streamkinds.h"
#include "tests/fuzz/fuzz_util.h"

enum {
    PEERS = 2,
    HANDLES = 256, /* numbers of descriptors */
    TRANSFERS = 64,
    CONNS = 64,
    MAX_OPS = 400,
};

static struct {
    struct pv_filelink *link;
    struct pv_streams streams;
    struct pv_fifo ops;
    struct pv_view in;
    uint64_t random;
    pv_ns now;
    bool open[HANDLES]; /* descriptors that the machine has */
    int next_handle;
    struct {
        uint64_t tag; /* 0: free */
        bool cancelled;
    } transfers[TRANSFERS];
    uint32_t conns[CONNS];
    uint8_t ids[8][PV_FILE_ID_LEN]; /* of files that were heard of */
    size_t n_ids;
    bool online[PEERS];
    enum pv_file_room rooms[2]; /* how the two rooms are */
    bool dirty;                 /* it asked to be saved */
    uint64_t save;              /* that is not on the disk yet */
} w;

static const uint8_t rooms[2][PV_ROOM_ID_LEN] = {{1}, {2}};
static const uint8_t pks[PEERS][PV_SIGN_PK_LEN] = {{1}, {2}};

static uint8_t next(void)
{
    return fuzz_next(&w.in);
}

static uint64_t amount(void)
{
    uint8_t b = next();
    return b < 240 ? b * UINT64_C(1000) : PV_FILE_SIZE_MAX - (b - 240u);
}

static struct pv_filelink_peer peer(size_t i)
{
    struct pv_filelink_peer p = {.pk = pks[i], .name = i == 0 ? "eve" : "bob"};
    p.addr = pv_addr4(10, 66, 0, (uint8_t)(2 + i), 0);
    p.online = w.online[i];
    p.auto_max = i == 0 ? 0 : 50000;
    return p;
}

static void keep_id(const uint8_t *id)
{
    memcpy(w.ids[w.n_ids++ % PV_ARRAY_LEN(w.ids)], id, PV_FILE_ID_LEN);
}

static const uint8_t *id(void)
{
    return w.ids[next() % PV_ARRAY_LEN(w.ids)];
}

static uint32_t number(void)
{
    const struct pv_file_entry *e = pv_filelink_at(w.link, next() % 8u);
    return e == NULL ? 1 + next() % 4u : e->number;
}

/* --- the owner -------------------------------------------------------------------------------- */

/* A cancelled transfer whose end the input never reports gives its place to the next one. */
static void begin(uint64_t tag)
{
    size_t at = TRANSFERS, n = 0;
    for (size_t i = 0; i < TRANSFERS; i++) {
        bool runs = w.transfers[i].tag != 0 && !w.transfers[i].cancelled;
        must(w.transfers[i].tag != tag);
        n += runs;
        at = runs ? at : i;
    }
    must(tag != 0 && at < TRANSFERS && n < PV_FILELINK_MAX_RUNNING);
    w.transfers[at].tag = tag;
    w.transfers[at].cancelled = false;
}

static void cancel(uint64_t tag)
{
    for (size_t i = 0; i < TRANSFERS; i++)
        if (w.transfers[i].tag == tag)
            w.transfers[i].cancelled = true;
}

static void release(int handle)
{
    must(handle >= 0 && handle < HANDLES && w.open[handle]);
    w.open[handle] = false;
}

static void forget_conn(uint32_t sid)
{
    for (size_t i = 0; i < CONNS; i++)
        if (w.conns[i] == sid)
            w.conns[i] = 0;
}

static void take_op(const struct pv_fileop *op)
{
    switch (op->type) {
    case PV_FILEOP_FETCH:
        must(op->addr.port != 0);
        must(op->size <= PV_FILE_SIZE_MAX);
        begin(op->tag);
        break;
    case PV_FILEOP_SERVE:
        must(op->handle >= 0 && op->handle < HANDLES && w.open[op->handle]);
        forget_conn(op->sid);
        begin(op->tag);
        break;
    case PV_FILEOP_ANSWER:
    case PV_FILEOP_CLOSE:
        forget_conn(op->sid);
        break;
    case PV_FILEOP_CANCEL:
        cancel(op->tag);
        break;
    case PV_FILEOP_RELEASE:
        release(op->handle);
        break;
    case PV_FILEOP_DROP:
        break;
    case PV_FILEOP_PASS:
        must(false);
    }
}

static void drain(void)
{
    struct pv_fileop op;
    uint32_t n;
    while (pv_fifo_take(&w.ops, &op) == PV_OK)
        take_op(&op);
    pv_filelink_speak(w.link, w.now);
    while (pv_streams_next_turn(&w.streams, &n) == PV_OK)
        pv_filelink_wrote(w.link, pv_sid_local(n), pv_filelink_out(w.link, pv_sid_local(n)).len);
    w.dirty |= pv_filelink_take_dirty(w.link, w.now);
}

static void end_transfer(void)
{
    size_t at = next() % TRANSFERS;
    for (size_t i = 0; i < TRANSFERS && w.transfers[at].tag == 0; i++)
        at = (at + 1) % TRANSFERS;
    uint64_t tag = w.transfers[at].tag;
    if (tag == 0)
        return;
    if (next() % 4 == 0) {
        pv_filelink_progress(w.link, tag, amount(), w.now);
        return;
    }
    w.transfers[at].tag = 0;
    pv_filelink_done(w.link, tag, pv_file_why_parse(next() % (PV_FILE_N_WHYS + 2)), amount(),
                     w.now);
}

static void save(void)
{
    static uint8_t buf[PV_FILELINK_SAVE_MAX];
    if (w.dirty || next() % 2 == 0)
        must(pv_filelink_save(w.link, buf, &w.save) <= sizeof(buf));
    w.dirty = false;
    if (next() % 4 != 0)
        pv_filelink_kept(w.link, w.save, w.now);
}

static void take_notice(void *owner, const uint8_t *pk, struct pv_view bytes, pv_ns now)
{
    struct pv_file_notice notice;
    must(pv_file_notice_parse(bytes, &notice) == PV_OK);
    keep_id(notice.id);
}

static void take_change(void *owner, uint32_t number, pv_ns now)
{
    must(pv_filelink_find(w.link, number) != NULL);
}

static enum pv_file_room room_of(const void *owner, const uint8_t *pk, const uint8_t *room)
{
    return room[0] == 0 || room[0] > PV_ARRAY_LEN(w.rooms) ? PV_FILE_ROOM_STRANGE
                                                           : w.rooms[room[0] - 1];
}

static void start(struct pv_view saved)
{
    const struct pv_filelink_config cfg = {.rng = {.fill = fuzz_fill_mix, .ctx = &w.random},
                                           .streams = &w.streams,
                                           .ops = &w.ops,
                                           .send = take_notice,
                                           .tell = take_change,
                                           .room = room_of,
                                           .own_pk = {9}};
    must(pv_filelink_new(&w.link, &cfg, saved) == PV_OK);
}

/* All descriptors come back, and nothing is under way. */
static void stop(void)
{
    pv_filelink_stop_all(w.link);
    drain();
    for (size_t i = 0; i < TRANSFERS; i++) {
        if (w.transfers[i].tag != 0)
            pv_filelink_done(w.link, w.transfers[i].tag, PV_FILE_WHY_STOPPED, 0, w.now);
        w.transfers[i].tag = 0;
    }
    drain();
    for (int i = 0; i < HANDLES; i++)
        must(!w.open[i]);
    pv_filelink_free(w.link);
    memset(w.conns, 0, sizeof(w.conns));
    memset(w.transfers, 0, sizeof(w.transfers)); /* of what had waited for a place */
}

static void start_again(void)
{
    static uint8_t buf[PV_FILELINK_SAVE_MAX];
    size_t len = pv_filelink_save(w.link, buf, &w.save);
    stop();
    if (next() % 4 == 0 && len > 0)
        buf[next() % len] ^= next();
    start(pv_view(buf, len));
}

/* --- others ----------------------------------------------------------------------------------- */

static void say_notice(size_t i)
{
    static const char *const names[] = {"a.txt", "..", "/etc/passwd", "b"};
    struct pv_file_notice n = {.kind = (enum pv_file_notice_kind)(1 + next() % 4)};
    const struct pv_filelink_peer from = peer(i);
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len = 0;
    if (next() % 2 == 0)
        memcpy(n.id, id(), sizeof(n.id));
    else
        n.id[0] = next();
    n.size = amount();
    memcpy(n.room, rooms[n.size % 2], sizeof(n.room));
    const char *name = names[next() % PV_ARRAY_LEN(names)];
    must(pv_file_name_clean(pv_view(name, strlen(name)), n.name) == PV_OK);
    n.state = (enum pv_file_state)(next() % PV_FILE_N_STATES);
    n.why = (enum pv_file_why)(next() % PV_FILE_N_WHYS);
    keep_id(n.id);
    if (pv_file_notice_build(&n, buf, &len) == PV_OK)
        pv_filelink_handle_notice(w.link, &from, pv_view(buf, len), w.now);
}

static void connect(size_t i)
{
    uint32_t sid = 0;
    if (pv_filelink_accepted(w.link, pks[i], w.now, &sid) < 0)
        return;
    drain(); /* an older one may have given way */
    for (size_t k = 0; k < CONNS; k++) {
        if (w.conns[k] == 0) {
            w.conns[k] = sid;
            return;
        }
    }
    pv_filelink_closed(w.link, sid);
}

static void say_bytes(void)
{
    uint8_t get[PV_FILE_GET_LEN];
    uint32_t *sid = &w.conns[next() % CONNS];
    for (size_t i = 0; i < CONNS && *sid == 0; i++)
        sid = &w.conns[i];
    if (*sid == 0)
        return;
    size_t n = next() % (sizeof(get) + 1);
    switch (next() % 4) {
    case 0:
        pv_filelink_closed(w.link, *sid);
        *sid = 0;
        break;
    case 1:
        pv_filelink_handle_bytes(w.link, *sid, fuzz_take(&w.in, n), w.now);
        break;
    default:
        pv_file_get_build(id(), amount(), get);
        pv_filelink_handle_bytes(w.link, *sid, pv_view(get, n == 0 ? sizeof(get) : n), w.now);
        break;
    }
}

static void set_peer(size_t i)
{
    uint8_t how = next();
    if (how % 8 == 0) {
        w.online[i] = false;
        pv_filelink_peer_gone(w.link, pks[i], w.now);
        return;
    }
    w.online[i] = how % 2 == 1;
    const struct pv_filelink_peer p = peer(i);
    pv_filelink_set_peer(w.link, &p, w.now);
}

static void change_room(void)
{
    const uint8_t how = next();
    w.rooms[how % 2] = (enum pv_file_room)(how / 2 % 3);
    pv_filelink_rooms_changed(w.link);
}

/* --- users ------------------------------------------------------------------------------------ */

static void offer(size_t i)
{
    const uint8_t given[PV_FILE_ID_LEN] = {next()};
    struct pv_filelink_offer o = {.peer = peer(i), .name = pv_view("mine", 4), .size = amount()};
    uint32_t n = 0;
    int handle = w.next_handle++ % HANDLES;
    if (w.open[handle])
        return;
    o.handle = handle;
    o.id = given[0] < 64 ? given : NULL;
    o.room = given[0] % 3 == 2 ? NULL : rooms[given[0] % 3];
    if (pv_filelink_offer(w.link, &o, w.now, &n) == PV_OK) {
        must(n != 0);
        w.open[handle] = true;
    }
}

static void user(size_t i)
{
    switch (next() % 5) {
    case 0:
        (void)!pv_filelink_accept(w.link, number(), w.now);
        break;
    case 1:
        (void)!pv_filelink_stop(w.link, number(), w.now);
        break;
    case 2:
        (void)!pv_filelink_saved(w.link, number(), w.now);
        break;
    default:
        offer(i);
        break;
    }
}

static void look(void)
{
    const struct pv_file_entry *e;
    size_t i = 0;
    for (; (e = pv_filelink_at(w.link, i)) != NULL; i++) {
        must(e->number != 0 && e->state < PV_FILE_N_STATES && e->why < PV_FILE_N_WHYS);
        must(pv_filelink_find(w.link, e->number) == e);
        must(!e->held || !e->outgoing);
        must(strchr(e->name, '/') == NULL && e->name[0] != '\0' && e->name[0] != '.');
    }
    must(i <= PV_FILELINK_MAX);
}

static void pass(pv_ns duration)
{
    pv_ns end = w.now + duration;
    for (unsigned turns = 0; pv_filelink_next_timeout(w.link) <= end; turns++) {
        pv_ns at = pv_filelink_next_timeout(w.link);
        must(turns < 10000);
        w.now = at > w.now ? at : w.now;
        pv_filelink_handle_timeout(w.link, w.now);
        drain();
    }
    w.now = end;
}

static void operate(void)
{
    static const pv_ns steps[] = {PV_MS(50), PV_S(1), PV_S(11), PV_S(100)};
    uint8_t what = next();
    size_t i = what >> 7;
    switch (what % 16) {
    case 0:
    case 1:
    case 2:
        say_notice(i);
        break;
    case 3:
        connect(i);
        break;
    case 4:
    case 5:
        say_bytes();
        break;
    case 6:
        set_peer(i);
        break;
    case 7:
    case 8:
        user(i);
        break;
    case 9:
    case 10:
    case 11:
        end_transfer();
        break;
    case 12:
        save();
        break;
    case 13:
        start_again();
        break;
    case 14:
        change_room();
        break;
    default:
        pass(steps[next() % 4]);
        break;
    }
    drain();
    look();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    must(pv_crypto_init() == PV_OK);
    memset(&w, 0, sizeof(w));
    w.in = pv_view(data, len);
    w.now = PV_S(100);
    start(pv_view(NULL, 0));
    for (int i = 0; i < MAX_OPS && w.in.len > 0; i++)
        operate();
    pass(PV_S(100));
    stop();
    return 0;
}
