/* SPDX-License-Identifier: MIT */
/* A coordinator that lies to whole nodes, in virtual time: refused, or found out by the first pair
 * that meets, and said in `status`. The statements that a roster alone refuses are in
 * unit/test_roster_evil.c. */

#include "daemon/core/engine.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peer_int.h" /* the number of the last signal is nobody else's business */
#include "daemon/core/peer/peers.h"
#include "proto/roster/roster_make.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2,
};

static const struct pv_link_config line = {.delay = PV_MS(15), .jitter = PV_MS(3)};

/* The coordinator's way with the statements it hands out. */
enum lie {
    HONEST,
    WITHHOLD, /* leaves revocations out, and its head too, so as not to give itself away */
    INVENT,   /* adds a member of its own making */
    APPROVE,  /* adds an admission of who waits, by an admin of its own making */
    ALTER,    /* changes a byte of each member statement */
    REPLAY,   /* hands out the old member statements instead of what is new */
    RESEND,   /* hands out the first signal of that node instead of each new one */
    FOREIGN,  /* hands out another network's record */
    ENDLESS,  /* hands out what is no statement, page after page */
};

struct liar {
    enum lie lie;
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    uint8_t bytes[PV_CTL_ITEMS_MAX][PV_STATEMENT_SHORT_MAX];
    struct pv_made invented_invite, invented_member, invented_grant, invented_admission;
    uint8_t invented_receipt[PV_RECEIPT_LEN];
    struct pv_created foreign;
    uint8_t old[16][2][PV_STATEMENT_SHORT_MAX]; /* statement, receipt */
    size_t old_len[16][2];
    size_t n_old;
    uint8_t signaller[PV_SIGN_PK_LEN]; /* whose signals are counted, kept and resent */
    uint8_t box[PV_CTL_BOX_MAX];       /* the first of them */
    size_t box_len;
    unsigned n_signals, n_resent;
};

static uint8_t type_of(struct pv_view statement)
{
    return statement.len > 1 ? statement.ptr[1] : 0;
}

static void keep_old(struct liar *l, const struct pv_ctl_item *item)
{
    if (l->n_old == PV_ARRAY_LEN(l->old) || type_of(item->statement) != PV_ST_MEMBER)
        return;
    const struct pv_view parts[] = {item->statement, item->receipt};
    for (size_t i = 0; i < 2; i++) {
        memcpy(l->old[l->n_old][i], parts[i].ptr, parts[i].len);
        l->old_len[l->n_old][i] = parts[i].len;
    }
    l->n_old++;
}

static size_t rewrite(struct liar *l, const struct pv_ctl_statements *st)
{
    size_t n = 0;
    for (size_t i = 0; i < st->n; i++) {
        const struct pv_ctl_item *item = &st->items[i];
        uint8_t type = type_of(item->statement);
        if (l->lie == HONEST)
            keep_old(l, item);
        if (l->lie == WITHHOLD && type == PV_ST_REVOCATION)
            continue;
        l->items[n] = *item;
        if (l->lie == ALTER && type == PV_ST_MEMBER) {
            memcpy(l->bytes[n], item->statement.ptr, item->statement.len);
            l->bytes[n][50 + 32 + 32 + 8 + 2] ^= 1; /* the first letter of its name */
            l->items[n].statement.ptr = l->bytes[n];
        }
        n++;
    }
    if (l->lie == INVENT && n + 2 <= PV_CTL_ITEMS_MAX) {
        struct pv_view receipt = pv_view(l->invented_receipt, PV_RECEIPT_LEN);
        l->items[n++] = (struct pv_ctl_item){.statement = pv_made_view(&l->invented_invite)};
        l->items[n++] = (struct pv_ctl_item){.statement = pv_made_view(&l->invented_member),
                                             .receipt = receipt};
    }
    if (l->lie == APPROVE && n + 2 <= PV_CTL_ITEMS_MAX) {
        l->items[n++] = (struct pv_ctl_item){.statement = pv_made_view(&l->invented_grant)};
        l->items[n++] = (struct pv_ctl_item){.statement = pv_made_view(&l->invented_admission)};
    }
    if (l->lie == REPLAY) {
        for (n = 0; n < l->n_old; n++)
            l->items[n] = (struct pv_ctl_item){.statement = pv_view(l->old[n][0], l->old_len[n][0]),
                                               .receipt = pv_view(l->old[n][1], l->old_len[n][1])};
    }
    return n;
}

static void pass_signal(struct liar *l, struct pv_ctl_signal *signal)
{
    if (memcmp(signal->node, l->signaller, sizeof(l->signaller)) != 0)
        return;
    l->n_signals++;
    if (l->box_len == 0) {
        l->box_len = signal->box.len;
        memcpy(l->box, signal->box.ptr, signal->box.len);
    } else if (l->lie == RESEND) {
        signal->box = pv_view(l->box, l->box_len);
        l->n_resent++;
    }
}

static void go_on_listing(struct liar *l, struct pv_ctl_statements *st)
{
    static const uint8_t rubbish[40] = {1, 2, 3};
    for (size_t i = 0; i < PV_CTL_ITEMS_MAX; i++)
        l->items[i] = (struct pv_ctl_item){.statement = pv_view(rubbish, sizeof(rubbish))};
    *st = (struct pv_ctl_statements){
        .items = l->items, .n = PV_CTL_ITEMS_MAX, .more = true, .have = st->have};
    st->have.n++;
}

static void hook(void *ctx, struct pv_ctl_msg *msg)
{
    struct liar *l = ctx;
    if (msg->type == PV_CTL_STATEMENTS && l->lie == ENDLESS) {
        go_on_listing(l, &msg->u.statements);
        return;
    }
    if (msg->type == PV_CTL_SIGNAL)
        pass_signal(l, &msg->u.signal);
    if (msg->type != PV_CTL_STATEMENTS)
        return;
    if (l->lie == FOREIGN) {
        l->items[0] = (struct pv_ctl_item){.statement = pv_made_view(&l->foreign.network)};
        msg->u.statements.n = 1;
    } else {
        msg->u.statements.n = rewrite(l, &msg->u.statements);
    }
    msg->u.statements.items = l->items;
    if (l->lie == WITHHOLD || l->lie == REPLAY)
        msg->u.statements.has_head = false;
}

/* --- the world ------------------------------------------------------------------------------- */

struct scene {
    struct liar *liar;
    struct sim_node *alice, *bob, *carol;
};

static struct liar the_liar;

/* Three nodes on the public network under an honest coordinator; carol joins when with_carol. */
static bool scene_init(struct scene *s, uint64_t seed, bool with_carol)
{
    memset(s, 0, sizeof(*s));
    memset(&the_liar, 0, sizeof(the_liar));
    s->liar = &the_liar;
    sim_world_init(seed, &line);
    sim_coord_set_hook(sim.coord, hook, s->liar);
    s->alice = sim_world_node(SIM_PUBLIC, "alice", false);
    s->bob = sim_world_node(SIM_PUBLIC, "bob", false);
    if (with_carol)
        s->carol = sim_world_node(SIM_PUBLIC, "carol", false);
    if (!sim_world_join_all())
        return false;
    sim_world_run(PV_S(2));
    return true;
}

struct mention {
    struct sim_node *node;
    const char *request;
    const char *text;
    bool wanted;
};

/* Asks twice a second until the answer has the text (or not, as wanted). */
static bool until_sim_world_says(struct mention m, pv_ns timeout)
{
    pv_ns end = sim_net_now(sim.net) + timeout;
    while (sim_net_now(sim.net) < end) {
        if (sim_world_says(m.node, m.request, m.text) == m.wanted)
            return true;
        sim_world_run(PV_MS(500));
    }
    return false;
}

#define PEERS  "'cmd':'peers'"
#define STATUS "'cmd':'status'"

/* --- tests ----------------------------------------------------------------------------------- */

PV_SIM(a_withheld_revocation_is_found_by_the_first_pair_that_meets, SEEDS)
{
    struct scene s;
    sim_must(scene_init(&s, seed, true), "joining:");
    sim_must(sim_world_reach(s.alice, s.bob, PV_MS(200), PV_S(10)) != PV_NEVER &&
                 sim_world_reach(s.carol, s.bob, PV_MS(200), PV_S(10)) != PV_NEVER,
             "no path");
    s.liar->lie = WITHHOLD;
    sim_must(sim_world_tell(s.alice, PV_S(5), "'cmd':'remove','peer':'carol'"), "remove:");
    sim_must(until_sim_world_says((struct mention){s.bob, PEERS, "carol", false}, PV_S(10)),
             "alice did not tell bob of carol's removal");
    unsigned before = sim_node_pings(s.carol).answered;
    struct pv_addr to_bob = sim_node_overlay(s.bob, PV_AF_INET);
    for (unsigned i = 0; i < 10; i++) {
        sim_node_ping(s.carol, &to_bob, 32);
        sim_world_run(PV_MS(500));
    }
    sim_must(sim_node_pings(s.carol).answered == before, "bob still answers carol");
}

/* An invite and a member under it that nobody with the right has signed, and a receipt. */
static void invent(struct liar *l, const uint8_t *network_id)
{
    uint8_t seed[32] = {1}, invite_sk[64], node_sk[64], pk[32];
    struct pv_st_invite inv = {.not_after = UINT64_MAX, .uses = 1};
    struct pv_st_member m = {.name = "mallory", .ip4 = {10, 66, 66, 66}};
    struct pv_receipt receipt = {.epoch = 1, .n = 1};
    pv_sign_keypair(seed, invite_sk, inv.invite);
    seed[0] = 2;
    pv_sign_keypair(seed, node_sk, pk);
    memset(m.transport, 9, sizeof(m.transport));
    assert_ok(pv_make_invite(network_id, pv_signer_sk(invite_sk), &inv, &l->invented_invite));
    assert_ok(pv_make_member(network_id, invite_sk, node_sk, &m, &l->invented_member));
    memcpy(receipt.network_id, network_id, sizeof(receipt.network_id));
    pv_statement_hash(pv_made_view(&l->invented_member), receipt.hash);
    assert_ok(pv_receipt_make(&receipt, invite_sk, l->invented_receipt));
}

PV_SIM(an_invented_member_is_believed_by_nobody, SEEDS)
{
    struct scene s;
    struct pv_token t;
    sim_must(scene_init(&s, seed, false), "joining:");
    const char *token = sim_world_invite(s.alice, "'uses':1");
    sim_must(token != NULL && pv_token_parse(token, strlen(token), &t) == PV_OK, "invite:");
    invent(s.liar, t.network_id);
    s.liar->lie = INVENT;
    /* Something new makes it speak. */
    sim_must(sim_world_tell(s.alice, PV_S(5), "'cmd':'invite','uses':1"), "invite:");
    sim_world_run(PV_S(5));
    sim_must(!sim_world_says(s.alice, PEERS, "mallory") && !sim_world_says(s.bob, PEERS, "mallory"),
             "a node believes in mallory");
    sim_must(sim_world_reach(s.alice, s.bob, PV_MS(200), PV_S(10)) != PV_NEVER, "no path");
}

/* Its friend carol waits to be admitted, and the coordinator says that an admin has admitted her.
 */
static void approve(struct liar *l, const uint8_t *network_id, const uint8_t *node)
{
    uint8_t seed[32] = {3}, sk[64];
    struct pv_st_admin grant = {.rights = PV_RIGHT_INVITE | PV_RIGHT_REVOKE, .time = 1};
    pv_sign_keypair(seed, sk, grant.node);
    assert_ok(pv_make_admin(network_id, pv_signer_sk(sk), &grant, &l->invented_grant));
    assert_ok(pv_make_admission(network_id, pv_signer_sk(sk), node, 1, &l->invented_admission));
}

static bool has_member(struct sim_node *n, const struct sim_node *other)
{
    return pv_roster_by_node(pv_engine_node(n->engine)->roster, sim_node_pk(other)) != NULL;
}

PV_SIM(a_coordinator_cannot_approve, SEEDS)
{
    struct scene s;
    struct pv_token t;
    sim_must(scene_init(&s, seed, false), "joining:");
    s.carol = sim_world_node(SIM_PUBLIC, "carol", false);
    const char *token = sim_world_invite(s.alice, "'uses':1,'approve':true");
    sim_must(token != NULL && pv_token_parse(token, strlen(token), &t) == PV_OK, "invite:");
    approve(s.liar, t.network_id, sim_node_pk(s.carol));
    s.liar->lie = APPROVE;
    sim_must(sim_answer_has(sim_world_join(s.carol, token, NULL), "'waiting':true"), "join:");
    sim_world_run(PV_S(60));
    sim_must(sim_world_says(s.alice, PEERS, "'state':'waiting'"), "alice does not hear of carol");
    sim_must(!has_member(s.alice, s.carol) && !has_member(s.bob, s.carol) &&
                 !has_member(s.carol, s.carol),
             "the coordinator has approved");
    s.liar->lie = HONEST;
    sim_must(sim_world_tell(s.alice, PV_S(10), "'cmd':'admit','peer':'carol'"), "admit:");
    sim_world_run(PV_S(40));
    sim_must(sim_world_reach(s.carol, s.bob, PV_MS(200), PV_S(20)) != PV_NEVER,
             "no path to who was admitted");
}

PV_SIM(an_altered_name_is_refused_and_reported, SEEDS)
{
    struct scene s;
    sim_must(scene_init(&s, seed, false), "joining:");
    s.liar->lie = ALTER;
    const char *token = sim_world_invite(s.alice, "'uses':1");
    sim_must(token != NULL, "invite:");
    s.carol = sim_world_node(SIM_PUBLIC, "carol", false);
    sim_must(sim_world_join(s.carol, token, "carol") != NULL, "join:");
    sim_world_run(PV_S(2));
    sim_must(!sim_world_says(s.alice, PEERS, "carol") && !sim_world_says(s.alice, PEERS, "barol"),
             "alice believes the altered statement");
    sim_must(sim_world_says(s.alice, STATUS, "refused"), "alice's status does not say so");
    /* Once it speaks the truth again, alice asks for all of it: the heads differ. */
    s.liar->lie = HONEST;
    sim_coord_kill(sim.coord);
    sim_coord_start(sim.coord);
    sim_must(until_sim_world_says((struct mention){s.alice, PEERS, "carol", true}, PV_S(60)),
             "alice never learns of carol");
    sim_must(sim_world_reach(s.carol, s.alice, PV_MS(200), PV_S(20)) != PV_NEVER, "no path");
}

PV_SIM(an_old_roster_brings_nobody_back, SEEDS)
{
    struct scene s;
    sim_must(scene_init(&s, seed, true), "joining:");
    sim_must(sim_world_tell(s.alice, PV_S(5), "'cmd':'remove','peer':'carol'"), "remove:");
    sim_world_run(PV_S(2));
    sim_must(s.liar->n_old >= 2 && !sim_world_says(s.bob, PEERS, "carol"), "carol is not removed");
    s.liar->lie = REPLAY;
    sim_coord_kill(sim.coord);
    sim_coord_start(sim.coord);
    sim_world_run(PV_S(60));
    sim_must(!sim_world_says(s.bob, PEERS, "carol") && !sim_world_says(s.alice, PEERS, "carol"),
             "an old statement brought carol back");
    sim_must(sim_world_reach(s.alice, s.bob, PV_MS(200), PV_S(20)) != PV_NEVER, "no path");
}

/* The number of the last signal that n took from the other one. */
static uint64_t last_taken(const struct sim_node *n, const struct sim_node *from)
{
    const struct pv_peer *p = pv_peers_by_pk(pv_engine_node(n->engine)->peers, sim_node_pk(from));
    return p == NULL ? 0 : p->signal_seq_seen;
}

PV_SIM(an_old_signal_is_not_taken_again, SEEDS)
{
    struct scene s;
    sim_must(scene_init(&s, seed, false), "joining:");
    memcpy(s.liar->signaller, sim_node_pk(s.alice), sizeof(s.liar->signaller));
    sim_must(sim_world_reach(s.alice, s.bob, PV_MS(200), PV_S(10)) != PV_NEVER, "no path");
    sim_node_restart(s.alice);
    sim_must(sim_world_reach(s.alice, s.bob, PV_MS(200), PV_S(15)) != PV_NEVER,
             "no path after a restart");
    uint64_t taken = last_taken(s.bob, s.alice);
    sim_must(s.liar->n_signals >= 2, "there were too few signals");
    s.liar->lie = RESEND;
    sim_node_restart(s.alice);
    for (unsigned i = 0; i < 20; i++) {
        struct pv_addr to_bob = sim_node_overlay(s.bob, PV_AF_INET);
        sim_node_ping(s.alice, &to_bob, 32);
        sim_world_run(PV_MS(500));
        sim_must(last_taken(s.bob, s.alice) == taken, "bob took an old signal");
    }
    sim_must(s.liar->n_resent != 0, "no signal was resent");
    s.liar->lie = HONEST;
    sim_must(sim_world_reach(s.alice, s.bob, PV_MS(200), PV_S(20)) != PV_NEVER,
             "no path under an honest coordinator");
}

static void make_foreign(struct liar *l)
{
    uint8_t seed[32] = {3}, root_sk[64], node_sk[64], pk[32], transport[32] = {4}, list[128];
    struct pv_hostport hp = {.host = "198.51.100.10", .port = SIM_COORD_PORT};
    struct pv_writer w = pv_writer(list, sizeof(list));
    pv_sign_keypair(seed, root_sk, pk);
    seed[0] = 5;
    pv_sign_keypair(seed, node_sk, pk);
    pv_coordlist_put(&w, pk, &hp, 1);
    struct pv_create c = {.root = pv_signer_sk(root_sk),
                          .node_sk = node_sk,
                          .transport = transport,
                          .network_name = "other",
                          .node_name = "eve",
                          .range = {.base = pv_addr4(10, 99, 0, 0, 0), .bits = 16},
                          .coordinators = pv_written(&w)};
    assert_ok(pv_make_create(&c, &l->foreign));
}

static void foreign(uint64_t seed, void *ctx)
{
    struct scene s;
    sim_must(scene_init(&s, seed, false), "joining:");
    const char *token = sim_world_invite(s.alice, "'uses':1");
    sim_must(token != NULL, "invite:");
    make_foreign(s.liar);
    s.liar->lie = FOREIGN;
    s.carol = sim_world_node(SIM_PUBLIC, "carol", false);
    sim_must(sim_world_join(s.carol, token, "carol") == NULL, "carol joined another network");
    sim_must(sim_answer_has(sim.why, "'code':11") && strstr(sim.why, "not the token's") != NULL,
             "carol does not say what is wrong:");
    s.liar->lie = HONEST;
    sim_must(sim_world_join(s.carol, token, "carol") != NULL, "join under an honest coordinator:");
}

PV_TEST(another_networks_record_is_refused_when_joining)
{
    sim_seeds(SEEDS, foreign, NULL);
}

PV_SIM(members_repair_a_coordinator_restored_from_a_backup, SEEDS)
{
    struct scene s;
    sim_must(scene_init(&s, seed, true), "joining:");
    size_t rows = sim_coord_n_rows(sim.coord);
    sim_coord_kill(sim.coord);
    sim_coord_truncate(sim.coord, rows - 3); /* carol's member statement is gone, and more */
    sim_coord_start(sim.coord);
    sim_world_run(PV_S(120));
    sim_must(sim_coord_n_rows(sim.coord) >= rows, "the lost statements did not come back");
    sim_must(sim_world_says(s.bob, PEERS, "carol") &&
                 sim_world_reach(s.carol, s.bob, PV_MS(200), PV_S(20)) != PV_NEVER,
             "carol is not found any more");
    sim_must(!sim_world_says(s.alice, STATUS, "contradicts"), "an honest restore looks like a lie");
}

/* It costs no more than the list of a network may, a line of the log, and not the node. */
PV_SIM(a_list_without_end_is_not_read_to_the_end, 1)
{
    struct scene s;
    sim_must(scene_init(&s, seed, false), "joining:");
    s.liar->lie = ENDLESS;
    sim_node_restart(s.alice);
    sim_node_count_log(s.alice);
    sim_world_run(PV_S(120));
    sim_must(sim_world_says(s.alice, STATUS, "lists statements without end"),
             "alice read all, or does not say it");
    sim_must(sim_node_logged(s.alice) <= 20, "the log has it again and again");
    sim_must(sim_world_reach(s.alice, s.bob, PV_MS(200), PV_S(10)) != PV_NEVER, "no path");
}
