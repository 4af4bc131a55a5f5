/* SPDX-License-Identifier: MIT */
/*
 * fuzz_rooms - rooms of two nodes, anna and bob, on the daemon's own tables, and eve, a member of
 * their network who says what the input chooses: signed records of her own and of another member
 * who helps her, in any order, what the two said before, claims of what she has, and bytes.
 *
 * Each byte of the input is an operation, its arguments follow; missing ones are zero. Users open
 * and leave rooms, invite and talk, disks fill up, nodes start again and sleep. The
 * output is bounded and in its form, time goes on, tables stay within their limits, and all is
 * freed (ASan).
 */
#include <stdio.h>

#include <sqlite3.h>

#include "chat/core/rooms/rooms.h"
#include "chat/proto/room.h"
#include "chat/store/store_chat.h"
#include "crypto/ct.h"
#include "daemon/store/schema.h"
#include "proto/roster/roster_make.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/chat/overlay_of.h"
#include "tests/unit/chat/store/chat_db.h"

enum {
    ANNA = 0,
    BOB = 1,
    NODES = 2,    /* with a machine */
    EVE = 2,      /* and who helps her: 3. Both sign what they like */
    STRANGER = 4, /* not in the network; signs as well */
    KEYS = 5,
    IDS = 8,
    RECORDS = 16, /* that eve has */
    MAX_OPS = 300,
    MAX_LINES = 300, /* of a run, which then ends: days in which two talk find no more than hours */
};

#define WALL_S UINT64_C(1790000000)

struct keys {
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
};

/* The same in every run, and made once. */
static struct {
    struct keys keys[KEYS];
    uint8_t network[PV_ROOM_NETWORK_LEN];
    struct pv_roster *roster;
    sqlite3 *db[NODES];
} once;

struct node {
    struct pv_rooms *rooms;
    struct pv_chat_store store;
    bool full, low_disk;
};

static struct {
    struct node n[NODES];
    bool up[NODES + 1][NODES + 1]; /* eve is the last one */
    struct pv_view in;
    uint64_t random;
    pv_ns now;
    uint8_t ids[IDS][PV_ROOM_ID_LEN]; /* of rooms that eve has heard of */
    size_t n_ids;
    struct {
        uint8_t raw[PV_ROOM_RECORD_MAX];
        size_t len;
    } records[RECORDS]; /* that she made or was given; newer ones replace the oldest */
    size_t n_records;
    uint8_t digest[PV_BLAKE2B_LEN]; /* that a node told last */
    unsigned lines, all_lines;      /* that were said: in a pass, and in all */
} w;

static uint8_t next(void)
{
    return fuzz_next(&w.in);
}

/* --- the world ------------------------------------------------------------------------------- */

static void add(struct pv_view statement)
{
    enum pv_roster_added added;
    must(pv_roster_add(once.roster, statement, pv_view(NULL, 0), &added) == PV_OK);
}

static void make_network(void)
{
    static uint64_t random;
    const struct pv_rng rng = {.fill = fuzz_fill_mix, .ctx = &random};
    const struct pv_hostport hp = {.host = "192.0.2.1", .port = 3478};
    uint8_t list[64], transport[32] = {1}, seed[PV_SIGN_SEED_LEN] = {9};
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct keys root;
    struct pv_created made;
    struct pv_roster_event ev;
    pv_sign_keypair(seed, root.sk, root.pk);
    for (uint8_t i = 0; i < KEYS; i++) {
        seed[0] = (uint8_t)(20 + i);
        pv_sign_keypair(seed, once.keys[i].sk, once.keys[i].pk);
    }
    pv_coordlist_put(&lw, root.pk, &hp, 1);
    const struct pv_create create = {.root = pv_signer_sk(root.sk),
                                     .node_sk = once.keys[ANNA].sk,
                                     .transport = transport,
                                     .network_name = "home",
                                     .node_name = "anna",
                                     .range = {.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16},
                                     .coordinators = pv_written(&lw)};
    must(pv_make_create(&create, &made) == PV_OK);
    must(pv_roster_new(pv_made_view(&made.network), NULL, &rng, &once.roster) == PV_OK);
    add(pv_view(made.coordinators.raw, made.coordinators.len));
    add(pv_made_view(&made.admin));
    add(pv_made_view(&made.member));
    for (uint8_t i = BOB; i < STRANGER; i++) {
        struct pv_made st;
        struct pv_st_member m = {.ip4 = {10, 66, 1, i}, .transport = {i, 1}};
        snprintf(m.name, sizeof(m.name), "node%d", i);
        must(pv_make_member(made.network_id, once.keys[ANNA].sk, once.keys[i].sk, &m, &st) ==
             PV_OK);
        add(pv_made_view(&st));
    }
    while (pv_roster_poll_event(once.roster, &ev) == PV_OK)
        ;
    memcpy(once.network, made.network_id, sizeof(once.network));
    for (int i = 0; i < NODES; i++) {
        once.db[i] = chat_db_open();
    }
}

static void say_line(void *owner, const uint8_t *pk, struct pv_view line, pv_ns now);
static void want_peer(void *owner, const uint8_t *pk, pv_ns now);

static void take_event(void *owner, const struct pv_rooms_event *e, pv_ns now)
{
    const struct node *n = owner;
    if (e->type == PV_ROOMS_INVITED)
        (void)!pv_rooms_accept(n->rooms, e->room, now);
}

static bool find_known(const void *owner, const uint8_t *pk, struct pv_overlay_member *ret_member)
{
    return overlay_of_roster(once.roster, pk, ret_member);
}

/* The whole run is one transaction, which is taken back; each operation is one within it. */
static int run_op(struct pv_chat_store *store, const struct pv_chatop *op,
                  struct pv_chatop_result *ret)
{
    const struct node *n = store->self;
    struct pv_chatop with = *op;
    with.terms =
        (struct pv_chatop_terms){.now_s = WALL_S + w.now / PV_S(1), .low_disk = n->low_disk};
    *ret = (struct pv_chatop_result){.msgs = NULL};
    return n->full ? PV_ERR_NO_SPACE : chat_db_run(once.db[n - w.n], &with, ret);
}

static void start(int i)
{
    w.n[i].store = (struct pv_chat_store){.self = &w.n[i], .run = run_op};
    struct pv_rooms_config cfg = {.rng = {.fill = fuzz_fill_mix, .ctx = &w.random},
                                  .store = &w.n[i].store,
                                  .signer = pv_appsigner_of(once.keys[i].sk),
                                  .known = find_known,
                                  .say = say_line,
                                  .want = want_peer,
                                  .tell = take_event,
                                  .owner = &w.n[i]};
    memcpy(cfg.own_pk, once.keys[i].pk, sizeof(cfg.own_pk));
    must(pv_rooms_new(&w.n[i].rooms, &cfg) == PV_OK);
    pv_rooms_set_network(w.n[i].rooms, pv_roster_network_id(once.roster), once.keys[i].pk, w.now);
}

static void stop(int i)
{
    pv_rooms_free(w.n[i].rooms);
}

static int index_of(const uint8_t *pk)
{
    for (int i = 0; i < KEYS; i++)
        if (memcmp(once.keys[i].pk, pk, PV_SIGN_PK_LEN) == 0)
            return i;
    return -1;
}

/* --- eve's memory ---------------------------------------------------------------------------- */

static void keep_id(const uint8_t *id)
{
    for (size_t i = 0; i < w.n_ids && i < IDS; i++)
        if (memcmp(w.ids[i], id, PV_ROOM_ID_LEN) == 0)
            return;
    memcpy(w.ids[w.n_ids++ % IDS], id, PV_ROOM_ID_LEN);
}

static void keep_record(struct pv_view raw)
{
    size_t at = w.n_records++ % RECORDS;
    must(raw.len <= sizeof(w.records[0].raw));
    memcpy(w.records[at].raw, raw.ptr, raw.len);
    w.records[at].len = raw.len;
}

static size_t n_records(void)
{
    return w.n_records < RECORDS ? w.n_records : RECORDS;
}

/* A line of any node is in its form, and so are the records in it. */
static void overhear(struct pv_view line)
{
    static struct pv_room_frame f;
    struct pv_room_record rec;
    must(pv_room_is_frame(line) && pv_room_frame_parse(line, &f) == PV_OK);
    keep_id(f.room);
    if (f.kind == PV_ROOM_F_HAVE)
        memcpy(w.digest, f.digest, sizeof(w.digest));
    for (size_t i = 0; i < f.n_records; i++) {
        must(pv_room_record_parse(f.records[i], once.network, &rec) == PV_OK);
        keep_record(f.records[i]);
    }
}

/* --- moving ---------------------------------------------------------------------------------- */

static void set_up(int a, int b, bool up)
{
    w.up[a][b] = w.up[b][a] = up;
    for (int i = 0; i < 2; i++) {
        int one = i == 0 ? a : b, other = i == 0 ? b : a;
        if (one < NODES) {
            must(pv_rooms_peer_online(w.n[one].rooms, once.keys[other].pk, up, w.now) == PV_OK);
            pv_rooms_peer_up(w.n[one].rooms, once.keys[other].pk, up, w.now);
        }
    }
}

static void hand(int from, int to, struct pv_view line)
{
    if (pv_rooms_handle_frame(w.n[to].rooms, once.keys[from].pk, line, w.now) != PV_ERR_REFUSED)
        return;
    must(from == EVE); /* no honest node does that */
    set_up(from, to, false);
}

static void say_line(void *owner, const uint8_t *pk, struct pv_view line, pv_ns now)
{
    int i = (int)((struct node *)owner - w.n), to = index_of(pk);
    must(to >= 0 && line.len > 0 && line.len <= PV_CHAT_LINE_MAX);
    overhear(pv_view(line.ptr, line.len - 1));
    w.lines++;
    w.all_lines++;
    if (to < NODES && w.up[i][to])
        hand(i, to, pv_view(line.ptr, line.len - 1));
}

static void want_peer(void *owner, const uint8_t *pk, pv_ns now)
{
    int i = (int)((struct node *)owner - w.n), to = index_of(pk);
    if (to < NODES && !w.up[i][to])
        set_up(i, to, true);
}

static bool drain(int i)
{
    return pv_rooms_speak(w.n[i].rooms, w.now);
}

static void pass(pv_ns duration)
{
    pv_ns end = w.now + duration;
    w.lines = 0;
    for (unsigned turns = 0;; turns++) {
        bool any = drain(ANNA);
        any = drain(BOB) || any;
        must(turns < 20000 && w.lines < 1000); /* or somebody says things for ever */
        pv_ns due = pv_min_ns(pv_rooms_next_timeout(w.n[ANNA].rooms),
                              pv_rooms_next_timeout(w.n[BOB].rooms));
        if (any)
            continue;
        if (due > end)
            break;
        w.now = due > w.now ? due : w.now;
        for (int i = 0; i < NODES; i++) {
            if (pv_rooms_next_timeout(w.n[i].rooms) <= w.now)
                pv_rooms_handle_timeout(w.n[i].rooms, w.now);
        }
    }
    w.now = end;
}

/* --- what eve says ---------------------------------------------------------------------------- */

static const uint8_t *room(void)
{
    static const uint8_t none[PV_ROOM_ID_LEN];
    size_t n = w.n_ids < IDS ? w.n_ids : IDS;
    uint8_t b = next();
    return n == 0 ? none : w.ids[b % n];
}

static const char *name(void)
{
    static const char *const names[] = {"crew", "pub", "a", "b"};
    return names[next() % PV_ARRAY_LEN(names)];
}

/* Small ones meet; the others are as far as they go. */
static uint64_t number(void)
{
    uint8_t b = next();
    return b < 250 ? b % 16u : UINT64_C(1) << 53;
}

static size_t haves(struct pv_room_have *ret_haves)
{
    size_t n = next() % KEYS;
    for (size_t i = 0; i < n; i++) {
        memcpy(ret_haves[i].author, once.keys[(next() + i) % KEYS].pk, PV_SIGN_PK_LEN);
        ret_haves[i].seq = number();
    }
    return n;
}

static int by_author(const void *a, const void *b)
{
    return memcmp(a, b, PV_SIGN_PK_LEN);
}

static void make_record(void)
{
    static const enum pv_room_type types[] = {PV_ROOM_TEXT, PV_ROOM_CREATE, PV_ROOM_INVITE,
                                              PV_ROOM_LEAVE};
    static uint8_t raw[PV_ROOM_RECORD_MAX];
    struct pv_room_have base[KEYS];
    const struct keys *signer = &once.keys[EVE + next() % 3];
    struct pv_room_make make = {
        .network = once.network, .signer = pv_appsigner_of(signer->sk), .base = base};
    struct pv_room_record rec = {.type = types[next() % 4], .text = pv_view("said", 4)};
    size_t len = 0;
    memcpy(rec.room, room(), sizeof(rec.room));
    memcpy(rec.signer, signer->pk, sizeof(rec.signer));
    rec.time_ms = number();
    rec.seq = number();
    rec.round = (uint32_t)number();
    rec.nonce[0] = next();
    memcpy(rec.node, once.keys[next() % KEYS].pk, sizeof(rec.node));
    snprintf(rec.name, sizeof(rec.name), "%s", name());
    make.n_base = rec.type == PV_ROOM_INVITE ? haves(base) : 0;
    qsort(base, make.n_base, sizeof(base[0]), by_author);
    if (pv_room_record_make(&make, &rec, raw, &len) != PV_OK)
        return;
    must(pv_room_record_parse(pv_view(raw, len), once.network, &rec) == PV_OK);
    keep_id(rec.room);
    keep_record(pv_view(raw, len));
}

static void say_frame(int to)
{
    static struct pv_room_frame f;
    static char line[PV_CHAT_LINE_MAX];
    size_t len = 0;
    memset(&f, 0, sizeof(f));
    f.kind = (enum pv_room_frame_kind)(next() % 4);
    memcpy(f.room, room(), sizeof(f.room));
    memcpy(f.digest, w.digest, sizeof(f.digest));
    f.digest[0] ^= next() % 2;
    if (f.kind == PV_ROOM_F_RECORDS) {
        f.n_records = n_records() == 0 ? 0 : 1 + next() % 4u;
        for (size_t i = 0; i < f.n_records; i++) {
            size_t at = next() % n_records();
            f.records[i] = pv_view(w.records[at].raw, w.records[at].len);
        }
    } else if (f.kind == PV_ROOM_F_LIST) {
        for (f.n_prefix = 0; f.n_prefix < next() % 8u; f.n_prefix++)
            f.prefix[f.n_prefix][0] = next();
    } else {
        f.n_have = haves(f.have);
        f.n_gone = f.kind == PV_ROOM_F_HAVE ? haves(f.gone) : 0;
    }
    if (pv_room_frame_write(&f, line, &len) == PV_OK)
        hand(EVE, to, pv_view(line, len - 1));
}

static void say_bytes(int to)
{
    size_t n = next();
    struct pv_view line = fuzz_take(&w.in, n);
    if (pv_room_is_frame(line))
        hand(EVE, to, line);
}

/* --- what users do ---------------------------------------------------------------------------- */

static const uint8_t *room_of(const struct node *n)
{
    struct pv_rooms_info info;
    return pv_rooms_info(n->rooms, next() % 4u, &info) ? info.id : room();
}

static void user(struct node *n)
{
    uint8_t id[PV_CHAT_ID_LEN] = {0};
    struct pv_rooms_say say = {.text = "hello"};
    struct pv_chat_record said = {.text = NULL};
    uint64_t wall_ms = WALL_S * 1000 + w.now / PV_MS(1);
    switch (next() % 6) {
    case 0:
        (void)!pv_rooms_open(n->rooms, name(), wall_ms, w.now, id);
        break;
    case 1:
        say.room = room_of(n);
        (void)!pv_rooms_invite(n->rooms, say.room, once.keys[next() % KEYS].pk, wall_ms, w.now);
        break;
    case 2:
        (void)!pv_rooms_leave(n->rooms, room_of(n), wall_ms, w.now);
        break;
    case 3:
        pv_rooms_sweep(n->rooms, next() * UINT64_C(3600), w.now);
        break;
    default:
        say.room = room_of(n);
        id[0] = next();
        say.id = id[0] < 64 ? id : NULL;
        (void)!pv_rooms_say(n->rooms, &say, wall_ms, w.now, &said);
        pv_chat_record_done(&said);
        break;
    }
}

static void look(const struct node *n)
{
    struct pv_rooms_info info;
    struct pv_rooms_member m;
    const uint8_t *author, *id;
    size_t i = 0;
    for (; pv_rooms_info(n->rooms, i, &info); i++) {
        size_t k = 0;
        for (; pv_rooms_member(n->rooms, info.id, k, &m); k++)
            must(index_of(m.pk) >= 0);
        must(k <= PV_ROOM_MAX_MEMBERS && info.members <= k);
        must(pv_rooms_find(n->rooms, PV_ROOM_STR(n->rooms, info.id), true) != NULL);
    }
    must(i <= PV_ROOM_MAX_LOADED);
    (void)pv_rooms_are_full(n->rooms);
    (void)pv_rooms_holding(n->rooms, w.now, &author, &id);
}

/* --- operations ------------------------------------------------------------------------------- */

static void set_disk(struct node *n)
{
    uint8_t how = next();
    n->full = (how & 1) != 0;
    n->low_disk = (how & 2) != 0;
}

static void start_again(int i)
{
    bool up[NODES + 1];
    memcpy(up, w.up[i], sizeof(up));
    for (int k = 0; k <= NODES; k++)
        if (k != i)
            set_up(i, k, false);
    stop(i);
    start(i);
    for (int k = 0; k <= NODES; k++)
        if (k != i && up[k])
            set_up(i, k, true);
}

static void lose_network(struct node *n)
{
    pv_rooms_set_network(n->rooms, NULL, once.keys[n - w.n].pk, w.now);
    if (next() % 2 == 0)
        drain((int)(n - w.n));
    pv_rooms_set_network(n->rooms, pv_roster_network_id(once.roster), once.keys[n - w.n].pk, w.now);
}

static void sleep_for(pv_ns duration)
{
    w.now += duration;
    for (int i = 0; i < NODES; i++)
        pv_rooms_woke(w.n[i].rooms, w.now);
    pass(0);
}

static void operate(void)
{
    static const pv_ns steps[] = {PV_MS(20), PV_S(1), PV_S(20), PV_S(600)};
    uint8_t what = next();
    int i = what >> 7;
    switch (what % 16) {
    case 0:
    case 1:
        make_record();
        break;
    case 2:
    case 3:
    case 4:
        say_frame(i);
        break;
    case 5:
        say_bytes(i);
        break;
    case 6:
    case 7:
        user(&w.n[i]);
        break;
    case 8:
        set_up(i, next() % 2 == 0 ? EVE : 1 - i, next() % 4 != 0);
        break;
    case 9:
        set_disk(&w.n[i]);
        break;
    case 10:
        start_again(i);
        break;
    case 11:
        lose_network(&w.n[i]);
        break;
    case 12:
        pv_rooms_unsaid(w.n[i].rooms, once.keys[next() % KEYS].pk, w.now);
        break;
    case 13:
        sleep_for(PV_S(3600) * next());
        break;
    default:
        pass(steps[next() % 4]);
        break;
    }
    (void)drain(ANNA);
    (void)drain(BOB);
    look(&w.n[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    must(pv_crypto_init() == PV_OK);
    if (once.roster == NULL)
        make_network();
    memset(&w, 0, sizeof(w));
    w.in = pv_view(data, len);
    w.now = PV_S(100);
    for (int i = 0; i < NODES; i++) {
        chat_db_sql(once.db[i], "BEGIN");
        start(i);
    }
    set_up(ANNA, BOB, true);
    set_up(ANNA, EVE, true);
    set_up(BOB, EVE, true);
    pass(PV_MS(20));
    for (int i = 0; i < MAX_OPS && w.all_lines < MAX_LINES && w.in.len > 0; i++)
        operate();
    pass(PV_S(30));
    for (int i = 0; i < NODES; i++) {
        stop(i);
        chat_db_sql(once.db[i], "ROLLBACK");
    }
    return 0;
}
