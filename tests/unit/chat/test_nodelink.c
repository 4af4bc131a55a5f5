/* SPDX-License-Identifier: MIT */
/* Chat's end of the socket against the node's end: what chat is answered and told is what the node
 * says, whatever pieces the bytes come in, and each end survives the other. */
#include "tests/unit/chat/node_pair.h"

static void same_member(const struct pv_overlay_member *a, const struct pv_overlay_member *b)
{
    assert_memory_equal(a->key, b->key, sizeof(a->key));
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->kind, b->kind);
    assert_memory_equal(&a->ip4, &b->ip4, sizeof(a->ip4));
    assert_int_equal(a->is_self, b->is_self);
    assert_int_equal(a->is_peer, b->is_peer);
    assert_int_equal(a->is_there, b->is_there);
    assert_int_equal(a->presence, b->presence);
    assert_int_equal(a->joined, b->joined);
    assert_int_equal(a->by_invite, b->by_invite);
    assert_int_equal(a->renamed_since, b->renamed_since);
}

/* One question, asked directly and through the socket. */
static void ask_both(struct node_pair *p)
{
    struct pv_overlay_member a, b;
    uint8_t key[PV_SIGN_PK_LEN], ka[PV_PROOF_KEY_LEN], kb[PV_PROOF_KEY_LEN];
    uint8_t sa[PV_SIGN_LEN], sb[PV_SIGN_LEN];
    char ra[PV_OVERLAY_RULE_BUF], rb[PV_OVERLAY_RULE_BUF], word[32];
    size_t i = np_below(p, NP_MEMBERS);
    memcpy(key, p->members[i].key, sizeof(key));
    snprintf(word, sizeof(word), "m%zu", i);
    struct pv_addr addr = pv_addr4(10, 0, 0, (uint8_t)i, 0);
    const struct pv_overlay_query q = {
        .how = (enum pv_overlay_how)np_below(p, PV_OVERLAY_BY_RENAMED + 1),
        .key = key,
        .addr = &addr,
        .word = word};
    switch (np_below(p, 4)) {
    case 0:
        assert_int_equal(p->there.find(p, &q, &a), p->here.find(p->here.node, &q, &b));
        same_member(&a, &b);
        break;
    case 1: {
        enum pv_overlay_service s = (enum pv_overlay_service)np_below(p, 2);
        bool to = np_below(p, 2) == 1;
        assert_int_equal(p->there.may(p, key, s, to, ra),
                         p->here.may(p->here.node, key, s, to, rb));
        assert_string_equal(ra, rb);
        break;
    }
    case 2:
        assert_int_equal(p->there.link(p, key, ka), p->here.link(p->here.node, key, kb));
        assert_memory_equal(ka, kb, sizeof(ka));
        break;
    default: {
        static uint8_t body[17000];
        body[np_below(p, sizeof(body))]++;
        struct pv_view v = pv_view(body, np_below(p, sizeof(body)));
        p->answers = np_below(p, 3) == 0 ? PV_ERR_CRYPTO : PV_OK;
        assert_int_equal(p->there.sign(p, PV_APPSIGNER_ROOM, pv_view(key, 32), v, sa),
                         p->here.sign(p->here.node, PV_APPSIGNER_ROOM, pv_view(key, 32), v, sb));
        assert_memory_equal(sa, sb, sizeof(sa));
        break;
    }
    }
}

static void change_something(struct node_pair *p)
{
    struct pv_overlay_told told = pv_nodeserve_told(p->serve);
    size_t i = np_below(p, NP_MEMBERS - 10);
    struct pv_overlay_member *m = &p->members[i];
    m->is_there = !m->is_there;
    snprintf(m->name, sizeof(m->name), "m%u", np_below(p, NP_MEMBERS));
    told.member(told.chat, m->key, PV_OVERLAY_NEWS_MEMBER | PV_OVERLAY_NEWS_PATH, p->now);
}

PV_TEST(answers_as_the_node_does_in_pieces_and_through_changes)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct node_pair *p = np_new(seed);
        np_connect_both(p);
        for (unsigned i = 0; i < 300; i++) {
            if (np_below(p, 5) == 0) {
                change_something(p);
                np_settle(p);
            }
            p->now += PV_MS(1);
            ask_both(p);
        }
        assert_int_equal(pv_nodecall_state(p->call), PV_NODECALL_THERE);
        np_free(p);
    }
}

PV_TEST(lists_every_member_once_in_few_questions)
{
    struct node_pair *p = np_new(1);
    np_connect_both(p);
    struct pv_overlay_member m;
    size_t n = 0;
    for (const uint8_t *after = NULL; p->here.next(p->here.node, after, &m); after = m.key)
        same_member(&m, &p->members[n++]);
    assert_int_equal(n, p->n_members);
    np_free(p);
}

PV_TEST(asks_no_second_time_until_something_changes)
{
    struct node_pair *p = np_new(2);
    struct pv_overlay_told told = pv_nodeserve_told(p->serve);
    struct pv_overlay_member m;
    np_connect_both(p);
    const struct pv_overlay_query q = {.how = PV_OVERLAY_BY_WORD, .word = "m7"};
    assert_true(p->here.find(p->here.node, &q, &m));
    unsigned asked = p->n_asked;
    assert_true(p->here.find(p->here.node, &q, &m));
    assert_int_equal(p->n_asked, asked);
    told.gone(told.chat, m.key, p->now);
    np_settle(p);
    assert_true(p->here.find(p->here.node, &q, &m));
    assert_int_equal(p->n_asked, asked + 1);
    p->now += PV_S(2); /* without a word of the node it is asked again, too */
    assert_true(p->here.find(p->here.node, &q, &m));
    assert_int_equal(p->n_asked, asked + 2);
    np_free(p);
}

/* What chat asks for arrives at the node, and the node's answers at chat. */
PV_TEST(carries_requests_and_news)
{
    struct node_pair *p = np_new(3);
    struct pv_overlay *o = &p->here;
    struct pv_overlay_told told = pv_nodeserve_told(p->serve);
    static uint8_t content[16481];
    const uint8_t key[PV_SIGN_PK_LEN] = {0xab}, id[PV_CTL_KEY_LEN] = {0xcd};
    const struct pv_addr to = pv_addr4(10, 0, 0, 9, NP_PORT);
    np_connect_both(p);
    assert_string_equal(p->told, PV_STR("own %x me", PV_OVERLAY_NETWORK | PV_OVERLAY_OVERLAY |
                                                         PV_OVERLAY_WENT_ON | PV_OVERLAY_RULES));
#define DOES(call, text)                   \
    do {                                   \
        call;                              \
        np_settle(p);                      \
        assert_string_equal(p->did, text); \
    } while (0)
#define TELLS(call, text)                   \
    do {                                    \
        call;                               \
        np_settle(p);                       \
        assert_string_equal(p->told, text); \
    } while (0)
    DOES(o->want(o->node, key, "a message waits", p->now), "want ab chat");
    DOES(o->notice(o->node, key, pv_view(content, 1200), p->now), "notice ab 1200");
    DOES(o->keep(o->node, key, id, pv_view(content, sizeof(content)), p->now), "keep ab cd 16481");
    DOES(o->collect(o->node, 7, 6, p->now), "collect 7 6");
    DOES(assert_int_equal(o->connect(o->node, 9, &to, p->now), PV_OK), "connect 9 10.0.0.9:2047");
    const struct pv_overlay_notification of = {
        .from = "a", .to = "b", .room = "", .id = "i", .text = "hi", .time_ms = 5};
    DOES(assert_true(o->notify(o->node, &of, 4, p->now)), "notify a b  i hi 5 4");
    const struct pv_overlay_event event = {
        .kind = "room", .what = "made", .who = "#crew", .text = "pi made #crew", .body = "{}"};
    DOES(o->tell(o->node, &event, p->now), "tell room made #crew pi made #crew {}");
    struct pv_overlay_page page = {.counted = true, .unread = 3, .queued = 2, .n = 2};
    page.lines[1].kind = PV_OVERLAY_LINE_DROP;
    page.lines[1].count = 7;
    memcpy(page.lines[1].text, "chat-flood", sizeof("chat-flood"));
    DOES(o->report(o->node, 8, &page, p->now), "report 8 1 3 2 2 2 chat-flood 7");
    TELLS(told.asked(told.chat, 8, p->now), "asked 8");
    TELLS(o->explain(o->node, "send", "zed", PV_OVERLAY_NEEDS_NODE, 77, p->now),
          "explained 77 6 send: no zed (2)");
    TELLS(told.notice(told.chat, key, pv_view(content, 1200), p->now), "heard ab 1200");
    TELLS(told.kept(told.chat, PV_ERR_REFUSED, PV_CTL_E_STATE, p->now),
          PV_STR("kept %d %d", PV_ERR_REFUSED, PV_CTL_E_STATE));
    const struct pv_overlay_copy copy = {
        .number = 3, .from = key, .content = pv_view(content, sizeof(content))};
    TELLS(told.collected(told.chat, &copy, p->now), "collected 0 3 somebody 0 16481");
    TELLS(told.collected(told.chat, &(struct pv_overlay_copy){0}, p->now),
          "collected 0 0 nobody 0 0");
    TELLS(told.copies(told.chat, p->now), "copies");
    TELLS(told.notified(told.chat, 4, -2, "no program", p->now), "notified 4 -2 no program");
    TELLS(told.connected(told.chat, 9, -111, -1, p->now), "connected 9 -111 -1");
    assert_int_equal(pv_nodeserve_state(p->serve), PV_NODESERVE_THERE);
    assert_int_equal(pv_nodecall_state(p->call), PV_NODECALL_THERE);
    np_free(p);
}

PV_TEST(hands_over_descriptors_in_order_and_closes_what_chat_refuses)
{
    struct node_pair *p = np_new(4);
    struct pv_overlay_told told = pv_nodeserve_told(p->serve);
    struct pv_addr remote = pv_addr4(10, 0, 0, 9, 5000);
    uint32_t stream;
    np_connect_both(p);
    told.connected(told.chat, 1, PV_OK, np_fd(p), p->now);
    assert_int_equal(told.accepted(told.chat, 2048, &remote, np_fd(p), &stream, p->now), PV_OK);
    told.connected(told.chat, 2, PV_OK, np_fd(p), p->now);
    np_settle(p);
    assert_int_equal(p->n_told, 4); /* own() was the first */
    assert_int_equal(p->n_open, 3); /* chat's; the node has closed its own */
    p->answers = PV_ERR_LIMIT;
    assert_int_equal(told.accepted(told.chat, NP_PORT, &remote, np_fd(p), &stream, p->now), PV_OK);
    np_settle(p);
    assert_int_equal(p->n_open, 3);
    np_free(p);
}

PV_TEST(knows_people_while_the_node_is_away_and_lets_nothing_pass)
{
    struct node_pair *p = np_new(5);
    struct pv_overlay *o = &p->here;
    struct pv_overlay_member m;
    uint8_t key[PV_SIGN_PK_LEN], pair[PV_PROOF_KEY_LEN], sig[PV_SIGN_LEN];
    size_t n = 0;
    np_connect_both(p);
    for (const uint8_t *after = NULL; o->next(o->node, after, &m); after = m.key)
        memcpy(key, m.key, sizeof(key));
    pv_nodeserve_down(p->serve);
    pv_nodecall_down(p->call, p->now);
    assert_string_equal(
        p->told, PV_STR("own %x me", PV_OVERLAY_OVERLAY | PV_OVERLAY_WENT_OFF | PV_OVERLAY_RULES));
    assert_true(pv_overlay_by_key(o, key, &m));
    assert_false(m.is_there);
    assert_int_equal(m.presence, PV_OVERLAY_UNKNOWN);
    for (const uint8_t *after = NULL; o->next(o->node, after, &m); after = m.key)
        n++;
    assert_int_equal(n, p->n_members);
    assert_int_equal(o->may(o->node, key, PV_OVERLAY_CHAT, true, NULL), PV_OVERLAY_NOT_KNOWN);
    assert_int_equal(o->link(o->node, key, pair), PV_OVERLAY_LINK_UNKNOWN);
    assert_int_equal(o->sign(o->node, PV_APPSIGNER_ROOM, pv_view("a", 1), pv_view("b", 1), sig),
                     PV_ERR_CLOSED);
    assert_false(o->own(o->node)->on_overlay);
    o->explain(o->node, "send", "m1", PV_OVERLAY_NEEDS_NODE, 5, p->now);
    pv_nodecall_run(p->call, p->now);
    assert_string_equal(p->told,
                        PV_STR("explained 5 %d send: p2pvpnd is away", PV_CTLAPI_NOT_RUNNING));
    np_connect_both(p);
    assert_int_equal(pv_nodecall_state(p->call), PV_NODECALL_THERE);
    assert_true(o->own(o->node)->on_overlay);
    np_free(p);
}

PV_TEST(gives_a_hanging_node_up)
{
    struct node_pair *p = np_new(6);
    uint8_t key[PV_SIGN_PK_LEN] = {1};
    np_connect_both(p);
    p->hangs = true;
    assert_int_equal(p->here.may(p->here.node, key, PV_OVERLAY_CHAT, true, NULL),
                     PV_OVERLAY_NOT_KNOWN);
    assert_int_equal(pv_nodecall_state(p->call), PV_NODECALL_ENDED);
    np_free(p);
}

PV_TEST(ends_the_connection_of_a_chat_that_does_not_read)
{
    struct node_pair *p = np_new(7);
    struct pv_overlay_told told = pv_nodeserve_told(p->serve);
    static const uint8_t key[PV_SIGN_PK_LEN], body[1200];
    np_connect_both(p);
    for (unsigned i = 0; i < 1000; i++)
        told.notice(told.chat, key, pv_view(body, sizeof(body)), p->now);
    assert_int_equal(pv_nodeserve_state(p->serve), PV_NODESERVE_ENDED);
    np_free(p);
}

/* A program in chat's place that sends what it likes: whatever is not a right request ends its
 * connection, and nothing was done. */
PV_TEST(obeys_no_wrong_frame)
{
    static const struct {
        unsigned type;
        bool has_fd;
        uint8_t body[60];
        size_t len;
    } wrong[] = {
        {PV_NODEWIRE_N_REQUESTS, false, {0}, 0},
        {PV_NODEWIRE_OWN, false, {0}, 0},
        {255, false, {0}, 0},
        {PV_NODEWIRE_MAY, false, {[32] = 2}, 34},                        /* service */
        {PV_NODEWIRE_MAY, false, {[33] = 2}, 34},                        /* to */
        {PV_NODEWIRE_MAY, false, {0}, 33},                               /* short */
        {PV_NODEWIRE_MAY, false, {0}, 35},                               /* long */
        {PV_NODEWIRE_SIGN, false, {2}, 5},                               /* a domain that is none */
        {PV_NODEWIRE_FIND, false, {99}, 34},                             /* how */
        {PV_NODEWIRE_FIND, false, {PV_OVERLAY_BY_WORD, 0, 0, 1}, 5},     /* NUL in a word */
        {PV_NODEWIRE_CONNECT, false, {[4] = 4, 10, 0, 0, 9, 0, 22}, 11}, /* port 22 */
        {PV_NODEWIRE_NOTICE, false, {[32] = 0x04, [33] = 0xb1}, 60},     /* longer than its frame */
        {PV_NODEWIRE_COLLECT, true, {0}, 16},                            /* a descriptor */
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(wrong); i++) {
        struct node_pair *p = np_new(8);
        uint8_t frame[PV_NODEWIRE_HEAD + 60] = {(uint8_t)wrong[i].type, wrong[i].has_fd, 0, 0, 0,
                                                (uint8_t)wrong[i].len};
        memcpy(frame + PV_NODEWIRE_HEAD, wrong[i].body, 60);
        np_connect_both(p);
        struct pv_nodepipe *pipe = pv_nodeserve_pipe(p->serve);
        assert_int_equal(pv_nodepipe_came(pipe, pv_view(frame, PV_NODEWIRE_HEAD + wrong[i].len),
                                          wrong[i].has_fd ? np_fd(p) : -1),
                         PV_OK);
        pv_nodeserve_run(p->serve, p->now);
        assert_int_equal(pv_nodeserve_state(p->serve), PV_NODESERVE_ENDED);
        assert_string_equal(p->did, "");
        assert_int_equal(p->n_open, 0);
        np_free(p);
    }
}
