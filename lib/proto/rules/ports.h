/* SPDX-License-Identifier: MIT */
/*
 * ports.h - what a rule is about: sets of protocols and ports, in text ("tcp/22,ping"), in bytes
 * (PROTOCOL-NETWORK.md "Statements") and as answers.
 *
 * A port is the destination port of TCP and UDP, and the type of an ICMP message; pings are
 * ICMP 8 in both families. Sets have one form each: sorted, without overlap. No state.
 * Fuzz target: fuzz_rules.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_PORTS_MAX = 16,      /* ours: ranges in one set */
    PV_PORTS_ENTRY = 5,     /* bytes: protocol u8, first u16, last u16 */
    PV_PORTS_BYTES = 80,    /* PV_PORTS_MAX entries */
    PV_PORTS_TEXT = 400,    /* bytes of the longest text of a set, with the NUL */
    PV_PORTS_PROTO_ALL = 0, /* every protocol; stands alone in its set */
    PV_PORTS_ICMP = 1,      /* ICMP and ICMPv6 */
    PV_PORTS_TCP = 6,
    PV_PORTS_UDP = 17,
    PV_PORTS_ICMP6 = 58,     /* ICMPv6 as packets have it; in sets it is PV_PORTS_ICMP */
    PV_PORTS_CHAT = 2047,    /* TCP: this program's own chat, chat/proto/chat.h */
    PV_PORTS_FILES = 2048,   /* TCP: and its files, chat/proto/file.h */
    PV_PORTS_PING = 8,       /* ICMP type of an echo request, RFC 792 */
    PV_PORTS_PING6 = 128,    /* the same of ICMPv6, RFC 4443 s4.1 */
    PV_PORTS_OF_ICMP6 = 256, /* ours: all other ICMPv6 types lie this much higher */
};

struct pv_port_range {
    uint8_t proto;
    uint16_t first, last; /* of protocols without ports 0 and UINT16_MAX */
};

struct pv_ports {
    struct pv_port_range v[PV_PORTS_MAX]; /* ascending by protocol and port */
    size_t n;                             /* 0: nothing at all */
};

/* "all", or some of these with commas between: "22" (TCP and UDP), "tcp/22", "udp/5000-5010",
 * "tcp", "udp", "ping", "icmp", "proto/47", and services: "chat", "files", "ssh", "http", "https",
 * "dns", "rdp", "smb". PV_ERR_MALFORMED; PV_ERR_LIMIT: more than PV_PORTS_MAX ranges. */
PV_MUST_CHECK int pv_ports_parse(const char *text, struct pv_ports *ret_ports);
/* Is a range of it port 0 alone, to which nothing is sent? A user who gives it meant another one.
 */
bool pv_ports_have_zero(const struct pv_ports *ports);
/* The shortest such text; "none" of an empty set. Returns buf. */
const char *pv_ports_format(const struct pv_ports *ports, char buf[static PV_PORTS_TEXT]);
#define PV_PORTS_STR(ports) pv_ports_format(ports, (char[PV_PORTS_TEXT]){0})
/* One protocol and port as such a text, for answers: "tcp/22", "ping". Returns buf. */
const char *pv_ports_format_one(uint8_t proto, uint16_t port, char buf[static PV_PORTS_TEXT]);

/* At least one range, in the one form there is. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_ports_decode(struct pv_view bytes, struct pv_ports *ret_ports);
/* Returns how many bytes it wrote. */
size_t pv_ports_encode(const struct pv_ports *ports, uint8_t buf[static PV_PORTS_BYTES]);

/* Is this in the set? proto as in sets. */
bool pv_ports_has(const struct pv_ports *ports, uint8_t proto, uint16_t port);
