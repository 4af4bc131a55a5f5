/* SPDX-License-Identifier: MIT */
/* group_packets.h - reports as a Linux kernel sends them, put together for tests. */
#pragma once

#include <string.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "proto/group/group.h"

struct group_packet {
    size_t len;
    uint8_t bytes[1500];
};

static inline struct group_packet igmp_begin(void)
{
    struct group_packet p = {.len = 24};
    memcpy(p.bytes, "\x46\xc0\0\0\0\0\x40\0\x01\x02\0\0\x0a\x42\0\x01\xe0\0\0\x16\x94\x04\0\0", 24);
    return p;
}

static inline void group_put(struct group_packet *p, const void *bytes, size_t len)
{
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
    bool v4 = p->bytes[0] >> 4 == 4;
    pv_store_be16(p->bytes + (v4 ? 2 : 4), (uint16_t)(v4 ? p->len : p->len - 40));
}

static inline struct group_packet mld_begin(void)
{
    struct group_packet p = {.len = 40};
    p.bytes[0] = 0x60;
    p.bytes[7] = 1;
    memcpy(p.bytes + 24, "\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x16", 16);
    group_put(&p, "\x3a\x00\x05\x02\x00\x00\x01\x00", 8);
    return p;
}

static inline struct pv_group group_named(const char *text)
{
    struct pv_addr a = {.family = PV_AF_NONE};
    (void)!pv_addr_parse_ip(text, &a);
    return pv_group_of(a.family == PV_AF_INET ? 4 : 6, a.ip);
}

/* One record of an IGMPv3 or MLDv2 report. */
static inline void group_record(struct group_packet *p, uint8_t type, const char *group,
                                uint16_t sources, uint8_t aux_words)
{
    static const uint8_t zeros[255 * 16];
    struct pv_group g = group_named(group);
    size_t addr = g.version == 4 ? 4 : 16;
    uint8_t head[4] = {type, aux_words};
    pv_store_be16(head + 2, sources);
    group_put(p, head, 4);
    group_put(p, g.ip, addr);
    group_put(p, zeros, sources * addr + (size_t)aux_words * 4);
}

/* An IGMPv3 (version 4) or MLDv2 report with one record. */
static inline struct group_packet group_report(uint8_t type, const char *group, uint16_t sources)
{
    bool v4 = group_named(group).version == 4;
    struct group_packet p = v4 ? igmp_begin() : mld_begin();
    group_put(&p, v4 ? "\x22\0\0\0\0\0\0\x01" : "\x8f\0\0\0\0\0\0\x01", 8);
    group_record(&p, type, group, sources, 0);
    return p;
}

/* IGMPv1, IGMPv2 and MLDv1: type, and the group that it names. */
static inline struct group_packet group_old(uint8_t type, const char *group)
{
    struct pv_group g = group_named(group);
    struct group_packet p = g.version == 4 ? igmp_begin() : mld_begin();
    const uint8_t head[8] = {type};
    group_put(&p, head, g.version == 4 ? 4 : 8);
    group_put(&p, g.ip, g.version == 4 ? 4 : 16);
    return p;
}

enum {
    IS_IN = 1,
    IS_EX = 2,
    TO_IN = 3,
    TO_EX = 4,
    ALLOW = 5,
    BLOCK = 6,
};
