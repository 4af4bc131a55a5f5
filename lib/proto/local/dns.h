/* SPDX-License-Identifier: MIT */
/*
 * dns.h - as much DNS as a server of one small zone needs: a query taken apart, an answer put
 * together (RFC 1035; negative answers RFC 2308; EDNS RFC 6891 is tolerated).
 *
 * One question, no compression in it, no zone transfer; every answer of ours fits 512 bytes, so
 * nothing is ever truncated; a resolver's is recognised and passed on as it is. The codec only:
 * what is answered is daemon/core/client/dns.c. No state; thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_DNS_MAX = 512,        /* bytes of an answer, RFC 1035 s2.3.4 */
    PV_DNS_QUERY_MAX = 4096, /* bytes of a query looked at */
    PV_DNS_NAME_BUF = 256,   /* a name in text without the last dot, and the NUL */
    PV_DNS_PORT = 53,        /* RFC 1035 s4.2.1 */
    PV_DNS_RESOLVERS = 2,    /* ours: that one question is put to */
    PV_DNS_A = 1,            /* RFC 1035 s3.2.2 */
    PV_DNS_NS = 2,
    PV_DNS_SOA = 6,
    PV_DNS_PTR = 12,
    PV_DNS_AAAA = 28, /* RFC 3596 s2.1 */
    PV_DNS_ANY = 255, /* RFC 1035 s3.2.3 */
    PV_DNS_IN = 1,    /* RFC 1035 s3.2.4 */
};

enum pv_dns_rcode { /* RFC 1035 s4.1.1 */
    PV_DNS_OK = 0,
    PV_DNS_FORMERR = 1,
    PV_DNS_NXDOMAIN = 3,
    PV_DNS_NOTIMP = 4,
    PV_DNS_REFUSED = 5,
};

/* A query; name is lower case. */
struct pv_dns_query {
    uint16_t id;
    uint16_t flags;
    bool recursive; /* a resolver's work is asked for */
    uint8_t opcode;
    uint16_t qtype, qclass;
    bool edns;
    char name[PV_DNS_NAME_BUF];
    struct pv_view question; /* in the packet; borrowed from it */
};

/*
 * PV_ERR_TRUNCATED (not even a header) and PV_ERR_REFUSED (an answer): say nothing.
 * PV_ERR_MALFORMED: *ret_query has id, flags and opcode, and an empty question; FORMERR is due.
 * PV_ERR_UNSUPPORTED: the same for another opcode; NOTIMP is due.
 */
PV_MUST_CHECK int pv_dns_query_parse(struct pv_view packet, struct pv_dns_query *ret_query);

/* The answer to it. */
struct pv_dns_answer {
    enum pv_dns_rcode rcode;
    bool authoritative;
    uint16_t type;       /* of the record: A, AAAA, PTR, SOA, NS; 0: none */
    struct pv_addr addr; /* A, AAAA */
    const char *target;  /* PTR, NS: a name; SOA: of the zone */
    const char *zone;    /* without a record: its SOA goes along (RFC 2308 s3); NULL: not */
    uint32_t serial;     /* of the SOA */
    uint32_t ttl;        /* seconds */
};
/* Into PV_DNS_MAX bytes. PV_ERR_MALFORMED: a name that is none. */
PV_MUST_CHECK int pv_dns_answer_build(const struct pv_dns_query *query,
                                      const struct pv_dns_answer *answer,
                                      uint8_t buf[static PV_DNS_MAX], size_t *ret_len);

/* A server's reaction to a datagram: it answers with len bytes, has the n_ask resolvers asked, one
 * after the other, and passes on what they say, or with neither says nothing. */
struct pv_dns_reply {
    size_t len;
    uint8_t bytes[PV_DNS_MAX];
    size_t n_ask;
    struct pv_addr ask[PV_DNS_RESOLVERS]; /* with their port */
    uint32_t of;                          /* that phone: its peer's id */
    struct pv_view question;              /* in the packet; borrowed from it */
};

/* May it be what a resolver answers to that query, a whole one of which pv_dns_query_parse() has
 * taken the question: an answer with the same id and question? */
PV_MUST_CHECK bool pv_dns_is_answer(struct pv_view packet, uint16_t id, struct pv_view question);
/* Makes of such an answer one that says no more than that it does not fit (TC, RFC 1035 s4.1.1,
 * RFC 2181 s9). Returns its length. */
size_t pv_dns_shorten(uint8_t *answer, struct pv_view question);

/* The address of "9.3.66.10.in-addr.arpa" or of 32 nibbles in ip6.arpa; lower case.
 * PV_ERR_NOT_FOUND: none, or only part of one. */
PV_MUST_CHECK int pv_dns_reverse_parse(const char *name, struct pv_addr *ret_addr);
