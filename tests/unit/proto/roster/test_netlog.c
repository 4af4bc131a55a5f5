/* SPDX-License-Identifier: MIT */
/*
 * test_netlog.c - which log a node holds: worlds of logs that fork, and that root moves from any
 * place, against the naive model; and attacks, one by one.
 */
#include "proto/roster/netlog.h"
#include "tests/unit/proto/roster/log_world.h"

enum {
    ENTRIES = 260,
    NODES = 4,
    ENTRY_MAX = PV_ENTRY_HEAD_LEN + RAW_MAX,
};

static const uint8_t genesis[PV_LOGST_HASH_LEN] = {9};

/* An entry of some log; prev: the one before, -1: none. */
struct ent {
    int prev, n, uid, by; /* by: the key whose head covers it */
    uint8_t raw[ENTRY_MAX];
    size_t len;
    struct pv_entry e;
    struct naive after;
};
static struct ent ents[ENTRIES];
static int n_ents;

static struct node {
    struct pv_netlog *log;
    int tip; /* in ents; -1: none */
    bool known[NAIVE_STS];
} nodes[NODES];

static struct naive nothing;

void test_begin(void)
{
    make_keys();
    nothing.version = 1;
    nothing.moved = -1;
}

static void free_nodes(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < NODES; i++)
        nodes[i].log = pv_netlog_free(nodes[i].log);
}

static int start(void **ret)
{
    struct pv_fold_config cfg = config();
    (void)ret;
    naive_n = n_ents = 0;
    naive_keep_max = PV_OUTSIDE_GRANT_MAX;
    memset(nodes, 0, sizeof(nodes));
    for (int i = 0; i < NODES; i++) {
        nodes[i].tip = -1;
        assert_ok(pv_netlog_new(&cfg, genesis, &nodes[i].log));
    }
    test_defer(free_nodes, nodes);
    return 0;
}

static const struct naive *after(int h)
{
    return h < 0 ? &nothing : &ents[h].after;
}

static const uint8_t *hash_at(int h)
{
    return h < 0 ? genesis : ents[h].e.hash;
}

/* Rules 1 and 3: may this statement come after entry h, under this key's head? */
static bool follows(int h, int uid, int time, int by)
{
    const struct naive_st *x = &naive_sts[uid];
    const struct naive *s = after(h);
    if (x->kind == PV_LOGST_COORDINATORS)
        return x->by == 0 && x->prev == h && x->time == time && x->epoch > s->epoch;
    return s->epoch > 0 && by == s->coord && time >= s->time;
}

/* The bytes of an entry after h, whether it may be there or not. */
static void build(int h, int uid, int time, int by)
{
    struct ent *x = &ents[n_ents];
    x->prev = h;
    x->n = h < 0 ? 1 : ents[h].n + 1;
    x->uid = uid;
    x->by = by;
    assert_ok(
        pv_entry_encode(hash_at(h), (uint64_t)time, reals[uid].raw, x->raw, ENTRY_MAX, &x->len));
    assert_ok(pv_entry_decode(pv_view(x->raw, x->len), &x->e));
}

/* Puts an entry after h; -1: no reader takes it. */
static int entry(int h, int uid, int time, int by)
{
    if (n_ents >= ENTRIES || !follows(h, uid, time, by))
        return -1;
    for (int i = 0; i < n_ents; i++) /* there already */
        if (ents[i].prev == h && ents[i].uid == uid && ents[i].e.time == (uint64_t)time)
            return i;
    build(h, uid, time, by);
    struct ent *x = &ents[n_ents];
    x->after = *after(h);
    x->after.time = time;
    if (naive_why(&x->after, uid, time) == PV_WHY_ALLOWED)
        naive_do(&x->after, uid, time);
    return n_ents++;
}

static bool is_on(int tip, int h)
{
    while (tip >= 0 && ents[tip].n > (h < 0 ? 0 : ents[h].n))
        tip = ents[tip].prev;
    return tip == h;
}

static int common(int a, int b)
{
    while (!is_on(b, a))
        a = ents[a].prev;
    return a;
}

static void sign_head(int h, int by, uint8_t ret_head[static PV_HEAD_LEN])
{
    struct pv_head head = {
        .epoch = (uint64_t)ents[h].after.epoch, .n = (uint64_t)ents[h].n, .time = ents[h].e.time};
    memcpy(head.network_id, network_id, sizeof(network_id));
    memcpy(head.hash, ents[h].e.hash, sizeof(head.hash));
    assert_ok(pv_head_make(&head, sks[by], ret_head));
}

/* Gives a node the log up to h, from the entry with number first on, under this key's head. */
static int give(struct node *node, int h, int first, int by)
{
    static struct pv_view views[ENTRIES];
    static uint8_t head[PV_HEAD_LEN];
    struct pv_netlog_piece piece = {.first = (uint64_t)first, .entries = views};

    piece.n = (size_t)(ents[h].n - first + 1);
    for (int x = h; x >= 0 && ents[x].n >= first; x = ents[x].prev)
        views[ents[x].n - first] = pv_view(ents[x].raw, ents[x].len);
    if (by >= 0) {
        sign_head(h, by, head);
        piece.head = pv_view(head, sizeof(head));
    }
    return pv_netlog_take(node->log, &piece);
}

/* --- what the model says of a node ----------------------------------------------------------- */

/* A node keeps a statement and those that it carries. */
static void learn(struct node *node, const struct naive *s, int uid)
{
    const struct naive_st *x = &naive_sts[uid];
    if (x->kind != PV_LOGST_LEAVE || s->m[x->about].is)
        node->known[uid] = true;
    for (int i = 0; i < x->n_carried; i++)
        node->known[x->carried[i]] = true;
}

static void keep(struct node *node)
{
    int kept[NAIVE_STS], n = naive_keep(after(node->tip), node->known, kept);
    memset(node->known, 0, sizeof(node->known));
    for (int i = 0; i < n; i++)
        node->known[kept[i]] = true;
}

/* Takes the log up to h by rule 4. */
static bool naive_take(struct node *node, int h)
{
    int old = node->tip;
    if (old >= 0 && !naive_prefer(after(h), after(old), is_on(h, old)))
        return false;
    node->tip = h;
    for (int x = old; x != common(old, h); x = ents[x].prev)
        learn(node, after(h), ents[x].uid);
    keep(node);
    return true;
}

static void compare(struct node *node)
{
    static struct naive view;
    int took[NAIVE_STS];
    uint64_t n = node->tip < 0 ? 0 : (uint64_t)ents[node->tip].n;
    const char *what = NULL;

    if (pv_netlog_n(node->log) != n ||
        memcmp(pv_netlog_hash(node->log, n), hash_at(node->tip), 32) != 0)
        what = "the log";
    if (what == NULL)
        what = differs(pv_netlog_state(node->log), after(node->tip));
    view = *after(node->tip);
    naive_with_outside(&view, node->known, took);
    if (what == NULL && differs(pv_netlog_view(node->log), &view) != NULL)
        what = "the view";
    if (what != NULL)
        fail_msg("chance %llx: node %d differs in %s", (unsigned long long)chance,
                 (int)(node - nodes), what);
}

/* --- a world --------------------------------------------------------------------------------- */

static int say_move(int h, int epoch, int coord, int time)
{
    return say((struct naive_st){.kind = PV_LOGST_COORDINATORS,
                                 .grant = -1,
                                 .about = -1,
                                 .epoch = epoch,
                                 .prev = h,
                                 .n = h < 0 ? 0 : ents[h].n,
                                 .time = time,
                                 .coord = coord},
               hash_at(h));
}

static int found(void)
{
    int h = entry(-1, say_move(-1, 1, COORD_KEYS, 0), 0, 0);
    for (int k = 1; k <= 3; k++)
        h = entry(
            h,
            say((struct naive_st){.kind = PV_LOGST_GRANT, .grant = -1, .about = k, .flags = 3},
                NULL),
            0, COORD_KEYS);
    int inv = say((struct naive_st){.kind = PV_LOGST_INVITE,
                                    .grant = -1,
                                    .about = -1,
                                    .uses = 6,
                                    .until = 900 * DAY,
                                    .tkey = INVITE_KEYS},
                  NULL);
    h = entry(h, inv, 0, COORD_KEYS);
    for (int k = 1; k <= 6; k++)
        h = entry(h,
                  say((struct naive_st){.kind = PV_LOGST_JOIN,
                                        .by = INVITE_KEYS,
                                        .grant = inv,
                                        .about = k,
                                        .name = k,
                                        .addr = k,
                                        .tkey = k},
                      NULL),
                  0, COORD_KEYS);
    return h;
}

static int draw_tip(void)
{
    return n_ents - 1 - pick(pick(3) == 0 ? n_ents : n_ents < 12 ? n_ents : 12);
}

/* Somebody orders something somewhere. */
static void grow(void)
{
    int h = pick(2) > 0 ? nodes[pick(NODES)].tip : draw_tip();
    for (int i = pick(6); i >= 0 && naive_n < NAIVE_STS - 2 && h >= 0; i--) {
        int u = pick(2) > 0 ? say_something(after(h)) : pick(naive_n);
        if (u < 0)
            continue;
        h = entry(h, u, after(h)->time + pick(3) * DAY, after(h)->coord);
    }
}

static void move(void)
{
    int h = draw_tip();
    if (pick(2) > 0)
        h = nodes[pick(NODES)].tip;
    for (int i = pick(8); i > 0 && h > 0; i--)
        h = ents[h].prev;
    if (h < 0)
        return;
    int time = after(h)->time + (pick(9) - 4) * DAY;
    int epoch = after(h)->epoch + 1 + (pick(3) == 0);
    if (naive_n < NAIVE_STS - 2)
        entry(h, say_move(h, epoch, COORD_KEYS + pick(3), time < 0 ? 0 : time), time < 0 ? 0 : time,
              0);
}

/* A node gets a log: all that it lacks, or from further back. */
static void tell(struct node *node)
{
    int h = draw_tip();
    for (int i = 0;
         i < 6 && pick(4) > 0 &&
         (is_on(node->tip, h) || !naive_prefer(after(h), after(node->tip), is_on(h, node->tip)));
         i++)
        h = draw_tip(); /* often one that it may take */
    int at = common(node->tip, h), first = (at < 0 ? 0 : ents[at].n) + 1;
    bool is_move = naive_sts[ents[h].uid].kind == PV_LOGST_COORDINATORS;

    if (first > ents[h].n)
        first = ents[h].n;
    first -= pick(first);
    int r = give(node, h, first, is_move && pick(2) > 0 ? -1 : after(h)->coord);
    bool had = is_on(node->tip, h), took = had || naive_take(node, h);
    if (r != (took ? PV_OK : PV_ERR_REFUSED))
        fail_msg("chance %llx: took %d, to be %d", (unsigned long long)chance, r, took);
}

/* An entry that no reader takes: by another key, at another place or time. */
static void lie(struct node *node)
{
    int h = pick(3) > 0 && node->tip >= 0 ? node->tip : draw_tip(), u = pick(naive_n);
    int by = pick(2) > 0 ? after(h)->coord : COORD_KEYS + pick(3);
    int time = after(h)->time + (pick(7) - 3) * DAY;

    if (n_ents >= ENTRIES || time < 0 || follows(h, u, time, by))
        return;
    build(h, u, time, by);
    ents[n_ents].after = *after(h);
    int at = common(node->tip, h);
    if (give(node, n_ents, (at < 0 ? 0 : ents[at].n) + 1, by) == PV_OK)
        fail_msg("chance %llx: took what does not follow", (unsigned long long)chance);
}

static void hear(struct node *node)
{
    int u =
        pick(2) > 0 && naive_n < NAIVE_STS - 2 ? say_something(after(node->tip)) : pick(naive_n);
    if (u < 0)
        return;
    int r = pv_netlog_hear(node->log, &reals[u]);
    assert_int_not_equal(r, PV_ERR_AUTH);
    learn(node, after(node->tip), u);
    keep(node);
}

static void run_world(uint64_t seed)
{
    void *none = NULL;
    chance = seed << 20;
    test_end(nodes);
    start(&none);
    found();
    for (int step = 0; step < 200; step++) {
        struct node *node = &nodes[pick(NODES)];
        switch (pick(8)) {
        case 0:
        case 1:
            grow();
            break;
        case 2:
            if (pick(2) == 0)
                move();
            break;
        case 3:
        case 4:
            tell(node);
            break;
        case 5:
            lie(node);
            break;
        default:
            hear(node);
            break;
        }
        compare(node);
    }
}

static unsigned worlds(unsigned most)
{
    const char *n = getenv("PV_LOG_WORLDS");
    return n != NULL ? (unsigned)strtoul(n, NULL, 10) : test_takes_all() ? most : most / 10;
}

PV_TEST_IN(holds_the_log_of_the_naive_model, start, NULL)
{
    for (uint64_t seed = 1; seed <= worlds(200); seed++)
        run_world(seed);
}

/* --- attacks, one by one --------------------------------------------------------------------- */

enum {
    A = 1, /* admins by root's grants in this order: A, B, C; D to F are members */
    B,
    C,
    D,
    E,
    K1 = COORD_KEYS,
    K2,
};

/* The grants are statements 1 to 3 of found(). */
static int by(int key, int kind, int about)
{
    return say((struct naive_st){.kind = kind,
                                 .by = key,
                                 .grant = key >= A && key <= C ? key : -1,
                                 .about = about,
                                 .gateway = E,
                                 .flags = kind == PV_LOGST_ROW ? PV_ROW_TAG : 3},
               NULL);
}

static int end_carrying(int key, int grant, int carried)
{
    return say((struct naive_st){.kind = PV_LOGST_END,
                                 .by = key,
                                 .grant = key == 0 ? -1 : key,
                                 .about = grant,
                                 .n_carried = 1,
                                 .carried = {carried}},
               NULL);
}

static int put(int h, int uid)
{
    h = entry(h, uid, after(h)->time, after(h)->coord);
    assert_true(h >= 0);
    return h;
}

static int moved(int h, int epoch, int coord)
{
    h = entry(h, say_move(h, epoch, coord, after(h)->time), after(h)->time, 0);
    assert_true(h >= 0);
    return h;
}

static int show(struct node *node, int h)
{
    int at = common(node->tip, h);
    if (!is_on(node->tip, h))
        naive_take(node, h);
    int r = give(node, h, (at < 0 ? 0 : ents[at].n) + (at == h ? 0 : 1), after(h)->coord);
    compare(node);
    return r;
}

static void tell_all(int uid)
{
    for (int i = 0; i < NODES; i++) {
        learn(&nodes[i], after(nodes[i].tip), uid);
        keep(&nodes[i]);
        int r = pv_netlog_hear(nodes[i].log, &reals[uid]);
        assert_true(r == PV_OK || r == PV_ERR_REFUSED || r == PV_ERR_EXISTS);
        compare(&nodes[i]);
    }
}

static bool is_member(const struct node *node, int key)
{
    const struct pv_keyrec *k = pv_fold_key(pv_netlog_view(node->log), pks[key]);
    return k != NULL && k->is_member;
}

static bool in_office(const struct node *node, int key)
{
    return pv_fold_in_office(pv_netlog_view(node->log), pks[key], naive_sts[key].hash,
                             PV_GRANT_REMOVE);
}

static int all_found(void)
{
    int h = found();
    for (int i = 0; i < NODES; i++)
        assert_ok(show(&nodes[i], h));
    return h;
}

PV_TEST_IN(keeps_the_older_admin_when_two_end_each_other, start, NULL)
{
    int h = all_found();
    for (int i = 0; i < 6; i++) {
        tell_all(by(A, PV_LOGST_END, C));
        tell_all(by(C, PV_LOGST_END, A));
        tell_all(by(C, PV_LOGST_REMOVE, D));
        assert_true(in_office(&nodes[0], A) && !in_office(&nodes[0], C) && is_member(&nodes[0], D));
    }
    tell_all(by(0, PV_LOGST_END, A)); /* root's come first */
    assert_true(!in_office(&nodes[0], A) && in_office(&nodes[0], C) && h >= 0);
}

PV_TEST_IN(keeps_what_an_end_carries_and_drops_the_rest, start, NULL)
{
    int h = all_found();
    int kept = by(A, PV_LOGST_REMOVE, D), fallen = by(A, PV_LOGST_REMOVE, E);
    tell_all(kept);
    tell_all(fallen);
    assert_true(!is_member(&nodes[0], D) && !is_member(&nodes[0], E));
    assert_ok(show(&nodes[0], put(h, end_carrying(B, A, kept))));
    assert_true(!is_member(&nodes[0], D) && is_member(&nodes[0], E));
}

PV_TEST_IN(carries_no_end_of_an_office, start, NULL)
{
    int h = all_found();
    int x = by(A, PV_LOGST_REMOVE, B); /* B is an admin */
    assert_ok(show(&nodes[0], put(h, end_carrying(B, A, x))));
    assert_true(in_office(&nodes[0], B) && is_member(&nodes[0], B) && !in_office(&nodes[0], A));
}

PV_TEST_IN(makes_a_held_back_end_count_after_a_move, start, NULL)
{
    int h = all_found(), end = by(0, PV_LOGST_END, A);
    tell_all(end);
    int late = put(h, by(A, PV_LOGST_REMOVE, D)); /* K1 orders this instead of the end */
    assert_ok(show(&nodes[0], late));
    assert_false(is_member(&nodes[0], D));
    assert_ok(show(&nodes[0], moved(h, 2, K2)));
    assert_true(is_member(&nodes[0], D));
    assert_int_equal(show(&nodes[0], put(late, by(B, PV_LOGST_ROW, -1))), PV_ERR_REFUSED);
}

PV_TEST_IN(proves_that_a_coordinator_told_two_stories, start, NULL)
{
    struct pv_view heads[2];
    struct pv_head one, other;
    int h = all_found(), x = put(h, by(B, PV_LOGST_ROW, -1)), y = put(h, by(C, PV_LOGST_ROW, -1));

    assert_ok(show(&nodes[0], x));
    assert_false(pv_netlog_proof(nodes[0].log, heads));
    assert_int_equal(show(&nodes[0], y), PV_ERR_REFUSED);
    assert_true(pv_netlog_proof(nodes[0].log, heads));
    assert_ok(pv_head_verify(heads[0]));
    assert_ok(pv_head_verify(heads[1]));
    assert_ok(pv_head_decode(heads[0], &one));
    assert_ok(pv_head_decode(heads[1], &other));
    assert_true(one.n == other.n && one.epoch == other.epoch);
    assert_memory_not_equal(one.hash, other.hash, sizeof(one.hash));
}

PV_TEST_IN(chooses_one_of_two_moves_of_one_epoch, start, NULL)
{
    int h = all_found(), x = moved(h, 2, K1), y = moved(h, 2, K2);
    int r[] = {show(&nodes[0], x), show(&nodes[1], y), show(&nodes[0], y), show(&nodes[1], x)};
    assert_true(r[0] == PV_OK && r[1] == PV_OK && (r[2] == PV_OK) != (r[3] == PV_OK));
    assert_int_equal(nodes[0].tip, nodes[1].tip);
}

PV_TEST_IN(waits_for_the_entry_of_the_token, start, NULL)
{
    int h = found(), token = put(h, by(A, PV_LOGST_ROW, -1)), cut = moved(h, 2, K2);
    pv_netlog_expect(nodes[0].log, (uint64_t)ents[token].n, ents[token].e.hash);
    assert_int_equal(give(&nodes[0], h, 1, K1), PV_ERR_AGAIN);
    assert_int_equal(give(&nodes[0], cut, 1, K2), PV_ERR_EXISTS);
    assert_int_equal(pv_netlog_n(nodes[0].log), 0);
    assert_int_equal(give(&nodes[0], token, 2, K1), PV_ERR_NOT_FOUND);
    assert_ok(show(&nodes[0], token));
}

PV_TEST_IN(goes_on_but_orders_nothing_by_rules_that_it_does_not_know, start, NULL)
{
    enum pv_why why;
    int h = all_found();
    int v = put(h, say((struct naive_st){.kind = PV_LOGST_VERSION, .grant = -1, .num = 2}, NULL));
    int x = put(v, by(A, PV_LOGST_REMOVE, D));
    assert_ok(show(&nodes[0], x));
    assert_false(is_member(&nodes[0], D));
    assert_int_equal(pv_netlog_append(nodes[0].log, &reals[by(A, PV_LOGST_REMOVE, E)], DAY, &why),
                     PV_ERR_UNSUPPORTED);
}

PV_TEST_IN(hands_on_what_a_coordinator_orders, start, NULL)
{
    struct pv_netlog *k1 = nodes[1].log;
    struct pv_logst st;
    enum pv_why why;
    int h = all_found();

    tell_all(by(A, PV_LOGST_REMOVE, D));
    assert_int_equal(pv_outside_count(pv_netlog_outside(k1)), 1);
    assert_true(pv_outside_at(pv_netlog_outside(k1), 0).len > 0);
    assert_non_null(pv_netlog_view(k1));
    assert_true(pv_outside_took(pv_netlog_outside(k1), 0, &st));
    int uid = naive_n - 1; /* the same statement: appending drops the copy outside */
    assert_ok(pv_netlog_append(k1, &reals[uid], 5 * DAY, &why));
    assert_int_equal(pv_netlog_append(k1, &reals[uid], 5 * DAY, &why), PV_ERR_REFUSED);
    assert_int_equal(why, PV_WHY_COUNTED);
    assert_int_equal(pv_outside_count(pv_netlog_outside(k1)), 0);
    assert_int_equal(pv_netlog_head(k1).len, 0);
    assert_int_equal(pv_netlog_sign(k1, 9 * DAY, sks[K2]), PV_ERR_STATE);
    assert_ok(pv_netlog_sign(k1, 9 * DAY, sks[K1]));
    assert_int_equal(pv_netlog_time(k1), 9 * DAY);

    struct pv_view last = pv_netlog_entry(k1, pv_netlog_n(k1));
    struct pv_netlog_piece piece = {
        .first = (uint64_t)ents[h].n + 1, .entries = &last, .n = 1, .head = pv_netlog_head(k1)};
    assert_int_equal(pv_netlog_take_head(nodes[0].log, piece.head), PV_ERR_NOT_FOUND);
    assert_ok(pv_netlog_take(nodes[0].log, &piece));
    assert_ok(pv_netlog_take_head(nodes[0].log, piece.head));
    assert_false(is_member(&nodes[0], D));
    uint8_t digests[2][32];
    for (int i = 0; i < 2; i++)
        pv_fold_digest(pv_netlog_state(nodes[i].log), digests[i]);
    assert_memory_equal(digests[0], digests[1], 32);
}

PV_TEST_IN(lets_a_member_sleep_that_nobody_stamped, start, NULL)
{
    struct pv_keyrec m = {.is_member = true, .since = 100, .lifetime = 50};
    size_t n = 0;

    assert_true(pv_fold_awake(&m, 150, 0) && !pv_fold_awake(&m, 151, 0));
    assert_true(pv_fold_awake(&m, 170, 120) && !pv_fold_awake(&m, 171, 120));
    m.lifetime = 0;
    assert_true(pv_fold_awake(&m, UINT64_MAX, 0));
    all_found();
    for (const struct pv_keyrec *k = pv_fold_keys(pv_netlog_view(nodes[0].log)); k != NULL;
         k = k->hh.next)
        n += k->is_member;
    assert_int_equal(n, 6);
}

PV_TEST_IN(takes_no_entry_that_stood_behind_another, start, NULL)
{
    int h = all_found(), x = put(h, by(B, PV_LOGST_ROW, -1)), y = put(h, by(C, PV_LOGST_ROW, -1));
    int z = put(y, by(C, PV_LOGST_ROW, -1));
    assert_ok(show(&nodes[0], x));
    assert_int_equal(give(&nodes[0], z, ents[z].n, K1), PV_ERR_AUTH);
}

PV_TEST_IN(lets_root_alone_move_the_network, start, NULL)
{
    int h = all_found();
    struct naive_st x = naive_sts[say_move(h, 2, K2, after(h)->time)];
    x.by = A;
    x.grant = A;
    build(h, say(x, hash_at(h)), after(h)->time, K2);
    ents[n_ents].after = *after(h);
    ents[n_ents].after.epoch = 2;
    assert_int_equal(give(&nodes[0], n_ents, ents[n_ents].n, K2), PV_ERR_AUTH);
    assert_int_equal(give(&nodes[0], n_ents, ents[n_ents].n, -1), PV_ERR_AUTH);
}

PV_TEST_IN(takes_entries_under_the_coordinators_head_alone, start, NULL)
{
    int h = all_found(), x = put(h, by(B, PV_LOGST_ROW, -1));
    assert_int_equal(give(&nodes[0], x, ents[x].n, K2), PV_ERR_AUTH);
    assert_int_equal(give(&nodes[0], x, ents[x].n, -1), PV_ERR_AUTH);
    ents[x].raw[ents[x].len - 1] ^= 1; /* the signature of the statement, and so the hash */
    assert_int_equal(give(&nodes[0], x, ents[x].n, K1), PV_ERR_AUTH);
    assert_ok(pv_entry_decode(pv_view(ents[x].raw, ents[x].len), &ents[x].e));
    assert_int_equal(give(&nodes[0], x, ents[x].n, K1), PV_ERR_AUTH);
}

/* Root's statement, shown after entry h at this time. */
static int show_move(int uid, int h, int time)
{
    build(h, uid, time, K2);
    ents[n_ents].after = *after(h);
    ents[n_ents].after.epoch = naive_sts[uid].epoch;
    return give(&nodes[0], n_ents, ents[n_ents].n, K2);
}

PV_TEST_IN(takes_roots_move_at_its_place_and_time_alone, start, NULL)
{
    int h = all_found(), time = after(h)->time;
    int x = put(h, by(B, PV_LOGST_ROW, -1)), y = put(h, by(C, PV_LOGST_ROW, -1));
    int move = say_move(x, 2, K2, time);
    struct naive_st other_n = naive_sts[move];
    other_n.n++;

    assert_ok(show(&nodes[0], x));
    assert_int_equal(show_move(move, x, time + 1), PV_ERR_AUTH);
    assert_int_equal(show_move(say(other_n, hash_at(x)), x, time), PV_ERR_AUTH);
    assert_int_equal(show_move(say_move(x, 1, K2, time), x, time), PV_ERR_AUTH); /* its epoch */
    assert_ok(show(&nodes[1], y));
    build(y, move, time, K2);
    ents[n_ents].after = *after(y);
    ents[n_ents].after.epoch = 2;
    assert_int_equal(give(&nodes[1], n_ents, ents[n_ents].n, K2), PV_ERR_AUTH);
    assert_ok(show_move(move, x, time));
}
