/* SPDX-License-Identifier: MIT */
/*
 * fuzz_parts - packets in parts from a few senders: the input is a list of {u8 sender, u8 tenths of
 * a second to wait, u16 length, part}. A packet that becomes whole is the one that was sent: every
 * byte of it lay in a part of that sender with that id, at that place. Then the first bytes as an
 * IPv4 packet to cut.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "proto/ip/ipfrag.h"
#include "proto/ip/parts.h"
#include "tests/fuzz/fuzz_util.h"

enum {
    KEPT = 256, /* parts of this run */
};

struct seen {
    uint32_t owner;
    struct pv_view body; /* bytes of the packet */
    uint32_t id;
    uint8_t part;
};

/* Was there a part i of this sender and id with these bytes? */
static bool was_sent(const struct seen *seen, size_t n, const struct seen *part)
{
    for (size_t i = 0; i < n; i++) {
        if (seen[i].owner == part->owner && seen[i].id == part->id && seen[i].part == part->part &&
            seen[i].body.len == part->body.len &&
            memcmp(seen[i].body.ptr, part->body.ptr, part->body.len) == 0)
            return true;
    }
    return false;
}

static void check_whole(const struct seen *seen, size_t n, const struct pv_inband_part *last,
                        uint32_t owner, struct pv_view whole)
{
    size_t size = (whole.len + last->parts - 1) / last->parts;
    for (uint8_t i = 0; i < last->parts; i++) {
        size_t at = i * size, rest = whole.len - at;
        const struct seen part = {.owner = owner,
                                  .id = last->id,
                                  .part = i,
                                  .body = pv_view(whole.ptr + at, rest < size ? rest : size)};
        must(at < whole.len && was_sent(seen, n, &part));
    }
}

static void cut(const uint8_t *data, size_t len)
{
    struct pv_ippkt ip;
    struct pv_ipfrag f;
    size_t payload = 0;
    if (len < 2 || pv_ippkt_parse(pv_view(data + 1, len - 1), &ip) < 0 ||
        pv_ipfrag_init(&f, &ip, 60 + (size_t)data[0] * 4) < 0)
        return;
    for (size_t n; (n = pv_ipfrag_next(&f)) != 0;) {
        uint8_t *p = malloc(n);
        must(p != NULL);
        pv_ipfrag_cut(&f, p);
        struct pv_ippkt piece;
        must(n <= f.mtu && pv_ippkt_parse(pv_view(p, n), &piece) >= 0 && piece.whole.len == n);
        payload += n - (size_t)(p[0] & 15) * 4;
        free(p);
    }
    must(payload == f.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct pv_parts *parts; /* making one costs more than a run */
    static pv_ns now;
    struct pv_reader r = pv_reader(pv_view(data, len));
    struct seen seen[KEPT];
    uint8_t whole[PV_PARTS_WHOLE];
    size_t n = 0;
    must(parts != NULL || pv_parts_new(&parts) >= 0);
    now += 10 * PV_PARTS_TIME; /* nothing is left of the run before */
    while (r.status == PV_OK && r.rest.len > 0 && n < KEPT) {
        uint32_t owner = 0x01010101u * (1 + pv_get_u8(&r) % 3u);
        now += PV_MS(100) * pv_get_u8(&r);
        size_t want = pv_get_u16(&r);
        const struct pv_parts_in in = {.owner = owner,
                                       .packet =
                                           pv_get_bytes(&r, want < r.rest.len ? want : r.rest.len),
                                       .ecn = (uint8_t)(want & 3)};
        struct pv_inband_part part;
        struct pv_parts_out out;
        if (pv_inband_parse(in.packet, &part) == PV_OK && part.body.len >= 2)
            seen[n++] = (struct seen){.owner = owner,
                                      .id = part.id,
                                      .part = part.part,
                                      .body = pv_view(part.body.ptr + 2, part.body.len - 2)};
        if (pv_parts_add(parts, &in, now, whole, &out) != PV_OK)
            continue;
        must(out.len <= sizeof(whole) && out.ecn <= 3);
        check_whole(seen, n, &part, owner, pv_view(whole, out.len));
    }
    cut(data, len);
    return 0;
}
