/* SPDX-License-Identifier: MIT */
#include "proto/roster/kinds.h"
#include "proto/roster/sshkeys.h"
#include "tests/unit/proto/roster/longest_card.h"
#include "tests/unit/proto/roster/roster_fixture.h"

/* --- making and reading statements ----------------------------------------------------------- */

static const struct {
    uint8_t number;
    const char *name;
} types[] = {
#define TYPE(name, number) {number, "PV_ST_" #name},
    PV_STATEMENT_TYPES(TYPE)
#undef TYPE
};

struct made {
    uint8_t buf[PV_STATEMENT_MAX + 64];
    size_t len;
};

static void hash_of(const struct made *m, char ret_hex[static 2 * PV_STATEMENT_HASH_LEN + 1])
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(pv_view(m->buf, m->len), hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(ret_hex + 2 * i, 3, "%02x", hash[i]);
}

static inline void assert_truncation_is_refused(const struct made *m)
{
    struct pv_statement got;
    for (size_t len = 0; len < m->len; len++) {
        uint8_t *cut = malloc(len == 0 ? 1 : len);
        assert_non_null(cut);
        memcpy(cut, m->buf, len);
        assert_int_not_equal(pv_statement_decode(pv_view(cut, len), &got), PV_OK);
        free(cut);
    }
}

static inline void assert_trailing_byte_is_refused(struct made *m)
{
    struct pv_statement got;
    m->buf[m->len] = 0;
    assert_int_not_equal(pv_statement_decode(pv_view(m->buf, m->len + 1), &got), PV_OK);
}

static inline void assert_flipped_bits_are_noticed(struct made *m)
{
    struct pv_statement got;
    for (size_t bit = 0; bit < m->len * 8; bit += 3) {
        m->buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (pv_statement_decode(pv_view(m->buf, m->len), &got) == PV_OK)
            assert_int_equal(pv_statement_verify(&got), PV_ERR_AUTH);
        m->buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static struct keys keys_from(uint8_t seed)
{
    struct keys k;
    uint8_t bytes[PV_SIGN_SEED_LEN];
    memset(bytes, seed, sizeof(bytes));
    pv_sign_keypair(bytes, k.sk, k.pk);
    return k;
}

/* Signed by keys_from(1); node NULL: its signature is there, or there is none. */
static int try_make(const struct pv_statement *st, const struct keys *node, struct made *ret_made)
{
    struct keys signer = keys_from(1);
    ret_made->len = 0;
    return pv_statement_make(st, pv_signer_sk(signer.sk), node == NULL ? NULL : node->sk,
                             ret_made->buf, sizeof(ret_made->buf), &ret_made->len);
}

static struct made make(const struct pv_statement *st, const struct keys *node)
{
    struct made m;
    assert_ok(try_make(st, node, &m));
    return m;
}

static size_t list_of(uint8_t *buf, size_t cap, size_t n_coords, size_t n_addrs)
{
    struct pv_writer w = pv_writer(buf, cap);
    struct pv_hostport hps[PV_COORDINATOR_ADDRS_MAX + 1];

    for (size_t i = 0; i < n_addrs; i++) {
        hps[i] = (struct pv_hostport){.port = (uint16_t)(3478 + i)};
        snprintf(hps[i].host, sizeof(hps[i].host), "192.0.2.1");
    }
    for (size_t i = 0; i < n_coords; i++) {
        uint8_t pk[32];
        memset(pk, (int)i + 1, sizeof(pk));
        pv_coordlist_put(&w, pk, hps, n_addrs);
    }
    assert_ok(w.status);
    return w.len;
}

static struct pv_statement sample_route(void);
static struct pv_statement sample_card(void);
static struct pv_statement sample_tag(void);
static struct pv_statement sample_rule(void);

static uint8_t test_list[256];
static uint8_t test_stay[PV_STATEMENT_LIST_MAX + 32];

static void fill_member(struct pv_statement *st, const struct keys *node)
{
    struct pv_st_member *m = &st->u.member;
    memcpy(m->node, node->pk, 32);
    memset(m->transport, 0x44, 32);
    m->serial = 7;
    snprintf(m->name, sizeof(m->name), "bob");
    memcpy(m->ip4, (uint8_t[]){10, 66, 1, 2}, 4);
    pv_node_ip6(st->network_id, node->pk, m->ip6);
    m->issued = 1700000002;
}

/* A good statement of each known type; the first byte of its node key is 2, of its signer's 1. */
static struct pv_statement sample(enum pv_statement_type type)
{
    struct pv_statement st = {.type = (uint8_t)type};
    struct keys node = keys_from(2);
    memset(st.network_id, 0x77, sizeof(st.network_id));
    switch (type) {
    case PV_ST_NETWORK:
        snprintf(st.u.network.name, sizeof(st.u.network.name), "home");
        st.u.network.range = (struct pv_prefix){.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16};
        st.u.network.created = 1700000000;
        break;
    case PV_ST_ADMIN:
        memcpy(st.u.admin.node, node.pk, 32);
        st.u.admin.rights = 3;
        st.u.admin.time = 1700000001;
        break;
    case PV_ST_INVITE:
        memset(st.u.invite.invite, 0x33, 32);
        st.u.invite.not_before = 1700000000;
        st.u.invite.not_after = 1700086400;
        st.u.invite.uses = 5;
        st.u.invite.flags = PV_INVITE_APPROVAL;
        st.u.invite.lifetime = 7776000;
        break;
    case PV_ST_MEMBER:
        fill_member(&st, &node);
        break;
    case PV_ST_TRANSPORT:
        st.u.transport.serial = 8;
        memset(st.u.transport.transport, 0x55, 32);
        st.u.transport.time = 1700000003;
        break;
    case PV_ST_REVOCATION:
        st.u.revocation.kind = PV_REVOKE_NODE;
        memcpy(st.u.revocation.pk, node.pk, 32);
        memset(test_stay, 1, 32);
        memset(test_stay + 32, 2, 32);
        st.u.revocation.stay = pv_view(test_stay, 64);
        st.u.revocation.time = 1700000004;
        break;
    case PV_ST_LEAVE:
        st.u.leave.serial = 9;
        st.u.leave.time = 1700000005;
        break;
    case PV_ST_END:
        memcpy(st.u.end.about, node.pk, 32);
        memset(st.u.end.hash, 0x66, 32);
        memset(test_stay, 1, 32);
        st.u.end.stay = pv_view(test_stay, 32);
        st.u.end.time = 1700000006;
        break;
    case PV_ST_PLACE:
        memcpy(st.u.place.node, node.pk, 32);
        st.u.place.serial = 10;
        snprintf(st.u.place.name, sizeof(st.u.place.name), "rob");
        memcpy(st.u.place.ip4, (uint8_t[]){10, 66, 1, 3}, 4);
        st.u.place.time = 1700000007;
        break;
    case PV_ST_ADMISSION:
        memcpy(st.u.admission.node, node.pk, 32);
        st.u.admission.time = 1700000008;
        break;
    case PV_ST_COORDINATORS:
        st.u.coordinators.seq = 1;
        st.u.coordinators.list = pv_view(test_list, list_of(test_list, sizeof(test_list), 2, 2));
        break;
    case PV_ST_ROUTE:
        return sample_route();
    case PV_ST_TAG:
        return sample_tag();
    case PV_ST_RULE:
        return sample_rule();
    case PV_ST_CARD:
        return sample_card();
    case PV_ST_RECEIPT:
        fail();
    }
    return st;
}

static struct made make_sample(enum pv_statement_type type)
{
    struct keys node = keys_from(2);
    struct pv_statement st = sample(type);
    return make(&st, type == PV_ST_MEMBER ? &node : NULL);
}

/* The list in a statement, which lies elsewhere in one that was read; NULL: it has none. */
static struct pv_view *list_in(struct pv_statement *st)
{
    return st->type == PV_ST_REVOCATION     ? &st->u.revocation.stay
           : st->type == PV_ST_END          ? &st->u.end.stay
           : st->type == PV_ST_COORDINATORS ? &st->u.coordinators.list
           : st->type == PV_ST_CARD         ? &st->u.card.offers
                                            : NULL;
}

PV_TEST(a_statement_made_reads_back_the_same)
{
    struct keys signer = keys_from(1);
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        const uint8_t type = types[i].number;
        struct pv_statement want = sample(type), got;
        struct made m = make_sample(type);
        assert_ok(pv_statement_decode(pv_view(m.buf, m.len), &got));
        assert_ok(pv_statement_verify(&got));
        assert_int_equal(got.type, type);
        assert_memory_equal(got.signer, signer.pk, 32);
        assert_memory_equal(got.network_id, type == PV_ST_NETWORK ? got.hash : want.network_id,
                            PV_NETWORK_ID_LEN);
        if (list_in(&got) != NULL) {
            assert_true(pv_view_equal(*list_in(&got), *list_in(&want)));
            *list_in(&got) = *list_in(&want);
        }
        if (type == PV_ST_CARD) {
            assert_true(pv_view_equal(got.u.card.kem, want.u.card.kem));
            got.u.card.kem = want.u.card.kem;
            assert_true(pv_view_equal(got.u.card.hostkeys, want.u.card.hostkeys));
            got.u.card.hostkeys = want.u.card.hostkeys;
            assert_true(pv_view_equal(got.u.card.loginkeys, want.u.card.loginkeys));
            got.u.card.loginkeys = want.u.card.loginkeys;
        }
        if (type == PV_ST_MEMBER)
            memcpy(want.u.member.node_sig, got.u.member.node_sig, PV_SIGN_LEN);
        assert_memory_equal(&got.u, &want.u, sizeof(got.u));
    }
}

/* Byte by byte: no field is lost, or read from another's place. */
PV_TEST(a_statement_that_was_read_is_made_again_the_same)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        struct pv_statement got;
        struct made m = make_sample(types[i].number);
        assert_ok(pv_statement_decode(pv_view(m.buf, m.len), &got));
        struct made again = make(&got, NULL);
        assert_int_equal(again.len, m.len);
        assert_memory_equal(again.buf, m.buf, m.len);
    }
}

/* The encodings are final: these hashes change only when somebody breaks them. */
PV_TEST(encodings_do_not_change)
{
    size_t n = 0;
    const char *const *want = test_given_parts("hashes of the samples", &n);
    assert_int_equal(n, PV_ARRAY_LEN(types));
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        struct made m = make_sample(types[i].number);
        char hex[2 * PV_STATEMENT_HASH_LEN + 1];
        hash_of(&m, hex);
        assert_string_equal(PV_STR("%s %s", types[i].name, hex), want[i]);
    }
}

PV_TEST(damage_to_a_statement_is_noticed)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        struct made m = make_sample(types[i].number);
        assert_truncation_is_refused(&m);
        assert_trailing_byte_is_refused(&m);
        assert_flipped_bits_are_noticed(&m);
    }
}

PV_TEST(member_needs_the_nodes_own_signature)
{
    struct keys other = keys_from(3);
    struct pv_statement st = sample(PV_ST_MEMBER), got;
    struct made m = make(&st, &other);

    assert_ok(pv_statement_decode(pv_view(m.buf, m.len), &got));
    assert_int_equal(pv_statement_verify(&got), PV_ERR_AUTH);
}

PV_TEST(member_may_be_signed_in_two_steps)
{
    struct pv_statement st = sample(PV_ST_MEMBER), first, got;
    struct made m = make_sample(PV_ST_MEMBER);
    assert_ok(pv_statement_decode(pv_view(m.buf, m.len), &first));

    memcpy(st.u.member.node_sig, first.u.member.node_sig, PV_SIGN_LEN);
    struct made again = make(&st, NULL);
    assert_ok(pv_statement_decode(pv_view(again.buf, again.len), &got));
    assert_ok(pv_statement_verify(&got));
    assert_int_equal(again.len, m.len);
    assert_memory_equal(again.buf, m.buf, m.len);
}

/* --- bounds ---------------------------------------------------------------------------------- */

static void expect_unmakeable(const struct pv_statement *st, const char *why)
{
    struct keys node = keys_from(2);
    struct made m;
    int r = try_make(st, st->type == PV_ST_MEMBER ? &node : NULL, &m);
    if (r != PV_ERR_MALFORMED || m.len != 0)
        fail_msg("%s: %d", why, r);
}

PV_TEST(values_just_outside_their_range_are_refused)
{
    struct pv_statement st = sample(PV_ST_ADMIN);
    st.u.admin.rights = 0;
    expect_unmakeable(&st, "no rights");
    st.u.admin.rights = 4;
    expect_unmakeable(&st, "unknown right");
    st = sample(PV_ST_INVITE);
    st.u.invite.uses = 0;
    expect_unmakeable(&st, "no uses");
    st = sample(PV_ST_INVITE);
    st.u.invite.not_before = st.u.invite.not_after + 1;
    expect_unmakeable(&st, "window upside down");
    st = sample(PV_ST_INVITE);
    st.u.invite.flags |= 2;
    expect_unmakeable(&st, "unknown condition");
    st = sample(PV_ST_CARD);
    st.u.card.abilities |= 4;
    expect_unmakeable(&st, "unknown ability");
    st = sample(PV_ST_CARD);
    st.u.card.kem.len--;
    expect_unmakeable(&st, "half a sealing key");
    st = sample(PV_ST_CARD);
    st.u.card.hostkeys.len--;
    expect_unmakeable(&st, "half a host key");
    st = sample(PV_ST_CARD);
    st.u.card.loginkeys.len--;
    expect_unmakeable(&st, "half a user's key");

    st = sample(PV_ST_MEMBER);
    st.u.member.expires = st.u.member.issued;
    expect_unmakeable(&st, "expires when issued");
    st = sample(PV_ST_MEMBER);
    memset(st.u.member.transport, 0, 32);
    expect_unmakeable(&st, "zero transport key");
    st = sample(PV_ST_TRANSPORT);
    memset(st.u.transport.transport, 0, 32);
    expect_unmakeable(&st, "zero transport key");

    st = sample(PV_ST_REVOCATION);
    st.u.revocation.kind = 0;
    expect_unmakeable(&st, "kind 0");
    st.u.revocation.kind = 3;
    expect_unmakeable(&st, "kind 3");
}

PV_TEST(only_canonical_names_pass)
{
    static const char *const bad[] = {"",    "Bob", "-bob",      "bob-",
                                      "b_b", "b.b", "localhost", "b\xc3\xa9"};
    struct pv_statement st = sample(PV_ST_MEMBER);

    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        memset(st.u.member.name, 0, sizeof(st.u.member.name));
        memcpy(st.u.member.name, bad[i], strlen(bad[i]));
        expect_unmakeable(&st, bad[i]);
    }
    memset(st.u.member.name, 'a', PV_NAME_MAX + 1); /* 64 characters, no NUL */
    expect_unmakeable(&st, "64 characters");
    st.u.member.name[PV_NAME_MAX] = '\0';
    struct keys node = keys_from(2);
    make(&st, &node);
}

PV_TEST(a_name_with_a_nul_inside_is_refused)
{
    struct made m = make_sample(PV_ST_NETWORK);
    struct pv_statement st;
    m.buf[2 + 32 + 2 + 1] = '\0'; /* h?me */
    assert_int_equal(pv_statement_decode(pv_view(m.buf, m.len), &st), PV_ERR_MALFORMED);
}

PV_TEST(only_sensible_ranges_pass)
{
    static const struct {
        const char *range;
        bool ok;
        const char *why;
    } rows[] = {
        {"10.0.0.0/8", true, "widest"},
        {"10.0.0.0/7", false, "too wide"},
        {"10.66.0.4/30", true, "narrowest"},
        {"10.66.0.0/31", false, "too narrow"},
        {"0.0.0.0/8", false, "this network"},
        {"127.1.0.0/16", false, "loopback"},
        {"224.0.0.0/8", false, "multicast"},
        {"169.254.0.0/16", false, "link-local"},
        {"169.0.0.0/8", false, "holds link-local"},
        {"223.255.0.0/16", true, "last unicast"},
        {"100.64.0.0/10", true, "CGNAT range is the owner's choice"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_prefix p = test_prefix(rows[i].range);
        if (pv_ip4_range_is_valid(&p) != rows[i].ok)
            fail_msg("%s: %s", rows[i].range, rows[i].why);
    }
    struct pv_statement st = sample(PV_ST_NETWORK);
    st.u.network.range.base = pv_addr4(10, 66, 0, 1, 0);
    expect_unmakeable(&st, "host bits set");
}

PV_TEST(stay_lists_are_ascending_and_bounded)
{
    struct pv_statement st = sample(PV_ST_REVOCATION);

    for (size_t i = 0; i <= 64; i++)
        memset(test_stay + 32 * i, (int)i + 1, 32);
    st.u.revocation.stay = pv_view(test_stay, PV_STATEMENT_LIST_MAX);
    assert_int_equal(make(&st, NULL).len, 2205);
    st.u.revocation.stay.len += 32;
    expect_unmakeable(&st, "65 nodes");
    st.u.revocation.stay.len = 33;
    expect_unmakeable(&st, "a node and a byte");
    st.u.revocation.stay.len = 64;
    memset(test_stay + 32, 1, 32);
    expect_unmakeable(&st, "the same node twice");
    memset(test_stay, 2, 32);
    expect_unmakeable(&st, "descending");

    for (size_t i = 0; i <= PV_END_STAY_MAX; i++)
        memset(test_stay + 32 * i, (int)i + 1, 32);
    st = sample(PV_ST_END);
    st.u.end.stay = pv_view(test_stay, PV_END_STAY_MAX * 32);
    assert_true(make(&st, NULL).len <= PV_STATEMENT_SHORT_MAX);
    st.u.end.stay.len += 32;
    expect_unmakeable(&st, "eleven nodes");
}

/* The list is of one coordinator, which has these addresses. */
static void expect_addrs(struct pv_view list, const char *const *want, size_t n)
{
    char text[PV_HOSTPORT_BUF];
    struct pv_coordinator one;
    struct pv_hostport hp;
    assert_ok(pv_coordlist_check(list, list.len));
    assert_true(pv_coordlist_next(&list, &one));
    for (size_t i = 0; i < n; i++) {
        assert_true(pv_coordlist_next_addr(&one.addrs, &hp));
        assert_string_equal(pv_hostport_format(&hp, text), want[i]);
    }
    assert_false(pv_coordlist_next_addr(&one.addrs, &hp));
}

PV_TEST(places_of_tls_are_added_as_far_as_they_fit)
{
    static const char *const addrs[] = {"vpn.example:443",    "not an address",  "tls:x.example:1",
                                        "[2001:db8::1]:8443", "vpn.example:443", "10.0.0.1:1"};
    static const char *const want[] = {"192.0.2.1:3478", "tls:vpn.example:443",
                                       "tls:[2001:db8::1]:8443", "tls:10.0.0.1:1"};
    const struct pv_coordlist_more tls = {.addrs = addrs, .n = PV_ARRAY_LEN(addrs), .tls = true};
    uint8_t list[PV_STATEMENT_LIST_MAX], out[PV_STATEMENT_LIST_MAX];
    size_t len = list_of(list, sizeof(list), 1, 1), got = 0;
    assert_ok(pv_coordlist_with(pv_view(list, len), &tls, out, sizeof(out), &got));
    expect_addrs(pv_view(out, got), want, PV_ARRAY_LEN(want));
    /* Again: nothing is there twice. No room for more: the old one, and byte by byte upwards. */
    size_t again = 0;
    memcpy(list, out, got);
    assert_ok(pv_coordlist_with(pv_view(list, got), &tls, out, sizeof(out), &again));
    assert_int_equal(again, got);
    len = list_of(list, sizeof(list), 1, 1);
    for (size_t cap = 0; cap <= got; cap++) {
        int r = pv_coordlist_with(pv_view(list, len), &tls, out, cap, &again);
        assert_int_equal(r, cap < len ? PV_ERR_NO_SPACE : PV_OK);
        if (r == PV_OK) {
            assert_in_range(again, len, cap);
            assert_ok(pv_coordlist_check(pv_view(out, again), cap));
        }
    }
    /* Eight places at most, and of several coordinators nobody knows whose it is. */
    len = list_of(list, sizeof(list), 1, PV_COORDINATOR_ADDRS_MAX);
    assert_ok(pv_coordlist_with(pv_view(list, len), &tls, out, sizeof(out), &got));
    assert_int_equal(got, len);
    len = list_of(list, sizeof(list), 2, 1);
    assert_ok(pv_coordlist_with(pv_view(list, len), &tls, out, sizeof(out), &got));
    assert_int_equal(got, len);
    assert_memory_equal(out, list, len);
}

PV_TEST(other_addresses_of_a_coordinator_are_added)
{
    static const char *const addrs[] = {"[2001:db8::1]:3478", "192.0.2.1:3478", "vpn.example:3478"};
    static const char *const want[] = {"192.0.2.1:3478", "[2001:db8::1]:3478", "vpn.example:3478"};
    const struct pv_coordlist_more more = {.addrs = addrs, .n = PV_ARRAY_LEN(addrs)};
    uint8_t list[PV_STATEMENT_LIST_MAX], out[PV_STATEMENT_LIST_MAX];
    size_t len = list_of(list, sizeof(list), 1, 1), got = 0;
    assert_ok(pv_coordlist_with(pv_view(list, len), &more, out, sizeof(out), &got));
    expect_addrs(pv_view(out, got), want, PV_ARRAY_LEN(want));
}

PV_TEST(coordinator_lists_are_canonical_and_bounded)
{
    uint8_t list[4096];
    size_t len = list_of(list, sizeof(list), PV_COORDINATORS_MAX, 2);
    assert_ok(pv_coordlist_check(pv_view(list, len), PV_STATEMENT_LIST_MAX));
    assert_ok(pv_coordlist_check(pv_view(list, len), len));
    assert_int_equal(pv_coordlist_check(pv_view(list, len), len - 1), PV_ERR_MALFORMED);
    for (size_t cut = 1; cut < 40; cut++)
        assert_int_not_equal(pv_coordlist_check(pv_view(list, cut), 4096), PV_OK);

    len = list_of(list, sizeof(list), PV_COORDINATORS_MAX + 1, 2);
    assert_int_equal(pv_coordlist_check(pv_view(list, len), 4096), PV_ERR_MALFORMED);
    len = list_of(list, sizeof(list), 1, PV_COORDINATOR_ADDRS_MAX);
    assert_ok(pv_coordlist_check(pv_view(list, len), 4096));
    /* A ninth address by hand: the writer's own buffer would take it, the check must not. */
    len = list_of(list, sizeof(list), 1, PV_COORDINATOR_ADDRS_MAX + 1);
    assert_int_equal(pv_coordlist_check(pv_view(list, len), 4096), PV_ERR_MALFORMED);
    assert_int_equal(pv_coordlist_check(pv_view(list, 0), 4096), PV_ERR_MALFORMED);

    len = list_of(list, sizeof(list), 2, 1);
    memset(list + len / 2, 1, 32);
    assert_int_equal(pv_coordlist_check(pv_view(list, len), 4096), PV_ERR_MALFORMED);
    struct pv_view none = pv_view(list, 34);
    memset(list + 32, 0, 2);
    assert_int_equal(pv_coordlist_check(none, 4096), PV_ERR_MALFORMED);
}

PV_TEST(coordinator_lists_read_back)
{
    uint8_t list[512];
    struct pv_view rest = pv_view(list, list_of(list, sizeof(list), 2, 3));
    struct pv_coordinator c;
    struct pv_hostport hp;
    size_t n_coords = 0, n_addrs = 0;

    while (pv_coordlist_next(&rest, &c)) {
        assert_int_equal(c.pk[0], ++n_coords);
        while (pv_coordlist_next_addr(&c.addrs, &hp)) {
            assert_string_equal(hp.host, "192.0.2.1");
            assert_int_equal(hp.port, 3478 + n_addrs++ % 3);
        }
    }
    assert_int_equal(n_coords, 2);
    assert_int_equal(n_addrs, 6);
}

PV_TEST(only_canonical_addresses_pass)
{
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"192.0.2.1:3478", true},
        {"tls:vpn.example.org:443", true},
        {"[2001:db8::1]:3478", true},
        {"localhost:1", true},
        {"a:65535", true},
        {"x1.y-2.z:9", true},
        {"192.0.2.1:0", false},
        {"192.0.2.1:65536", false},
        {"192.0.2.1:03478", false},
        {"192.0.2.1", false},
        {"192.0.2.01:1", false},
        {"192.0.2:1", false},
        {"[2001:DB8::1]:1", false},
        {"[2001:db8:0::1]:1", false},
        {"2001:db8::1:3478", false},
        {"[192.0.2.1]:1", false},
        {"[a]:1", false},
        {"Vpn.example.org:1", false},
        {"vpn..org:1", false},
        {"vpn.org.:1", false},
        {"-a:1", false},
        {"a-:1", false},
        {"a b:1", false},
        {":1", false},
        {"", false},
        {"tls:", false},
        {"tls:tls:a:1", false},
        {"a:", false},
        {"a:+1", false},
        {"[]:1", false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_hostport hp;
        int r = pv_hostport_parse(rows[i].text, strlen(rows[i].text), &hp);
        if ((r == PV_OK) != rows[i].ok)
            fail_msg("%s", rows[i].text);
        if (rows[i].ok)
            assert_string_equal(PV_HOSTPORT_STR(&hp), rows[i].text);
    }
    struct pv_hostport hp;
    assert_int_equal(pv_hostport_parse("a\0b:1", 5, &hp), PV_ERR_MALFORMED);

    char text[PV_HOSTPORT_BUF + 8];
    memset(text, 'a', sizeof(text));
    for (size_t i = 60; i < 253; i += 60)
        text[i] = '.';
    memcpy(text + 253, ":1", 3);
    assert_ok(pv_hostport_parse(text, 255, &hp));
    memcpy(text + 253, "a:1", 4);
    assert_int_equal(pv_hostport_parse(text, 256, &hp), PV_ERR_MALFORMED);
}

PV_TEST(versions_and_types_that_are_not_statements_are_refused)
{
    struct made m = make_sample(PV_ST_LEAVE);
    struct pv_statement st;

    m.buf[0] = 2;
    assert_int_equal(pv_statement_decode(pv_view(m.buf, m.len), &st), PV_ERR_UNSUPPORTED);
    m.buf[0] = 0;
    assert_int_equal(pv_statement_decode(pv_view(m.buf, m.len), &st), PV_ERR_MALFORMED);
    m.buf[0] = 1;
    for (unsigned type = 0; type <= UINT8_MAX; type++) {
        m.buf[1] = (uint8_t)type;
        if (pv_kind_of(m.buf[1])->name == NULL)
            assert_int_equal(pv_statement_decode(pv_view(m.buf, m.len), &st), PV_ERR_MALFORMED);
    }
    st = sample(PV_ST_LEAVE);
    st.type = 200;
    expect_unmakeable(&st, "no type");
}

PV_TEST(make_leaves_a_short_buffer_alone)
{
    struct keys signer = keys_from(1);
    struct pv_statement st = sample(PV_ST_LEAVE);
    uint8_t buf[512];
    size_t len = 0;
    struct made m = make_sample(PV_ST_LEAVE);

    memset(buf, 0xee, sizeof(buf));
    assert_int_equal(pv_statement_make(&st, pv_signer_sk(signer.sk), NULL, buf, m.len - 1, &len),
                     PV_ERR_NO_SPACE);
    assert_int_equal(len, 0);
    assert_int_equal(buf[0], 0xee);
    assert_ok(pv_statement_make(&st, pv_signer_sk(signer.sk), NULL, buf, m.len, &len));
}

/* --- receipts -------------------------------------------------------------------------------- */

static struct pv_receipt sample_receipt(uint8_t out[static PV_RECEIPT_LEN])
{
    struct keys coordinator = keys_from(9);
    struct pv_receipt f = {.epoch = 1700000000, .n = 3, .time = 1700000100};
    memset(f.network_id, 0x77, sizeof(f.network_id));
    memset(f.hash, 0x88, sizeof(f.hash));
    memcpy(f.coordinator, coordinator.pk, sizeof(f.coordinator));
    assert_ok(pv_receipt_make(&f, coordinator.sk, out));
    return f;
}

PV_TEST(receipts_read_back_and_notice_every_change)
{
    uint8_t data[PV_RECEIPT_LEN + 1] = {0};
    struct pv_receipt want = sample_receipt(data), got;

    assert_ok(pv_receipt_decode(pv_view(data, PV_RECEIPT_LEN), &got));
    assert_memory_equal(&got, &want, sizeof(got));
    assert_ok(pv_receipt_verify(pv_view(data, PV_RECEIPT_LEN)));
    for (size_t len = 0; len < PV_RECEIPT_LEN; len++) {
        assert_int_not_equal(pv_receipt_decode(pv_view(data, len), &got), PV_OK);
        assert_int_equal(pv_receipt_verify(pv_view(data, len)), PV_ERR_AUTH);
    }
    assert_int_equal(pv_receipt_decode(pv_view(data, sizeof(data)), &got), PV_ERR_MALFORMED);
    for (size_t bit = 0; bit < PV_RECEIPT_LEN * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (pv_receipt_decode(pv_view(data, PV_RECEIPT_LEN), &got) == PV_OK)
            assert_int_equal(pv_receipt_verify(pv_view(data, PV_RECEIPT_LEN)), PV_ERR_AUTH);
        data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

PV_TEST(a_signature_for_one_purpose_serves_no_other)
{
    /* The same key and bytes, signed as a statement: no receipt. */
    uint8_t data[PV_RECEIPT_LEN];
    struct pv_statement st;
    sample_receipt(data);
    struct keys coordinator = keys_from(9);
    assert_ok(pv_sign(data + PV_RECEIPT_LEN - 64, "p2pvpn statement v1",
                      pv_view(data, PV_RECEIPT_LEN - 64), pv_view(NULL, 0), coordinator.sk));
    assert_int_equal(pv_receipt_verify(pv_view(data, sizeof(data))), PV_ERR_AUTH);
    assert_int_equal(pv_statement_decode(pv_view(data, sizeof(data)), &st), PV_ERR_MALFORMED);
}

/* --- addresses ------------------------------------------------------------------------------- */

PV_TEST(the_search_visits_every_address)
{
    struct keys k = keys_from(5);
    bool seen[256] = {false};
    struct pv_prefix range = test_prefix("10.66.7.0/24");
    assert_int_equal(pv_ip4_count(&range), 254);

    uint32_t own = pv_ip4_first(&range, k.pk);
    assert_int_equal(pv_ip4_try(&range, own, 0), own);
    for (uint32_t i = 0; i < 254; i++) {
        uint32_t ip = pv_ip4_try(&range, own, i);
        assert_true(pv_ip4_is_usable(&range, ip));
        assert_false(seen[ip & 255]);
        seen[ip & 255] = true;
    }
    assert_false(seen[0]);
    assert_false(seen[255]);
    assert_false(pv_ip4_is_usable(&range, pv_addr_u32(&range.base)));
    assert_false(pv_ip4_is_usable(&range, pv_addr_u32(&range.base) + 255));
    assert_false(pv_ip4_is_usable(&range, pv_addr_u32(&range.base) + 256));
    assert_false(pv_ip4_is_usable(&range, pv_addr_u32(&range.base) - 1));
}

PV_TEST(a_search_leaves_a_part_of_the_range_that_is_full)
{
    size_t far = 0;
    struct pv_prefix range = test_prefix("10.0.0.0/8");
    uint32_t own = pv_addr_u32(&range.base) + 1000, last = own - 1;
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t ip = pv_ip4_try(&range, own, i);
        assert_true(pv_ip4_is_usable(&range, ip));
        far += ip - own > 1000000 ? 1 : 0;
    }
    assert_true(far > 30);
    /* In the end it has looked at all: behind the jumps it goes on where it left off. */
    uint32_t near = 0;
    while (pv_ip4_try(&range, own, near) == own + near)
        near++;
    assert_int_equal(pv_ip4_try(&range, own, near + pv_ip4_tries(&range) - pv_ip4_count(&range)),
                     own + near);
    assert_int_equal(pv_ip4_try(&range, own, pv_ip4_tries(&range) - 1), last);
}

PV_TEST(ip6_is_the_networks_ula_and_a_hash_of_the_key)
{
    struct keys k = keys_from(5), other = keys_from(6);
    uint8_t id[PV_NETWORK_ID_LEN] = {1, 2, 3, 4, 5, 6}, ip6[16], again[16];
    static const uint8_t start[8] = {0xfd, 1, 2, 3, 4, 5, 0, 0};

    pv_node_ip6(id, k.pk, ip6);
    assert_memory_equal(ip6, start, sizeof(start));
    pv_node_ip6(id, other.pk, again);
    assert_memory_not_equal(ip6, again, sizeof(ip6));
    struct pv_prefix ula = pv_network_ula(id);
    struct pv_addr a = pv_addr6(ip6, 0);
    assert_true(pv_prefix_contains(&ula, &a));
}

/* --- kinds ----------------------------------------------------------------------------------- */

/* The compiler cannot see all that a row of the table of types lacks. */

/* what: a sentence's end that says what the row in kinds.c does not. */
static void expect(bool said, const char *name, const char *what)
{
    if (!said)
        fail_msg("%s: its row in lib/proto/roster/kinds.c %s", name, what);
}

static size_t size_of(const struct pv_kind *kind)
{
    size_t n = 0;
    while (n < PV_KIND_FIELDS && kind->fields[n].form != PV_FIELD_END)
        n++;
    return n;
}

PV_TEST(each_type_says_what_it_is)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        const struct pv_kind *kind = pv_kind_of(types[i].number);
        const char *name = types[i].name;
        expect(kind->name != NULL, name, "has no name");
        expect(size_of(kind) > 0 && size_of(kind) < PV_KIND_FIELDS, name,
               test_given("has no fields or so many that"));
        expect(kind->does != 0, name, "does not say what it does");
        expect(kind->by != 0, name, "does not say who may sign it");
        expect(kind->owed != 0, name, "does not say whether it is owed to anybody");
        expect(kind->owed == PV_OWED_NOT || kind->told != NULL, name,
               "has no words for what is owed");
        expect(kind->told == NULL || kind->told[0] != '~' || kind->subject != 0, name,
               "names a node, and says no subject");
        expect((kind->right & ~kind->by) == 0, name,
               "wants a right that its signers need not have");
    }
}

PV_TEST(only_types_of_one_number_share_their_places)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        const struct pv_kind *kind = pv_kind_of(types[i].number);
        expect(kind->quota == PV_ROSTER_QUOTA_NONE || kind->number != 0, types[i].name,
               test_given("says that few are kept not by"));
        for (size_t j = 0; j < i; j++)
            expect(kind->quota == PV_ROSTER_QUOTA_NONE ||
                       kind->quota != pv_kind_of(types[j].number)->quota,
                   types[i].name, "takes the places of another type (its quota)");
    }
}

PV_TEST(a_number_that_is_no_type_has_no_name)
{
    assert_null(pv_kind_of(200)->name);
    assert_ptr_equal(pv_kind_of(PV_ST_RECEIPT), pv_kind_of(200));
}

PV_TEST(a_type_has_its_subject_number_and_time_where_the_row_says)
{
    struct pv_statement st = {.type = PV_ST_PLACE};

    st.u.place.serial = 7;
    st.u.place.time = 8;
    assert_ptr_equal(pv_st_subject(&st), st.u.place.node);
    assert_int_equal(pv_st_number(&st), 7);
    assert_int_equal(pv_st_time(&st), 8);
    pv_st_set_time(&st, 9);
    assert_int_equal(st.u.place.time, 9);
    st.type = PV_ST_LEAVE;
    assert_ptr_equal(pv_st_subject(&st), st.signer);
    st.type = PV_ST_RULE;
    st.u.rule.slot.seq = 10;
    assert_null(pv_st_subject(&st));
    assert_int_equal(pv_st_number(&st), 10);
    st.type = PV_ST_COORDINATORS;
    pv_st_set_time(&st, 11);
    assert_int_equal(pv_st_time(&st), 0);
}

/* --- routes (type 16) and offers (type 19) --------------------------------------------------- */

static struct pv_statement sample_route(void)
{
    struct pv_statement st = {.type = PV_ST_ROUTE};
    struct keys node = keys_of(2);
    memset(st.network_id, 7, sizeof(st.network_id));
    st.u.route.slot = (struct pv_st_slot){.number = 3, .seq = 11};
    st.u.route.kind = PV_ROUTE_ALLOW;
    memcpy(st.u.route.node, node.pk, sizeof(st.u.route.node));
    st.u.route.prefix = test_prefix("192.168.1.0/24");
    st.u.route.time = T0;
    return st;
}

static uint8_t list_bytes[PV_OFFERS_MAX * PV_OFFER_BYTES + 64];

static struct pv_view offers_of(const struct pv_offer *offers, size_t n)
{
    struct pv_writer w = pv_writer(list_bytes, sizeof(list_bytes));
    pv_offerlist_put(&w, offers, n);
    assert_ok(w.status);
    return pv_view(list_bytes, w.len);
}

static struct pv_view sample_hostkeys(void)
{
    static const char line[] =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIYvH9vbTs6dZ14MLFQ2kTZWdI57QZJFOQPaIiiOVdZG\n";
    static struct pv_sshkeys keys;
    keys.len = 0;
    assert_int_equal(pv_sshkeys_read(&keys, pv_view(line, strlen(line))), 0);
    return pv_sshkeys_view(&keys);
}

static struct pv_statement sample_card(void)
{
    static const uint8_t kem[PV_KEM_EK_LEN] = {9};
    struct pv_statement st = {.type = PV_ST_CARD};
    const struct pv_offer offers[] = {
        {.prefix = test_prefix("0.0.0.0/0"), .flags = 0},
        {.prefix = test_prefix("192.168.1.0/24"), .flags = PV_OFFER_AUTO},
        {.prefix = test_prefix("2001:db8:1::/48"), .flags = PV_OFFER_NO_NAT | PV_OFFER_DOUBT},
    };
    memset(st.network_id, 7, sizeof(st.network_id));
    st.u.card = (struct pv_st_card){.serial = 5,
                                    .abilities = PV_ABLE_PQ,
                                    .offers = offers_of(offers, PV_ARRAY_LEN(offers)),
                                    .kem = pv_view(kem, sizeof(kem)),
                                    .hostkeys = sample_hostkeys(),
                                    .loginkeys = longest_loginkeys()};
    return st;
}

PV_TEST(offers_are_read_one_by_one)
{
    struct pv_statement st = sample_card();
    struct pv_offer offer;
    char text[PV_ADDR_TEXT];
    static const char *const texts[] = {"0.0.0.0/0", "192.168.1.0/24", "2001:db8:1::/48"};
    static const uint8_t flags[] = {0, PV_OFFER_AUTO, PV_OFFER_NO_NAT | PV_OFFER_DOUBT};
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++) {
        assert_true(pv_offerlist_next(&st.u.card.offers, &offer));
        assert_string_equal(pv_prefix_format(&offer.prefix, text), texts[i]);
        assert_int_equal(offer.flags, flags[i]);
    }
    assert_false(pv_offerlist_next(&st.u.card.offers, &offer));
}

PV_TEST(only_what_can_be_carried_is_a_route)
{
    static const char *const bad[] = {
        "127.0.0.0/8",        "127.0.0.1/32", "169.254.0.0/16", "224.0.0.0/4", "224.0.0.0/8",
        "255.255.255.255/32", "::1/128",      "fe80::/16",      "fe80::1/128", "ff00::/16",
        "128.0.0.0/1",        "10.0.0.0/7",   "2000::/3"};
    static const char *const good[] = {"0.0.0.0/0",  "::/0",           "10.0.0.0/9",
                                       "10.0.0.0/8", "192.168.1.7/32", "2001:db8::/32"};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        struct pv_statement st = sample_route();
        st.u.route.prefix = test_prefix(bad[i]);
        assert_false(pv_route_is_valid(&st.u.route.prefix));
        expect_unmakeable(&st, bad[i]);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(good); i++) {
        struct pv_statement st = sample_route();
        st.u.route.prefix = test_prefix(good[i]);
        assert_true(pv_route_is_valid(&st.u.route.prefix));
        (void)make(&st, NULL);
    }
}

PV_TEST(routes_and_offers_have_one_form)
{
    struct pv_statement st = sample_route();
    st.u.route.slot.number = PV_RULE_SLOTS;
    expect_unmakeable(&st, "slot of a route");
    st = sample_route();
    st.u.route.kind = 2;
    expect_unmakeable(&st, "kind of a route");
    st = sample_route();
    st.u.route.kind = PV_ROUTE_NONE; /* it is about nobody and nothing */
    expect_unmakeable(&st, "an empty route about somebody");
    st = sample_route();
    st.u.route.prefix.base.ip[3] = 1;
    expect_unmakeable(&st, "host bits set");
    st = sample_route();
    st.u.route.prefix.bits = 33;
    expect_unmakeable(&st, "33 bits");

    const struct pv_offer a = {.prefix = test_prefix("10.0.0.0/8")};
    const struct pv_offer b = {.prefix = test_prefix("10.0.0.0/9")};
    st = sample_card();
    st.u.card.offers = offers_of((const struct pv_offer[]){a, b}, 2);
    (void)make(&st, NULL);
    st.u.card.offers = offers_of((const struct pv_offer[]){b, a}, 2);
    expect_unmakeable(&st, "descending");
    st.u.card.offers = offers_of((const struct pv_offer[]){a, a}, 2);
    expect_unmakeable(&st, "the same prefix twice");
    const struct pv_offer flagged = {.prefix = test_prefix("10.0.0.0/8"), .flags = 32};
    st.u.card.offers = offers_of(&flagged, 1);
    expect_unmakeable(&st, "unknown flag");
    st.u.card.offers = offers_of(&a, 1);
    st.u.card.offers.len--;
    expect_unmakeable(&st, "cut");
}

PV_TEST(the_longest_card_fits)
{
    struct pv_statement st = sample_card();
    st.u.card = longest_card();
    /* No five keys fill the bound. */
    const size_t unused = 2 * PV_SSHKEYS_MAX - st.u.card.hostkeys.len - st.u.card.loginkeys.len;
    assert_int_equal(make(&st, NULL).len, PV_STATEMENT_MAX - unused);
}

PV_TEST(a_card_with_more_offers_or_keys_is_refused)
{
    static uint8_t keys[PV_SSHKEYS_MAX + 1];
    struct pv_offer offers[PV_OFFERS_MAX + 1];
    struct pv_statement st = sample_card();
    for (size_t i = 0; i <= PV_OFFERS_MAX; i++) {
        offers[i] = (struct pv_offer){.prefix = test_prefix("2001:db8::/128")};
        offers[i].prefix.base.ip[15] = (uint8_t)i;
    }
    st.u.card.offers = offers_of(offers, PV_OFFERS_MAX + 1);
    expect_unmakeable(&st, "more offers");
    st = sample_card();
    st.u.card.hostkeys = pv_view(keys, sizeof(keys));
    expect_unmakeable(&st, "more keys");
}

/* --- tags (type 17) and rules (type 18) ------------------------------------------------------ */

static struct pv_statement sample_tag(void)
{
    struct pv_statement st = {.type = PV_ST_TAG};
    struct keys node = keys_of(2);
    memset(st.network_id, 7, sizeof(st.network_id));
    st.u.tag.slot = (struct pv_st_slot){.number = 3, .seq = 11};
    st.u.tag.kind = PV_TAG_SET;
    memcpy(st.u.tag.node, node.pk, sizeof(st.u.tag.node));
    memcpy(st.u.tag.tag, "printer", 7);
    st.u.tag.time = T0;
    return st;
}

static struct pv_statement sample_rule(void)
{
    struct pv_statement st = {.type = PV_ST_RULE};
    struct keys node = keys_of(2);
    memset(st.network_id, 7, sizeof(st.network_id));
    st.u.rule.slot = (struct pv_st_slot){.number = PV_RULE_SLOTS - 1, .seq = 12};
    st.u.rule.kind = PV_RULE_ALLOW;
    st.u.rule.place = 4096;
    st.u.rule.from = (struct pv_selector){.kind = PV_SELECT_TAG, .len = 5, .value = "guest"};
    st.u.rule.to = (struct pv_selector){.kind = PV_SELECT_NODE, .len = PV_KEY_LEN};
    memcpy(st.u.rule.to.value, node.pk, PV_KEY_LEN);
    assert_ok(pv_ports_parse("ping,tcp/80-90", &st.u.rule.ports));
    st.u.rule.time = T0 + 1;
    return st;
}

PV_TEST(tags_and_rules_have_one_form)
{
    struct pv_statement st = sample_rule();
    st.u.rule.slot.number = PV_RULE_SLOTS;
    expect_unmakeable(&st, "slot of a rule");
    st = sample_rule();
    st.u.rule.kind = PV_RULE_DENY_DEFAULT + 1;
    expect_unmakeable(&st, "kind of a rule");
    st.u.rule.kind = PV_RULE_DENY_DEFAULT; /* it is about nobody and nothing */
    expect_unmakeable(&st, "a default about somebody");
    st.u.rule.kind = PV_RULE_NONE;
    expect_unmakeable(&st, "an empty rule about somebody");
    st = sample_rule();
    st.u.rule.ports.n = 0;
    expect_unmakeable(&st, "no ports");
    st = sample_rule();
    st.u.rule.from.len = 0;
    expect_unmakeable(&st, "no selector");
    /* Accounts stand beside the one port of sshd, in a rule that allows, to members. */
    st = sample_rule();
    st.u.rule.logins = (struct pv_logins){.names = "ada"};
    expect_unmakeable(&st, "accounts and other ports");
    assert_ok(pv_ports_parse("tcp/22", &st.u.rule.ports));
    (void)make(&st, NULL);
    st.u.rule.kind = PV_RULE_DENY;
    expect_unmakeable(&st, "accounts that are denied");
    st.u.rule.kind = PV_RULE_ALLOW;
    st.u.rule.logins = (struct pv_logins){.names = "bob,ada"};
    expect_unmakeable(&st, "accounts out of order");
    st.u.rule.logins = (struct pv_logins){.names = "ada,*"};
    expect_unmakeable(&st, "a pattern");
    st.u.rule.logins = (struct pv_logins){.names = "ada"};
    const struct pv_prefix lan = test_prefix("192.168.1.0/24");
    st.u.rule.to = pv_selector_of_prefix(&lan);
    expect_unmakeable(&st, "accounts of hosts behind a member");
    st = sample_tag();
    st.u.tag.kind = PV_TAG_NONE;
    expect_unmakeable(&st, "an empty tag about somebody");
    st = sample_tag();
    st.u.tag.slot.number = PV_RULE_SLOTS;
    expect_unmakeable(&st, "slot of a tag");
    st = sample_tag();
    memcpy(st.u.tag.tag, "-", 2);
    expect_unmakeable(&st, "a tag that is no word");
}

PV_TEST(the_longest_rule_is_short)
{
    struct pv_statement st = sample_rule();
    st.u.rule.ports.n = PV_PORTS_MAX;
    for (uint16_t i = 0; i < PV_PORTS_MAX; i++)
        st.u.rule.ports.v[i] =
            (struct pv_port_range){PV_PORTS_TCP, (uint16_t)(4 * i), (uint16_t)(4 * i + 1)};
    st.u.rule.from = st.u.rule.to = (struct pv_selector){.kind = PV_SELECT_TAG, .len = 63};
    memset(st.u.rule.from.value, 'a', 63);
    memset(st.u.rule.to.value, 'b', 63);
    assert_true(make(&st, NULL).len <= PV_STATEMENT_SHORT_MAX);
    assert_ok(pv_ports_parse("tcp/22", &st.u.rule.ports));
    for (size_t i = 0; i < PV_LOGINS_MAX / 32; i++)
        snprintf(st.u.rule.logins.names + 33 * i, 33, "%c%031d", 'a' + (int)i, 0);
    st.u.rule.logins.names[32] = st.u.rule.logins.names[65] = st.u.rule.logins.names[98] = ',';
    st.u.rule.logins.names[PV_LOGINS_MAX] = '\0';
    assert_true(make(&st, NULL).len <= PV_STATEMENT_SHORT_MAX);
}

/* Seeds of fuzz_statement: run by hand with PV_WRITE_CORPUS=dir for a new type. */
void test_begin(void)
{
    const char *dir = getenv("PV_WRITE_CORPUS");
    if (dir == NULL)
        return;
    for (size_t i = 0; i < PV_ARRAY_LEN(types); i++) {
        struct made m = make_sample(types[i].number);
        FILE *f = fopen(PV_STR("%s/%s", dir, pv_kind_of(types[i].number)->name), "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(m.buf, 1, m.len, f), m.len);
        fclose(f);
    }
    exit(0);
}
