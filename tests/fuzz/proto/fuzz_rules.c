/* SPDX-License-Identifier: MIT */
/*
 * fuzz_rules - sets of ports and selectors from anybody, and tables made of them: what decodes has
 * one form, and a table answers as somebody would who reads its rules from the top.
 */
#include "proto/rules/policy.h"
#include "tests/fuzz/fuzz_util.h"

enum {
    LINES = 24,
};

static void check_text(const struct pv_ports *p)
{
    char text[PV_PORTS_TEXT], again[PV_PORTS_TEXT];
    struct pv_ports q;
    must(pv_ports_parse(pv_ports_format(p, text), &q) == PV_OK);
    must(strcmp(pv_ports_format(&q, again), text) == 0);
}

static void check_selector(struct pv_view bytes)
{
    struct pv_selector s;
    uint8_t buf[PV_SELECTOR_BYTES];
    if (pv_selector_decode(bytes, &s) != PV_OK)
        return;
    must(pv_selector_encode(&s, buf) == bytes.len && memcmp(buf, bytes.ptr, bytes.len) == 0);
}

static void check_table(const struct pv_ruleline *lines, size_t n, const struct pv_ports *local,
                        uint16_t port)
{
    static const uint8_t protos[] = {PV_PORTS_TCP, PV_PORTS_UDP, PV_PORTS_ICMP, 47, 0, 255};
    struct pv_ruletable *t;
    must(pv_ruletable_new(lines, n, true, local, &t) == PV_OK);
    for (size_t i = 0; i < PV_ARRAY_LEN(protos); i++) {
        struct pv_verdict want = {.allow = true, .rule = PV_RULE_DEFAULT};
        for (size_t k = n; k-- > 0;) {
            if (pv_ports_has(lines[k].ports, protos[i], port))
                want = (struct pv_verdict){.allow = lines[k].allow, .rule = lines[k].rule};
        }
        if (local != NULL && !pv_ports_has(local, protos[i], port))
            want = (struct pv_verdict){.allow = false, .rule = PV_RULE_LOCAL};
        struct pv_verdict got = pv_ruletable_look(t, protos[i], port);
        must(got.allow == want.allow && got.rule == want.rule);
    }
    pv_ruletable_unref(t);
}

/* {u8 what, u8 length, bytes}: a set of ports that allows, one that denies, the node's own set, or
 * a selector. The ports that are asked for are those that the input has in it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_ports sets[LINES], own;
    struct pv_ruleline lines[LINES];
    const struct pv_ports *local = NULL;
    size_t n = 0;
    for (size_t at = 0; at + 2 <= len && n < LINES;) {
        uint8_t what = data[at] % 4;
        size_t size = data[at + 1] < len - at - 2 ? data[at + 1] : len - at - 2;
        struct pv_view bytes = pv_view(data + at + 2, size);
        at += 2 + size;
        if (what == 3) {
            check_selector(bytes);
        } else if (what == 2) {
            local = pv_ports_decode(bytes, &own) == PV_OK ? &own : local;
        } else if (pv_ports_decode(bytes, &sets[n]) == PV_OK) {
            uint8_t buf[PV_PORTS_BYTES];
            must(pv_ports_encode(&sets[n], buf) == size && memcmp(buf, bytes.ptr, size) == 0);
            check_text(&sets[n]);
            lines[n] = (struct pv_ruleline){
                .rule = (uint16_t)(n + 1), .allow = what == 0, .ports = &sets[n]};
            n++;
        }
    }
    for (size_t i = 0; i + 2 <= len && i < 64; i += 2) {
        uint16_t port = (uint16_t)(data[i] << 8 | data[i + 1]);
        check_table(lines, n, local, port);
    }
    return 0;
}
