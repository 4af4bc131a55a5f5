/* SPDX-License-Identifier: MIT */
#include "daemon/core/lan/groupsync.h"
#include "tests/unit/proto/group/group_packets.h"
#include "tests/unit/test_util.h"

enum {
    NODES = 2,
    OTHER = 7, /* the id by which each knows the other */
};

/* Two nodes and what is on its way between them. */
struct pair {
    struct pv_groupsync *sync[NODES];
    struct pv_groupsync_peer other[NODES]; /* what each knows of the other */
    struct test_rng rng;
    struct pv_rng source;
    bool cut;        /* nothing arrives */
    unsigned passed; /* messages */
    pv_ns now;
};

static void free_pair(void *ctx)
{
    struct pair *p = ctx;
    for (int i = 0; i < NODES; i++) {
        pv_groupsync_leave(&p->other[i]);
        pv_groupsync_free(p->sync[i]);
    }
    free(p);
}

static void start(struct pair *p, int i)
{
    pv_groupsync_leave(&p->other[i]);
    pv_groupsync_free(p->sync[i]);
    assert_ok(pv_groupsync_new(&p->sync[i], &p->source));
    assert_ok(pv_groupsync_join(p->sync[i], &p->other[i], OTHER));
}

static struct pair *make_pair(void)
{
    struct pair *p = test_alloc(sizeof(*p));
    p->source = test_rng_make(&p->rng, 5);
    p->now = PV_S(100);
    start(p, 0);
    start(p, 1);
    test_defer(free_pair, p);
    return p;
}

static void look(struct pair *p, int i, bool there)
{
    const struct pv_groupsync_seen seen = {.there = there, .takes_discovery = true};
    pv_groupsync_look(&p->other[i], &seen, p->now);
}

struct way {
    struct pair *p;
    int from;
    bool any, changed;
};

static void carry_one(void *arg, uint32_t id, struct pv_view body)
{
    struct way *way = arg;
    struct pair *p = way->p;
    way->any = true;
    p->passed++;
    assert_int_equal(id, OTHER);
    assert_true(p->passed < 1000);
    if (!p->cut && pv_groupsync_take(&p->other[1 - way->from], body, p->now))
        way->changed = true;
}

/* Messages go there and back until there are none; true when one changed what is known. */
static bool carry(struct pair *p)
{
    struct way way = {.p = p};
    do {
        way.any = false;
        for (way.from = 0; way.from < NODES; way.from++)
            pv_groupsync_send(p->sync[way.from], carry_one, &way);
    } while (way.any);
    return way.changed;
}

static void pass(struct pair *p, pv_ns t)
{
    pv_ns end = p->now + t;
    for (;;) {
        pv_ns next =
            pv_min_ns(pv_groupsync_next_timeout(p->sync[0]), pv_groupsync_next_timeout(p->sync[1]));
        if (next > end)
            break;
        p->now = next > p->now ? next : p->now;
        for (int i = 0; i < NODES; i++)
            pv_groupsync_handle_timeout(p->sync[i], p->now);
        carry(p);
    }
    p->now = end;
}

static void want(struct pair *p, int i, const char *group)
{
    struct pv_group g = group_named(group);
    pv_groupsync_set_own(p->sync[i], &g, 1, p->now);
}

/* The knowledge of node i about the other, as text. */
static const char *known(const struct pair *p, int i)
{
    static char text[128];
    const struct pv_groupsync_known k = pv_groupsync_known(&p->other[i]);
    int n = snprintf(text, sizeof(text), "%s%s", k.heard ? "heard" : "unheard",
                     k.confirmed ? " confirmed" : "");
    for (size_t g = 0; g < k.n; g++) {
        struct pv_addr a = pv_group_addr(&k.groups[g]);
        n += snprintf(text + n, sizeof(text) - (size_t)n, " %s", PV_IP_STR(&a));
    }
    return text;
}

static struct pair *met(void)
{
    struct pair *p = make_pair();
    want(p, 0, "239.1.1.1");
    look(p, 0, true);
    look(p, 1, true);
    pass(p, PV_S(1));
    assert_string_equal(known(p, 0), "heard confirmed");
    assert_string_equal(known(p, 1), "heard confirmed 239.1.1.1");
    return p;
}

PV_TEST(two_who_meet_tell_and_are_silent)
{
    struct pair *p = met();
    assert_in_range(p->passed, 2, 6);
    unsigned passed = p->passed;
    pass(p, PV_S(3600));
    assert_int_equal(p->passed, passed);
    assert_int_equal(pv_groupsync_next_timeout(p->sync[0]), PV_NEVER);
    look(p, 0, false); /* the path goes and comes: nothing new */
    look(p, 0, true);
    pass(p, PV_S(10));
    assert_int_equal(p->passed, passed);
}

PV_TEST(changes_are_told)
{
    struct pair *p = met();
    pass(p, PV_S(10));
    want(p, 0, "ff05::c");
    pass(p, PV_MS(10));
    assert_string_equal(known(p, 1), "heard confirmed ff05::c");
    pv_groupsync_set_own(p->sync[0], NULL, 0, p->now);
    pass(p, PV_S(1));
    assert_string_equal(known(p, 1), "heard confirmed");
}

PV_TEST(a_lost_message_is_repeated_ever_less_often)
{
    struct pair *p = met();
    pass(p, PV_S(10));
    unsigned before = p->passed;
    p->cut = true;
    want(p, 0, "239.9.9.9");
    pass(p, PV_S(3600));
    assert_in_range(p->passed - before, 50, 70);
    assert_string_equal(known(p, 1), "heard confirmed 239.1.1.1");
    p->cut = false;
    pass(p, PV_S(60));
    assert_string_equal(known(p, 1), "heard confirmed 239.9.9.9");
    assert_string_equal(known(p, 0), "heard confirmed");
    /* Without a path nothing is repeated. */
    p->cut = true;
    want(p, 0, "239.9.9.8");
    look(p, 0, false);
    before = p->passed;
    pass(p, PV_S(3600));
    assert_in_range(p->passed - before, 0, 1);
}

PV_TEST(a_new_life_is_told_and_tells)
{
    struct pair *p = met();
    pass(p, PV_S(10));
    start(p, 1); /* it forgot everything */
    look(p, 1, true);
    pass(p, PV_S(2));
    assert_string_equal(known(p, 1), "heard confirmed 239.1.1.1");
    start(p, 0); /* and this one wants nothing any more */
    look(p, 0, true);
    pass(p, PV_S(2));
    assert_string_equal(known(p, 1), "heard confirmed");
}

struct message {
    unsigned n; /* so many were sent; the last one: */
    size_t len;
    uint8_t body[PV_GROUPTELL_BODY_MAX];
};

static void keep(void *arg, uint32_t id, struct pv_view body)
{
    struct message *m = arg;
    assert_int_equal(id, OTHER);
    m->n++;
    m->len = body.len;
    memcpy(m->body, body.ptr, body.len);
}

PV_TEST(a_message_that_was_overtaken_does_not_count)
{
    static struct message first, second;
    struct pair *p = met();
    pass(p, PV_S(10));
    want(p, 0, "239.2.2.2");
    pv_groupsync_handle_timeout(p->sync[0], p->now);
    pv_groupsync_send(p->sync[0], keep, &first);
    assert_int_equal(first.n, 1);
    p->now += PV_S(1);
    want(p, 0, "239.3.3.3");
    pv_groupsync_handle_timeout(p->sync[0], p->now);
    pv_groupsync_send(p->sync[0], keep, &second);
    assert_int_equal(second.n, 1);
    assert_true(pv_groupsync_take(&p->other[1], pv_view(second.body, second.len), p->now));
    assert_false(pv_groupsync_take(&p->other[1], pv_view(first.body, first.len), p->now));
    assert_false(pv_groupsync_take(&p->other[1], pv_view(second.body, second.len), p->now));
    assert_string_equal(known(p, 1), "heard confirmed 239.3.3.3");
}

/* Programs that join and leave a thousand times a second make a few messages. */
PV_TEST(a_node_that_changes_all_the_time_makes_no_flood)
{
    struct pair *p = met();
    pass(p, PV_S(10));
    unsigned before = p->passed;
    for (int i = 0; i < 10000; i++) {
        want(p, 0, i % 2 == 0 ? "239.2.2.2" : "239.3.3.3");
        pass(p, PV_MS(1));
    }
    assert_in_range(p->passed - before, 10, 50); /* 20 sets in 10 s, each with its answer */
    pass(p, PV_S(10));
    assert_string_equal(known(p, 1), "heard confirmed 239.3.3.3");
}

/* A member that floods is heard at its rate, and what it told last counts in the end. */
PV_TEST(a_flood_of_sets_is_not_taken)
{
    struct pair *p = met();
    pass(p, PV_S(10));
    struct pv_grouptell t = {.flags = PV_GROUPTELL_ASKS, .own = {9, 1}, .n = 1};
    unsigned taken = 0;
    static struct message answers;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t body[PV_GROUPTELL_BODY_MAX];
        size_t len;
        t.own.number = i + 1;
        t.groups[0] = group_named(i % 2 == 0 ? "239.2.2.2" : "239.3.3.3");
        pv_grouptell_build(&t, body, &len);
        taken += pv_groupsync_take(&p->other[1], pv_view(body, len), p->now);
        pv_groupsync_send(p->sync[1], keep, &answers);
    }
    assert_int_equal(taken, PV_GROUPSYNC_BURST);
    assert_in_range(answers.n, 1, PV_GROUPSYNC_BURST);
    assert_false(pv_groupsync_take(&p->other[1], pv_view(NULL, 0), p->now));
}

PV_TEST(whether_discovery_is_taken_is_told_too)
{
    struct pair *p = met();
    pass(p, PV_S(10));
    const struct pv_groupsync_seen no = {.there = true, .takes_discovery = false};
    pv_groupsync_look(&p->other[0], &no, p->now);
    pass(p, PV_S(1));
    assert_false(pv_groupsync_known(&p->other[1]).takes_discovery);
    assert_true(pv_groupsync_known(&p->other[0]).takes_discovery);
}

PV_TEST(a_member_is_reached_a_few_times)
{
    pv_ns again;
    unsigned wakes = 0;
    struct pair *p = make_pair();
    for (int s = 0; s < 600; s++, p->now += PV_S(1))
        wakes += pv_groupsync_wake(&p->other[0], p->now, &again);
    assert_int_equal(wakes, PV_GROUPSYNC_WAKES);
    assert_int_equal(again, PV_NEVER);
    /* It went and came. */
    pv_groupsync_away(&p->other[0]);
    assert_true(pv_groupsync_wake(&p->other[0], p->now, &again));
    assert_int_equal(again, p->now + PV_GROUPSYNC_WAKE_AGAIN);
    p->now += PV_GROUPSYNC_WAKE_AGAIN;
    look(p, 0, true);
    assert_false(pv_groupsync_wake(&p->other[0], p->now, &again));
    pv_groupsync_leave(&p->other[0]);
    assert_string_equal(known(p, 0), "unheard");
    pass(p, PV_S(5));
    assert_int_equal(p->passed, 0);
}
