/* SPDX-License-Identifier: MIT */
/* Which of its addresses the relay tells clients. */
#include "coordinator/relaycfg.h"
#include "tests/unit/test_util.h"

/* A coordinator at home names a private address for its LAN, and one for all others. */
PV_TEST(tells_the_public_address_before_a_private_one)
{
    static const struct {
        const char *hosts[3];
        const char *told;
    } rows[] = {
        {{"192.168.1.2", "203.0.113.1"}, "203.0.113.1"},
        {{"203.0.113.1", "192.168.1.2"}, "203.0.113.1"},
        {{"203.0.113.1", "203.0.113.2"}, "203.0.113.1"},
        {{"vpn.example.org", "192.168.1.2", "192.168.1.3"}, "192.168.1.2"},
    };
    static struct pv_coordset set;
    static struct pv_turns_policy policy;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        set = (struct pv_coordset){.n_public = 0};
        for (size_t k = 0; k < PV_ARRAY_LEN(rows[i].hosts) && rows[i].hosts[k] != NULL; k++)
            snprintf(set.public[set.n_public++].host, sizeof(set.public[0].host), "%s",
                     rows[i].hosts[k]);
        pv_relaycfg_policy(&set, &policy);
        assert_string_equal(PV_IP_STR(&policy.relay_public[0]), rows[i].told);
        assert_int_equal(policy.relay_public[1].family, PV_AF_NONE);
    }
}
