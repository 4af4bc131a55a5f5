/* SPDX-License-Identifier: MIT */
/* Parcels at the coordinator: kept for members who are away, given to nobody else. */
#include "coord_world.h"
#include "coordinator/core/copies.h"

struct scene {
    struct cw *w;
    struct cw_client *alice;
    struct cw_node bob, carol;
};

static struct scene begin(uint64_t seed)
{
    struct scene s = {.w = cw_new(seed)};
    cw_start(s.w);
    cw_create(s.w);
    s.alice = cw_member(s.w, &s.w->alice);
    struct cw_keys invite = cw_invite(s.w, s.alice, 2);
    s.bob = cw_node_make(s.w);
    s.carol = cw_node_make(s.w);
    cw_join(s.w, &invite, &s.bob, "bob");
    cw_join(s.w, &invite, &s.carol, "carol");
    return s;
}

static struct pv_ctl_msg keep(const uint8_t *to, uint8_t key, const char *box)
{
    struct pv_ctl_msg m = {.type = PV_CTL_KEEP};
    memcpy(m.u.keep.to, to, sizeof(m.u.keep.to));
    m.u.keep.key[0] = key;
    m.u.keep.box = pv_view(box, strlen(box));
    return m;
}

static struct pv_ctl_msg collect(uint64_t after, uint64_t taken)
{
    return (struct pv_ctl_msg){.type = PV_CTL_COLLECT,
                               .u.collect = {.after = after, .taken = taken}};
}

/* Collects and expects this box (NULL: none) of alice; returns its number. */
static uint64_t expect(struct scene *s, struct cw_client *c, struct pv_ctl_msg ask, const char *box)
{
    struct pv_ctl_msg *m = cw_ask(s->w, c, ask, PV_CTL_COPY);
    uint64_t n = m->u.copy.n;
    assert_true((n == 0) == (box == NULL));
    if (box != NULL) {
        assert_memory_equal(m->u.copy.from, s->w->alice.id.pk, 32);
        assert_true(pv_view_equal(m->u.copy.box, pv_view(box, strlen(box))));
    }
    pv_ctl_msg_free(m);
    return n;
}

PV_TEST(a_copy_waits_for_its_receiver_through_a_restart)
{
    struct scene s = begin(71);
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 1, "one"), PV_CTL_DONE);
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 2, "two"), PV_CTL_DONE);
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 1, "one again"), PV_CTL_DONE); /* as it was */
    cw_drop_clients(s.w);
    s.w->coord = pv_coord_free(s.w->coord);
    cw_start(s.w);

    struct cw_client *carol = cw_member(s.w, &s.carol);
    expect(&s, carol, collect(0, 0), NULL);
    struct cw_client *bob = cw_member(s.w, &s.bob);
    uint64_t one = expect(&s, bob, collect(0, 0), "one");
    expect(&s, bob, collect(0, 0), "one"); /* until it is taken */
    uint64_t two = expect(&s, bob, collect(one, one), "two");
    assert_true(two > one);
    expect(&s, carol, collect(0, two), NULL); /* she cannot take his */
    expect(&s, bob, collect(one, 0), "two");
    expect(&s, bob, collect(two, two), NULL);
    expect(&s, bob, collect(0, 0), NULL);
}

PV_TEST(a_receiver_who_is_there_is_told)
{
    struct scene s = begin(72);
    struct cw_client *bob = cw_member(s.w, &s.bob);
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 1, "one"), PV_CTL_DONE);
    cw_pump(s.w);
    struct pv_ctl_msg *m = cw_take_push(bob, PV_CTL_COPY);
    assert_non_null(m);
    assert_true(m->u.copy.n == 0);
    pv_ctl_msg_free(m);
    expect(&s, bob, collect(0, 0), "one");
}

PV_TEST(only_members_keep_and_only_for_members)
{
    struct scene s = begin(73);
    struct cw_node stranger = cw_node_make(s.w);
    cw_ask_error(s.w, s.alice, keep(stranger.id.pk, 1, "x"), PV_CTL_E_UNKNOWN_NODE);
    cw_ask_error(s.w, s.alice, keep(s.w->alice.id.pk, 1, "x"), PV_CTL_E_NOT_ALLOWED);
    struct cw_client *guest = cw_login(s.w, &stranger, s.w->created.network_id, PV_CTL_GUEST);
    cw_ask_error(s.w, guest, keep(s.bob.id.pk, 1, "x"), PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(s.w, guest, collect(0, 0), PV_CTL_E_NOT_ALLOWED);
}

PV_TEST(a_full_box_and_a_failing_disk_are_told)
{
    struct scene s = begin(74);
    s.w->fail_status = -28;
    cw_ask_error(s.w, s.alice, keep(s.bob.id.pk, 1, "x"), PV_CTL_E_STORAGE);
    cw_ask_error(s.w, s.alice, collect(0, 0), PV_CTL_E_STORAGE);
    s.w->fail_status = PV_ERR_REFUSED;
    cw_ask_error(s.w, s.alice, keep(s.bob.id.pk, 1, "x"), PV_CTL_E_FULL);
    s.w->fail_status = 0;
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 1, "x"), PV_CTL_DONE);
}

PV_TEST(work_under_way_is_bounded_and_survives_its_connection)
{
    struct scene s = begin(75);
    s.w->hold_jobs = true;
    for (uint8_t i = 0; i < PV_COPIES_PENDING_CONN; i++)
        (void)cw_send(s.alice, keep(s.bob.id.pk, i, "x"));
    cw_pump(s.w);
    cw_ask_error(s.w, s.alice, keep(s.bob.id.pk, 99, "x"), PV_CTL_E_LIMIT);
    cw_hang_up(s.w, s.alice);
    s.w->hold_jobs = false;
    cw_release(s.w, true);
    cw_pump(s.w);
    assert_int_equal(s.w->copies.n_rows, PV_COPIES_PENDING_CONN);
}
