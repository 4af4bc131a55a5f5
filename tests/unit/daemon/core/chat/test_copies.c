/* SPDX-License-Identifier: MIT */
/* The part that has copies kept for who is away, at the coordinator and at members: what it asks
 * for, in what order, and what it does about every answer. */
#include "daemon/core/chat/copies.h"
#include "daemon/core/chat/copies_int.h"
#include "proto/chat/copy.h"
#include "proto/chat/parcel.h"
#include "tests/unit/daemon/core/fake_chat.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/kem_double.h"

static struct fake_chat chat;
static struct fake_node *const node = &chat.node;

static int begin(bool store, bool hold)
{
    struct pv_job *job;
    fake_chat_init(&chat, &pv_part_copies);
    node->cfg.chat_store = store;
    node->cfg.chat_hold = hold;
    fake_chat_make_link(&chat);
    fake_chat_make_rooms(&chat);
    fake_chat_start(&chat);
    job = fake_chat_job(&chat, PV_CHATJOB_COPIES); /* how many lie here */
    assert_int_equal(job->u.chat->copies->kind, PV_COPYJOB_COUNT);
    fake_chat_answer(&chat, job, PV_OK, NULL);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return begin(true, false);
}

static int start_unwanted(void **state)
{
    (void)state;
    return begin(false, false);
}

static int stop(void **state)
{
    (void)state;
    fake_coord_done();
    fake_chat_done(&chat, true, true);
    return 0;
}

static void set_online(bool online)
{
    node->node.online = online;
    pv_node_raise(&node->node, online ? PV_FACT_ONLINE : PV_FACT_OFFLINE);
    fake_peers_settle(&chat.peers);
}

/* The next request must be of this type; it gets this answer. */
static void answer(enum pv_ctl_type asked, const struct pv_ctl_msg *msg)
{
    uint64_t tag;
    struct pv_ctl_msg *request = fake_coord_take(asked, &tag);
    pv_part_copies.on_answer(node->self, tag, msg, node->now);
    fake_peers_settle(&chat.peers);
    pv_ctl_msg_free(request);
}

static void answer_error(enum pv_ctl_type asked, enum pv_ctl_error error)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_ERROR};
    msg.u.failure.error = error;
    answer(asked, &msg);
}

/* Nothing waits at the coordinator for this node. */
static void nothing_to_collect(void)
{
    const struct pv_ctl_msg none = {.type = PV_CTL_COPY};
    answer(PV_CTL_COLLECT, &none);
}

/* Online, and bob away with n messages waiting; the list of them is with the part. */
static void have_waiting(size_t n)
{
    set_online(true);
    nothing_to_collect();
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    struct pv_job *job = fake_chat_job(&chat, PV_CHATJOB_UNCOPIED);
    assert_memory_equal(job->u.chat->peer, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, n));
}

static void expect_noted(void)
{
    struct pv_job *job = fake_chat_job(&chat, PV_CHATJOB_COPIED);
    assert_int_equal(job->u.chat->n_ids, 1);
    fake_chat_answer(&chat, job, PV_OK, NULL);
}

static const struct pv_ctl_msg done = {.type = PV_CTL_DONE};

static void what_waits_for_a_peer_that_is_away_is_stored_one_after_the_other(void **state)
{
    (void)state;
    have_waiting(2);
    assert_int_equal(fake_coord.n, 1);
    answer(PV_CTL_KEEP, &done);
    expect_noted();
    assert_int_equal(fake_coord.n, 1);
    answer(PV_CTL_KEEP, &done);
    expect_noted();
    assert_int_equal(fake_coord.n, 0);
}

static void a_copy_can_be_opened_by_its_receiver_alone(void **state)
{
    uint64_t tag;
    (void)state;
    have_waiting(1);
    struct pv_ctl_msg *m = fake_coord_take(PV_CTL_KEEP, &tag);
    struct pv_signal_route route;
    struct pv_noise_static bob = {.sk = chat.bob_sk};
    uint8_t *buf = malloc(PV_PARCEL_CONTENT_MAX);
    struct pv_parcel parcel;
    memcpy(route.network_id, pv_roster_network_id(node->node.roster), sizeof(route.network_id));
    memcpy(route.from, node->identity.sign_pk, sizeof(route.from));
    memcpy(route.to, chat.bob_keys.pk, sizeof(route.to));
    memcpy(bob.pk, chat.bob_pk, sizeof(bob.pk));
    assert_int_equal(pv_parcel_open(&route, &bob, m->u.keep.box, buf, &parcel), PV_OK);
    assert_int_equal(parcel.text.len, 5);
    assert_memory_equal(parcel.text.ptr, "hello", 5);
    uint8_t wrong[PV_DH_LEN];
    memcpy(wrong, bob.sk, sizeof(wrong));
    wrong[0] ^= 8;
    bob.sk = wrong;
    assert_true(pv_parcel_open(&route, &bob, m->u.keep.box, buf, &parcel) < 0);
    free(buf);
    pv_ctl_msg_free(m);
}

static void who_comes_back_gets_the_rest_directly(void **state)
{
    (void)state;
    have_waiting(2);
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    answer(PV_CTL_KEEP, &done);
    expect_noted();
    assert_int_equal(fake_coord.n, 0);
}

static void a_coordinator_that_stores_nothing_is_not_asked_again_on_this_connection(void **state)
{
    (void)state;
    have_waiting(1);
    answer_error(PV_CTL_KEEP, PV_CTL_E_NOT_ALLOWED);
    fake_peers_presence(&chat.peers, chat.carol, PV_PRESENCE_OFFLINE);
    assert_null(fake_node_job(node));
    set_online(false);
    set_online(true);
    assert_int_equal(fake_coord.n, 1); /* another coordinator, perhaps */
}

static void a_full_coordinator_is_asked_again_after_a_minute(void **state)
{
    (void)state;
    have_waiting(2);
    answer_error(PV_CTL_KEEP, PV_CTL_E_LIMIT);
    fake_node_wait(node, PV_S(59));
    assert_null(fake_node_job(node));
    fake_node_wait(node, PV_S(2));
    struct pv_job *job = fake_chat_job(&chat, PV_CHATJOB_UNCOPIED);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, 2));
    assert_int_equal(fake_coord.n, 1);
}

static void what_waits_is_stored_anew_an_hour_after_the_start_and_each_day(void **state)
{
    (void)state;
    have_waiting(0);
    for (pv_ns t = PV_S(3600); t <= PV_S(86400); t += PV_S(82800)) {
        fake_node_wait(node, t - PV_S(1));
        assert_null(fake_node_job(node));
        fake_node_wait(node, PV_S(1));
        fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_RECOPY), PV_OK,
                         fake_chat_backlog(chat.bob_keys.pk));
        fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_UNCOPIED), PV_OK,
                         fake_chat_messages(chat.bob_keys.pk, 0));
    }
}

/* One whose room there is full holds up the others by its part of the minute. */
static void who_has_no_room_there_does_not_hold_up_the_others_for_a_minute(void **state)
{
    (void)state;
    have_waiting(1);
    fake_peers_presence(&chat.peers, chat.carol, PV_PRESENCE_OFFLINE);
    answer_error(PV_CTL_KEEP, PV_CTL_E_LIMIT);
    fake_node_wait(node, PV_S(29));
    assert_null(fake_node_job(node));
    fake_node_wait(node, PV_S(2));
    struct pv_job *job = fake_chat_job(&chat, PV_CHATJOB_UNCOPIED);
    assert_memory_equal(job->u.chat->peer, chat.carol_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.carol_keys.pk, 0));
    job = fake_chat_job(&chat, PV_CHATJOB_UNCOPIED); /* and bob again */
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, 0));
}

static void a_lost_connection_forgets_what_was_asked_and_begins_anew(void **state)
{
    (void)state;
    have_waiting(2);
    set_online(false);
    fake_coord_done();
    set_online(true);
    nothing_to_collect();
    struct pv_job *job = fake_chat_job(&chat, PV_CHATJOB_UNCOPIED);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, 2));
    assert_int_equal(fake_coord.n, 1);
}

static void messages_of_another_peer_are_never_sealed_for_this_one(void **state)
{
    (void)state;
    set_online(true);
    nothing_to_collect();
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    struct pv_job *job = fake_chat_job(&chat, PV_CHATJOB_UNCOPIED);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.carol_keys.pk, 1));
    assert_int_equal(fake_coord.n, 0);
}

static void a_store_that_fails_is_asked_again_later(void **state)
{
    (void)state;
    set_online(true);
    nothing_to_collect();
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_UNCOPIED), PV_ERR_NO_SPACE, NULL);
    assert_null(fake_node_job(node));
    fake_node_wait(node, PV_S(61));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_UNCOPIED), PV_OK,
                     fake_chat_messages(chat.bob_keys.pk, 0));
}

static void without_store_in_the_configuration_nothing_is_kept_or_collected(void **state)
{
    (void)state;
    set_online(true);
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    assert_int_equal(fake_coord.n, 0);
    assert_null(fake_node_job(node));
}

/* The key of alice that bob seals to; NULL: the one she uses. */
static const uint8_t *sealed_to;

static const struct pv_sealing_to *sealed_hybrid; /* NULL: hand_over() makes other boxes */
static char sealed_text[PV_CHAT_TEXT_MAX + 1] = "hi";

/* A box of bob's for alice: PV_PARCEL_BOX_MAX bytes, the caller frees it. */
static uint8_t *make_box(uint8_t id, size_t *ret_len)
{
    struct pv_signal_route route;
    struct pv_noise_static bob = {.sk = chat.bob_sk};
    const struct pv_parcel_keys keys = {.local = &bob,
                                        .remote =
                                            sealed_to != NULL ? sealed_to : node->identity.dh_pk,
                                        .sk = chat.bob_keys.sk,
                                        .hybrid = sealed_hybrid};
    const struct pv_parcel parcel = {.id = {id},
                                     .seq = 1,
                                     .time_ms = 1700000000000,
                                     .text = pv_view(sealed_text, strlen(sealed_text))};
    uint8_t *box = malloc(PV_PARCEL_BOX_MAX);
    memcpy(bob.pk, chat.bob_pk, sizeof(bob.pk));
    memcpy(route.network_id, pv_roster_network_id(node->node.roster), sizeof(route.network_id));
    memcpy(route.from, chat.bob_keys.pk, sizeof(route.from));
    memcpy(route.to, node->identity.sign_pk, sizeof(route.to));
    assert_int_equal(pv_parcel_seal(&route, &keys, &node->node.rng, &parcel, box, ret_len), PV_OK);
    return box;
}

/* A copy from bob for alice, as the coordinator hands it over. */
static void hand_over(uint64_t number, bool forged)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_COPY};
    size_t len;
    uint8_t *box = make_box(9, &len);
    box[len / 2] ^= forged;
    msg.u.copy.n = number;
    memcpy(msg.u.copy.from, chat.bob_keys.pk, sizeof(msg.u.copy.from));
    msg.u.copy.box = pv_view(box, len);
    answer(PV_CTL_COLLECT, &msg);
    free(box);
}

/* What chatlink has stored is on disk, or not. */
static void commit(int status)
{
    struct pv_chatjob *job;
    uint64_t tag;
    while (pv_chatlink_poll_job(node->node.chatlink, &tag, &job) == PV_OK) {
        struct pv_chatjob_result none = {.n_msgs = 0, .n_taken = job->n_msgs};
        if (job->kind == PV_CHATJOB_COMMIT)
            pv_chatlink_handle_job(node->node.chatlink, tag, status, status == PV_OK ? &none : NULL,
                                   node->now);
        pv_chatjob_free(job);
    }
    fake_peers_settle(&chat.peers);
}

static void expect_collect(uint64_t after, uint64_t taken)
{
    assert_int_equal(fake_coord.n, 1);
    assert_int_equal(fake_coord.asked[0].msg->type, PV_CTL_COLLECT);
    assert_int_equal(fake_coord.asked[0].msg->u.collect.after, after);
    assert_int_equal(fake_coord.asked[0].msg->u.collect.taken, taken);
}

static void a_copy_is_forgotten_there_only_once_it_is_on_disk_here(void **state)
{
    (void)state;
    set_online(true);
    expect_collect(0, 0);
    hand_over(17, false);
    assert_int_equal(fake_coord.n, 0); /* not on disk yet */
    commit(PV_OK);
    expect_collect(17, 17);
    nothing_to_collect();
    assert_int_equal(fake_coord.n, 0);
}

/* Alice changed her transport key, twice. */
static void change_key_twice(void)
{
    struct pv_identity *id = &node->identity;
    for (int i = 0; i < 2; i++) {
        struct pv_other_key *former = &id->others[2 - i];
        memcpy(former->sk, id->dh_sk, sizeof(former->sk));
        memcpy(former->pk, id->dh_pk, sizeof(former->pk));
        former->used = true;
        former->replaced_s = 1700000000;
        pv_dh_keypair(&node->node.rng, id->dh_sk, id->dh_pk);
    }
}

static void a_copy_that_was_sealed_to_a_former_key_is_opened(void **state)
{
    (void)state;
    change_key_twice();
    set_online(true);
    sealed_to = node->identity.others[2].pk;
    hand_over(17, false);
    sealed_to = NULL;
    commit(PV_OK);
    expect_collect(17, 17);
}

/* With the longest text as well, whose hybrid box is longer than any other one. */
static void a_long_hybrid_copy_to_a_former_key_is_opened(void **state)
{
    uint8_t cert[PV_SEALING_CERT_LEN];
    const struct pv_sealing_to to = {.kem = &kem_double, .ek = cert};
    (void)state;
    change_key_twice();
    assert_int_equal(pv_sealing_certify(&kem_double, node->identity.sign_sk, cert), PV_OK);
    set_online(true);
    memset(sealed_text, 'x', PV_CHAT_TEXT_MAX);
    sealed_to = node->identity.others[2].pk;
    sealed_hybrid = &to;
    hand_over(17, false); /* without a KEM it stays where it is */
    expect_collect(17, 0);
    chat.peers.env.kem = &kem_double;
    hand_over(18, false);
    assert_int_equal(fake_coord.n, 0);
    commit(PV_OK);
    expect_collect(18, 18);
    sealed_to = NULL;
    sealed_hybrid = NULL;
    memcpy(sealed_text, "hi", 3);
}

/* A hybrid one is read by who has a KEM, and else stays for the time when this node has one. */
static void a_hybrid_copy_is_read_or_left_where_it_is(void **state)
{
    uint8_t cert[PV_SEALING_CERT_LEN];
    const struct pv_sealing_to to = {.kem = &kem_double, .ek = cert};
    (void)state;
    assert_int_equal(pv_sealing_certify(&kem_double, node->identity.sign_sk, cert), PV_OK);
    set_online(true);
    sealed_hybrid = &to;
    hand_over(17, false);
    expect_collect(17, 0); /* the next one, and this one is not taken */
    chat.peers.env.kem = &kem_double;
    hand_over(18, false);
    assert_int_equal(fake_coord.n, 0);
    commit(PV_OK);
    expect_collect(18, 18);
    hand_over(19, true); /* who has a KEM sees that it is worth nothing */
    expect_collect(19, 19);
    sealed_hybrid = NULL;
}

/* [security] pq = require: for who was never met there is no key, so nothing is stored elsewhere.
 */
static void who_requires_it_stores_no_other_copy(void **state)
{
    (void)state;
    chat.peers.env.pq = PV_PQ_REQUIRE;
    set_online(true);
    nothing_to_collect();
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    assert_null(fake_node_job(node));
    assert_int_equal(fake_coord.n, 0);
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    chat.peers.env.pq = PV_PQ_ON;
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_UNCOPIED), PV_OK, NULL);
}

static void a_copy_that_could_not_be_stored_is_asked_for_again(void **state)
{
    (void)state;
    set_online(true);
    hand_over(17, false);
    commit(PV_ERR_NO_SPACE);
    assert_int_equal(fake_coord.n, 0);
    fake_node_wait(node, PV_S(61));
    expect_collect(0, 0);
}

static void a_forged_copy_is_deleted_there_and_the_next_asked_for(void **state)
{
    (void)state;
    set_online(true);
    hand_over(17, true);
    expect_collect(17, 17);
}

static void news_while_collecting_is_looked_at_afterwards(void **state)
{
    const struct pv_ctl_msg news = {.type = PV_CTL_COPY};
    (void)state;
    set_online(true);
    pv_part_copies.on_push(node->self, &news, node->now);
    assert_int_equal(fake_coord.n, 1);
    nothing_to_collect();
    expect_collect(0, 0);
    nothing_to_collect();
    assert_int_equal(fake_coord.n, 0);
}

static void members_are_asked_when_the_coordinator_is_away_for_long_enough(void **state)
{
    (void)state;
    fake_node_wait(node, PV_S(9));
    assert_null(fake_node_job(node));
    fake_node_wait(node, PV_S(2));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_COUNTS), PV_OK,
                     fake_chat_backlog(chat.bob_keys.pk));
    assert_null(fake_node_job(node)); /* nobody here is willing to hold them */
}

/* --- copies at members ------------------------------------------------------------------------ */

static uint32_t connection_of(const struct pv_peer *p)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "member"};
    uint32_t sid;
    memcpy(source.pk, pv_peer_pk(p), sizeof(source.pk));
    assert_int_equal(pv_chatlink_accepted(node->node.chatlink, &source, node->now, &sid), PV_OK);
    return sid;
}

/* A frame about the message with this id and the member pk comes on the connection. */
static void say(uint32_t sid, enum pv_copy_kind kind, uint8_t id, const uint8_t *pk,
                struct pv_view box)
{
    struct pv_copy_frame *f = calloc(1, sizeof(*f));
    char *line = malloc(PV_CHAT_LINE_MAX);
    size_t len;
    f->kind = kind;
    f->key[0] = id;
    f->box_len = box.len;
    if (box.len > 0)
        memcpy(f->box, box.ptr, box.len);
    memcpy(f->node, pk, sizeof(f->node));
    assert_int_equal(pv_copy_frame_write(f, line, &len), PV_OK);
    pv_chatlink_handle_bytes(node->node.chatlink, sid, pv_view(line, len), 1, node->now);
    fake_peers_settle(&chat.peers);
    free(line);
    free(f);
}

/* The first frame that went out on the connection is this one, with this word; what went out is
 * gone then. */
static void expect_said(uint32_t sid, enum pv_copy_kind kind, bool yes)
{
    struct pv_copy_frame *f = calloc(1, sizeof(*f));
    struct pv_view out = pv_chatlink_out(node->node.chatlink, sid);
    const uint8_t *end = out.len == 0 ? NULL : memchr(out.ptr, '\n', out.len);
    assert_non_null(end);
    assert_int_equal(pv_copy_frame_parse(pv_view(out.ptr, (size_t)(end - out.ptr)), f), PV_OK);
    assert_int_equal(f->kind, kind);
    assert_int_equal(f->yes, yes);
    pv_chatlink_wrote(node->node.chatlink, sid, out.len, node->now);
    free(f);
}

static const uint8_t some_box[100] = {1};

static void a_node_that_holds_nothing_refuses_to(void **state)
{
    (void)state;
    uint32_t bob = connection_of(chat.bob);
    say(bob, PV_COPY_KEEP, 0, chat.carol_keys.pk, pv_view(some_box, sizeof(some_box)));
    expect_said(bob, PV_COPY_KEPT, false);
    assert_int_equal(fake_node_drops(node, "copy-refused"), 1);
}

static int start_holding(void **state)
{
    (void)state;
    return begin(true, true);
}

/* The next job about copies; NULL: there is none. A new connection asks each time what became of
 * our own, which is not looked at here. */
static struct pv_job *next_copy_job(void)
{
    struct pv_job *job;
    while ((job = fake_node_job(node)) != NULL && job->u.chat->kind == PV_CHATJOB_COPIES &&
           job->u.chat->copies->kind == PV_COPYJOB_OVER)
        fake_chat_answer(&chat, job, PV_OK, NULL);
    return job;
}

static struct pv_job *copy_job(enum pv_copyjob_kind kind)
{
    struct pv_job *job = next_copy_job();
    assert_non_null(job);
    assert_int_equal(job->u.chat->kind, PV_CHATJOB_COPIES);
    assert_int_equal(job->u.chat->copies->kind, kind);
    return job;
}

/* The store has written the copy. */
static void answer_put(struct pv_job *job)
{
    struct pv_chatjob_result *r = calloc(1, sizeof(*r));
    r->copies = calloc(1, sizeof(*r->copies));
    r->copies->total = 1;
    fake_chat_answer(&chat, job, PV_OK, r);
}

/* A member that sends copies faster than the disk takes them leaves room for those of others. */
static void one_sender_does_not_fill_the_way_to_the_disk(void **state)
{
    const struct pv_peer *dave = fake_peers_member(&chat.peers, 9, "dave", 9);
    uint32_t bob = connection_of(chat.bob), carol = connection_of(chat.carol);
    const struct pv_view box = pv_view(some_box, sizeof(some_box));
    (void)state;
    for (uint8_t id = 1; id <= PV_COPIES_OF_MEMBER; id++)
        say(bob, PV_COPY_KEEP, id, pv_peer_pk(dave), box);
    assert_int_equal(pv_chatlink_out(node->node.chatlink, bob).len, 0);
    say(bob, PV_COPY_KEEP, 9, pv_peer_pk(dave), box);
    expect_said(bob, PV_COPY_KEPT, false);
    say(carol, PV_COPY_KEEP, 1, pv_peer_pk(dave), box);
    for (size_t i = 0; i <= PV_COPIES_OF_MEMBER; i++)
        answer_put(copy_job(PV_COPYJOB_PUT));
    expect_said(bob, PV_COPY_KEPT, true);
    expect_said(carol, PV_COPY_KEPT, true);
    say(bob, PV_COPY_KEEP, 9, pv_peer_pk(dave), box);
    answer_put(copy_job(PV_COPYJOB_PUT));
    expect_said(bob, PV_COPY_KEPT, true);
}

/* How many messages chatlink has stored; all of them are on disk then. */
static size_t commit_all(void)
{
    struct pv_chatjob *job;
    size_t n = 0;
    uint64_t tag;
    while (pv_chatlink_poll_job(node->node.chatlink, &tag, &job) == PV_OK) {
        struct pv_chatjob_result none = {.n_taken = job->n_msgs};
        n += job->kind == PV_CHATJOB_COMMIT ? job->n_msgs : 0;
        if (job->kind == PV_CHATJOB_COMMIT)
            pv_chatlink_handle_job(node->node.chatlink, tag, PV_OK, &none, node->now);
        pv_chatjob_free(job);
    }
    fake_peers_settle(&chat.peers);
    return n;
}

static void deliver(uint32_t holder, uint8_t id)
{
    size_t len;
    uint8_t *box = make_box(id, &len);
    say(holder, PV_COPY_DELIVER, id, chat.bob_keys.pk, pv_view(box, len));
    free(box);
}

/* The same for a holder that hands over more than one copy at a time. */
static void one_holder_does_not_fill_the_way_to_the_disk(void **state)
{
    uint32_t bob = connection_of(chat.bob), carol = connection_of(chat.carol);
    (void)state;
    for (uint8_t id = 1; id <= PV_COPIES_TAKES + 8; id++)
        deliver(bob, id);
    deliver(carol, 100);
    assert_int_equal(commit_all(), PV_COPIES_OF_MEMBER + 1);
    expect_said(carol, PV_COPY_TAKEN, true);
}

/* Bob sends more than is taken at a time: his copies stay where they are, and those behind them, of
 * others, are collected. */
static void an_author_who_sends_too_much_does_not_hold_up_the_copies_of_others(void **state)
{
    static char text[PV_CHAT_TEXT_MAX];
    struct pv_chatlink_copy copy = {.pk = chat.bob_keys.pk,
                                    .name = "bob",
                                    .text = pv_view(text, sizeof(text)),
                                    .seq = 1,
                                    .number = 1000};
    int r = PV_OK;
    (void)state;
    memset(text, 'x', sizeof(text));
    set_online(true);
    expect_collect(0, 0);
    for (uint8_t id = 0; r == PV_OK && id < 255; id++) {
        copy.id = (uint8_t[PV_CHAT_ID_LEN]){id};
        r = pv_chatlink_take_copy(node->node.chatlink, &copy, node->now);
    }
    assert_int_equal(r, PV_ERR_LIMIT);
    hand_over(17, false);
    expect_collect(17, 0);
    uint32_t carol = connection_of(chat.carol);
    deliver(carol, 9);
    expect_said(carol, PV_COPY_TAKEN, false);
}

/* The store looks whether something lies here for this member, and finds a copy of bob's. */
static void find_one_for(const struct pv_peer *p)
{
    struct pv_job *job = copy_job(PV_COPYJOB_NEXT);
    struct pv_chatjob_result *r = calloc(1, sizeof(*r));
    assert_memory_equal(job->u.chat->copies->to, pv_peer_pk(p), 32);
    r->copies = calloc(1, sizeof(*r->copies));
    r->copies->total = r->copies->copy.n = 1;
    r->copies->copy.box = calloc(1, sizeof(some_box));
    r->copies->copy.box_len = sizeof(some_box);
    memcpy(r->copies->copy.from, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, r);
}

/* As many receivers as are served at once are handed a copy and never answer. */
static void receivers_that_do_not_answer_delay_the_others_and_shut_nobody_out(void **state)
{
    char name[16];
    (void)state;
    set_online(true);
    nothing_to_collect();
    uint32_t bob = connection_of(chat.bob);
    say(bob, PV_COPY_KEEP, 1, chat.carol_keys.pk, pv_view(some_box, sizeof(some_box)));
    answer_put(copy_job(PV_COPYJOB_PUT));
    for (unsigned i = 0; i < PV_COPIES_GIVES; i++) {
        snprintf(name, sizeof(name), "slow%u", i);
        struct pv_peer *p = fake_peers_member(&chat.peers, 20 + i, name, (uint16_t)(20 + i));
        say(connection_of(p), PV_COPY_TAKEN, 1, chat.bob_keys.pk, pv_view(NULL, 0));
        fake_peers_presence(&chat.peers, p, PV_PRESENCE_ONLINE);
        find_one_for(p);
    }
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    fake_peers_presence(&chat.peers, chat.carol, PV_PRESENCE_ONLINE);
    fake_node_wait(node, PV_S(19));
    assert_null(next_copy_job());
    fake_node_wait(node, PV_S(2));
    find_one_for(chat.bob);
    find_one_for(chat.carol);
    assert_null(next_copy_job());
}

/* It is here, and says that it holds copies. */
static uint32_t become_holder(struct pv_peer *p)
{
    p->remote = calloc(1, sizeof(*p->remote));
    assert_non_null(p->remote);
    p->remote->caps = PV_DESC_CAP_HOLD;
    p->descx.theirs.gen = 1;
    fake_peers_path(&chat.peers, p, true);
    uint32_t sid = connection_of(p);
    say(sid, PV_COPY_TAKEN, 1, chat.bob_keys.pk, pv_view(NULL, 0));
    return sid;
}

/* The coordinator is away, and messages wait for so many members that are away, too. */
static void have_backlog(unsigned n)
{
    struct pv_chatjob_result *r = calloc(1, sizeof(*r));
    struct pv_job *job;
    char name[16];
    fake_node_wait(node, PV_S(11));
    while ((job = next_copy_job()) != NULL && job->u.chat->kind != PV_CHATJOB_COUNTS)
        fake_chat_answer(&chat, job, PV_OK, NULL);
    assert_non_null(job);
    r->backlog = calloc(n, sizeof(*r->backlog));
    for (; r->n_backlog < n; r->n_backlog++) {
        unsigned i = (unsigned)r->n_backlog;
        snprintf(name, sizeof(name), "away%u", i);
        memcpy(r->backlog[i].peer,
               pv_peer_pk(fake_peers_member(&chat.peers, 60 + i, name, (uint16_t)(60 + i))), 32);
        r->backlog[i].queued = 1;
    }
    fake_chat_answer(&chat, job, PV_OK, r);
}

static void a_silent_holder_holds_up_one_message_and_not_all(void **state)
{
    struct pv_job *job;
    unsigned silent = 0, refused = 0;
    (void)state;
    become_holder(chat.bob);
    uint32_t carol = become_holder(chat.carol);
    have_backlog(5);
    pv_ns begin = node->now;
    while (refused < 5 && (job = next_copy_job()) != NULL && node->now < begin + PV_S(60)) {
        const uint8_t *to = job->u.chat->copies->to;
        uint8_t receiver[PV_SIGN_PK_LEN];
        bool of_bob = memcmp(job->u.chat->copies->holder, chat.bob_keys.pk, 32) == 0;
        assert_int_equal(job->u.chat->copies->kind, PV_COPYJOB_MISSING);
        memcpy(receiver, to, sizeof(receiver));
        fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(receiver, 1));
        silent += of_bob;
        refused += !of_bob;
        if (of_bob)
            fake_node_wait(node, PV_S(21)); /* he says nothing */
        else
            say(carol, PV_COPY_KEPT, 1, receiver,
                pv_view(NULL, 0)); /* she keeps none, and says so */
    }
    assert_int_equal(refused, 5);
    assert_in_range(silent, 0, 1);
}

static void a_flood_of_frames_ends_the_connection(void **state)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "bob"};
    struct pv_chatlink_stream_op op;
    uint32_t sid;
    (void)state;
    memcpy(source.pk, chat.bob_keys.pk, sizeof(source.pk));
    assert_int_equal(pv_chatlink_accepted(node->node.chatlink, &source, node->now, &sid), PV_OK);
    static const char line[] = "{\"copy\":\"what\"}\n";
    pv_chatlink_handle_bytes(node->node.chatlink, sid, pv_view(line, sizeof(line) - 1), 1,
                             node->now);
    fake_peers_settle(&chat.peers);
    assert_int_equal(fake_node_drops(node, "copy-frame"), 1);
    assert_int_equal(pv_chatlink_poll_stream_op(node->node.chatlink, &op), PV_OK);
    assert_false(op.open);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        T(what_waits_for_a_peer_that_is_away_is_stored_one_after_the_other),
        T(a_copy_can_be_opened_by_its_receiver_alone),
        T(who_comes_back_gets_the_rest_directly),
        T(a_coordinator_that_stores_nothing_is_not_asked_again_on_this_connection),
        T(what_waits_is_stored_anew_an_hour_after_the_start_and_each_day),
        T(a_full_coordinator_is_asked_again_after_a_minute),
        T(who_has_no_room_there_does_not_hold_up_the_others_for_a_minute),
        T(a_lost_connection_forgets_what_was_asked_and_begins_anew),
        T(messages_of_another_peer_are_never_sealed_for_this_one),
        T(a_store_that_fails_is_asked_again_later),
        cmocka_unit_test_setup_teardown(
            without_store_in_the_configuration_nothing_is_kept_or_collected, start_unwanted, stop),
        T(a_copy_is_forgotten_there_only_once_it_is_on_disk_here),
        T(a_copy_that_was_sealed_to_a_former_key_is_opened),
        T(a_long_hybrid_copy_to_a_former_key_is_opened),
        T(a_hybrid_copy_is_read_or_left_where_it_is),
        T(who_requires_it_stores_no_other_copy),
        T(a_copy_that_could_not_be_stored_is_asked_for_again),
        T(a_forged_copy_is_deleted_there_and_the_next_asked_for),
        T(news_while_collecting_is_looked_at_afterwards),
        T(members_are_asked_when_the_coordinator_is_away_for_long_enough),
        T(a_node_that_holds_nothing_refuses_to),
        cmocka_unit_test_setup_teardown(one_sender_does_not_fill_the_way_to_the_disk, start_holding,
                                        stop),
        T(one_holder_does_not_fill_the_way_to_the_disk),
        T(an_author_who_sends_too_much_does_not_hold_up_the_copies_of_others),
        cmocka_unit_test_setup_teardown(
            receivers_that_do_not_answer_delay_the_others_and_shut_nobody_out, start_holding, stop),
        T(a_silent_holder_holds_up_one_message_and_not_all),
        T(a_flood_of_frames_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
