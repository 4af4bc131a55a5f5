/* SPDX-License-Identifier: MIT */
#include "proto/control/ctlpage.h"
#include "tests/unit/test_util.h"

enum {
    STATEMENT = 300,
    RECEIPT = 170,
};

static uint8_t bytes[PV_CTL_ITEMS_MAX][STATEMENT + RECEIPT];

/* A page as a log has them: neighbours that share what keys and signatures do not touch, and a
 * name whose length differs. */
static struct pv_ctl_msg page(struct pv_rng *rng, struct pv_ctl_item *items, size_t n)
{
    struct pv_ctl_msg m = {.kind = PV_CTL_ANSWER, .type = PV_CTL_STATEMENTS, .id = 7};
    struct pv_ctl_statements *st = &m.u.statements;
    st->n = n;
    st->items = items;
    st->have = (struct pv_ctl_cursor){.epoch = 1795161600, .n = n};
    st->more = n % 2 == 0;
    st->has_head = !st->more;
    pv_rng_fill(rng, st->head, sizeof(st->head));
    pv_rng_fill(rng, st->members, sizeof(st->members));
    for (size_t i = 0; i < n; i++) {
        size_t len = STATEMENT - pv_rng_below(rng, 4);
        memset(bytes[i], 0x5a, sizeof(bytes[i]));
        pv_rng_fill(rng, bytes[i] + 50, 64);
        pv_rng_fill(rng, bytes[i] + 160, 128);
        pv_rng_fill(rng, bytes[i] + STATEMENT + 66, 104);
        items[i].statement = pv_view(bytes[i], len);
        items[i].receipt =
            pv_view(bytes[i] + STATEMENT, pv_rng_below(rng, 8) == 0 ? 0 : (size_t)RECEIPT);
    }
    return m;
}

static void assert_same(const struct pv_ctl_msg *a, const struct pv_ctl_msg *b)
{
    static char x[PV_CTL_TEXT_MAX], y[PV_CTL_TEXT_MAX];
    size_t n = 0, k = 0;
    assert_int_equal(a->u.statements.n, b->u.statements.n);
    for (size_t i = 0; i < a->u.statements.n; i++) {
        const struct pv_ctl_item *p = &a->u.statements.items[i], *q = &b->u.statements.items[i];
        assert_true(pv_view_equal(p->statement, q->statement));
        assert_true(pv_view_equal(p->receipt, q->receipt));
    }
    assert_ok(pv_ctl_build(a, x, sizeof(x), &n));
    assert_ok(pv_ctl_build(b, y, sizeof(y), &k));
    assert_int_equal(n, k);
    assert_memory_equal(x, y, n);
}

PV_TEST(pages_survive_a_round_trip)
{
    static struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    static uint8_t buf[PV_CTL_TEXT_MAX];
    static const size_t sizes[] = {0, 1, 2, 3, 64, 127, PV_CTL_ITEMS_MAX};
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 1);
    for (size_t i = 0; i < 40; i++) {
        struct pv_ctl_msg m = page(&rng, items, sizes[i % PV_ARRAY_LEN(sizes)]), *back = NULL;
        size_t len = 0, most = PV_CTLPAGE_HEAD_MAX;
        if (i % 3 == 0) {
            m.kind = PV_CTL_PUSH;
            m.id = 0;
        }
        assert_ok(pv_ctlpage_build(&m, buf, sizeof(buf), &len));
        for (size_t k = 0; k < m.u.statements.n; k++)
            most += pv_ctlpage_item_max(&items[k]);
        assert_true(len <= most);
        assert_true(pv_ctlpage_is(pv_view(buf, len)));
        assert_ok(pv_ctl_parse(pv_view(buf, len), &back));
        assert_int_equal(back->kind, m.kind);
        assert_int_equal(back->type, PV_CTL_STATEMENTS);
        assert_int_equal(back->id, m.id);
        assert_same(back, &m);
        pv_ctl_msg_free(back);
    }
}

/* The worst that bytes can do: nothing alike, or alike by twos, so that no run is worth it. */
PV_TEST(no_page_is_longer_than_it_may_be)
{
    static struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    static uint8_t fields[2][PV_CTL_STATEMENT_MAX], buf[PV_CTL_TEXT_MAX];
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 2);
    for (size_t way = 0; way < 8; way++) {
        size_t n = 0, room = PV_CTLPAGE_ROOM, len = 0;
        pv_rng_fill(&rng, fields[0], sizeof(fields[0]));
        for (size_t i = 0; i < sizeof(fields[1]); i++)
            fields[1][i] = way > 0 && i % (way + 1) != 0 ? fields[0][i] : fields[0][i] ^ 1;
        for (; n < PV_CTL_ITEMS_MAX; n++) {
            items[n] = (struct pv_ctl_item){
                .statement = pv_view(fields[n % 2], PV_CTL_STATEMENT_MAX - 17 * n),
                .receipt = pv_view(fields[n % 2], PV_CTL_RECEIPT_MAX)};
            if (pv_ctlpage_item_max(&items[n]) > room)
                break;
            room -= pv_ctlpage_item_max(&items[n]);
        }
        struct pv_ctl_msg m = {.kind = PV_CTL_PUSH, .type = PV_CTL_STATEMENTS}, *back = NULL;
        m.u.statements = (struct pv_ctl_statements){.n = n, .items = items, .has_head = true};
        assert_true(n > 10);
        assert_ok(pv_ctlpage_build(&m, buf, sizeof(buf), &len));
        assert_true(len <= PV_CTL_TEXT_MAX - room);
        assert_ok(pv_ctl_parse(pv_view(buf, len), &back));
        assert_same(back, &m);
        pv_ctl_msg_free(back);
    }
}

/* A page that is shorter, longer or says something else than it holds is refused, and reads nothing
 * beyond its end (the sanitizer's word). */
PV_TEST(damaged_pages_are_refused)
{
    static struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 3);
    struct pv_ctl_msg m = page(&rng, items, 3), *back = NULL;
    static uint8_t buf[PV_CTL_TEXT_MAX + 1];
    size_t len = 0;
    assert_ok(pv_ctlpage_build(&m, buf, sizeof(buf), &len));
    for (size_t n = 1; n < len; n++) {
        uint8_t *cut = malloc(n);
        memcpy(cut, buf, n);
        assert_int_equal(pv_ctl_parse(pv_view(cut, n), &back), PV_ERR_MALFORMED);
        free(cut);
    }
    assert_int_equal(pv_ctl_parse(pv_view(buf, len + 1), &back), PV_ERR_MALFORMED);
    assert_int_equal(pv_ctl_parse(pv_view(buf, sizeof(buf)), &back), PV_ERR_LIMIT);
    for (size_t i = 0; i < 20000; i++) {
        /* Half of the changes hit the lengths in front. */
        size_t place = pv_rng_below(&rng, i % 2 == 0 ? 40 : (uint32_t)len);
        uint8_t was = buf[place];
        buf[place] ^= (uint8_t)(1u << pv_rng_below(&rng, 8));
        int status = pv_ctl_parse(pv_view(buf, len), &back);
        assert_true(status == PV_OK || status == PV_ERR_MALFORMED);
        if (status == PV_OK)
            pv_ctl_msg_free(back);
        buf[place] = was;
    }
    buf[1] = 2; /* no such form */
    assert_int_equal(pv_ctl_parse(pv_view(buf, len), &back), PV_ERR_MALFORMED);
}

PV_TEST(a_list_that_makes_no_page_is_not_packed)
{
    static struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    static uint8_t buf[PV_CTL_TEXT_MAX];
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 4);
    struct pv_ctl_msg m = page(&rng, items, 5);
    size_t len = 0;
    assert_int_equal(pv_ctlpage_build(&m, buf, 500, &len), PV_ERR_NO_SPACE);
    m.id = 0;
    assert_int_equal(pv_ctlpage_build(&m, buf, sizeof(buf), &len), PV_ERR_STATE);
    m = page(&rng, items, 5);
    m.u.statements.n = PV_CTL_ITEMS_MAX + 1;
    assert_int_equal(pv_ctlpage_build(&m, buf, sizeof(buf), &len), PV_ERR_STATE);
    m = page(&rng, items, 5);
    items[4].statement.len = 0;
    assert_int_equal(pv_ctlpage_build(&m, buf, sizeof(buf), &len), PV_ERR_STATE);
    m = (struct pv_ctl_msg){.kind = PV_CTL_REQUEST, .type = PV_CTL_PULL, .id = 1};
    assert_int_equal(pv_ctlpage_build(&m, buf, sizeof(buf), &len), PV_ERR_STATE);
}
