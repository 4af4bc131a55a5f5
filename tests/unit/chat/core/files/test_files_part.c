/* SPDX-License-Identifier: MIT */
/* The part around filelink: descriptors of clients, notices, what is kept, what commands answer. */
#include "chat/core/base/roomjob.h"
#include "chat/core/files/files_part.h"
#include "chat/core/rooms/rooms.h"
#include "chat/core/talk/retention.h"
#include "proto/local/ctlapi_request.h"
#include "tests/unit/chat/fake_chat.h"

static struct fake_chat chat;
static struct fake_node *const node = &chat.peers.f;
static struct pv_peer *bob;
static uint32_t client;
/* Auto-accept's pins in the store, or another value. */
static uint8_t kept_bytes[4096];
static struct pv_chatjob_value kept;

/* The next job writes that value; it ends so. */
static void expect_value_saved(const char *name, int status)
{
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_PUT);
    assert_string_equal(job->value_name, name);
    assert_true(job->n_value <= sizeof(kept_bytes));
    if (status == PV_OK && strcmp(name, "file-pins") == 0) {
        memcpy(kept_bytes, job->value, job->n_value);
        kept = (struct pv_chatjob_value){
            .name = "file-pins", .bytes = kept_bytes, .len = job->n_value};
    }
    fake_chat_answer(&chat, job, status, NULL);
}

static void expect_pins_saved(int status)
{
    expect_value_saved("file-pins", status);
}

void test_before_each(void)
{
    static const struct pv_auto_accept rules[] = {{"bob", 1000}};
    fake_chat_init(&chat, &pv_chatpart_files);
    chat.cfg.auto_accept = rules;
    chat.cfg.n_auto_accept = 1;
    fake_chat_start(&chat);
    bob = chat.bob;
    fake_peers_presence(&chat.peers, bob, PV_PRESENCE_ONLINE);
    expect_pins_saved(PV_OK); /* the rule is bob's */
    client = chat.client;
}

void test_after_each(void)
{
    fake_chat_done(&chat, false, chat.chat->rooms != NULL);
}

static void report(const struct pv_files_report *r)
{
    pv_bind_chat.on_report(node->self, &(struct pv_bind_report){.file = r}, node->now);
}

static void pass_descriptor(int handle)
{
    report(&(struct pv_files_report){.news = PV_FILES_PASSED,
                                     .sid = pv_sid(PV_STREAM_CTL, client),
                                     .passed = {.handle = handle, .size = 5000}});
}

static void end_transfer(uint64_t tag, enum pv_file_why why, uint64_t done)
{
    report(&(struct pv_files_report){.news = PV_FILES_DONE, .tag = tag, .why = why, .done = done});
}

/* The next operation for the shell, if there is one. */
static bool take_op(struct pv_files_op *ret_op)
{
    const struct pv_files_op *op;
    if (!pv_files_part_poll(chat.chat, &op))
        return false;
    *ret_op = *op;
    return true;
}

/* The next operation, of this type; it is the only one. */
static struct pv_files_op expect_op(enum pv_fileop_type type)
{
    struct pv_files_op op, other;
    assert_true(take_op(&op));
    assert_int_equal(op.op.type, type);
    assert_false(take_op(&other));
    return op;
}

static void expect_no_op(void)
{
    struct pv_files_op op;
    assert_false(take_op(&op));
}

static void offer(int handle)
{
    pass_descriptor(handle);
    assert_answered(node, client, test_given("file_send peer bob file a.txt"), "'ok':true");
}

/* Bob says something about a file; then the part runs. */
static void notice(struct pv_file_notice n)
{
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    assert_ok(pv_file_notice_build(&n, buf, &len));
    assert_int_equal(pv_bind_chat.inband[0].type, PV_INBAND_FILE);
    pv_bind_chat.inband[0].take(node->self, bob, pv_view(buf, len), node->now);
    fake_peers_settle(&chat.peers);
}

static void bob_offers(uint8_t id, uint64_t size)
{
    struct pv_file_notice n = {.kind = PV_FILE_OFFER, .id = {id}, .size = size, .name = "b.txt"};
    notice(n);
}

/* The table is kept by the next job; that ends so. */
static void expect_saved(int status)
{
    expect_value_saved("files", status);
}

PV_TEST(a_file_is_offered_with_the_descriptor_that_came_before_the_request)
{
    offer(5);
    expect_no_op(); /* the offer has it now */
    assert_answered(node, client, "{'id':2,'cmd':'files'}", "a.txt");
    fake_peers_settle(&chat.peers);
    expect_saved(PV_OK);
}

static void restart(bool with_rule);

/* From now on the part that knows who is muted is there. */
static void know_mutes(void)
{
    chat.parts[0] = &pv_chatpart_retention;
    chat.parts[1] = &pv_chatpart_files;
    chat.cfg.n_parts = 2;
    restart(true);
}

/* The store lists pk as muted; NULL: nobody. */
static void mute(const uint8_t *pk)
{
    struct pv_chatjob *job;
    fake_ctl_say(node, client, "{'id':99,'cmd':'mute','peer':'bob'}");
    while ((job = fake_chat_any(&chat)) != NULL) {
        struct pv_chatjob_result *r = test_alloc(sizeof(*r));
        if (job->kind == PV_CHATJOB_MUTED) {
            r->backlog = test_alloc(sizeof(*r->backlog));
            r->n_backlog = pk != NULL;
            if (pk != NULL)
                memcpy(r->backlog[0].peer, pk, PV_SIGN_PK_LEN);
        }
        fake_chat_answer(&chat, job, PV_OK, r);
    }
    (void)fake_ctl_reply(node, client);
}

static uint32_t watch(void)
{
    uint32_t watcher = fake_ctl_open(node);
    struct fake_asked asked = fake_node_ask(node, watcher, test_given("watch what chat"));
    pv_ctlapi_request_done(&asked.req);
    assert_ok(pv_events_listen(&node->node.events, asked.handle, false));
    return watcher;
}

PV_TEST(an_offer_of_a_muted_peer_is_listed_and_not_told)
{
    know_mutes();
    uint32_t watcher = watch();
    mute(pv_peer_pk(bob));
    bob_offers(1, 5000);
    assert_lacks(fake_ctl_reply(node, watcher), "b.txt");
    assert_answered(node, client, "{'id':2,'cmd':'files'}", "b.txt");
    assert_answered(node, client, "{'id':3,'cmd':'files'}", "'muted':true");
    mute(NULL);
    bob_offers(2, 5000);
    assert_reply(node, watcher, "b.txt");
}

/* --- in rooms -------------------------------------------------------------------------------- */

static void say_nothing(void *owner, const uint8_t *pk, struct pv_view line, pv_ns now)
{
}

static void want_nobody(void *owner, const uint8_t *pk, pv_ns now)
{
}

static void hear_nothing(void *owner, const struct pv_rooms_event *event, pv_ns now)
{
}

/* The store has what the rooms asked of it. */
static void store_rooms(void)
{
    struct pv_roomjob_result room = {0};
    struct pv_chatjob_result done = {.room = &room};
    struct pv_chatjob *job;
    while (pv_chatqueue_poll(&chat.jobs, &job) == PV_OK) {
        struct pv_chatqueue_result result = {.id = job->number, .answer = &done};
        pv_chatjob_free(job);
        (void)pv_chatqueue_handle(&chat.jobs, &result, node->now);
    }
    (void)pv_rooms_speak(chat.chat->rooms, node->now);
}

static bool knows_all(const void *owner, const uint8_t *pk, struct pv_overlay_member *ret_member)
{
    return pv_chat_known(chat.chat, pk, ret_member);
}

/* This node makes #crew. */
static void make_crew(uint8_t ret_room[static PV_ROOM_ID_LEN])
{
    struct pv_rooms_config cfg = {.rng = node->node.rng,
                                  .signer = pv_appsigner_of(node->node.identity->sign_sk),
                                  .jobs = &chat.jobs,
                                  .known = knows_all,
                                  .say = say_nothing,
                                  .want = want_nobody,
                                  .tell = hear_nothing};
    const uint8_t *pk = node->node.identity->sign_pk;
    memcpy(cfg.own_pk, pk, sizeof(cfg.own_pk));
    assert_ok(pv_rooms_new(&chat.chat->rooms, &cfg));
    pv_rooms_set_network(chat.chat->rooms, pv_roster_network_id(node->node.roster), pk, node->now);
    store_rooms();
    assert_ok(pv_rooms_open(chat.chat->rooms, 1, "crew", 1, node->now));
    store_rooms();
    memcpy(ret_room, pv_rooms_find(chat.chat->rooms, "crew", false), PV_ROOM_ID_LEN);
}

static void bob_offers_in(const uint8_t *room, uint8_t id)
{
    struct pv_file_notice n = {.kind = PV_FILE_ROOM_OFFER, .id = {id}, .size = 5000};
    snprintf(n.name, sizeof(n.name), "b%u.txt", id);
    memcpy(n.room, room, sizeof(n.room));
    notice(n);
}

PV_TEST(a_room_is_believed_of_who_is_in_it)
{
    uint8_t crew[PV_ROOM_ID_LEN];
    const uint8_t nowhere[PV_ROOM_ID_LEN] = {7};
    make_crew(crew);
    uint32_t watcher = watch();
    bob_offers_in(crew, 1); /* he is not in it, */
    bob_offers_in(nowhere, 2);
    assert_lacks(fake_ctl_reply(node, watcher), "b2.txt"); /* and may be on his way there */
    node->now += PV_S(60);
    bob_offers_in(nowhere, 2);
    assert_reply(node, watcher, "'room':null");
    assert_ok(pv_rooms_invite(chat.chat->rooms, 2, crew, pv_peer_pk(bob), 1, node->now));
    store_rooms();
    bob_offers_in(crew, 3);
    assert_reply(node, watcher, "'room':'#crew'");
    bob_offers_in(crew, 1);
    assert_reply(node, watcher, "'room':'#crew'");
}

PV_TEST(an_offer_in_a_room_that_is_muted_or_left_is_listed_and_not_told)
{
    uint8_t crew[PV_ROOM_ID_LEN], key[PV_SIGN_PK_LEN];
    know_mutes();
    make_crew(crew);
    assert_ok(pv_rooms_invite(chat.chat->rooms, 2, crew, pv_peer_pk(bob), 1, node->now));
    store_rooms();
    uint32_t watcher = watch();
    pv_room_key(crew, key);
    mute(key);
    bob_offers_in(crew, 1);
    assert_lacks(fake_ctl_reply(node, watcher), "b1.txt");
    assert_answered(node, client, "{'id':2,'cmd':'files'}", "'muted':true");
    bob_offers(2, 5000); /* to this node alone */
    assert_reply(node, watcher, "b.txt");
    mute(NULL);
    assert_ok(pv_rooms_leave(chat.chat->rooms, 3, crew, 1, node->now));
    store_rooms();
    bob_offers_in(crew, 3);
    assert_lacks(fake_ctl_reply(node, watcher), "b3.txt");
    assert_answered(node, client, "{'id':3,'cmd':'files'}", "b3.txt");
}

PV_TEST(a_file_is_sent_to_a_room_by_its_name_or_address)
{
    uint8_t crew[PV_ROOM_ID_LEN];
    make_crew(crew);
#define TO_ROOM "{'id':1,'cmd':'file_send','peer':'bob','file':'a.txt','room':'%s'}"
    const char *address = pv_rooms_address(crew, (char[PV_ROOMS_NAME_BUF]){0});
    pass_descriptor(5);
    assert_answered(node, client, PV_STR(TO_ROOM, "team"), "no room #team");
    pass_descriptor(6);
    expect_op(PV_FILEOP_RELEASE);
    assert_answered(node, client, PV_STR(TO_ROOM, "crew"), "'room':'#crew'");
    pass_descriptor(7); /* the same offer again */
    assert_answered(node, client, PV_STR(TO_ROOM, address), "'id':1,");
}

PV_TEST(without_a_descriptor_there_is_no_offer)
{
    assert_answered(node, client, test_given("file_send peer bob file a.txt"),
                    "no regular file came with the request");
}

PV_TEST(a_descriptor_of_another_client_is_not_used)
{
    uint32_t other = fake_ctl_open(node);
    pass_descriptor(5);
    assert_answered(node, other, test_given("file_send peer bob file a.txt"),
                    "no regular file came with the request");
    expect_no_op();
}

PV_TEST(a_descriptor_goes_back_when_another_comes_or_the_client_goes)
{
    pass_descriptor(5);
    pass_descriptor(6);
    assert_int_equal(expect_op(PV_FILEOP_RELEASE).op.handle, 5);
    fake_peers_settle(&chat.peers);
    expect_no_op(); /* the client is still there */
    pv_ctlsrv_closed(node->node.ctl, client);
    fake_peers_settle(&chat.peers);
    assert_int_equal(expect_op(PV_FILEOP_RELEASE).op.handle, 6);
}

PV_TEST(a_descriptor_goes_back_when_the_daemon_ends)
{
    offer(5);
    pass_descriptor(6);
    pv_bind_chat.on_stop(node->self, node->now);
    struct pv_files_op a, b;
    assert_true(take_op(&a));
    assert_true(take_op(&b));
    assert_int_equal(a.op.handle + b.op.handle, 11);
    expect_no_op();
}

PV_TEST(a_small_offer_of_a_trusted_peer_is_fetched_from_its_address)
{
    bob_offers(1, 900);
    expect_no_op(); /* not before the disk knows of it */
    expect_saved(PV_OK);
    struct pv_files_op op = expect_op(PV_FILEOP_FETCH);
    assert_true(pv_addr_equal_ip(&op.op.addr, pv_peer_ip4(bob)));
    const struct pv_member *self = pv_node_self(&node->node);
    assert_true(pv_addr_equal_ip(&op.local, &self->ip4));
}

PV_TEST(a_transfer_that_is_named_is_one_file_however_often_it_is_offered)
{
    static const char *const ids[] = {"AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA",
                                      "AQAAAAAAAAAAAAAAAAAAAA", "short"};
    static const char *const answers[] = {"\"id\":1,", "\"id\":1,", "\"id\":1,", "22 characters"};
    for (unsigned i = 0; i < PV_ARRAY_LEN(ids); i++) {
        char line[256];
        pass_descriptor((int)i + 5);
        snprintf(
            line, sizeof(line),
            "{\"id\":%u,\"cmd\":\"file_send\",\"peer\":\"bob\",\"file\":\"a.txt\",\"transfer\":"
            "\"%s\"}",
            i + 1, ids[i]);
        assert_answered(node, client, line, answers[i]);
    }
}

PV_TEST(a_large_offer_waits_for_the_user)
{
    bob_offers(1, 5000);
    expect_saved(PV_OK);
    expect_no_op();
    assert_answered(node, client, "{'id':1,'cmd':'file_accept','number':1}", "'ok':true");
    expect_no_op();
    fake_peers_settle(&chat.peers);
    expect_saved(PV_OK);
    expect_op(PV_FILEOP_FETCH);
    fake_ctl_say(node, client, "{'id':2,'cmd':'file_get','number':1}");
    assert_shows("reply", fake_ctl_reply(node, client));
    assert_answered(node, client, "{'id':3,'cmd':'file_accept','number':9}", "'ok':false");
}

PV_TEST(a_whole_file_is_passed_to_the_client_that_gets_it)
{
    bob_offers(1, 900);
    expect_saved(PV_OK);
    struct pv_files_op op = expect_op(PV_FILEOP_FETCH);
    report(&(struct pv_files_report){.news = PV_FILES_PROGRESS, .tag = op.op.tag, .done = 400});
    end_transfer(op.op.tag, PV_FILE_WHY_NONE, 900);
    fake_peers_settle(&chat.peers);
    fake_ctl_say(node, client, "{'id':2,'cmd':'file_accept','number':1}");
    assert_shows("reply", fake_ctl_reply(node, client));
    assert_answered(node, client, "{'id':1,'cmd':'file_get','number':1}", "'ok':true");
    assert_true(take_op(&op));
    assert_int_equal(op.op.type, PV_FILEOP_PASS);
    assert_int_equal(op.op.sid, pv_sid(PV_STREAM_CTL, client));
    /* Thrown away, it is not called saved. */
    assert_answered(node, client, "{'id':3,'cmd':'file_stop','number':1}", "'state':'refused'");
    assert_answered(node, client, "{'id':4,'cmd':'files'}",
                    "'state':'refused','why':'stopped by a user'");
    assert_answered(node, client, "{'id':5,'cmd':'file_get','number':1}", "file 1 was refused");
}

PV_TEST(nobody_is_asked_while_the_interface_is_down)
{
    node->node.iface.state = PV_IFACE_DOWN;
    pv_node_raise(&node->node, PV_FACT_INTERFACE);
    fake_peers_settle(&chat.peers);
    fake_peers_presence(&chat.peers, bob, PV_PRESENCE_ONLINE);
    bob_offers(1, 900);
    expect_saved(PV_OK);
    struct pv_files_op op;
    while (take_op(&op))
        end_transfer(op.op.tag, PV_FILE_WHY_LOST, 0);
    node->node.iface.state = PV_IFACE_UP;
    pv_node_raise(&node->node, PV_FACT_INTERFACE);
    fake_peers_settle(&chat.peers);
    fake_node_wait(node, PV_S(5));
    expect_op(PV_FILEOP_FETCH);
}

/* A peer that this machine cannot reach because of itself is not called away. */
PV_TEST(a_file_that_waits_for_this_machine_to_be_up_says_so)
{
    static const char why[] = "'why':'this machine is down: `sudo p2pvpnctl up` goes on with it'";
    bob_offers(1, 5000);
    expect_saved(PV_OK);
    assert_answered(node, client, "{'id':1,'cmd':'files'}", "'state':'offered','why':null");
    node->node.up = false;
    assert_answered(node, client, "{'id':2,'cmd':'files'}", why);
    pass_descriptor(5);
    assert_answered(node, client, test_given("file_send peer bob file a.txt 2"), why);
    assert_answered(node, client, "{'id':4,'cmd':'file_accept','number':1}", why);
    /* One that is over waits for nothing. */
    assert_answered(node, client, "{'id':5,'cmd':'file_stop','number':1}",
                    "'state':'refused','why':'stopped by a user'");
    node->node.up = true;
    assert_answered(node, client, "{'id':6,'cmd':'files'}", "'state':'offered','why':null");
}

PV_TEST(a_member_that_leaves_takes_its_offers_along)
{
    bob_offers(1, 5000);
    fake_peers_leaves(&chat.peers, bob);
    expect_op(PV_FILEOP_DROP); /* nothing of it is kept */
    assert_answered(node, client, "{'id':1,'cmd':'file_accept','number':1}", "'ok':false");
}

/* Another machine may be called bob today. */
PV_TEST(a_file_of_who_is_gone_is_listed_as_the_former_ones)
{
    const struct keys k = keys_of(7);
    bob_offers(1, 900);
    expect_saved(PV_OK);
    struct pv_files_op op = expect_op(PV_FILEOP_FETCH);
    end_transfer(op.op.tag, PV_FILE_WHY_NONE, 900);
    fake_node_add(node, make_leave(&node->world, &k, 1));
    fake_peers_leaves(&chat.peers, bob);
    assert_answered(node, client, "{'id':2,'cmd':'files'}", "'bob (former, key:");
}

PV_TEST(only_members_may_fetch)
{
    uint32_t sid;
    struct pv_stream_peer who = {.remote = *pv_peer_ip4(bob)};
    const struct pv_stream_handler *h = &pv_bind_chat.streams[1];
    who.remote.port = 12345;
    assert_ok(h->accepted(node->self, &who, &sid, node->now));
    h->closed(node->self, sid, PV_ERR_CLOSED, node->now);
    who.remote = pv_node_self(&node->node)->ip4;
    assert_int_equal(h->accepted(node->self, &who, &sid, node->now), PV_ERR_REFUSED);
    who.remote = pv_addr4(192, 0, 2, 9, 1);
    assert_int_equal(h->accepted(node->self, &who, &sid, node->now), PV_ERR_REFUSED);
}

PV_TEST(a_table_that_could_not_be_kept_is_kept_later)
{
    bob_offers(1, 5000);
    expect_saved(PV_ERR_NO_SPACE);
    fake_node_wait(node, PV_S(9));
    assert_null(fake_chat_any(&chat));
    fake_node_wait(node, PV_S(2));
    expect_saved(PV_OK);
    expect_pins_saved(PV_OK);
    fake_node_wait(node, PV_S(100));
    assert_null(fake_chat_any(&chat));
}

/* A file that is taken unasked waits for the disk; there is no result to wait for. */
PV_TEST(a_file_is_fetched_although_its_table_found_no_place_among_the_jobs)
{
    const size_t limit = chat.chat->jobs.map.limit;
    chat.chat->jobs.map.limit = 0;
    bob_offers(1, 500);
    assert_null(fake_chat_any(&chat));
    chat.chat->jobs.map.limit = limit;
    expect_no_op();
    fake_node_wait(node, PV_S(11));
    expect_saved(PV_OK);
    expect_pins_saved(PV_OK);
    expect_op(PV_FILEOP_FETCH);
}

/* --- who is bob ---------------------------------------------------------------------------- */

/* Another life of the daemon, with what the store has, and with the rule for bob or without. */
static void restart(bool with_rule)
{
    struct pv_chatjob *job;
    while ((job = fake_chat_any(&chat)) != NULL)
        fake_chat_answer(&chat, job, PV_OK, NULL);
    pv_part_free(&pv_bind_chat, node->self);
    node->node.n_parts = 0;
    chat.values[0] = kept;
    chat.n_values = kept.bytes != NULL;
    chat.cfg.n_auto_accept = with_rule ? 1 : 0;
    fake_chat_start(&chat);
    pv_node_raise(&node->node, PV_FACT_INTERFACE);
    fake_peers_settle(&chat.peers);
}

/* The machine that is bob leaves the network, and another one comes by the name. */
static void another_machine_is_bob(unsigned seed)
{
    const struct keys k = keys_of(7);
    fake_node_add(node, make_leave(&node->world, &k, 1));
    fake_peers_leaves(&chat.peers, bob);
    bob = fake_peers_member(&chat.peers, seed, "bob", (uint16_t)seed);
    fake_peers_presence(&chat.peers, bob, PV_PRESENCE_ONLINE);
}

/* Bob offers a small file: does the rule take it? The table is written in any case. */
static void expect_taken(uint8_t id, bool taken)
{
    struct pv_files_op op;
    bob_offers(id, 900);
    expect_saved(PV_OK);
    assert_int_equal(take_op(&op), taken);
    assert_true(!taken || op.op.type == PV_FILEOP_FETCH);
}

/* A file of a network that was left, where somebody else was bob. */
PV_TEST(a_file_of_another_network_is_no_members_of_that_name)
{
    static uint8_t bytes[4096];
    bob_offers(1, 900);
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_PUT);
    assert_in_range(job->n_value, 1, sizeof(bytes));
    memcpy(bytes, job->value, job->n_value);
    const struct pv_chatjob_value files = {.name = "files", .bytes = bytes, .len = job->n_value};
    uint8_t *key = memmem(bytes, files.len, pv_peer_pk(bob), PV_SIGN_PK_LEN);
    assert_non_null(key);
    key[0] ^= 1;
    fake_chat_answer(&chat, job, PV_OK, NULL);
    (void)expect_op(PV_FILEOP_FETCH);
    const struct pv_chatjob_value pins = kept;
    kept = files;
    restart(false);
    kept = pins;
    assert_answered(node, client, "{'id':2,'cmd':'files'}", "'bob (former, key:");
}

PV_TEST(a_rule_does_not_hold_for_who_gets_the_name_later)
{
    assert_false(fake_node_has_problem(node, "auto-accept"));
    another_machine_is_bob(8);
    assert_null(fake_chat_any(&chat));
    expect_taken(1, false);
    fake_node_show_problems(node);
    restart(true);
    expect_taken(2, false);
    assert_true(fake_node_has_problem(node, "does not hold for bob"));
}

PV_TEST(accepting_a_file_by_hand_makes_the_rule_hold)
{
    another_machine_is_bob(8);
    expect_taken(1, false);
    assert_true(fake_node_has_problem(node, "auto-accept"));
    assert_answered(node, client, "{'id':1,'cmd':'file_accept','number':1}", "'ok':true");
    fake_peers_settle(&chat.peers);
    expect_saved(PV_OK);
    expect_pins_saved(PV_OK); /* remedy: accept_one_by_hand */
    assert_false(fake_node_has_problem(node, "auto-accept"));
    expect_op(PV_FILEOP_FETCH);
    expect_taken(2, true);
    restart(true);
    assert_false(fake_node_has_problem(node, "auto-accept"));
    expect_taken(3, true);
}

PV_TEST(without_its_line_the_rule_forgets_whose_it_was)
{
    another_machine_is_bob(8);
    restart(false);
    expect_pins_saved(PV_OK);
    expect_taken(1, false);
    assert_false(fake_node_has_problem(node, "auto-accept"));
    restart(true);
    expect_pins_saved(PV_OK);
    expect_taken(2, true);
}

/* It has a session, but the roster knows nothing of it any more. */
PV_TEST(a_peer_that_is_no_member_pins_no_rule_and_offers_nothing)
{
    const struct keys k = keys_of(7);
    restart(false);
    expect_pins_saved(PV_OK);
    fake_node_add(node, make_leave(&node->world, &k, 1));
    restart(true);
    bob_offers(1, 900);
    assert_null(fake_chat_any(&chat));
    expect_no_op();
}

PV_TEST(a_pin_that_could_not_be_kept_is_kept_later)
{
    restart(false);
    expect_pins_saved(PV_OK);
    restart(true);
    expect_pins_saved(PV_ERR_NO_SPACE);
    fake_node_wait(node, PV_S(11));
    expect_saved(PV_OK);
    expect_pins_saved(PV_OK);
    fake_node_wait(node, PV_S(100));
    assert_null(fake_chat_any(&chat));
}
