/* SPDX-License-Identifier: MIT */
/*
 * fuzz_statement - statements from anybody: whatever decodes keeps its promises (views inside the
 * input, bounds, lists that read to their end), and nothing but a real signature verifies.
 */
#include <stdlib.h>

#include "crypto/ct.h"
#include "proto/roster/kinds.h"
#include "tests/fuzz/fuzz_util.h"

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_list(struct pv_view list)
{
    struct pv_coordinator c;
    struct pv_hostport hp;

    while (pv_coordlist_next(&list, &c)) {
        while (pv_coordlist_next_addr(&c.addrs, &hp))
            require(hp.port != 0 && hp.host[0] != '\0');
        require(c.addrs.len == 0);
    }
    require(list.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_statement st;

    if (pv_statement_decode(pv_view(data, len), &st) != PV_OK)
        return 0;
    require(len <= PV_STATEMENT_MAX && st.raw.ptr == data && st.raw.len == len);
    int verified = pv_statement_verify(&st);
    require(verified == PV_OK || verified == PV_ERR_AUTH);
    switch (st.type) {
    case PV_ST_NETWORK:
        require(pv_name_is_valid(st.u.network.name));
        require(
            pv_ip4_is_usable(&st.u.network.range, pv_ip4_first(&st.u.network.range, st.signer)));
        break;
    case PV_ST_MEMBER:
        require(pv_name_is_valid(st.u.member.name));
        require(!pv_ct_is_zero(st.u.member.transport, 32));
        break;
    case PV_ST_REVOCATION:
        require(st.u.revocation.stay.len <= PV_STATEMENT_LIST_MAX);
        require(st.u.revocation.stay.len % 32 == 0);
        break;
    case PV_ST_END:
        require(st.u.end.stay.len <= PV_END_STAY_MAX * 32 && st.u.end.stay.len % 32 == 0);
        break;
    case PV_ST_PLACE:
        require(pv_name_is_valid(st.u.place.name));
        break;
    case PV_ST_ROUTE:
        require(pv_route_is_valid(&st.u.route.prefix));
        break;
    case PV_ST_OFFERS: {
        struct pv_view list = st.u.offers.list;
        struct pv_offer offer;
        size_t n = 0;
        while (pv_offerlist_next(&list, &offer))
            require(pv_route_is_valid(&offer.prefix) && ++n <= PV_OFFERS_MAX);
        break;
    }
    case PV_ST_TAG:
        require(pv_name_is_valid(st.u.tag.tag) && st.u.tag.slot.number < PV_RULE_SLOTS);
        break;
    case PV_ST_RULE:
        require(st.u.rule.ports.n > 0 && st.u.rule.ports.n <= PV_PORTS_MAX);
        require(st.u.rule.from.len <= PV_SELECTOR_MAX && st.u.rule.to.len <= PV_SELECTOR_MAX);
        break;
    case PV_ST_CONDITIONAL:
        require(st.u.invite.uses > 0 && (st.u.invite.flags != 0 || st.u.invite.lifetime != 0));
        require(pv_st_is_invite(st.type));
        break;
    case PV_ST_ADMISSION:
        require(len == 2 + 16 + 32 + 40 + 64);
        break;
    case PV_ST_COORDINATORS:
        check_list(st.u.coordinators.list);
        break;
    default:
        break;
    }
    return 0;
}
