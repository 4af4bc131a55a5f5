/* SPDX-License-Identifier: MIT */
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/coord/coordround.h"
#include "daemon/core/node/node.h"
#include "tests/unit/test_util.h"

/* A machine with one kind of address and a coordinator with the other is told so. */
PV_TEST(no_way_to_the_only_kind_of_address_is_said)
{
    static const char *const only[] = {
        "no route to the coordinator's IPv4 address, and no IPv6 address of it is known",
        "no route to the coordinator's IPv6 address, and no IPv4 address of it is known"};
    for (int v6 = 0; v6 < 2; v6++) {
        assert_non_null(strstr(pv_coordround_text(PV_COORDROUND_NO_WAY, v6, false), only[v6]));
        assert_null(strstr(pv_coordround_text(PV_COORDROUND_NO_WAY, v6, true), "is known"));
        assert_non_null(strstr(pv_coordround_text(PV_COORDROUND_NO_WAY, v6, true),
                               v6 ? "has it IPv6?" : "has it IPv4?"));
    }
}

PV_TEST(every_end_has_a_sentence_of_its_own)
{
    for (int i = PV_COORDROUND_SILENT; i <= PV_COORDROUND_MUTE; i++)
        for (int k = PV_COORDROUND_SILENT; k < i; k++)
            assert_string_not_equal(pv_coordround_text((enum pv_coordround)i, false, false),
                                    pv_coordround_text((enum pv_coordround)k, false, false));
}

/* Cut in the middle of a word it would say no remedy. */
PV_TEST(each_sentence_fits_where_it_is_kept)
{
    for (int round = PV_COORDROUND_SILENT; round <= PV_COORDROUND_MUTE; round++)
        for (int i = 0; i < 4; i++)
            assert_in_range(strlen(pv_coordround_text((enum pv_coordround)round, i & 1, i & 2)), 1,
                            PV_COORD_WHY_MAX - PV_COORDCLIENT_TRIED_BUF);
}
