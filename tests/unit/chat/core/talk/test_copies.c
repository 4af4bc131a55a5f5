/* SPDX-License-Identifier: MIT */
/* The part that has copies kept for who is away, at the coordinator: what it asks for, in what
 * order, and what it does about every answer. */
#include "chat/core/talk/copies.h"
#include "chat/proto/parcel.h"
#include "daemon/core/member/boxes.h"
#include "tests/unit/chat/fake_chat.h"
#include "tests/unit/daemon/core/member/fake_coord.h"
#include "tests/unit/kem_double.h"

/* --- a node with this part -------------------------------------------------------------------- */

/* The coordinator's answers are in the test's hands, and so are boxes that bob seals for it. */
static struct fake_chat chat;
static struct fake_node *const node = &chat.peers.f;
static void *boxes; /* what seals, opens and asks the coordinator */

/* Chatlink has something for copies. */
static void tell(void *n, const struct pv_chatlink_event *ev, pv_ns now)
{
    if (ev->type == PV_CHATLINK_COPY)
        pv_copies_committed(n, ev->tag, ev->status, now);
    else if (ev->type == PV_CHATLINK_QUEUED)
        pv_copies_queued(n, ev->msg.peer);
}

static int begin(bool store)
{
    fake_chat_init(&chat, &pv_chatpart_copies);
    fake_coord_init();
    assert_ok(pv_part_make(&pv_part_boxes, &node->node, &node->cfg, node->now, &boxes));
    node->node.parts[0].part = &pv_bind_chat;
    node->node.parts[1] = (struct pv_part_slot){.part = &pv_part_boxes, .self = boxes};
    node->node.n_parts = 2;
    chat.cfg.given.store = store;
    fake_chat_make_link(&chat, tell);
    fake_chat_make_rooms(&chat);
    fake_chat_start(&chat);
    return 0;
}

static int start(void **state)
{
    return begin(true);
}

static int stop(void **state)
{
    fake_chat_done(&chat, true, true);
    pv_part_free(&pv_part_boxes, boxes);
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
    pv_part_boxes.on_answer(boxes, tag, msg, node->now);
    fake_peers_settle(&chat.peers);
    pv_ctl_msg_free(request);
}

/* Nothing waits at the coordinator for this node. */
static void nothing_to_collect(void)
{
    const struct pv_ctl_msg none = {.type = PV_CTL_COPY};
    answer(PV_CTL_COLLECT, &none);
}

/* The key of alice that bob seals to; NULL: the one she uses. */
static const uint8_t *sealed_to;

static const struct pv_sealing_to *sealed_hybrid; /* NULL: hand_over() makes other boxes */
static char sealed_text[PV_CHAT_TEXT_MAX + 1] = "hi";

/* A box of bob's for alice: PV_COPYBOX_MAX bytes, the caller frees it. */
static uint8_t *make_box(uint8_t id, size_t *ret_len)
{
    struct pv_signal_route route;
    struct pv_noise_static bob = {.sk = chat.bob_sk};
    const struct pv_copybox_keys keys = {.local = &bob,
                                         .remote =
                                             sealed_to != NULL ? sealed_to : node->identity.dh_pk,
                                         .hybrid = sealed_hybrid};
    const struct pv_parcel parcel = {.id = {id},
                                     .seq = 1,
                                     .time_ms = 1700000000000,
                                     .text = pv_view(sealed_text, strlen(sealed_text))};
    uint8_t content[PV_PARCEL_CONTENT_MAX], *box = malloc(PV_COPYBOX_MAX);
    size_t len;
    memcpy(bob.pk, chat.bob_pk, sizeof(bob.pk));
    memcpy(route.network_id, pv_roster_network_id(node->node.roster), sizeof(route.network_id));
    memcpy(route.from, chat.bob_keys.pk, sizeof(route.from));
    memcpy(route.to, node->identity.sign_pk, sizeof(route.to));
    const struct pv_appsigner signer = pv_appsigner_of(chat.bob_keys.sk);
    assert_ok(pv_parcel_build(&route, &signer, &parcel, content, &len));
    assert_ok(pv_copybox_seal(&route, &keys, &node->node.rng, pv_view(content, len), box, ret_len));
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

static void expect_collect(uint64_t after, uint64_t taken)
{
    assert_int_equal(fake_coord.n, 1);
    assert_int_equal(fake_coord.asked[0].msg->type, PV_CTL_COLLECT);
    assert_int_equal(fake_coord.asked[0].msg->u.collect.after, after);
    assert_int_equal(fake_coord.asked[0].msg->u.collect.taken, taken);
}

/* --- the tests ------------------------------------------------------------------------------- */

static int start_unwanted(void **state)
{
    return begin(false);
}

static void answer_error(enum pv_ctl_type asked, enum pv_ctl_error error)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_ERROR};
    msg.u.failure.error = error;
    answer(asked, &msg);
}

/* The part asks the store for what waits for this peer: so many messages. */
static void tell_waiting(const uint8_t *pk, size_t n)
{
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_UNCOPIED);
    assert_memory_equal(job->peer, pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(pk, n));
}

/* Does it ask the store for nothing in that time? */
static bool rests_for(pv_ns time)
{
    fake_node_wait(node, time);
    return fake_chat_any(&chat) == NULL;
}

/* Online, and bob away with n messages waiting; the list of them is with the part. */
static void have_waiting(size_t n)
{
    set_online(true);
    nothing_to_collect();
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    tell_waiting(chat.bob_keys.pk, n);
}

static void expect_noted(void)
{
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_COPIED);
    assert_int_equal(job->n_ids, 1);
    fake_chat_answer(&chat, job, PV_OK, NULL);
}

static const struct pv_ctl_msg done = {.type = PV_CTL_DONE};

PV_TEST_IN(a_message_for_a_peer_that_is_away_is_stored_one_after_the_other, start, stop)
{
    have_waiting(2);
    assert_int_equal(fake_coord.n, 1);
    answer(PV_CTL_KEEP, &done);
    expect_noted();
    assert_int_equal(fake_coord.n, 1);
    answer(PV_CTL_KEEP, &done);
    expect_noted();
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST_IN(a_copy_can_be_opened_by_its_receiver_alone, start, stop)
{
    uint64_t tag;
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
    size_t len;
    assert_ok(pv_copybox_open(&route, &bob, m->u.keep.box, buf, &len));
    assert_ok(pv_parcel_parse(&route, pv_view(buf, len), &parcel));
    assert_int_equal(parcel.text.len, 5);
    assert_memory_equal(parcel.text.ptr, "hello", 5);
    uint8_t wrong[PV_DH_LEN];
    memcpy(wrong, bob.sk, sizeof(wrong));
    wrong[0] ^= 8;
    bob.sk = wrong;
    assert_true(pv_copybox_open(&route, &bob, m->u.keep.box, buf, &len) < 0);
    free(buf);
    pv_ctl_msg_free(m);
}

PV_TEST_IN(a_peer_that_comes_back_gets_the_rest_directly, start, stop)
{
    have_waiting(2);
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    answer(PV_CTL_KEEP, &done);
    expect_noted();
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST_IN(a_coordinator_that_stores_nothing_is_not_asked_again_on_this_connection, start, stop)
{
    have_waiting(1);
    answer_error(PV_CTL_KEEP, PV_CTL_E_NOT_ALLOWED);
    fake_peers_presence(&chat.peers, chat.carol, PV_PRESENCE_OFFLINE);
    assert_null(fake_chat_any(&chat));
    set_online(false);
    set_online(true);
    assert_int_equal(fake_coord.n, 1); /* another coordinator, perhaps */
}

PV_TEST_IN(a_full_coordinator_is_asked_again_after_a_minute, start, stop)
{
    have_waiting(2);
    answer_error(PV_CTL_KEEP, PV_CTL_E_LIMIT);
    assert_true(rests_for(PV_S(59)));
    fake_node_wait(node, PV_S(2));
    tell_waiting(chat.bob_keys.pk, 2);
    assert_int_equal(fake_coord.n, 1);
}

/* Its database may be back any moment, and then nobody waits for long. */
PV_TEST_IN(a_coordinator_that_cannot_store_now_is_asked_again_each_second, start, stop)
{
    have_waiting(2);
    fake_peers_presence(&chat.peers, chat.carol, PV_PRESENCE_OFFLINE);
    for (int i = 0; i < 4; i++) {
        const struct keys *to = i % 2 == 0 ? &chat.carol_keys : &chat.bob_keys;
        answer_error(PV_CTL_KEEP, PV_CTL_E_STORAGE);
        assert_null(fake_chat_any(&chat));
        fake_node_wait(node, PV_S(1));
        tell_waiting(to->pk, 2);
    }
    answer(PV_CTL_KEEP, &done);
}

PV_TEST_IN(a_copy_that_cannot_be_collected_now_is_asked_for_each_second, start, stop)
{
    set_online(true);
    for (int i = 0; i < 4; i++) {
        answer_error(PV_CTL_COLLECT, PV_CTL_E_STORAGE);
        assert_int_equal(fake_coord.n, 0);
        fake_node_wait(node, PV_S(1));
    }
    nothing_to_collect();
}

PV_TEST_IN(a_message_that_waits_is_stored_anew_an_hour_after_the_start_and_each_day, start, stop)
{
    have_waiting(0);
    for (pv_ns t = PV_S(3600); t <= PV_S(86400); t += PV_S(82800)) {
        assert_true(rests_for(t - PV_S(1)));
        fake_node_wait(node, PV_S(1));
        fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_RECOPY), PV_OK,
                         fake_chat_backlog(chat.bob_keys.pk));
        tell_waiting(chat.bob_keys.pk, 0);
    }
}

/* One whose room there is full holds up the others by its part of the minute. */
PV_TEST_IN(a_receiver_without_room_there_does_not_hold_up_the_others_for_a_minute, start, stop)
{
    have_waiting(1);
    fake_peers_presence(&chat.peers, chat.carol, PV_PRESENCE_OFFLINE);
    answer_error(PV_CTL_KEEP, PV_CTL_E_LIMIT);
    assert_true(rests_for(PV_S(29)));
    fake_node_wait(node, PV_S(2));
    tell_waiting(chat.carol_keys.pk, 0);
    tell_waiting(chat.bob_keys.pk, 0); /* and bob again */
}

PV_TEST_IN(a_lost_connection_forgets_what_was_asked_and_begins_anew, start, stop)
{
    have_waiting(2);
    set_online(false);
    fake_coord_done(NULL);
    set_online(true);
    nothing_to_collect();
    tell_waiting(chat.bob_keys.pk, 2);
    assert_int_equal(fake_coord.n, 1);
}

PV_TEST_IN(messages_of_another_peer_are_never_sealed_for_this_one, start, stop)
{
    set_online(true);
    nothing_to_collect();
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_UNCOPIED);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.carol_keys.pk, 1));
    assert_int_equal(fake_coord.n, 0);
}

PV_TEST_IN(a_store_that_fails_is_asked_again_later, start, stop)
{
    set_online(true);
    nothing_to_collect();
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_UNCOPIED), PV_ERR_NO_SPACE, NULL);
    assert_null(fake_chat_any(&chat));
    fake_node_wait(node, PV_S(61));
    tell_waiting(chat.bob_keys.pk, 0);
}

PV_TEST_IN(without_store_in_the_configuration_nothing_is_kept_or_collected, start_unwanted, stop)
{
    set_online(true);
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    assert_int_equal(fake_coord.n, 0);
    assert_null(fake_chat_any(&chat));
}

/* The messages that chatlink has stored are on disk, or not. */
static void commit(int status)
{
    struct pv_chatjob *job;
    uint64_t tag;
    while (take_chat_job(&chat.jobs, &tag, &job)) {
        struct pv_chatjob_result none = {.n_msgs = 0, .n_taken = job->n_msgs};
        if (job->kind == PV_CHATJOB_COMMIT)
            answer_chat_job(&chat.jobs, tag, status, status == PV_OK ? &none : NULL, node->now);
        pv_chatjob_free(job);
    }
    fake_peers_settle(&chat.peers);
}

PV_TEST_IN(a_copy_is_forgotten_there_only_once_it_is_on_disk_here, start, stop)
{
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

PV_TEST_IN(a_copy_that_was_sealed_to_a_former_key_is_opened, start, stop)
{
    change_key_twice();
    set_online(true);
    sealed_to = node->identity.others[2].pk;
    hand_over(17, false);
    sealed_to = NULL;
    commit(PV_OK);
    expect_collect(17, 17);
}

/* With the longest text as well, whose hybrid box is longer than any other one. */
PV_TEST_IN(a_long_hybrid_copy_to_a_former_key_is_opened, start, stop)
{
    uint8_t ek[PV_KEM_EK_LEN];
    const struct pv_sealing_to to = {.kem = &kem_double, .ek = ek};
    change_key_twice();
    assert_ok(pv_sealing_key(&kem_double, node->identity.sign_sk, ek));
    set_online(true);
    memset(sealed_text, 'x', PV_CHAT_TEXT_MAX);
    sealed_to = node->identity.others[2].pk;
    sealed_hybrid = &to;
    hand_over(17, false); /* without a KEM it stays where it is */
    expect_collect(17, 0);
    node->node.given.kem = &kem_double;
    hand_over(18, false);
    assert_int_equal(fake_coord.n, 0);
    commit(PV_OK);
    expect_collect(18, 18);
    sealed_to = NULL;
    sealed_hybrid = NULL;
    memcpy(sealed_text, "hi", 3);
}

/* A hybrid one is read by who has a KEM, and else stays for the time when this node has one. */
PV_TEST_IN(a_hybrid_copy_is_read_or_left_where_it_is, start, stop)
{
    uint8_t ek[PV_KEM_EK_LEN];
    const struct pv_sealing_to to = {.kem = &kem_double, .ek = ek};
    assert_ok(pv_sealing_key(&kem_double, node->identity.sign_sk, ek));
    set_online(true);
    sealed_hybrid = &to;
    hand_over(17, false);
    expect_collect(17, 0); /* the next one, and this one is not taken */
    node->node.given.kem = &kem_double;
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
PV_TEST_IN(a_node_that_requires_it_stores_no_other_copy, start, stop)
{
    node->node.given.pq = PV_PQ_REQUIRE;
    set_online(true);
    nothing_to_collect();
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    tell_waiting(chat.bob_keys.pk, 1);
    assert_int_equal(fake_coord.n, 0);
    assert_true(rests_for(PV_S(120)));
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    node->node.given.pq = PV_PQ_ON;
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    tell_waiting(chat.bob_keys.pk, 1);
    answer(PV_CTL_KEEP, &done);
    expect_noted();
}

PV_TEST_IN(a_copy_that_could_not_be_stored_is_asked_for_again, start, stop)
{
    set_online(true);
    hand_over(17, false);
    commit(PV_ERR_NO_SPACE);
    assert_int_equal(fake_coord.n, 0);
    fake_node_wait(node, PV_S(61));
    expect_collect(0, 0);
}

PV_TEST_IN(a_forged_copy_is_deleted_there_and_the_next_asked_for, start, stop)
{
    set_online(true);
    hand_over(17, true);
    expect_collect(17, 17);
}

PV_TEST_IN(news_while_collecting_is_looked_at_afterwards, start, stop)
{
    const struct pv_ctl_msg news = {.type = PV_CTL_COPY};
    set_online(true);
    pv_part_boxes.on_push(boxes, &news, node->now);
    assert_int_equal(fake_coord.n, 1);
    nothing_to_collect();
    expect_collect(0, 0);
    nothing_to_collect();
    assert_int_equal(fake_coord.n, 0);
}
