/* SPDX-License-Identifier: MIT */
/* The coordinator's core with nodes that offer hybrid keys, that do not, and that offer nonsense.
 */
#include "coord_world.h"
#include "tests/unit/kem_double.h"

static struct cw *world(const struct pv_kem *kem)
{
    struct cw *w = cw_new(7);
    w->cfg.kem = kem;
    cw_start(w);
    cw_create(w);
    return w;
}

static uint64_t hybrids(const struct cw *w)
{
    struct pv_coord_kinds k;
    pv_coord_kinds(w->coord, &k);
    return k.hybrid;
}

/* A hello with an offer. */
static uint64_t say_hello(struct cw *w, struct cw_client *c, uint8_t ek[static PV_KEM_EK_LEN])
{
    struct pv_ctl_msg m = cw_hello(c, &w->alice, w->created.network_id, PV_CTL_MEMBER);
    m.u.hello.mlkem768 = pv_view(ek, PV_KEM_EK_LEN);
    return cw_send(c, m);
}

PV_TEST(a_node_that_offers_is_welcomed_under_hybrid_keys)
{
    const struct pv_kem *const kems[] = {&kem_double, pv_kem_mlkem768()};
    for (size_t i = 0; i < PV_ARRAY_LEN(kems) && kems[i] != NULL; i++) {
        struct cw *w = world(kems[i]);
        struct cw_client *c = cw_connect(w, &w->alice);
        uint8_t ek[PV_KEM_EK_LEN];
        assert_int_equal(pv_control_offer(c->control, kems[i], &w->rng, ek), PV_OK);
        uint64_t id = say_hello(w, c, ek);
        cw_pump(w);
        struct pv_ctl_msg *m = cw_take_push(c, PV_CTL_HYBRID);
        assert_non_null(m);
        pv_ctl_msg_free(m);
        assert_true(pv_control_is_hybrid(c->control));
        m = cw_take(c, id);
        assert_non_null(m);
        assert_int_equal(m->type, PV_CTL_WELCOME);
        pv_ctl_msg_free(m);
        assert_int_equal(hybrids(w), 1);
        cw_ask_ok(w, c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
        cw_hang_up(w, c);
        cw_pump(w);
        assert_int_equal(hybrids(w), 0);
    }
}

/* An older node says nothing of it, and an older library of the coordinator answers nothing. */
PV_TEST(others_go_on_as_before)
{
    uint8_t ek[PV_KEM_EK_LEN];
    struct cw *w = world(&kem_double);
    cw_ask_ok(w, cw_member(w, &w->alice), (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    assert_int_equal(hybrids(w), 0);
    w = world(NULL);
    struct cw_client *c = cw_connect(w, &w->alice);
    assert_int_equal(pv_control_offer(c->control, &kem_double, &w->rng, ek), PV_OK);
    uint64_t id = say_hello(w, c, ek);
    cw_pump(w);
    assert_null(cw_take_push(c, PV_CTL_HYBRID));
    struct pv_ctl_msg *m = cw_take(c, id);
    assert_non_null(m);
    assert_int_equal(m->type, PV_CTL_WELCOME);
    pv_ctl_msg_free(m);
    cw_ask_ok(w, c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
}

PV_TEST(a_bad_key_ends_the_connection)
{
    uint8_t ek[PV_KEM_EK_LEN];
    struct cw *w = world(&kem_double);
    struct cw_client *c = cw_connect(w, &w->alice);
    memset(ek, 0xff, sizeof(ek));
    uint64_t id = say_hello(w, c, ek);
    cw_pump(w);
    struct pv_ctl_msg *m = cw_take(c, id);
    assert_non_null(m);
    assert_int_equal(m->type, PV_CTL_ERROR);
    assert_int_equal(m->u.failure.error, PV_CTL_E_BAD_REQUEST);
    pv_ctl_msg_free(m);
    assert_true(c->closed);
}

static unsigned encapsulated;

static int count_encapsulate(struct pv_view ek, const uint8_t random[static PV_KEM_RANDOM_LEN],
                             uint8_t ret_ct[static PV_KEM_CT_LEN],
                             uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    encapsulated++;
    return kem_double.encapsulate(ek, random, ret_ct, ret_secret);
}

/* The work is done for who was let in, once: strangers, replays and second hellos cost none. */
PV_TEST(nobody_causes_the_work_who_is_not_let_in)
{
    static struct pv_kem counting;
    uint8_t ek[PV_KEM_EK_LEN];
    counting = kem_double;
    counting.encapsulate = count_encapsulate;
    encapsulated = 0;
    struct cw *w = world(&counting);
    struct cw_node stranger = cw_node_make(w);
    struct cw_client *c = cw_connect(w, &stranger);
    assert_int_equal(pv_control_offer(c->control, &kem_double, &w->rng, ek), PV_OK);
    struct pv_ctl_msg m = cw_hello(c, &stranger, w->created.network_id, PV_CTL_MEMBER);
    m.u.hello.mlkem768 = pv_view(ek, sizeof(ek));
    cw_ask_error(w, c, m, PV_CTL_E_UNKNOWN_NODE);
    c = cw_connect(w, &w->alice);
    m = cw_hello(c, &w->alice, w->created.network_id, PV_CTL_MEMBER);
    m.u.hello.mlkem768 = pv_view(ek, sizeof(ek));
    m.u.hello.sig[3] ^= 1;
    cw_ask_error(w, c, m, PV_CTL_E_BAD_SIGNATURE);
    assert_int_equal(encapsulated, 0);
    c = cw_member(w, &w->alice);
    m = cw_hello(c, &w->alice, w->created.network_id, PV_CTL_MEMBER);
    m.u.hello.mlkem768 = pv_view(ek, sizeof(ek));
    cw_ask_error(w, c, m, PV_CTL_E_STATE);
    assert_int_equal(encapsulated, 0);
}
