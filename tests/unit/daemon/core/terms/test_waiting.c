/* SPDX-License-Identifier: MIT */
/* Machines that wait to be admitted: what an admin is told, and what its word does. */
#include "daemon/core/admin/admin.h"
#include "daemon/core/admin/ending.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/terms/waiting.h"
#include "proto/local/ctlapi.h"
#include "tests/unit/daemon/core/client/fake_client.h"
#include "tests/unit/daemon/core/fake_membership.h"
#include "tests/unit/daemon/core/member/fake_coord.h"

static struct fake_peers x;
static struct keys door, eve;
static uint32_t client;
static struct {
    bool refuses; /* this node has not the right */
    bool holds;   /* the request stays open under this handle */
    uint64_t handle;
    unsigned told;
    bool tagged;
} others;

/* Stands in for admin.c. */
bool pv_admin_may_sign(struct pv_node *n, const char *what, uint8_t rights, uint64_t handle)
{
    others.handle = handle;
    if (others.refuses && !others.holds)
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_REFUSED, what);
    return !others.refuses;
}

int pv_ending_remove(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    struct item it = make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE, pk, NULL, 0);
    add(n->roster, &it);
    (void)settle(n->roster);
    return PV_OK;
}

/* Rules, which share a file with tags, are not made here. */
int pv_ending_revoke(struct pv_node *n, struct pv_signer by, enum pv_st_revoked_kind kind,
                     const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    return PV_ERR_UNSUPPORTED;
}

int pv_ending_invite_of(struct pv_node *n, const struct pv_member *m, bool keep,
                        struct pv_ctlapi_told *told, pv_ns now)
{
    return PV_ERR_UNSUPPORTED;
}

void pv_admin_answer_with(struct pv_node *n, uint64_t handle, const struct pv_ctlapi_told *told,
                          pv_ns now)
{
    others.told++;
    others.tagged = told->tagged;
    pv_ctlsrv_done(n->ctl, handle);
}

void pv_admin_answer_when_told(struct pv_node *n, uint64_t handle, pv_ns now)
{
    others.told++;
    pv_ctlsrv_done(n->ctl, handle);
}

void test_before_each(void)
{
    memset(&others, 0, sizeof(others));
    door = keys_of(50);
    eve = keys_of(51);
    fake_peers_init(&x, &pv_part_waiting);
    fake_coord_init();
    x.f.cfg.notify = true;
    fake_node_enter(&x.f);
    fake_node_add(&x.f, make_terms(&x.f.world, &x.f.world.creator, &door, PV_INVITE_APPROVAL, 0));
    fake_node_start(&x.f);
    client = fake_client_open(&x);
    x.f.node.online = true;
    fake_node_raise(&x.f, PV_FACT_ONLINE);
}

static void eve_asks(void)
{
    fake_node_add(&x.f, make_member(&x.f.world, &door, &eve, "eve", 9));
    fake_node_settle(&x.f);
}

/* The coordinator says that eve asks from there. */
static void answer_from(const char *text)
{
    uint64_t tag;
    struct pv_ctl_asker asker = {.time_us = 1};
    struct pv_ctl_msg msg = {
        .kind = PV_CTL_ANSWER, .type = PV_CTL_ASKED, .u.asked = {.n = 1, .askers = &asker}};
    memcpy(asker.node, eve.pk, sizeof(asker.node));
    asker.from = test_ip(text);
    pv_ctl_msg_free(fake_coord_take(PV_CTL_ASKERS, &tag));
    pv_part_waiting.on_answer(x.f.self, tag, &msg, x.f.now);
    fake_node_settle(&x.f);
}

static void show_reply(void)
{
    assert_shows("", fake_client_read(&x, client));
}

/* The client asks for this, and the answer says that. */
static void show_answer(const char *fields)
{
    fake_client_ask(&x, client, fields);
    show_reply();
}

PV_TEST(an_admin_is_told_who_asks_and_from_where)
{
    assert_int_equal(fake_coord.n, 0); /* nobody waits: nobody is asked */
    eve_asks();
    assert_null(pv_waiting_from(&x.f.node, eve.pk));
    fake_node_show_problems(&x.f);
    answer_from("203.0.113.9");
    assert_string_equal(pv_waiting_from(&x.f.node, eve.pk), "203.0.113.9");
    assert_true(fake_node_has_problem(&x.f, "eve (from 203.0.113.9) asks to be admitted"));
    fake_node_wait(&x.f, PV_S(61)); /* it may have moved */
    answer_from("2001:db8::7");
    assert_string_equal(pv_waiting_from(&x.f.node, eve.pk), "2001:db8::7");
}

PV_TEST(watchers_are_told_once)
{
    eve_asks();
    others.refuses = others.holds = true;
    fake_client_ask(&x, client, "'cmd':'admit','peer':'eve'");
    assert_ok(pv_events_listen(&x.f.node.events, others.handle, false));
    fake_node_raise(&x.f, PV_FACT_ROSTER);
    assert_string_equal(fake_client_read(&x, client), ""); /* as soon as it is known from where */
    answer_from("203.0.113.9");
    show_reply();
    assert_has(fake_ctl_output, "'name':'eve'");
    assert_has(fake_ctl_output, "'asks_from':'203.0.113.9'");
    struct pv_job *job = fake_node_expect(&x.f, PV_JOB_NOTIFY);
    assert_string_equal(job->u.notify->from, "?eve"); /* no member's name */
    assert_shows("job u notify text", job->u.notify->text);
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_OK});
    fake_node_raise(&x.f, PV_FACT_ROSTER);
    fake_node_wait(&x.f, PV_S(61));
    answer_from("203.0.113.9");
    assert_string_equal(fake_client_read(&x, client), "");
    assert_null(fake_node_job(&x.f));
}

/* A holder of a token makes as many machines ask as there are uses; those of others are told of. */
PV_TEST(a_flood_by_one_invite_does_not_hide_a_holder_of_another)
{
    const struct keys gate = keys_of(52);
    for (unsigned i = 0; i < 100; i++) {
        const struct keys k = keys_of(100 + i);
        fake_node_add(
            &x.f, make_member(&x.f.world, &door, &k, PV_STR("flood%u", i), (uint16_t)(100 + i)));
    }
    fake_node_add(&x.f, make_terms(&x.f.world, &x.f.world.creator, &gate, PV_INVITE_APPROVAL, 0));
    fake_node_add(&x.f, make_member(&x.f.world, &gate, &eve, "eve", 9));
    fake_node_settle(&x.f);
    others.refuses = others.holds = true;
    fake_client_ask(&x, client, "'cmd':'admit','peer':'eve'");
    assert_ok(pv_events_listen(&x.f.node.events, others.handle, false));
    answer_from("203.0.113.9");
    show_reply();
    assert_has(fake_ctl_output, "'name':'eve'");
    assert_lacks(fake_ctl_output, "'name':'flood16'");
    struct pv_job *job;
    size_t n = 0;
    for (; (job = fake_node_job(&x.f)) != NULL; n++)
        pv_job_free(job);
    assert_int_equal(n, 17); /* the program runs for her, too */
}

PV_TEST(a_node_that_is_admitted_is_a_member)
{
    eve_asks();
    show_answer("'cmd':'admit','peer':'Eve.home.p2p.'");
    assert_int_equal(others.told, 1);
    assert_non_null(pv_roster_by_name(x.f.node.roster, "eve"));
    assert_memory_equal(pv_roster_admission(x.f.node.roster, eve.pk)->st.signer,
                        x.f.identity.sign_pk, PV_SIGN_PK_LEN);
    fake_node_raise(&x.f, PV_FACT_ROSTER);
    assert_false(fake_node_has_problem(&x.f, "eve"));
}

/* The place of the statement about eve that says so among all there are; 0: there is none. */
static unsigned place_of(uint8_t type)
{
    unsigned i = 1;
    for (const struct pv_roster_entry *e = pv_roster_next_entry(x.f.node.roster, NULL); e != NULL;
         e = pv_roster_next_entry(x.f.node.roster, e), i++) {
        const uint8_t *about = type == PV_ST_TAG ? e->st.u.tag.node : e->st.u.admission.node;
        if (e->st.type == type && memcmp(about, eve.pk, PV_SIGN_PK_LEN) == 0)
            return i;
    }
    return 0;
}

PV_TEST(a_node_is_admitted_with_its_tag)
{
    eve_asks();
    show_answer("'cmd':'admit','peer':'eve','tag':'any'");
    assert_int_equal(place_of(PV_ST_ADMISSION), 0);
    show_answer("'cmd':'admit','peer':'eve','tag':'guest'");
    assert_in_range(place_of(PV_ST_TAG), 1, place_of(PV_ST_ADMISSION) - 1);
    assert_true(others.tagged);
}

/* Else a mistyped name would give a member the rights of a tag. */
PV_TEST(a_member_gets_no_tag_from_admit)
{
    eve_asks();
    show_answer("'cmd':'admit','peer':'alice','tag':'guest'");
    show_answer("'cmd':'admit','peer':'alice'");
    show_answer("'cmd':'deny','peer':'alice'");
    assert_null(pv_roster_next_rule(x.f.node.roster, NULL));
}

/* Root's word outlives every admin. */
PV_TEST(the_root_key_signs_where_it_is)
{
    fake_node_give_root(&x.f, false);
    others.refuses = true; /* without rights of its own, too */
    eve_asks();
    show_answer("'cmd':'admit','peer':'eve'");
    assert_memory_equal(pv_roster_admission(x.f.node.roster, eve.pk)->st.signer, x.f.world.root.pk,
                        PV_SIGN_PK_LEN);
}

PV_TEST(a_node_that_is_denied_is_removed)
{
    eve_asks();
    show_answer("'cmd':'deny','peer':'eve'");
    assert_int_equal(pv_roster_known(x.f.node.roster, eve.pk)->state, PV_MEMBER_REVOKED);
    show_answer("'cmd':'admit','peer':'eve'");
}

PV_TEST(only_admins_and_only_of_who_waits)
{
    show_answer("'cmd':'admit','peer':'nobody'");
    show_answer("'cmd':'deny','peer':'alice'");
    eve_asks();
    others.refuses = true;
    show_answer("'cmd':'admit','peer':'eve'");
    show_answer("'cmd':'deny','peer':'eve'");
    assert_int_equal(pv_roster_known(x.f.node.roster, eve.pk)->state, PV_MEMBER_WAITING);
    assert_int_equal(others.told, 0);
}

/* Of two that ask by one name the admin says which one, whoever of them came first. */
PV_TEST(a_name_that_two_ask_by_admits_neither)
{
    struct keys other = keys_of(52);
    eve_asks();
    fake_node_add(&x.f, make_member(&x.f.world, &door, &other, "eve", 10));
    fake_node_settle(&x.f);
    show_answer("'cmd':'admit','peer':'eve'");
    show_answer("'cmd':'deny','peer':'eve'");
    assert_null(pv_roster_by_name(x.f.node.roster, "eve"));
    assert_int_equal(pv_roster_known(x.f.node.roster, eve.pk)->state, PV_MEMBER_WAITING);
    show_answer(PV_STR("'cmd':'admit','peer':'%s'", PV_KEY_STR(other.pk)));
    assert_memory_equal(pv_roster_by_name(x.f.node.roster, "eve")->node, other.pk, PV_SIGN_PK_LEN);
    /* Its name is another's now. */
    show_answer(PV_STR("'cmd':'admit','peer':'%s'", PV_KEY_STR(eve.pk)));
    assert_null(pv_roster_admission(x.f.node.roster, eve.pk));
    show_answer(PV_STR("'cmd':'deny','peer':'%s'", PV_KEY_STR(eve.pk)));
}

/* A coordinator that knows no answer, or gives none, hides nobody. */
PV_TEST(a_silent_coordinator_keeps_nobody_from_being_told_of)
{
    eve_asks();
    assert_null(fake_node_job(&x.f));
    fake_node_wait(&x.f, PV_S(61));
    struct pv_job *job = fake_node_job(&x.f);
    assert_non_null(job);
    assert_shows("job u notify text", job->u.notify->text);
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_OK});
    answer_from("203.0.113.9");
    assert_null(fake_node_job(&x.f)); /* once */
}

/* On the machine itself: by its own statements it waits; that it was denied only the coordinator
 * tells it. */
PV_TEST(the_machine_that_waits_says_so)
{
    eve_asks();
    memcpy(x.f.identity.sign_pk, eve.pk, sizeof(eve.pk));
    assert_true(pv_node_waits(&x.f.node));
    assert_true(fake_node_has_problem(&x.f, "waits until an admin admits it"));
    assert_true(fake_node_has_problem(&x.f, "`sudo p2pvpnctl admit eve`"));
    show_answer("'cmd':'admit','peer':'eve'");
    x.f.node.coord_info.standing = PV_COORD_UNKNOWN;
    x.f.node.coord_info.unknown_since = x.f.now;
    assert_true(fake_node_has_problem(&x.f, "the network has moved"));
    assert_true(fake_node_has_problem(&x.f, "wait until another member tells it, 300 s at most"));
    x.f.now += PV_COORD_TOLD_BY;
    assert_true(fake_node_has_problem(&x.f, "`sudo p2pvpnctl leave --forget`, then join with"));
    assert_false(fake_node_has_problem(&x.f, "denied"));
    x.f.node.coord_info.standing = PV_COORD_DENIED;
    fake_node_show_problems(&x.f);
    show_answer("'cmd':'admit','peer':'eve'");
}
