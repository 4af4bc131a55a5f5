/* SPDX-License-Identifier: MIT */
/* fuzz_dns - queries to the name server: whatever comes, an answer fits and repeats the question.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/local/dns.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct pv_dns_answer answers[] = {
        {.type = PV_DNS_A, .addr = {.family = PV_AF_INET}, .authoritative = true},
        {.type = PV_DNS_AAAA, .addr = {.family = PV_AF_INET6}},
        {.type = PV_DNS_PTR, .target = "bob.home.p2p"},
        {.type = PV_DNS_SOA, .target = "home.p2p"},
        {.rcode = PV_DNS_NXDOMAIN, .zone = "home.p2p"},
        {.rcode = PV_DNS_REFUSED},
    };
    struct pv_dns_query q;
    struct pv_addr addr;
    if (len > 12 && pv_dns_is_answer(pv_view(data, len), 0x1234, pv_view(data + 12, len / 2)) &&
        (len < 12 + len / 2 || data[0] != 0x12))
        abort();
    int r = pv_dns_query_parse(pv_view(data, len), &q);
    if (r == PV_ERR_TRUNCATED || r == PV_ERR_REFUSED)
        return 0;
    if (strlen(q.name) >= PV_DNS_NAME_BUF - 1)
        abort();
    if (pv_dns_reverse_parse(q.name, &addr) == PV_OK && addr.family == PV_AF_NONE)
        abort();
    for (size_t i = 0; i < PV_ARRAY_LEN(answers); i++) {
        uint8_t buf[PV_DNS_MAX];
        size_t n = 0;
        if (pv_dns_answer_build(&q, &answers[i], buf, &n) != PV_OK || n > sizeof(buf) || n < 12)
            abort();
        if (memcmp(buf, data, 2) != 0 || (buf[2] & 0x80) == 0)
            abort();
        if (q.question.len > 0 && memcmp(buf + 12, q.question.ptr, q.question.len) != 0)
            abort();
        if (pv_dns_is_answer(pv_view(buf, n), q.id, q.question) != (q.question.len > 0))
            abort();
    }
    return 0;
}
