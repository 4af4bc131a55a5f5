/* SPDX-License-Identifier: MIT */
/* How many signatures the coordinator's core verifies: each of them once, as they are most of what
 * a newcomer costs. */
#include "coord_world.h"

static unsigned verified;

/* The linker puts this one before libsodium's (tests/CMakeLists.txt). */
int __real_crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                       unsigned long long mlen, const unsigned char *pk);
int __wrap_crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                       unsigned long long mlen, const unsigned char *pk);
int __wrap_crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                       unsigned long long mlen, const unsigned char *pk)
{
    verified++;
    return __real_crypto_sign_verify_detached(sig, m, mlen, pk);
}

PV_TEST(a_newcomer_costs_each_of_its_signatures_once)
{
    struct cw *w = cw_new(1);
    cw_start(w);
    cw_create(w);
    struct cw_client *alice = cw_member(w, &w->alice);
    verified = 0;
    struct cw_keys invite = cw_invite(w, alice, 1);
    assert_int_equal(verified, 1);

    /* Its hello, its join by the invite, and the statement, which invite and node have signed. */
    struct cw_node bob = cw_node_make(w);
    verified = 0;
    cw_join(w, &invite, &bob, "bob");
    assert_int_equal(verified, 4);

    /* Nothing of it is verified when others are told, nor when it comes back: that is a hello. */
    verified = 0;
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_STATEMENTS);
    assert_int_equal(verified, 0);
    struct cw_client *b = cw_member(w, &bob);
    cw_ask_ok(w, b, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_STATEMENTS);
    assert_int_equal(verified, 1);
}

PV_TEST(a_statement_put_again_costs_none)
{
    struct cw *w = cw_new(2);
    cw_start(w);
    cw_create(w);
    struct cw_client *alice = cw_member(w, &w->alice);
    verified = 0;
    assert_int_equal(cw_put(w, alice, pv_made_view(&w->created.member)), PV_CTL_E_NONE);
    assert_int_equal(verified, 0);
}
