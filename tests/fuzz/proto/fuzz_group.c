/* SPDX-License-Identifier: MIT */
/*
 * fuzz_group - reports of the local kernel and what members tell of their groups. The first byte
 * chooses: an in-band body, or a list of {u16 length, u8 seconds to wait, packet} for a querier,
 * whose table must stay sorted and within its limit.
 */
#include "base/bytes.h"
#include "proto/group/grouptell.h"
#include "proto/group/querier.h"
#include "tests/fuzz/fuzz_util.h"

/* A message that was read is written the same again. */
static void tell(struct pv_view body)
{
    static struct pv_grouptell t;
    uint8_t again[PV_GROUPTELL_BODY_MAX];
    size_t len;
    if (pv_grouptell_parse(body, &t) != PV_OK)
        return;
    pv_grouptell_build(&t, again, &len);
    must(len == body.len && memcmp(again, body.ptr, len) == 0);
}

static void check(const struct pv_querier *q)
{
    must(q->n <= PV_QUERIER_MAX);
    for (size_t i = 0; i < q->n; i++) {
        const struct pv_group *g = &q->groups[i].group;
        must(pv_group_kind(g) != PV_GROUP_LOCAL && !pv_group_is_everybodys(g));
        must(i == 0 || pv_group_compare(&q->groups[i - 1].group, g) < 0);
    }
}

static void reports(struct pv_reader *r)
{
    static struct pv_querier q;
    uint8_t buf[PV_GROUPMSG_QUERY_MAX];
    size_t len;
    pv_ns now = PV_S(1);
    pv_querier_init(&q);
    pv_querier_start(&q, now);
    while (r->status == PV_OK && r->rest.len > 0) {
        size_t n = pv_get_u16(r);
        now += PV_S(pv_get_u8(r));
        struct pv_view packet = pv_get_bytes(r, n < r->rest.len ? n : r->rest.len);
        (void)!pv_querier_hear(&q, packet, now);
        pv_querier_handle_timeout(&q, now);
        must(pv_querier_next_timeout(&q) > now);
        for (int k = 0; pv_querier_poll(&q, buf, &len); k++)
            must(k < 3 && len <= sizeof(buf));
        check(&q);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_reader r = pv_reader(pv_view(data, len));
    if (pv_get_u8(&r) == 0)
        tell(r.rest);
    else
        reports(&r);
    return 0;
}
