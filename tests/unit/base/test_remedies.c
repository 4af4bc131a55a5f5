/* SPDX-License-Identifier: MIT */
#include "base/remedy.h"
#include "base/text.h"
#include "tests/unit/test_util.h"

PV_TEST(a_remedy_has_a_name_and_says_what_it_is_about)
{
    char text[PV_REMEDY_BUF];
    assert_string_equal(PV_DO_STR(ping, "bob"), "`p2pvpnctl ping bob`");
    assert_string_equal(PV_DO_STR(start_the_gateway, "gw", "gw"),
                        "start gw, or see `p2pvpnctl why gw`");
    assert_string_equal(pv_remedy_id(PV_REMEDY_ping), "ping");
    assert_string_equal(pv_remedy_text(PV_REMEDY_up), "`sudo p2pvpnctl up`");
    assert_null(pv_remedy_id(PV_REMEDY_NONE));
    assert_string_equal(pv_remedy_write(&PV_DO_NOTHING, text, sizeof(text)), "");
    assert_string_equal(pv_remedy_write(&PV_DO(ping, "bob"), text, 8), "`p2pvpn");
}

PV_TEST(no_remedy_is_longer_than_its_buffer)
{
    for (int id = PV_REMEDY_NONE + 1; id < PV_REMEDY_COUNT; id++)
        assert_true(strlen(pv_remedy_text((enum pv_remedy_id)id)) + PV_REMEDY_ARGS * PV_NAME_BUF <
                    PV_REMEDY_BUF);
}
