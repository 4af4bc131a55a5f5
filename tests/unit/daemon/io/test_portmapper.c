/* SPDX-License-Identifier: MIT */
#include "daemon/io/portmapper.h"
#include "tests/unit/test_util.h"

/* Nobody makes this machine ask its own services, or a stranger's (TRAVERSAL 7, SECURITY "The
 * machine"). */
PV_TEST(only_machines_of_the_own_network_are_asked)
{
    const struct pv_portmapjob job = {.router = pv_addr4(192, 168, 1, 1, 0),
                                      .local = pv_addr4(192, 168, 1, 30, 40015)};
    static const struct {
        const char *url;
        bool may;
    } rows[] = {
        {"http://192.168.1.1:5000/rootDesc.xml", true},
        {"http://192.168.1.1/d.xml", true},
        {"http://192.168.1.254:49000/igd.xml", true}, /* some answer from another address */
        {"http://192.168.1.30:631/", false},          /* ourselves */
        {"http://127.0.0.1:2375/", false},
        {"http://169.254.169.254/latest/meta-data/", false},
        {"http://0.0.0.0/", false},
        {"http://203.0.113.9/d.xml", false},
        {"http://[::1]/d.xml", false},
        {"http://localhost/d.xml", false},
        {"http://192.168.1.1.example.com/d.xml", false},
        {"http://user@192.168.1.1/d.xml", false},
        {"https://192.168.1.1/d.xml", false},
        {"file:///etc/shadow", false},
        {"http://", false},
        {"", false},
        {NULL, false},
        {"http://1111111111111111111111111111111111111111111111111111111111111111/", false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++)
        if (pv_portmapper_may_ask(&job, rows[i].url) != rows[i].may)
            fail_msg("%s", rows[i].url == NULL ? "NULL" : rows[i].url);
    const struct pv_portmapjob outside = {.router = pv_addr4(203, 0, 113, 1, 0),
                                          .local = pv_addr4(203, 0, 113, 30, 40015)};
    assert_true(pv_portmapper_may_ask(&outside, "http://203.0.113.1:80/d.xml"));
}
