/* SPDX-License-Identifier: MIT */
/*
 * readers.c - the targets that give one reader any bytes: what is taken is within its limits, and
 * is written back the same. Each FUZZ(NAME) is the target fuzz_NAME, built of this file with
 * FUZZ_TARGET as its NAME, with a corpus of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/harmless.h"
#include "base/netplan.h"
#include "base/text.h"
#include "chat/proto/chat.h"
#include "chat/proto/parcel.h"
#include "chat/proto/room.h"
#include "coordinator/core/turn/stunconn.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "crypto/hash.h"
#include "proto/control/beacon.h"
#include "proto/control/ctlmsg.h"
#include "proto/control/ctlpage.h"
#include "proto/control/proof.h"
#include "proto/control/signal.h"
#include "proto/group/grouptell.h"
#include "proto/group/querier.h"
#include "proto/ip/gatewayat.h"
#include "proto/ip/inband.h"
#include "proto/ip/ippkt.h"
#include "proto/ip/phoneseen.h"
#include "proto/ip/porttest.h"
#include "proto/local/connect.h"
#include "proto/local/ctlapi_request.h"
#include "proto/local/dns.h"
#include "proto/local/proxy.h"
#include "proto/local/proxyset.h"
#include "proto/local/scrape.h"
#include "proto/local/weblogin.h"
#include "proto/roster/kinds.h"
#include "proto/roster/logst.h"
#include "proto/roster/paperkey.h"
#include "proto/roster/sshkeys.h"
#include "proto/roster/statement.h"
#include "proto/roster/token.h"
#include "proto/rules/flow.h"
#include "proto/rules/policy.h"
#include "proto/stun/natpmp.h"
#include "proto/stun/portmap.h"
#include "proto/stun/routercheck.h"
#include "proto/stun/turnframe.h"
#include "proto/wireguard/cookie.h"
#include "proto/wireguard/noise.h"
#include "tests/fuzz/fuzz_util.h"

#define FUZZ(name) __attribute__((unused)) static void fuzz_##name(const uint8_t *data, size_t len)

/* --- gatewayat ------------------------------------------------------------------------------- */

/* Where a member says that strangers reach it: what is taken reads the same again, and names an
 * address of somebody. */
FUZZ(gatewayat)
{
    uint8_t buf[PV_GATEWAYAT_MAX];
    struct pv_gatewayat c, again;
    size_t n;
    if (pv_gatewayat_parse(pv_view(data, len), &c) != PV_OK)
        return;
    must(c.asks || (c.why == PV_GATEWAYAT_HERE) == (c.at.family != PV_AF_NONE && c.at.port != 0));
    pv_gatewayat_build(&c, buf, &n);
    must(n <= sizeof(buf) && pv_gatewayat_parse(pv_view(buf, n), &again) == PV_OK);
    must(again.asks == c.asks && again.why == c.why && again.names == c.names &&
         again.verdict == c.verdict && again.port_lo == c.port_lo && again.port_hi == c.port_hi &&
         memcmp(again.phone, c.phone, sizeof(c.phone)) == 0 && pv_addr_equal(&again.at, &c.at));
}

/* --- phoneseen ------------------------------------------------------------------------------- */

/* When a phone agreed keys last: what is taken reads the same again. */
FUZZ(phoneseen)
{
    uint8_t buf[PV_PHONESEEN_MAX];
    struct pv_phoneseen s, again;
    size_t n;
    if (pv_phoneseen_parse(pv_view(data, len), &s) != PV_OK)
        return;
    pv_phoneseen_build(&s, buf, &n);
    must(n <= sizeof(buf) && pv_phoneseen_parse(pv_view(buf, n), &again) == PV_OK);
    must(again.asks == s.asks && again.ago == s.ago &&
         memcmp(again.phone, s.phone, sizeof(s.phone)) == 0);
}

/* --- porttest -------------------------------------------------------------------------------- */

/* A message that is taken reads the same again, and a question names an address to which a datagram
 * may go. */
FUZZ(porttest)
{
    uint8_t buf[PV_PORTTEST_MAX];
    struct pv_porttest t, again;
    size_t n;
    if (pv_porttest_parse(pv_view(data, len), &t) != PV_OK)
        return;
    must(!t.asks || pv_addr_is_usable_remote(&t.at));
    pv_porttest_build(&t, buf, &n);
    must(n <= sizeof(buf) && pv_porttest_parse(pv_view(buf, n), &again) == PV_OK);
    must(again.asks == t.asks && again.sends == t.sends && pv_addr_equal(&again.at, &t.at) &&
         memcmp(again.token, t.token, sizeof(t.token)) == 0);
}

/* --- paperkey -------------------------------------------------------------------------------- */

/* A root key as somebody typed it: what is read is written back with the same letters, and a slip
 * is in one of the lines. */
FUZZ(paperkey)
{
    struct pv_paperkey p, again;
    char text[PV_PAPERKEY_TEXT_BUF];
    unsigned line;
    int status = pv_paperkey_parse((const char *)data, len, &p, &line);

    must(line <= PV_PAPERKEY_LINES);
    if (status != PV_OK)
        return;
    pv_paperkey_format(&p, text);
    must(pv_paperkey_parse(text, strlen(text), &again, &line) == PV_OK &&
         memcmp(&p, &again, sizeof(p)) == 0);
}

/* --- routercheck ----------------------------------------------------------------------------- */

/* Any answers from a router, in any order: it ends in time, and says yes only after an answer.
 *
 * Input: datagrams, each u8 (bit 0: from port 5351, else 1900), u8 length, bytes. */
FUZZ(routercheck)
{
    const struct pv_addr router = pv_addr4(192, 168, 0, 1, 0);
    const struct pv_addr local = pv_addr4(192, 168, 0, 2, 0);
    struct pv_routercheck rc;
    struct pv_routercheck_result res;
    bool any = false;
    pv_routercheck_start(&rc, &router, &local, PV_S(1));
    while (len >= 2 && len >= 2 + (size_t)data[1]) {
        struct pv_addr src = router;
        src.port = data[0] & 1 ? PV_ROUTERCHECK_PORT : PV_ROUTERCHECK_SSDP_PORT;
        any |= pv_routercheck_handle_input(&rc, &src, pv_view(data + 2, data[1]), PV_S(1)) == PV_OK;
        len -= 2 + (size_t)data[1];
        data += 2 + (size_t)data[1];
    }
    pv_routercheck_handle_timeout(&rc, PV_S(3));
    must(pv_routercheck_poll_event(&rc, &res) == PV_OK);
    must(any || (res.pcp == PV_NETCHECK_NO && res.natpmp == PV_NETCHECK_NO &&
                 res.upnp == PV_NETCHECK_NO && res.external.family == PV_AF_NONE));
}

/* --- receipt --------------------------------------------------------------------------------- */

/* Receipts from anybody: only 170 bytes pass, and reading is the inverse of writing. */
FUZZ(receipt)
{
    struct pv_receipt f;
    uint8_t seed[PV_SIGN_SEED_LEN] = {1}, sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    uint8_t again[PV_RECEIPT_LEN];

    if (pv_receipt_decode(pv_view(data, len), &f) != PV_OK)
        return;
    must(len == PV_RECEIPT_LEN);
    int verified = pv_receipt_verify(pv_view(data, len));
    must(verified == PV_OK || verified == PV_ERR_AUTH);

    /* Made again under another key: the same but for the key and the signature. */
    pv_sign_keypair(seed, sk, pk);
    must(pv_receipt_make(&f, sk, again) == PV_OK &&
         pv_receipt_verify(pv_view(again, sizeof(again))) == PV_OK);
    memcpy(again + 18, data + 18, PV_SIGN_PK_LEN);
    must(memcmp(again, data, PV_RECEIPT_LEN - PV_SIGN_LEN) == 0);
}

/* --- scrape ---------------------------------------------------------------------------------- */

/* HTTP requests for the metrics: whatever comes, one well-formed answer or the wish for more, and
 * the page only for who may have it. The first byte says whether it is local. */
FUZZ(scrape)
{
    static const char page[] = "the page";
    struct pv_scrape s, open;
    char *text = NULL;
    size_t n = 0;
    if (len == 0)
        return;
    bool local = (data[0] & 1) != 0;
    struct pv_view request = pv_view(data + 1, len - 1);
    int r = pv_scrape_parse(request, local, &s);
    must(r != PV_ERR_AGAIN || request.len < PV_SCRAPE_REQUEST_MAX);
    if (r == PV_ERR_AGAIN)
        return;
    must(r == PV_OK &&
         pv_scrape_answer(&s, pv_view(page, sizeof(page) - 1), "t", &text, &n) == PV_OK);
    bool shown =
        n >= sizeof(page) - 1 && memcmp(text + n - (sizeof(page) - 1), page, sizeof(page) - 1) == 0;
    must(n >= 16 && memcmp(text, "HTTP/1.1 ", 9) == 0 && shown == (s.status == 200 && !s.head));
    free(text);
    must(s.status != 200 || pv_scrape_parse(request, false, &open) == PV_OK);
}

/* --- url ------------------------------------------------------------------------------------- */

/* Coordinator URLs and addresses: what parses is written back the same. */
FUZZ(url)
{
    const char *text = (const char *)data;
    struct pv_url url;
    struct pv_hostport hp;
    char again[PV_URL_TEXT_BUF];

    must(pv_url_parse(text, len, &url) != PV_OK ||
         (pv_url_format(&url, again, sizeof(again)) == PV_OK && strlen(again) == len &&
          memcmp(again, text, len) == 0));
    must(pv_hostport_parse(text, len, &hp) != PV_OK ||
         (strlen(pv_hostport_format(&hp, again)) == len && memcmp(again, text, len) == 0));
}

/* --- dns ------------------------------------------------------------------------------------- */

/* Queries to the name server: whatever comes, an answer fits and repeats the question. */
FUZZ(dns)
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
    must(len <= 12 || !pv_dns_is_answer(pv_view(data, len), 0x1234, pv_view(data + 12, len / 2)) ||
         (len >= 12 + len / 2 && data[0] == 0x12));
    int r = pv_dns_query_parse(pv_view(data, len), &q);
    if (r == PV_ERR_TRUNCATED || r == PV_ERR_REFUSED)
        return;
    must(strlen(q.name) < PV_DNS_NAME_BUF - 1);
    must(pv_dns_reverse_parse(q.name, &addr) != PV_OK || addr.family != PV_AF_NONE);
    for (size_t i = 0; i < PV_ARRAY_LEN(answers); i++) {
        uint8_t buf[PV_DNS_MAX];
        size_t n = 0;
        must(pv_dns_answer_build(&q, &answers[i], buf, &n) == PV_OK && n <= sizeof(buf) && n >= 12);
        must(memcmp(buf, data, 2) == 0 && (buf[2] & 0x80) != 0);
        must(q.question.len == 0 || memcmp(buf + 12, q.question.ptr, q.question.len) == 0);
        must(pv_dns_is_answer(pv_view(buf, n), q.id, q.question) == (q.question.len > 0));
    }
}

/* --- ctlapi ---------------------------------------------------------------------------------- */

/* Control socket, both directions: a request that is accepted is written and read again to the
 * same; a reply that is accepted has what its kind promises. */

static void check_request(struct pv_ctlapi_request *req)
{
    struct pv_ctlapi_request again;
    char why[PV_CTLAPI_ERROR_BUF];
    uint64_t id;

    char *line = pv_ctlapi_request_write(req);
    must(line != NULL);
    /* Escapes may make it longer than the line it came in. */
    if (strlen(line) <= PV_CTLAPI_LINE_MAX) {
        must(pv_ctlapi_request_parse(pv_view(line, strlen(line) - 1), &again, &id, why) >= 0 &&
             again.cmd == req->cmd && again.id == req->id && strcmp(again.peer, req->peer) == 0);
        pv_ctlapi_request_done(&again);
    }
    free(line);
}

FUZZ(ctlapi)
{
    struct pv_ctlapi_request req;
    struct pv_ctlapi_reply reply;
    char why[PV_CTLAPI_ERROR_BUF];
    uint64_t id;

    memset(why, 0, sizeof(why));
    if (pv_ctlapi_request_parse(pv_view(data, len), &req, &id, why) == PV_OK) {
        check_request(&req);
        pv_ctlapi_request_done(&req);
    } else if (why[0] == '\0') {
        abort();
    }
    if (pv_ctlapi_reply_parse(pv_view(data, len), false, &reply) == PV_OK) {
        must(reply.is_event ? reply.event != NULL : reply.ok || reply.error != NULL);
        pv_ctlapi_reply_done(&reply);
    }
}

/* --- inband ---------------------------------------------------------------------------------- */

/* A peer's in-band receiver: the input is a list of {u16 length, u8 milliseconds to wait, packet}.
 * Limits must hold whatever comes. */

static void check_limits(const struct pv_inband_receiver *rx)
{
    for (size_t i = 0; rx->unfinished != NULL && i < PV_INBAND_UNFINISHED; i++) {
        must(rx->unfinished[i].total <= PV_INBAND_WHOLE_MAX);
    }
}

FUZZ(inband)
{
    struct pv_inband_receiver rx = {.whole = NULL};
    struct pv_reader r = pv_reader(pv_view(data, len));
    pv_ns now = 1;

    while (r.status == PV_OK && r.rest.len > 0) {
        size_t n = pv_get_u16(&r);
        now += PV_MS(pv_get_u8(&r)) * 16;
        struct pv_view packet = pv_get_bytes(&r, n < r.rest.len ? n : r.rest.len);
        struct pv_inband_message m;
        struct pv_inband_echo echo;
        if (pv_inband_receive(&rx, packet, now, &m) == PV_OK) {
            uint8_t sum = 0;
            for (size_t i = 0; i < m.body.len; i++)
                sum ^= m.body.ptr[i];
            must(m.body.len <= PV_INBAND_WHOLE_MAX && (sum != 1 || m.body.len != 0));
            (void)!pv_inband_echo_parse(m.body, &echo);
            struct pv_forward f;
            must(pv_forward_parse(m.body, &f) != PV_OK ||
                 (f.box.len <= PV_SIGNAL_BOX_MAX &&
                  f.box.ptr + f.box.len == m.body.ptr + m.body.len));
        }
        check_limits(&rx);
    }
    pv_inband_receiver_done(&rx);
}

/* --- parcel ---------------------------------------------------------------------------------- */

/* Stored copies of chat messages. Encryption and signature would keep a fuzzer out, so the input is
 * used three ways: as a box, as a content, and as a content that is signed here. */

static void check_signed(struct pv_signal_route *route, const uint8_t *data, size_t len)
{
    static uint8_t content[PV_PARCEL_CONTENT_MAX + 1];
    static const uint8_t seed[PV_SIGN_SEED_LEN] = {7};
    uint8_t sk[PV_SIGN_SK_LEN], where[48];
    struct pv_parcel p;
    if (len > sizeof(content) - PV_SIGN_LEN)
        return;
    pv_sign_keypair(seed, sk, route->from);
    memcpy(where, route->network_id, 16);
    memcpy(where + 16, route->to, 32);
    memcpy(content, data, len);
    must(pv_sign(content + len, "p2pvpn chat v1", pv_view(where, 48), pv_view(content, len), sk) ==
         PV_OK);
    if (pv_parcel_parse(route, pv_view(content, len + PV_SIGN_LEN), &p) != PV_OK)
        return;
    must(pv_text_is_valid(p.text) && p.text.len == len - PV_PARCEL_HEAD && p.seq != 0);
}

FUZZ(parcel)
{
    static uint8_t buf[PV_COPYBOX_CONTENT_MAX];
    struct pv_signal_route route = {.network_id = {1}, .from = {2}, .to = {3}};
    static const uint8_t sk[PV_DH_LEN] = {64};
    const struct pv_noise_static keys = {.sk = sk, .pk = {9}};
    struct pv_parcel p;
    size_t opened;
    must(pv_crypto_init() == PV_OK);
    must(pv_copybox_open(&route, &keys, pv_view(data, len), buf, &opened) != PV_OK &&
         pv_parcel_parse(&route, pv_view(data, len), &p) != PV_OK); /* nobody signed it */
    if (len > 0)
        check_signed(&route, data, len);
}

/* --- ippkt ----------------------------------------------------------------------------------- */

/* Inner packets and the ICMP errors about them: an error must itself be a packet that parses, sums
 * up, and is never answered. */

static void check_error(const struct pv_ippkt *ip, enum pv_ippkt_error error)
{
    uint8_t buf[PV_IPPKT_ERROR_MAX];
    struct pv_ippkt e;
    size_t len;

    if (pv_ippkt_error(ip, error, 1280, buf, sizeof(buf), &len) != PV_OK)
        return;
    must(pv_ippkt_parse(pv_view(buf, len), &e) == PV_OK && e.whole.len == len);
    uint32_t sum = 0;
    if (e.version == 6)
        sum = pv_ippkt_sum(pv_view(e.src, 32), (uint32_t)e.l4.len + PV_IP_PROTO_ICMP6);
    must(pv_ippkt_sum(e.l4, sum) == 0xffff);
    must(pv_ippkt_error(&e, error, 1280, buf, sizeof(buf), &len) == PV_ERR_REFUSED);
    const uint8_t *dst = pv_ippkt_quoted_dst(&e);
    must(pv_ippkt_is_error(&e) && dst != NULL &&
         memcmp(dst, ip->dst, ip->version == 4 ? 4 : 16) == 0);
}

FUZZ(ippkt)
{
    struct pv_ippkt ip;

    if (pv_ippkt_parse(pv_view(data, len), &ip) != PV_OK)
        return;
    must(ip.whole.len <= len && ip.l4.len <= ip.whole.len);
    (void)pv_ippkt_is_housekeeping(&ip);
    const uint8_t *dst = pv_ippkt_quoted_dst(&ip);
    must(dst == NULL ||
         (dst >= ip.l4.ptr && dst + (ip.version == 4 ? 4 : 16) <= ip.l4.ptr + ip.l4.len));
    check_error(&ip, PV_IPPKT_UNREACHABLE);
    check_error(&ip, PV_IPPKT_TOO_BIG);
}

/* --- proof ----------------------------------------------------------------------------------- */

/* Secrets and lines by which daemons prove themselves: what is read is written and read to the
 * same. */

static void check_secret(struct pv_view body)
{
    struct pv_proof_secret msg, again;
    uint8_t buf[PV_PROOF_BODY_LEN];
    if (pv_proof_secret_parse(body, &msg) != PV_OK)
        return;
    pv_proof_secret_build(&msg, buf);
    must(pv_proof_secret_parse(pv_view(buf, sizeof(buf)), &again) == PV_OK);
    must(memcmp(&msg, &again, sizeof(msg)) == 0);
}

static void check_line(struct pv_view text)
{
    struct pv_proof_line line, again;
    char buf[PV_PROOF_LINE_MAX];
    if (pv_proof_line_parse(text, &line) != PV_OK)
        return;
    must(line.has_nonce || line.has_mac);
    size_t len = pv_proof_line_write(&line, buf);
    must(len < sizeof(buf) && pv_proof_is_line(pv_view(buf, len - 1)));
    must(pv_proof_line_parse(pv_view(buf, len - 1), &again) == PV_OK);
    must(line.has_nonce == again.has_nonce && line.has_mac == again.has_mac);
    must(!line.has_nonce || memcmp(line.nonce, again.nonce, sizeof(line.nonce)) == 0);
    must(!line.has_mac || memcmp(line.mac, again.mac, sizeof(line.mac)) == 0);
}

FUZZ(proof)
{
    check_secret(pv_view(data, len));
    check_line(pv_view(data, len));
}

/* --- beacon ---------------------------------------------------------------------------------- */

/* A datagram to all hosts of the link: what is taken has each of its tags, and is written back the
 * same. */
FUZZ(beacon)
{
    struct pv_beacon b;
    uint8_t buf[PV_BEACON_LEN];
    must((pv_beacon_parse(pv_view(data, len), &b) == PV_OK) == (len == PV_BEACON_LEN));
    if (len != PV_BEACON_LEN)
        return;
    for (size_t i = 0; i < PV_BEACON_TAGS; i++)
        must(pv_beacon_has(&b, b.tags[i]));
    pv_beacon_write(&b, buf);
    must(memcmp(buf, data, len) == 0);
}

/* --- portmap --------------------------------------------------------------------------------- */

/* Any answers of a PCP router, at any times: a mapping is held only when one was granted for our
 * nonce and port, it never asks faster than it may, and it comes to an end.
 *
 * Input: steps, each u8 (seconds that pass), u8 length, bytes that come from the router. */
FUZZ(portmap)
{
    uint8_t same = 0x5a;
    const struct pv_rng rng = {.fill = fuzz_fill_same, .ctx = &same};
    struct pv_portmap_config cfg = {.router = pv_addr4(192, 168, 1, 1, 5351),
                                    .client = pv_addr4(192, 168, 1, 30, 40015)};
    struct pv_portmap p = {.state = PV_PORTMAP_IDLE};
    struct pv_portmap_event ev;
    uint8_t buf[PV_PORTMAP_MAP_LEN];
    pv_ns now = PV_S(10);
    for (uint8_t i = 0; i < sizeof(cfg.nonce); i++)
        cfg.nonce[i] = (uint8_t)(i + 1);
    pv_portmap_start(&p, &cfg, &rng, now);
    while (len >= 2 && len >= 2 + (size_t)data[1]) {
        struct pv_view d = pv_view(data + 2, data[1]);
        struct pv_portmap_answer a;
        unsigned sends = 0;
        now += PV_S(data[0]);
        pv_portmap_handle_timeout(&p, now);
        while (pv_portmap_poll_transmit(&p, buf) == PV_OK)
            must(++sends <= 2 && memcmp(buf + 24, cfg.nonce, sizeof(cfg.nonce)) == 0);
        bool held = p.state == PV_PORTMAP_HELD;
        if (pv_portmap_handle_input(&p, &cfg.router, d, now) == PV_OK && !held &&
            p.state == PV_PORTMAP_HELD)
            must(pv_portmap_decode(d, &a) == PV_OK && a.code == PV_PORTMAP_SUCCESS &&
                 a.internal_port == 40015 && memcmp(a.nonce, cfg.nonce, sizeof(a.nonce)) == 0);
        while (pv_portmap_poll_event(&p, &ev) == PV_OK)
            must(ev.type == PV_PORTMAP_FAILED || ev.external.port != 0);
        must(p.state == PV_PORTMAP_IDLE || pv_portmap_next_timeout(&p) != PV_NEVER);
        len -= 2 + (size_t)data[1];
        data += 2 + (size_t)data[1];
    }
    pv_portmap_release(&p, now);
    for (unsigned i = 0; p.state != PV_PORTMAP_IDLE; i++) {
        must(i < 8);
        (void)!pv_portmap_poll_transmit(&p, buf);
        pv_portmap_handle_timeout(&p, pv_portmap_next_timeout(&p));
    }
}

/* --- natpmp ---------------------------------------------------------------------------------- */

/* What a NAT-PMP router says: an error has no content, and nothing is larger than an answer. */
FUZZ(natpmp)
{
    struct pv_natpmp_answer a;
    if (pv_natpmp_decode(pv_view(data, len), &a) != PV_OK)
        return;
    must(len <= PV_NATPMP_MAX && a.opcode <= PV_NATPMP_MAP_UDP);
    must(a.code == PV_NATPMP_SUCCESS || (a.lifetime == 0 && a.external_port == 0));
    must((a.opcode == PV_NATPMP_ADDRESS && a.code == PV_NATPMP_SUCCESS) ==
         (a.external.family == PV_AF_INET));
    must(pv_natpmp_code_text(a.code)[0] != '\0');
}

/* --- noise ----------------------------------------------------------------------------------- */

/* The messages of IK and X from the network: byte 0 says who reads the rest. Keys are fixed, so
 * that the seeds are genuine messages which mutation starts from. */

static struct pv_noise_static keys(uint8_t name)
{
    struct pv_noise_static k = {0};
    uint8_t sk[32];
    memset(sk, name, sizeof(sk));
    k.sk = fuzz_keep_key(sk);
    pv_dh_public(k.sk, k.pk);
    return k;
}

FUZZ(noise)
{
    uint8_t same = 3;
    const struct pv_rng rng = {.fill = fuzz_fill_same, .ctx = &same};
    const struct pv_view prologue = {(const uint8_t *)"P2PVPN/1\n", 9};
    struct pv_noise_static a = keys(1), b = keys(2);
    struct pv_noise_ik ik;
    uint8_t remote[32], msg[PV_NOISE_IK_MSG1_LEN];

    if (pv_crypto_init() < 0 || len < 1)
        return;
    struct pv_view rest = pv_view(data + 1, len - 1);
    if (data[0] % 3 == 0) {
        pv_noise_ik_init_responder(&ik, prologue, &b);
        must(pv_noise_ik_read1(&ik, rest, remote) != PV_OK ||
             pv_noise_ik_write2(&ik, &rng, msg) >= 0);
    } else if (data[0] % 3 == 1) {
        pv_noise_ik_init_initiator(&ik, prologue, &a, b.pk);
        must(pv_noise_ik_write1(&ik, &rng, msg) >= 0);
        (void)!pv_noise_ik_read2(&ik, rest);
    } else if (rest.len >= PV_NOISE_X_OVERHEAD) {
        uint8_t *pt = malloc(rest.len - PV_NOISE_X_OVERHEAD + 1);
        if (pt != NULL)
            (void)!pv_noise_x_open(prologue, &b, rest, remote, pt);
        free(pt);
    } else if (pv_noise_x_open(prologue, &b, rest, remote, NULL) != PV_ERR_AUTH) {
        abort();
    }
}

/* --- chat ------------------------------------------------------------------------------------ */

/* Chat frames: a decoded frame is written and decoded again to the same; shown text is harmless. */

static struct pv_chat_frame frame, frame_again;
static char chat_line[PV_CHAT_LINE_MAX];

/* The decoded frame as a chat_line; plain text as it is. */
static int write_frame(size_t *ret_len)
{
    switch (frame.kind) {
    case PV_CHAT_MESSAGE:
        return pv_chat_write_message(frame.id, frame.seq, frame.time_ms, frame.text, chat_line,
                                     ret_len);
    case PV_CHAT_ACK:
        return pv_chat_write_ack(frame.id, frame.state, chat_line, ret_len);
    case PV_CHAT_NOTED:
        return pv_chat_write_noted(frame.id, chat_line, ret_len);
    case PV_CHAT_LATER:
        return pv_chat_write_later(frame.id, frame.later, frame.wait_s, chat_line, ret_len);
    case PV_CHAT_PLAIN:
        break;
    }
    return PV_ERR_UNSUPPORTED;
}

static void check_again(void)
{
    size_t n = 0;
    must(write_frame(&n) >= 0 &&
         pv_chat_frame_parse(pv_view(chat_line, n - 1), &frame_again) >= 0 &&
         frame_again.kind == frame.kind && memcmp(frame.id, frame_again.id, sizeof(frame.id)) == 0);
    must(frame.kind != PV_CHAT_MESSAGE ||
         (frame.seq == frame_again.seq && frame.time_ms == frame_again.time_ms &&
          strcmp(frame.text, frame_again.text) == 0));
    must(frame.kind != PV_CHAT_LATER ||
         (frame.later == frame_again.later && frame.wait_s == frame_again.wait_s));
}

FUZZ(chat)
{
    size_t n = pv_harmless_show(pv_view(data, len), chat_line, sizeof(chat_line));
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)chat_line[i];
        must(c != 0x7f && (c >= 0x20 || c == '\n' || c == '\t'));
    }
    if (pv_chat_frame_parse(pv_view(data, len), &frame) < 0)
        return;
    must(frame.kind != PV_CHAT_PLAIN || pv_text_is_valid(pv_view(frame.text, frame.text_len)));
    if (frame.kind != PV_CHAT_PLAIN)
        check_again();
}

/* --- token ----------------------------------------------------------------------------------- */

/* Invite tokens and move tokens. The checksum would keep a fuzzer out, so the input is used in two
 * ways: as the text, and as the binary form before its checksum. A token that parses is written
 * back the same. */

static void check(const char *text, size_t len)
{
    struct pv_token token;
    char again[PV_TOKEN_TEXT_BUF];

    if (pv_token_parse(text, len, &token) != PV_OK)
        return;
    must(pv_token_format(&token, again, sizeof(again)) == PV_OK && strlen(again) == len &&
         memcmp(again, text, len) == 0);
    pv_token_done(&token);
}

static void check_move(const char *text, size_t len)
{
    struct pv_movetoken token;
    char again[PV_MOVETOKEN_TEXT_BUF];

    if (pv_movetoken_parse(text, len, &token) != PV_OK)
        return;
    must(pv_movetoken_format(&token, again, sizeof(again)) == PV_OK && strlen(again) == len &&
         memcmp(again, text, len) == 0);
}

FUZZ(token)
{
    static const char context[] = "p2pvpn token v1";
    uint8_t bin[PV_MOVETOKEN_BIN_MAX], hash[PV_BLAKE2B_LEN];
    char text[PV_MOVETOKEN_TEXT_BUF] = "p2pvpn-";

    check((const char *)data, len);
    check_move((const char *)data, len);
    if (len > sizeof(bin) - 4)
        return;
    if (len > 0)
        memcpy(bin, data, len);
    pv_blake2b(hash, pv_view(context, sizeof(context)), pv_view(bin, len), pv_view(NULL, 0));
    memcpy(bin + len, hash, 4);
    must(pv_b64url_encode(pv_view(bin, len + 4), text + 7, sizeof(text) - 7) == PV_OK);
    check(text, strlen(text));
    check_move(text, strlen(text));
}

/* --- ctlmsg ---------------------------------------------------------------------------------- */

/* Control messages: what parses is built again, and that parses to the same bytes. */

FUZZ(ctlmsg)
{
    static char first[PV_CTL_TEXT_MAX];
    static char second[PV_CTL_TEXT_MAX];
    struct pv_ctl_msg *msg = NULL;
    size_t n1 = 0;
    size_t n2 = 0;
    if (pv_ctl_parse(pv_view(data, len), &msg) != PV_OK)
        return;
    int r = pv_ctl_build(msg, first, sizeof(first), &n1);
    if (msg->type == PV_CTL_UNKNOWN || msg->type == PV_CTL_INVALID) {
        must(r == PV_ERR_STATE);
        pv_ctl_msg_free(msg);
        return;
    }
    pv_ctl_msg_free(msg);
    /* Defaults are written out, so a message near the limit may grow over it. */
    if (r == PV_ERR_NO_SPACE)
        return;
    must(r == PV_OK && pv_ctl_parse(pv_view(first, n1), &msg) == PV_OK);
    must(pv_ctl_build(msg, second, sizeof(second), &n2) == PV_OK && n1 == n2 &&
         memcmp(first, second, n1) == 0);
    pv_ctl_msg_free(msg);
}

/* --- signal ---------------------------------------------------------------------------------- */

/* The payload of signals and in-band descriptions: what is accepted keeps its bounds and is the
 * same after writing and reading it again (candidates above the local limit excepted). */

static void compare(const struct pv_signal *a, const struct pv_signal *b)
{
    must(a->seq == b->seq && memcmp(a->head, b->head, sizeof(a->head)) == 0);
    must(a->has_desc == b->has_desc && a->n_chain == b->n_chain);
    must(a->has_pq == b->has_pq);
    must(memcmp(a->members, b->members, sizeof(a->members)) == 0 && a->has_rules == b->has_rules);
    must(!a->has_rules || memcmp(a->rules, b->rules, sizeof(a->rules)) == 0);
    if (a->has_pq)
        must(memcmp(&a->pq, &b->pq, sizeof(a->pq)) == 0);
    if (a->has_desc && a->desc.n_cands <= PV_ICE_MAX_LOCAL) {
        struct pv_desc x = a->desc, y = b->desc;
        x.pq = y.pq = NULL; /* each points into its own signal */
        must(memcmp(&x, &y, sizeof(x)) == 0);
    }
    for (size_t i = 0; i < a->n_chain; i++) {
        must(pv_view_equal(a->chain[i].statement, b->chain[i].statement));
        must(pv_view_equal(a->chain[i].receipt, b->chain[i].receipt));
    }
}

FUZZ(signal)
{
    struct pv_signal_parsed first, second;
    char text[PV_SIGNAL_TEXT_MAX];
    size_t text_len;

    if (pv_signal_parse(pv_view(data, len), &first) != PV_OK)
        return;
    must(first.sig.desc.n_cands <= PV_ICE_MAX_REMOTE);
    for (size_t i = 0; i < first.sig.desc.n_cands; i++)
        must(first.sig.desc.cands[i].base < first.sig.desc.n_cands);
    int r = pv_signal_write(&first.sig, text, sizeof(text), &text_len);
    must(r == PV_OK || r == PV_ERR_NO_SPACE);
    if (r == PV_OK) {
        must(pv_signal_parse(pv_view(text, text_len), &second) == PV_OK);
        compare(&first.sig, &second.sig);
        pv_signal_parsed_done(&second);
    }
    pv_signal_parsed_done(&first);
}

/* --- flow ------------------------------------------------------------------------------------ */

/* Any packet as a flow: reading it stays inside the packet, and a packet and the same one with its
 * ends swapped, seen from the other side, are one flow. */

/* Both addresses, and of TCP and UDP both ports, change places: the answer. */
static void swap_ends(uint8_t *p, const struct pv_ippkt *ip)
{
    uint8_t *src = p + (ip->version == 4 ? PV_IP4_ADDRS : PV_IP6_ADDRS), keep[16];
    size_t n = ip->version == 4 ? 4 : 16;
    memcpy(keep, src, n);
    memcpy(src, src + n, n);
    memcpy(src + n, keep, n);
    if (ip->proto != PV_PORTS_TCP && ip->proto != PV_PORTS_UDP)
        return;
    uint8_t *ports = p + (ip->l4.ptr - ip->whole.ptr);
    memcpy(keep, ports, 2);
    memcpy(ports, ports + 2, 2);
    memcpy(ports + 2, keep, 2);
}

static void flow_check(const struct pv_flow *f)
{
    must(f->kind <= PV_FLOW_BAD);
    must(f->key[0] == 0 && f->piece[0] == 0 && (f->kind < PV_FLOW_PIECE || f->key[1] == 0));
    must(f->kind != PV_FLOW_PIECE || f->piece[1] != 0);
    must(!f->more || f->piece[1] != 0);
}

FUZZ(flow)
{
    struct pv_ippkt ip;
    struct pv_flow in, out;
    uint8_t *copy = malloc(len == 0 ? 1 : len); /* reads beyond it are seen */
    must(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    if (pv_ippkt_parse(pv_view(copy, len), &ip) == PV_OK) {
        pv_flow_read(&ip, true, &in);
        flow_check(&in);
        pv_flow_read(&ip, false, &out);
        flow_check(&out);
        bool ports = ip.proto == PV_PORTS_TCP || ip.proto == PV_PORTS_UDP;
        if (ports && (in.kind == PV_FLOW_FIRST || in.kind == PV_FLOW_LATER)) {
            swap_ends(copy, &ip);
            must(pv_ippkt_parse(pv_view(copy, len), &ip) == PV_OK);
            pv_flow_read(&ip, false, &out);
            must(memcmp(in.key, out.key, sizeof(in.key)) == 0);
        }
    }
    free(copy);
}

/* --- room ------------------------------------------------------------------------------------ */

/* Records and frames of rooms. A signature would keep a fuzzer out, so the input is used three
 * ways: as a record, as a record that is signed here, and as a frame, whose records are looked at
 * too. A record that is taken must come back the same from its own writer. */

static const uint8_t network[PV_ROOM_NETWORK_LEN] = {1};

static void room_check_signed(const uint8_t *data, size_t len)
{
    static uint8_t raw[PV_ROOM_RECORD_MAX], again[PV_ROOM_RECORD_MAX];
    static const uint8_t seed[PV_SIGN_SEED_LEN] = {7};
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    struct pv_room_have base[PV_ROOM_MAX_MEMBERS], h;
    struct pv_room_record rec;
    size_t again_len = 0, n = 0;
    size_t signer = len > 1 && data[1] == PV_ROOM_CREATE ? 2 : 2 + PV_ROOM_ID_LEN;
    if (len < signer + sizeof(pk) || len > sizeof(raw) - PV_SIGN_LEN)
        return;
    pv_sign_keypair(seed, sk, pk);
    memcpy(raw, data, len);
    memcpy(raw + signer, pk, sizeof(pk));
    must(pv_sign(raw + len, "p2pvpn room v1", pv_view(network, sizeof(network)), pv_view(raw, len),
                 sk) == PV_OK);
    if (pv_room_record_parse(pv_view(raw, len + PV_SIGN_LEN), network, &rec) != PV_OK)
        return;
    while (pv_room_base(&rec, n, &h))
        base[n++] = h;
    const struct pv_room_make make = {
        .network = network, .signer = pv_appsigner_of(sk), .base = base, .n_base = n};
    must(pv_room_record_make(&make, &rec, again, &again_len) == PV_OK &&
         again_len == len + PV_SIGN_LEN && memcmp(again, raw, again_len) == 0);
}

static void check_frame(const uint8_t *data, size_t len)
{
    static struct pv_room_frame f, g;
    static char line[PV_CHAT_LINE_MAX];
    struct pv_room_record rec;
    size_t n = 0;
    if (pv_room_frame_parse(pv_view(data, len), &f) != PV_OK)
        return;
    for (size_t i = 0; i < f.n_records; i++) {
        must(pv_room_record_parse(f.records[i], network, &rec) != PV_OK); /* nobody signed it */
    }
    if (pv_room_frame_write(&f, line, &n) != PV_OK)
        return; /* blanks of the input left out, numbers written out: may be longer than a line */
    must(pv_room_frame_parse(pv_view(line, n - 1), &g) == PV_OK && g.kind == f.kind &&
         g.n_have == f.n_have && g.n_prefix == f.n_prefix && g.n_records == f.n_records);
}

FUZZ(room)
{
    struct pv_room_record rec;
    must(pv_crypto_init() == PV_OK);
    must(pv_room_record_parse(pv_view(data, len), network, &rec) != PV_OK); /* nobody signed it */
    must(pv_room_record_parse(pv_view(data, len), NULL, &rec) != PV_OK ||
         rec.type != PV_ROOM_TEXT || pv_text_is_valid(rec.text));
    room_check_signed(data, len);
    check_frame(data, len);
}

/* --- group ----------------------------------------------------------------------------------- */

/* Reports of the local kernel and what members tell of their groups. The first byte chooses: an
 * in-band body, or a list of {u16 length, u8 seconds to wait, packet} for a querier, whose table
 * must stay sorted and within its limit. */

/* A message that was read is written the same again. */
static void tell(struct pv_view body)
{
    static struct pv_grouptell t;
    uint8_t again[PV_GROUPTELL_BODY_MAX];
    size_t len;
    if (pv_grouptell_parse(body, &t) != PV_OK)
        return;
    pv_grouptell_build(&t, again, &len);
    must(len == body.len && memcmp(again, body.ptr, len) == 0);
}

static void group_check(const struct pv_querier *q)
{
    must(q->n <= PV_QUERIER_MAX);
    for (size_t i = 0; i < q->n; i++) {
        const struct pv_group *g = &q->groups[i].group;
        must(pv_group_kind(g) != PV_GROUP_LOCAL && !pv_group_is_everybodys(g));
        must(i == 0 || pv_group_compare(&q->groups[i - 1].group, g) < 0);
    }
}

static void reports(struct pv_reader *r)
{
    static struct pv_querier q;
    uint8_t buf[PV_GROUPMSG_QUERY_MAX];
    size_t len;
    pv_ns now = PV_S(1);
    pv_querier_init(&q);
    pv_querier_start(&q, now);
    while (r->status == PV_OK && r->rest.len > 0) {
        size_t n = pv_get_u16(r);
        now += PV_S(pv_get_u8(r));
        struct pv_view packet = pv_get_bytes(r, n < r->rest.len ? n : r->rest.len);
        (void)!pv_querier_hear(&q, packet, now);
        pv_querier_handle_timeout(&q, now);
        must(pv_querier_next_timeout(&q) > now);
        for (int k = 0; pv_querier_poll(&q, buf, &len); k++)
            must(k < 3 && len <= sizeof(buf));
        group_check(&q);
    }
}

FUZZ(group)
{
    struct pv_reader r = pv_reader(pv_view(data, len));
    if (pv_get_u8(&r) == 0)
        tell(r.rest);
    else
        reports(&r);
}

/* --- statement ------------------------------------------------------------------------------- */

/* Statements from anybody: whatever decodes keeps its promises (views inside the input, bounds,
 * lists that read to their end), and nothing but a real signature verifies. */

static void check_list(struct pv_view list)
{
    struct pv_coordinator c;
    struct pv_hostport hp;

    while (pv_coordlist_next(&list, &c)) {
        while (pv_coordlist_next_addr(&c.addrs, &hp))
            must(hp.port != 0 && hp.host[0] != '\0');
        must(c.addrs.len == 0);
    }
    must(list.len == 0);
}

FUZZ(statement)
{
    struct pv_statement st;

    /* Of whatever network it names. */
    const uint8_t *newer =
        len < 2 + PV_NETWORK_ID_LEN ? NULL : pv_newer_signer(pv_view(data, len), data + 2);
    if (newer != NULL) {
        must(newer > data && newer + PV_SIGN_PK_LEN + PV_SIGN_LEN <= data + len);
        int known = pv_statement_verify_newer(pv_view(data, len));
        must(known == PV_OK || known == PV_ERR_AUTH);
        must(pv_statement_decode(pv_view(data, len), &st) == PV_ERR_UNSUPPORTED);
    }
    if (pv_statement_decode(pv_view(data, len), &st) != PV_OK)
        return;
    must(len <= PV_STATEMENT_MAX && st.raw.ptr == data && st.raw.len == len);
    int verified = pv_statement_verify(&st);
    must(verified == PV_OK || verified == PV_ERR_AUTH);
    switch (st.type) {
    case PV_ST_NETWORK:
        must(pv_name_is_valid(st.u.network.name));
        must(pv_ip4_is_usable(&st.u.network.range, pv_ip4_first(&st.u.network.range, st.signer)));
        break;
    case PV_ST_MEMBER:
        must(pv_name_is_valid(st.u.member.name));
        must(!pv_ct_is_zero(st.u.member.transport, 32));
        break;
    case PV_ST_REVOCATION:
        must(st.u.revocation.stay.len <= PV_STATEMENT_LIST_MAX);
        must(st.u.revocation.stay.len % 32 == 0);
        break;
    case PV_ST_END:
        must(st.u.end.stay.len <= PV_END_STAY_MAX * 32 && st.u.end.stay.len % 32 == 0);
        break;
    case PV_ST_PLACE:
        must(pv_name_is_valid(st.u.place.name));
        break;
    case PV_ST_ROUTE:
        must(pv_route_is_valid(&st.u.route.prefix));
        break;
    case PV_ST_CARD: {
        struct pv_view list = st.u.card.offers;
        struct pv_offer offer;
        size_t n = 0;
        while (pv_offerlist_next(&list, &offer))
            must(pv_route_is_valid(&offer.prefix) && ++n <= PV_OFFERS_MAX);
        must(st.u.card.kem.len == 0 || st.u.card.kem.len == PV_KEM_EK_LEN);
        must(pv_sshkeys_check(st.u.card.hostkeys, PV_SSHKEYS_HOST) == PV_OK);
        must(pv_sshkeys_check(st.u.card.loginkeys, PV_SSHKEYS_LOGIN) == PV_OK);
        break;
    }
    case PV_ST_TAG:
        must(pv_name_is_valid(st.u.tag.tag) && st.u.tag.slot.number < PV_RULE_SLOTS);
        break;
    case PV_ST_RULE:
        must(st.u.rule.ports.n > 0 && st.u.rule.ports.n <= PV_PORTS_MAX);
        must(pv_logins_fit(&st.u.rule.logins, &st.u.rule.ports));
        must(pv_logins_are_none(&st.u.rule.logins) || st.u.rule.kind == PV_RULE_ALLOW);
        must(st.u.rule.from.len <= PV_SELECTOR_MAX && st.u.rule.to.len <= PV_SELECTOR_MAX);
        break;
    case PV_ST_ADMISSION:
        must(len == 2 + 16 + 32 + 40 + 64);
        break;
    case PV_ST_COORDINATORS:
        check_list(st.u.coordinators.list);
        break;
    default:
        break;
    }
}

/* --- sshkeys --------------------------------------------------------------------------------- */

/* Any file of public keys: what is kept has the one form, and its lines have nothing in them but a
 * type and base64, and read back as the same. */
static void try_sshkeys(struct pv_view text, enum pv_sshkeys_use use)
{
    struct pv_sshkeys keys = {.use = use}, again = {.use = use};
    struct pv_view list, key;
    if (pv_sshkeys_check(text, use) == PV_OK)
        must(text.len <= PV_SSHKEYS_MAX);
    (void)pv_sshkeys_read(&keys, text);
    list = pv_sshkeys_view(&keys);
    must(pv_sshkeys_check(list, use) == PV_OK);
    while (pv_sshkeys_next(&list, &key)) {
        const char *line = PV_SSHKEY_STR(key);
        must(strlen(line) < PV_SSHKEY_LINE_BUF - 1 && strpbrk(line, "\n\"',#") == NULL);
        must(pv_sshkeys_read(&again, pv_view(line, strlen(line))) == 0);
        must(!pv_sshkey_has_print(key, "SHA256:"));
    }
    must(pv_view_equal(pv_sshkeys_view(&keys), pv_sshkeys_view(&again)));
    list = pv_sshkeys_view(&again);
    while (pv_sshkeys_next(&list, &key)) {
        must(pv_sshkeys_remove(&keys, key));
        must(pv_sshkeys_check(pv_sshkeys_view(&keys), use) == PV_OK);
    }
    must(keys.len == 0);
}

FUZZ(sshkeys)
{
    try_sshkeys(pv_view(data, len), PV_SSHKEYS_HOST);
    try_sshkeys(pv_view(data, len), PV_SSHKEYS_LOGIN);
}

/* --- rules ----------------------------------------------------------------------------------- */

/* Sets of ports and selectors from anybody, and tables made of them: what decodes has one form, and
 * a table answers as somebody would who reads its rules from the top. */

enum {
    LINES = 24,
};

static void check_text(const struct pv_ports *p)
{
    char text[PV_PORTS_TEXT];
    struct pv_ports q;
    must(pv_ports_parse(pv_ports_format(p, text), &q) == PV_OK);
    must(strcmp(PV_PORTS_STR(&q), text) == 0);
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

/* Accounts from anybody: what decodes, or is read, has one form, and no character with a meaning.
 */
static void check_logins(struct pv_view bytes)
{
    char text[8 + PV_LOGINS_MAX + 2] = "ssh:", form[PV_LOGINS_TEXT];
    struct pv_logins l, again;
    struct pv_ports ports;
    const size_t n = bytes.len < PV_LOGINS_MAX + 1 ? bytes.len : PV_LOGINS_MAX + 1;
    if (pv_logins_decode(bytes, &l) == PV_OK)
        must(strlen(l.names) == bytes.len && memcmp(l.names, bytes.ptr, bytes.len) == 0);
    memcpy(text + 4, bytes.ptr, n);
    if (pv_logins_parse(text, &ports, &l) != PV_OK)
        return;
    must(pv_logins_fit(&l, &ports) && !pv_logins_are_none(&l));
    must(strspn(l.names, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-,") ==
         strlen(l.names));
    must(pv_logins_parse(pv_logins_format(&l, &ports, form), &ports, &again) == PV_OK);
    must(strcmp(l.names, again.names) == 0);
    must(pv_logins_decode(pv_view(l.names, strlen(l.names)), &again) == PV_OK);
}

/* {u8 what, u8 length, bytes}: a set of ports that allows, one that denies, the node's own set, a
 * selector, or accounts. The ports that are asked for are those that the input has in it. */
FUZZ(rules)
{
    struct pv_ports sets[LINES], own;
    struct pv_ruleline lines[LINES];
    const struct pv_ports *local = NULL;
    size_t n = 0;
    for (size_t at = 0; at + 2 <= len && n < LINES;) {
        uint8_t what = data[at] == 4 ? 4 : data[at] % 4;
        size_t size = data[at + 1] < len - at - 2 ? data[at + 1] : len - at - 2;
        struct pv_view bytes = pv_view(data + at + 2, size);
        at += 2 + size;
        if (what == 4) {
            check_logins(bytes);
        } else if (what == 3) {
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
}

/* --- logst ----------------------------------------------------------------------------------- */

/* Two statements with the same content, whose signers differ. */
static void must_say_the_same(const struct pv_logst *a, const struct pv_logst *b)
{
    must(a->type == b->type && a->made == b->made && a->number == b->number &&
         a->after == b->after && a->time == b->time && a->uses == b->uses &&
         a->lifetime == b->lifetime && a->flags == b->flags && strcmp(a->name, b->name) == 0);
    must(memcmp(a->grant, b->grant, sizeof(a->grant)) == 0 &&
         memcmp(a->key, b->key, sizeof(a->key)) == 0 &&
         memcmp(a->ip4, b->ip4, sizeof(a->ip4)) == 0);
    must(a->list.len == b->list.len &&
         (a->list.len == 0 || memcmp(a->list.ptr, b->list.ptr, a->list.len) == 0));
}

static void try_logst(struct pv_view data)
{
    static uint8_t again[PV_LOGST_MAX];
    uint8_t seed[PV_SIGN_SEED_LEN] = {1}, sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    struct pv_logst st, made, one;
    size_t n = 0;

    if (pv_logst_decode(data, &st) != PV_OK)
        return;
    must(data.len <= PV_LOGST_MAX && st.raw.ptr == data.ptr && st.raw.len == data.len);
    int verified = pv_logst_verify(&st);
    must(verified == PV_OK || verified == PV_ERR_AUTH);
    struct pv_view list = pv_logst_carries(st.type) ? st.list : pv_view(NULL, 0);
    for (; pv_carried_next(&list, &one); n++)
        must(pv_logst_is_free(one.type) && (one.list.len == 0 || one.type == PV_LOGST_ROW));
    must(list.len == 0 && n <= PV_CARRIED_MAX);
    if (st.type >= PV_LOGST_TYPES)
        return;
    pv_sign_keypair(seed, sk, pk);
    must(pv_logst_make(&st, sk, NULL, again, sizeof(again), &n) == PV_OK && n == data.len);
    must(pv_logst_decode(pv_view(again, n), &made) == PV_OK);
    must_say_the_same(&st, &made);
}

static void try_head(struct pv_view data)
{
    uint8_t seed[PV_SIGN_SEED_LEN] = {1}, sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    uint8_t again[PV_HEAD_LEN];
    struct pv_head head;

    if (pv_head_decode(data, &head) != PV_OK)
        return;
    must(data.len == PV_HEAD_LEN);
    int verified = pv_head_verify(data);
    must(verified == PV_OK || verified == PV_ERR_AUTH);
    pv_sign_keypair(seed, sk, pk);
    must(pv_head_make(&head, sk, again) == PV_OK &&
         pv_head_verify(pv_view(again, sizeof(again))) == PV_OK);
    memcpy(again + 18, data.ptr + 18, PV_SIGN_PK_LEN);
    must(memcmp(again, data.ptr, PV_HEAD_LEN - PV_SIGN_LEN) == 0);
}

/* The first byte says what the others are: a statement, an entry or a head. */
FUZZ(logst)
{
    static uint8_t again[PV_ENTRY_HEAD_LEN + PV_LOGST_MAX];
    struct pv_view rest = pv_view(data + 1, len - 1);
    struct pv_entry e;
    size_t n;

    if (len == 0)
        return;
    if (data[0] == 'S')
        try_logst(rest);
    if (data[0] == 'H')
        try_head(rest);
    if (data[0] != 'E' || pv_entry_decode(rest, &e) != PV_OK)
        return;
    must(pv_entry_encode(e.prev, e.time, e.st.raw, again, sizeof(again), &n) == PV_OK &&
         n == rest.len && memcmp(again, rest.ptr, n) == 0);
}

/* --- weblogin -------------------------------------------------------------------------------- */

/* Fields of requests, four lines: whatever they say, nobody is let in without the page's own origin
 * and both secrets of a session. "@" stands for the cookie, "%" for the key. */

enum {
    FIELDS = 4,
    FIELD_BUF = 512,
};

static void fill(void *ctx, uint8_t *dst, size_t len)
{
    uint8_t *next = ctx;
    for (size_t i = 0; i < len; i++)
        dst[i] = (*next)++;
}

/* One line, in which the two signs are what they stand for. */
static void take_field(struct pv_view *rest, const char *cookie, const char *key,
                       char dst[static FIELD_BUF])
{
    size_t n = 0;
    while (rest->len > 0 && *rest->ptr != '\n') {
        const char *put = *rest->ptr == '@' ? cookie : *rest->ptr == '%' ? key : NULL;
        size_t more = put == NULL ? 1 : strlen(put);
        if (n + more < FIELD_BUF)
            memcpy(dst + n, put == NULL ? (const char *)rest->ptr : put, more);
        n += n + more < FIELD_BUF ? more : 0;
        *rest = pv_view(rest->ptr + 1, rest->len - 1);
    }
    dst[n] = '\0';
    if (rest->len > 0)
        *rest = pv_view(rest->ptr + 1, rest->len - 1);
}

FUZZ(weblogin)
{
    static const char scheme[] = "http://";
    char field[FIELDS][FIELD_BUF], cookie[PV_KEY_TEXT_BUF], key[PV_KEY_TEXT_BUF];
    char token[PV_KEY_TEXT_BUF];
    uint8_t start = 1;
    struct pv_rng rng = {.fill = fill, .ctx = &start};
    struct pv_weblogin l;
    struct pv_view rest = pv_view(data, len);
    pv_weblogin_init(&l, &rng);
    (void)pv_weblogin_token(&l, token);
    must(pv_weblogin_enter(&l, pv_view(token, strlen(token)), &rng, 1, cookie, key) == PV_OK);
    for (size_t i = 0; i < FIELDS; i++)
        take_field(&rest, cookie, key, field[i]);
    const struct pv_weblogin_asked asked = {
        .host = field[0], .origin = field[1], .cookie = field[2], .key = field[3]};
    uint64_t session;
    unsigned page = pv_weblogin_judge(&l, PV_WEBLOGIN_PAGE, &asked, 2, &session);
    unsigned use = pv_weblogin_judge(&l, PV_WEBLOGIN_USE, &asked, 2, &session);
    bool own = strncmp(field[1], scheme, strlen(scheme)) == 0 &&
               strcmp(field[1] + strlen(scheme), field[0]) == 0;
    bool both = strstr(field[2], cookie) != NULL && strcmp(field[3], key) == 0;
    must((page == 200 || page == 403) && (use != 200 || (page == 200 && own && both)));
    must(pv_weblogin_enter(&l, pv_view(data, len), &rng, 2, cookie, key) != PV_OK ||
         len == PV_KEY_TEXT);
}

/* --- wgmsg ----------------------------------------------------------------------------------- */

/* WireGuard messages 1 to 3 from the network, as a responder and as an initiator reads them. Keys
 * are fixed, so that the seeds are genuine messages which mutation starts from. A message that the
 * type check lets pass must be readable by all that comes after it. */

struct pair {
    struct pv_wg_device init, resp;
    struct pv_wg_remote to_resp, to_init;
};

static void make_pair(struct pair *p)
{
    uint8_t sk[32], psk[32] = {0};
    memset(sk, 1, sizeof(sk));
    pv_wg_device_init(&p->init, fuzz_keep_key(sk));
    memset(sk, 2, sizeof(sk));
    pv_wg_device_init(&p->resp, fuzz_keep_key(sk));
    must(pv_wg_remote_init(&p->to_resp, &p->init, p->resp.keys.pk, psk) >= 0 &&
         pv_wg_remote_init(&p->to_init, &p->resp, p->init.keys.pk, psk) >= 0);
}

static void read_initiation(const struct pair *p, const struct pv_rng *rng, struct pv_view msg)
{
    struct pv_wg_initiation in;
    struct pv_wg_keys keys;
    uint8_t tai64n[PV_TAI64N_LEN], answer[PV_WGMSG_RESPONSE_LEN];
    (void)pv_wgmsg_mac1_ok(&p->resp, msg);
    if (pv_wgmsg_identify(&p->resp, msg, &in) < 0 || memcmp(in.static_pk, p->init.keys.pk, 32) != 0)
        return;
    must(pv_wgmsg_accept(&in, &p->to_init, tai64n) != PV_OK ||
         pv_wgmsg_respond(&in, &p->to_init, rng, 9, answer, &keys) >= 0);
}

FUZZ(wgmsg)
{
    uint8_t same = 3;
    const struct pv_rng rng = {.fill = fuzz_fill_same, .ctx = &same};
    struct pv_view msg = pv_view(data, len);
    struct pair p;
    struct pv_wg_pending pending = {.local_index = 7};
    struct pv_wg_keys keys;
    struct pv_cookie_jar jar = {.sent = false};
    uint8_t type = 0, own[PV_WGMSG_INITIATION_LEN], tai64n[PV_TAI64N_LEN] = {0x40};

    if (pv_crypto_init() < 0 || pv_wgmsg_type(msg, &type) < 0)
        return;
    make_pair(&p);
    if (type == PV_WGMSG_RESPONSE)
        pending.suite = (enum pv_suite)data[3]; /* an answer to what we asked for */
    if (type != PV_WGMSG_INITIATION)
        (void)pv_wgmsg_receiver(msg);
    must(pv_wgmsg_initiate(&pending, &p.init, &p.to_resp, &rng, tai64n, own) >= 0);
    pv_cookie_jar_stamp(&jar, own, sizeof(own), true, 1);
    if (type == PV_WGMSG_INITIATION)
        read_initiation(&p, &rng, msg);
    else if (type == PV_WGMSG_RESPONSE)
        (void)!pv_wgmsg_read_response(&pending, &p.init, &p.to_resp, msg, &keys);
    else if (type == PV_WGMSG_COOKIE)
        (void)!pv_cookie_jar_put(&jar, &p.to_resp, msg, 1);
}

/* --- turnframe ------------------------------------------------------------------------------- */

/* TURN by a stream: however the bytes are cut, the same messages come out, and the coordinator's
 * cutter agrees with the daemon's.
 *
 * Input: one byte that says how large the pieces are, then the stream. */

static uint64_t mix(uint64_t h, struct pv_view m)
{
    for (size_t i = 0; i < m.len; i++)
        h = (h ^ m.ptr[i]) * 0x100000001b3u;
    return (h ^ m.len) * 0x100000001b3u;
}

/* A hash over all messages; *ret_bad: the stream was lost. Messages the server finds too long end
 * it, for both. */
static uint64_t cut(struct pv_view stream, size_t piece, bool *ret_bad)
{
    struct pv_turnframe *f = calloc(1, sizeof(*f));
    uint64_t h = 0xcbf29ce484222325u;
    must(f != NULL);
    *ret_bad = false;
    while (stream.len > 0 && !*ret_bad) {
        size_t n = stream.len < piece ? stream.len : piece;
        struct pv_view data = pv_view(stream.ptr, n), m;
        int r;
        while ((r = pv_turnframe_next(f, &data, &m)) == PV_OK && m.len <= PV_STUNCONN_MESSAGE_MAX)
            h = mix(h, m);
        *ret_bad = r != PV_ERR_AGAIN;
        stream = pv_view(stream.ptr + n, stream.len - n);
    }
    free(f);
    return h;
}

static uint64_t cut_by_server(struct pv_view stream, bool *ret_bad)
{
    struct pv_stunconn s = {0};
    uint64_t h = 0xcbf29ce484222325u;
    *ret_bad = false;
    while (stream.len > 0) {
        struct pv_view m;
        size_t used = 0;
        int r = pv_stunconn_handle_bytes(&s, stream, &used, &m);
        if (r == PV_ERR_MALFORMED) {
            *ret_bad = true;
            break;
        }
        must(used > 0 && used <= stream.len);
        stream = pv_view(stream.ptr + used, stream.len - used);
        if (r != PV_OK)
            break;
        h = mix(h, m);
        pv_stunconn_next(&s);
    }
    pv_stunconn_done(&s);
    return h;
}

FUZZ(turnframe)
{
    bool bad, other;
    if (len == 0)
        return;
    struct pv_view stream = pv_view(data + 1, len - 1);
    uint64_t whole = cut(stream, len, &bad);
    must(cut(stream, (size_t)data[0] + 1, &other) == whole && other == bad);
    must(cut_by_server(stream, &other) == whole);
}

/* --- connect --------------------------------------------------------------------------------- */

/* A proxy's answer: the same in pieces as at once, and no byte behind its head is taken. The first
 * byte says how long a piece is; 0: a URL of the environment and a list of hosts follow. */

static void must_hear_the_same(struct pv_view in, size_t piece)
{
    struct pv_connect whole, cut;
    size_t used = 0, step = 0;
    pv_connect_begin(&whole);
    pv_connect_begin(&cut);
    size_t all = pv_connect_hear(&whole, in);
    must(all <= in.len && all <= PV_CONNECT_HEAD_MAX);
    must(all == in.len || whole.answer.state != PV_CONNECT_ASKED);
    for (size_t n = 0; n < in.len; n += step) {
        step = in.len - n < piece ? in.len - n : piece;
        used += pv_connect_hear(&cut, pv_view(in.ptr + n, step));
    }
    must(used == all);
    pv_connect_end(&whole);
    pv_connect_end(&cut);
    must(memcmp(&whole.answer, &cut.answer, sizeof(cut.answer)) == 0);
    must(whole.answer.state != PV_CONNECT_ASKED && whole.answer.status < 600);
    must(whole.answer.state != PV_CONNECT_OPEN || in.ptr[all - 1] == '\n');
}

/* A URL that is accepted makes a request of one head. */
static void must_ask(const struct pv_proxyset *set, const struct pv_connect_login *login)
{
    uint8_t ask[PV_CONNECT_ASK_MAX];
    char at[PV_CONNECT_AT_BUF];
    must(set->host[0] != '\0' && set->port != 0 && set->has_login == (login->user[0] != '\0'));
    size_t n = pv_connect_ask(pv_proxyset_at(set->host, set->port, at), login, ask);
    must(n < sizeof(ask) && memcmp(ask, "CONNECT ", 8) == 0);
    must(memmem(ask, n, "\r\n\r\n", 4) == ask + n - 4);
    for (size_t i = 0; i < n; i++)
        must(ask[i] == '\r' || ask[i] == '\n' || (ask[i] >= ' ' && ask[i] <= '~'));
}

FUZZ(connect)
{
    static char text[8192];
    struct pv_view in = pv_view(data, len);
    struct pv_proxyset set;
    struct pv_connect_login login;
    const char *why;
    size_t piece = fuzz_next(&in);
    if (piece != 0) {
        must_hear_the_same(in, piece);
        return;
    }
    if (in.len >= sizeof(text))
        return;
    memcpy(text, in.ptr, in.len);
    text[in.len] = '\0';
    char *list = strchr(text, ' ');
    if (list != NULL)
        *list++ = '\0';
    if (pv_proxyset_parse_env(text, &set, &login) == PV_OK) {
        must_ask(&set, &login);
        if (list != NULL)
            (void)pv_proxyset_is_except(list, set.host);
    }
    if (pv_proxyset_parse(text, &set, &why) == PV_OK)
        must(!set.has_login && set.host[0] != '\0' && set.port != 0);
}

/* --- proxy ----------------------------------------------------------------------------------- */

/* A program's words to `p2pvpnctl socks`: the same in pieces as at once, and a target that is known
 * can be named. The first byte says how long a piece is; 0: a datagram follows. */

struct talk {
    struct pv_proxy p;
    struct pv_proxy_target target;
    int status;
    size_t used, said;
    uint8_t all[4 * PV_PROXY_SAY_MAX]; /* said in all */
};

static void must_be_named(const struct pv_proxy_target *t)
{
    size_t len = strlen(t->host);
    must(len > 0 && len < sizeof(t->host));
    for (size_t i = 0; i < len; i++)
        must(t->host[i] > ' ' && t->host[i] <= '~');
}

/* Shows what has come, until nothing more is used up. */
static void hear(struct talk *t, struct pv_view heard)
{
    size_t used = 0;
    do {
        uint8_t say[PV_PROXY_SAY_MAX];
        size_t said = 0;
        struct pv_view rest = pv_view(heard.ptr + t->used, heard.len - t->used);
        t->status = pv_proxy_hear(&t->p, rest, &used, &t->target, say, &said);
        must(used <= rest.len && said <= sizeof(say) && t->said + said <= sizeof(t->all));
        memcpy(t->all + t->said, say, said);
        t->said += said;
        t->used += used;
    } while (t->status == PV_ERR_AGAIN && used > 0);
}

/* A request that is passed on names a path, in a head that ends. */
static void try_pass(const struct talk *t, struct pv_view heard)
{
    static uint8_t buf[PV_PROXY_PASS_MAX + 1];
    size_t len = heard.len - t->used;
    if (!t->p.passes || len > PV_PROXY_PASS_MAX)
        return;
    memcpy(buf, heard.ptr + t->used, len);
    if (pv_proxy_pass(buf, len, &len) < 0)
        return;
    must(len <= PV_PROXY_PASS_MAX && memmem(buf, len, " /", 2) != NULL &&
         memmem(buf, len, "Connection: close\r\n\r\n", 21) != NULL);
}

static void try_datagram(struct pv_view in)
{
    struct pv_proxy_target target;
    struct pv_view data;
    uint8_t head[PV_PROXY_UDP_MAX];
    struct pv_addr addr;
    if (pv_proxy_udp_parse(in, &target, &data) < 0)
        return;
    must_be_named(&target);
    must(target.port != 0 && data.len < in.len && data.ptr + data.len == in.ptr + in.len);
    if (pv_addr_parse_ip(target.host, &addr) < 0)
        return;
    /* The head of an answer from there is read as that of a question. */
    addr.port = target.port;
    struct pv_proxy_target back;
    size_t n = pv_proxy_udp_head(&addr, head);
    must(n <= sizeof(head) && pv_proxy_udp_parse(pv_view(head, n), &back, &data) == PV_OK);
    must(data.len == 0 && back.port == target.port);
}

FUZZ(proxy)
{
    struct pv_view in = pv_view(data, len < PV_PROXY_HEAR_MAX ? len : PV_PROXY_HEAR_MAX);
    size_t piece = fuzz_next(&in);
    struct talk whole = {.used = 0}, cut = {.used = 0};
    if (piece == 0) {
        try_datagram(in);
        return;
    }
    hear(&whole, in);
    for (size_t n = 0; n < in.len && (n == 0 || cut.status == PV_ERR_AGAIN);) {
        n += in.len - n < piece ? in.len - n : piece;
        hear(&cut, pv_view(in.ptr, n));
    }
    if (in.len == 0)
        return;
    must(whole.status == cut.status && whole.said == cut.said);
    must(memcmp(whole.all, cut.all, whole.said) == 0);
    if (whole.status != PV_OK)
        return;
    must(whole.used == cut.used && strcmp(whole.target.host, cut.target.host) == 0);
    must(whole.target.port == cut.target.port && whole.target.want == cut.target.want);
    must_be_named(&whole.target);
    must(whole.target.want == PV_PROXY_UDP || whole.target.port != 0);
    try_pass(&whole, in);
}

/* --- netplan --------------------------------------------------------------------------------- */

/* A plan as the helper gets it from a process that may have been taken over, whatever bytes it is.
 */
FUZZ(netplan)
{
    struct pv_netplan p = {.n_used = 0};
    memcpy(&p, data, len < sizeof(p) ? len : sizeof(p));
    if (pv_netplan_check(&p) != PV_OK)
        return;
    must(memchr(p.ifname, '\0', sizeof(p.ifname)) != NULL);
    must(p.n_used <= PV_NETPLAN_USED && p.n_offered <= PV_NETPLAN_OFFERED);
    must(pv_netplan_is_same(&p, &p));
}

/* --- the one that is built ------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    FUZZ_TARGET(data, len);
    return 0;
}
