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

PV_TEST(the_row_at_the_end_of_an_error_is_found)
{
    char text[PV_REMEDY_BUF];
    struct pv_remedy r = pv_remedy_said("use an exit: another VPN has it: stop that VPN");
    assert_int_equal(r.id, PV_REMEDY_stop_vpn);
    assert_string_equal(pv_remedy_write(&r, text, sizeof(text)), "stop that VPN");
    r = pv_remedy_said("open x: written by a newer one: upgrade p2pvpnd");
    assert_int_equal(r.id, PV_REMEDY_upgrade);
    assert_int_equal(pv_remedy_said("`sudo p2pvpnctl up`").id, PV_REMEDY_up);
    assert_int_equal(pv_remedy_said("stop that VPN, or not").id, PV_REMEDY_NONE);
    assert_int_equal(pv_remedy_said("out of memory").id, PV_REMEDY_NONE);
    assert_int_equal(pv_remedy_said("").id, PV_REMEDY_NONE);
}

/* Otherwise programs would read another identifier than the one that was meant. */
PV_TEST(each_row_is_found_by_its_own_text)
{
    for (int id = PV_REMEDY_NONE + 1; id < PV_REMEDY_COUNT; id++) {
        const struct pv_remedy r = {.id = (enum pv_remedy_id)id, .args = {"a1", "b2", "c3", "d4"}};
        char text[PV_REMEDY_BUF];
        pv_remedy_write(&r, text, sizeof(text));
        if (pv_remedy_text(r.id)[0] == '%')
            continue;
        assert_string_equal(pv_remedy_id(pv_remedy_said(text).id), pv_remedy_id(r.id));
        assert_string_equal(pv_remedy_id(pv_remedy_said(PV_STR("deed: reason: %s", text)).id),
                            pv_remedy_id(r.id));
    }
}

PV_TEST(a_reason_says_what_to_do_where_there_is_something_to_do)
{
    assert_string_equal(PV_REASON_STR(((struct pv_reason){"it is", PV_DO(stop_vpn)})),
                        "it is: stop that VPN");
    assert_string_equal(PV_REASON_STR(((struct pv_reason){"it is", PV_DO_NOTHING})), "it is");
}
