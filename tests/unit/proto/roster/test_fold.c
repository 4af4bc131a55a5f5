/* SPDX-License-Identifier: MIT */
/* test_fold.c - the fold and what is outside the log, against the naive model. */
#include "proto/roster/outside.h"
#include "tests/unit/proto/roster/log_world.h"

static struct pv_fold *fold;
static struct naive naive_now;

void test_begin(void)
{
    make_keys();
}

static void free_fold(void *ctx)
{
    (void)ctx;
    fold = pv_fold_free(fold);
}

static int start(void **ret)
{
    struct pv_fold_config cfg = config();
    (void)ret;
    memset(&naive_now, 0, sizeof(naive_now));
    naive_now.version = 1;
    naive_now.moved = -1;
    naive_n = 0;
    assert_ok(pv_fold_new(&cfg, &fold));
    test_defer(free_fold, &fold);
    return 0;
}

/* Applies a statement to both, and compares. */
static void both(int u)
{
    enum pv_why why, want;

    want = naive_why(&naive_now, u, naive_now.time);
    if (want == PV_WHY_ALLOWED)
        naive_do(&naive_now, u, naive_now.time);
    assert_ok(pv_fold_apply(fold, &reals[u], (uint64_t)naive_now.time, &why));
    const char *what = differs(fold, &naive_now);
    if (why != want || what != NULL)
        fail_msg("chance %llx: statement %d of type %d: %d, to be %d; differs in %s",
                 (unsigned long long)chance, u, naive_sts[u].kind, why, want,
                 what == NULL ? "nothing" : what);
}

static void begin(void)
{
    naive_now.time = DAY;
    for (int k = 1; k <= 3; k++)
        both(say((struct naive_st){.kind = PV_LOGST_GRANT, .grant = -1, .about = k, .flags = 3},
                 NULL));
    int inv = say((struct naive_st){.kind = PV_LOGST_INVITE,
                                    .grant = -1,
                                    .about = -1,
                                    .uses = 6,
                                    .until = 900 * DAY,
                                    .tkey = INVITE_KEYS},
                  NULL);
    both(inv);
    for (int k = 1; k <= 6; k++)
        both(say((struct naive_st){.kind = PV_LOGST_JOIN,
                                   .by = INVITE_KEYS,
                                   .grant = inv,
                                   .about = k,
                                   .name = k,
                                   .addr = k,
                                   .tkey = k},
                 NULL));
}

/* Root's statements that only a log has. */
static int say_root(void)
{
    struct naive_st x = {.grant = -1, .about = -1, .prev = -1, .epoch = naive_now.epoch + 1};

    x.kind = pick(2) > 0 ? PV_LOGST_COORDINATORS : PV_LOGST_VERSION;
    x.by = pick(5) == 0 ? 1 : 0;
    x.coord = COORD_KEYS + pick(3);
    x.time = naive_now.time;
    x.num = pick(4);
    return say(x, NULL);
}

static void draw_time(void)
{
    static const int days[] = {0, 0, 0, 1, 1, 9, 31};
    naive_now.time += days[pick(PV_ARRAY_LEN(days))] * DAY;
    if (pick(25) == 0 && naive_now.time > 50 * DAY)
        naive_now.time -= pick(40) * DAY;
}

/* Both keep the same statements, whatever the order, and read them alike. */
static void look_outside(void)
{
    bool known[NAIVE_STS];
    int took[NAIVE_STS], order[NAIVE_STS];
    static struct naive view;
    struct pv_outside *o = NULL;
    struct pv_logst st;

    assert_ok(pv_outside_new(pks[0], (size_t)naive_keep_max, &o));
    for (int i = 0, share = 1 + pick(8); i < naive_n; i++) {
        known[i] = pick(10) < share;
        int j = pick(i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int pass = 0; pass < 3; pass++) /* one may come before the grant that allows it */
        for (int i = 0; i < naive_n; i++)
            if (known[order[i]])
                (void)!pv_outside_put(o, fold, &reals[order[i]]);
    view = naive_now;
    view.time = (int)pv_fold_now(fold)->time; /* of the last entry */
    int n = naive_with_outside(&view, known, took);
    assert_ok(pv_outside_apply(o, fold));
    const char *what = differs(fold, &view);
    for (int i = 0; i < n && what == NULL; i++)
        if (!pv_outside_took(o, (size_t)i, &st) ||
            memcmp(st.hash, naive_sts[took[i]].hash, 32) != 0)
            what = "the order";
    if (what == NULL && pv_outside_took(o, (size_t)n, &st))
        what = "one more";
    pv_fold_back(fold);
    const char *back = differs(fold, &naive_now);
    pv_outside_free(o);
    if (what != NULL || back != NULL)
        fail_msg("chance %llx: outside differs in %s, back in %s", (unsigned long long)chance,
                 what == NULL ? "nothing" : what, back == NULL ? "nothing" : back);
}

static void run_world(uint64_t seed)
{
    void *none = NULL;
    chance = seed << 20;
    test_end(&fold);
    start(&none);
    begin();
    for (int step = 0; step < 260; step++) {
        draw_time();
        int u = pick(12) == 0 || naive_n < 10 ? say_root() : -1;
        if (u < 0 && pick(3) > 0 && naive_n < NAIVE_STS - 2)
            u = say_something(&naive_now);
        if (u < 0)
            u = pick(naive_n);
        if (pick(3) > 0)
            both(u); /* else it may come later, or only outside */
        if (naive_n >= NAIVE_STS - 2)
            break;
        if (step % 6 == 5)
            look_outside();
    }
}

/* The grants of begin() are statements 0 to 2. */
PV_TEST_IN(closes_an_invite_with_the_office_of_its_admin, start, NULL)
{
    begin();
    int inv[2], join[2];
    for (int i = 0; i < 2; i++) {
        struct naive_st x = {.kind = PV_LOGST_INVITE, .about = -1, .uses = 1, .until = 9 * DAY};
        x.by = i + 1;
        x.grant = i;
        x.tkey = INVITE_KEYS + 1 + i;
        x.flags = 1;
        inv[i] = say(x, NULL);
        both(inv[i]);
    }
    both(say((struct naive_st){.kind = PV_LOGST_END, .grant = -1, .about = 0}, NULL));
    for (int i = 0; i < 2; i++) {
        struct naive_st x = {.kind = PV_LOGST_JOIN, .by = INVITE_KEYS + 1 + i, .grant = inv[i]};
        x.about = x.name = x.addr = x.tkey = 10 + i;
        join[i] = say(x, NULL);
        both(join[i]);
        both(say((struct naive_st){.kind = PV_LOGST_ADMIT, .grant = -1, .about = join[i]}, NULL));
    }
    assert_true(!naive_now.m[10].is && naive_now.m[11].is && !naive_now.m[11].waits);
}

/* Root names gateways until one is a member; D, number 4, goes to another address and back. */
PV_TEST_IN(carries_a_phone_and_lets_members_say_so_much, start, NULL)
{
    begin();
    struct naive_st x = {.kind = PV_LOGST_INVITE, .grant = -1, .about = -1, .uses = 1};
    x.until = 9 * DAY;
    x.tkey = INVITE_KEYS + 1;
    int inv = say(x, NULL);
    both(inv);
    x = (struct naive_st){.kind = PV_LOGST_JOIN, .by = INVITE_KEYS + 1, .grant = inv, .flags = 1};
    x.about = x.name = x.addr = x.tkey = 10;
    both(say(x, NULL));
    for (int gateway = 12; gateway > 2; gateway -= 2) {
        x = (struct naive_st){.kind = PV_LOGST_ROW, .grant = -1, .about = -1, .tkey = 10};
        x.gateway = gateway;
        x.flags = PV_ROW_PHONE;
        both(say(x, NULL));
    }
    assert_int_equal(naive_carrier(&naive_now, 10), 6);
    for (int i = 1; i <= NAIVE_OWN + 2; i++) {
        x = (struct naive_st){.kind = PV_LOGST_PLACE, .by = 4, .grant = -1, .about = 4, .num = i};
        x.name = 4;
        x.addr = i % 2 == 0 ? 4 : 20;
        both(say(x, NULL));
    }
    assert_int_equal(naive_now.m[4].num, NAIVE_OWN);
}

static unsigned worlds(unsigned most)
{
    const char *n = getenv("PV_LOG_WORLDS");
    return n != NULL ? (unsigned)strtoul(n, NULL, 10) : test_takes_all() ? most : most / 10;
}

PV_TEST_IN(decides_as_the_naive_model, start, NULL)
{
    for (uint64_t seed = 1; seed <= worlds(400); seed++)
        run_world(seed);
}
