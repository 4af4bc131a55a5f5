/* SPDX-License-Identifier: MIT */
/*
 * inband.c - frames and reassembles control messages inside the session (DESIGN 7). The sender is
 * an authenticated member, but a faulty or hostile member must not be able to exhaust this node:
 * unfinished messages, their size and their age are bounded for each peer, and bodies are copied
 * only when they come in several parts.
 */
#include "proto/ip/inband.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* The facts about a type that the parser needs. */
struct type_rule {
    uint8_t type;
    bool in_parts;
    size_t part_max; /* bytes of body in one part */
};

#define TYPE_RULE(name, number, part_max, in_parts) {(number), (in_parts), (part_max)},
static const struct type_rule rules[] = {PV_INBAND_TYPES(TYPE_RULE)};

/* NULL: a type that this version does not know. */
static const struct type_rule *rule_of(uint8_t type)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(rules); i++)
        if (rules[i].type == type)
            return &rules[i];
    return NULL;
}

int pv_inband_parts(size_t len, uint8_t *ret_parts)
{
    if (len > PV_INBAND_WHOLE_MAX)
        return PV_ERR_LIMIT;
    *ret_parts = len == 0 ? 1 : (uint8_t)((len + PV_INBAND_PART_MAX - 1) / PV_INBAND_PART_MAX);
    return PV_OK;
}

int pv_inband_build(enum pv_inband_type type, uint32_t id, uint8_t part, struct pv_view body,
                    uint8_t buf[static PV_INBAND_PACKET_MAX], size_t *ret_len)
{
    uint8_t parts;
    int r = pv_inband_parts(body.len, &parts);
    if (r < 0)
        return r;
    if (part >= parts)
        return PV_ERR_LIMIT;
    size_t at = (size_t)part * PV_INBAND_PART_MAX;
    size_t len = body.len - at < PV_INBAND_PART_MAX ? body.len - at : PV_INBAND_PART_MAX;

    struct pv_writer w = pv_writer(buf, PV_INBAND_PACKET_MAX);
    pv_put_u8(&w, PV_INBAND_FIRST);
    pv_put_u8(&w, (uint8_t)type);
    pv_put_u16(&w, (uint16_t)len);
    pv_put_u32(&w, id);
    pv_put_u8(&w, part);
    pv_put_u8(&w, parts);
    if (len > 0)
        pv_put_bytes(&w, body.ptr + at, len);
    *ret_len = w.len;
    return w.status;
}

/* The session pads packets with zeros to a multiple of 16 (whitepaper s5.4.6); anything else behind
 * the body is a message that two versions would read differently. */
static bool is_padding(struct pv_view v)
{
    uint8_t any = 0;
    for (size_t i = 0; i < v.len; i++)
        any |= v.ptr[i];
    return v.len < PV_INBAND_PADDING && any == 0;
}

/* An unknown type is told apart from a malformed message: a later version may have sent it, and
 * both ends should count that differently. */
int pv_inband_parse(struct pv_view packet, struct pv_inband_part *ret_part)
{
    struct pv_inband_part p;
    struct pv_reader r = pv_reader(packet);
    uint8_t first = pv_get_u8(&r);
    p.type = pv_get_u8(&r);
    size_t len = pv_get_u16(&r);
    p.id = pv_get_u32(&r);
    p.part = pv_get_u8(&r);
    p.parts = pv_get_u8(&r);
    p.body = pv_get_bytes(&r, len);

    if (packet.len > 0 && first != PV_INBAND_FIRST)
        return PV_ERR_MALFORMED;
    if (r.status < 0)
        return r.status;
    const struct type_rule *rule = rule_of(p.type);
    if (len > (rule == NULL ? (size_t)PV_INBAND_PART_MAX : rule->part_max) ||
        p.parts > PV_INBAND_MAX_PARTS)
        return PV_ERR_LIMIT;
    if (rule != NULL && !rule->in_parts && p.parts != 1)
        return PV_ERR_MALFORMED;
    if (p.part >= p.parts || (len == 0 && p.parts > 1) || !is_padding(r.rest))
        return PV_ERR_MALFORMED;
    if (rule == NULL)
        return PV_ERR_UNSUPPORTED;
    *ret_part = p;
    return PV_OK;
}

static void forget_unfinished(struct pv_inband_unfinished *u)
{
    for (size_t i = 0; i < PV_INBAND_MAX_PARTS; i++)
        free(u->parts[i]);
    memset(u, 0, sizeof(*u));
}

void pv_inband_expire(struct pv_inband_receiver *rx, pv_ns now)
{
    for (size_t i = 0; rx->unfinished != NULL && i < PV_INBAND_UNFINISHED; i++) {
        struct pv_inband_unfinished *u = &rx->unfinished[i];
        if (u->deadline != 0 && u->deadline <= now)
            forget_unfinished(u);
    }
    free(rx->whole);
    rx->whole = NULL;
}

void pv_inband_receiver_done(struct pv_inband_receiver *rx)
{
    pv_inband_expire(rx, PV_NEVER);
    free(rx->unfinished);
    rx->unfinished = NULL;
}

/* The entry that this part belongs to, made anew when the part is the first of its message. A free
 * entry has the deadline 0 and so counts as the oldest; without a free one the oldest message is
 * given up. */
static struct pv_inband_unfinished *entry_for(struct pv_inband_receiver *rx,
                                              const struct pv_inband_part *p, pv_ns now)
{
    struct pv_inband_unfinished *oldest = &rx->unfinished[0];
    for (size_t i = 0; i < PV_INBAND_UNFINISHED; i++) {
        struct pv_inband_unfinished *u = &rx->unfinished[i];
        if (u->deadline != 0 && u->id == p->id)
            return u;
        if (u->deadline < oldest->deadline)
            oldest = u;
    }
    forget_unfinished(oldest);
    oldest->deadline = now + PV_INBAND_TIME;
    oldest->id = p->id;
    oldest->type = p->type;
    oldest->n_parts = p->parts;
    return oldest;
}

/* The total is checked before anything is copied, and a message that exceeds it is dropped whole:
 * the rest of its parts would only fill the entry again. */
static int store_part(struct pv_inband_unfinished *u, const struct pv_inband_part *p)
{
    if (u->type != p->type || u->n_parts != p->parts)
        return PV_ERR_MALFORMED;
    if (u->parts[p->part] != NULL)
        return PV_ERR_AGAIN;
    if (u->total + p->body.len > PV_INBAND_WHOLE_MAX) {
        forget_unfinished(u);
        return PV_ERR_LIMIT;
    }
    uint8_t *copy = malloc(p->body.len);
    if (copy == NULL)
        return PV_ERR_NOMEM;
    memcpy(copy, p->body.ptr, p->body.len);
    u->parts[p->part] = copy;
    u->lens[p->part] = (uint16_t)p->body.len;
    u->total += p->body.len;
    u->n_have++;
    return u->n_have == u->n_parts ? PV_OK : PV_ERR_AGAIN;
}

static int join_parts(struct pv_inband_receiver *rx, struct pv_inband_unfinished *u,
                      struct pv_inband_message *ret_message)
{
    size_t len = 0;
    rx->whole = malloc(u->total);
    if (rx->whole == NULL) {
        forget_unfinished(u);
        return PV_ERR_NOMEM;
    }
    for (size_t i = 0; i < u->n_parts; i++) {
        memcpy(rx->whole + len, u->parts[i], u->lens[i]);
        len += u->lens[i];
    }
    ret_message->type = (enum pv_inband_type)u->type;
    ret_message->body = pv_view(rx->whole, len);
    forget_unfinished(u);
    return PV_OK;
}

int pv_inband_receive(struct pv_inband_receiver *rx, struct pv_view packet, pv_ns now,
                      struct pv_inband_message *ret_message)
{
    struct pv_inband_part p;
    pv_inband_expire(rx, now);
    int r = pv_inband_parse(packet, &p);
    if (r < 0)
        return r;
    if (p.parts == 1) {
        ret_message->type = (enum pv_inband_type)p.type;
        ret_message->body = p.body;
        return PV_OK;
    }
    if (rx->unfinished == NULL)
        rx->unfinished = calloc(PV_INBAND_UNFINISHED, sizeof(*rx->unfinished));
    if (rx->unfinished == NULL)
        return PV_ERR_NOMEM;
    struct pv_inband_unfinished *u = entry_for(rx, &p, now);
    r = store_part(u, &p);
    return r == PV_OK ? join_parts(rx, u, ret_message) : r;
}

int pv_inband_echo_build(const struct pv_inband_echo *echo, uint8_t *buf, size_t cap,
                         size_t *ret_len)
{
    if (echo->filler.len > PV_INBAND_ECHO_MAX)
        return PV_ERR_LIMIT;
    if (cap < PV_INBAND_ECHO_HEADER + echo->filler.len)
        return PV_ERR_NO_SPACE;
    struct pv_writer w = pv_writer(buf, cap);
    pv_put_u8(&w, echo->reply ? 1 : 0);
    pv_put_u64(&w, echo->token);
    pv_put_u8(&w, echo->path);
    pv_put_bytes(&w, echo->filler.ptr, echo->filler.len);
    *ret_len = w.len;
    return w.status;
}

int pv_inband_echo_parse(struct pv_view body, struct pv_inband_echo *ret_echo)
{
    struct pv_reader r = pv_reader(body);
    uint8_t reply = pv_get_u8(&r);
    uint64_t token = pv_get_u64(&r);
    uint8_t path = pv_get_u8(&r);

    if (r.status < 0)
        return r.status;
    if (reply > 1)
        return PV_ERR_MALFORMED;
    *ret_echo = (struct pv_inband_echo){
        .reply = reply == 1, .path = path, .token = token, .filler = r.rest};
    return PV_OK;
}

int pv_inband_probe_build(uint32_t token, size_t len, uint8_t buf[static PV_INBAND_PROBE_MAX])
{
    if (len < PV_INBAND_PROBE_MIN || len > PV_INBAND_PROBE_MAX)
        return PV_ERR_LIMIT;
    memset(buf, 0, len);
    struct pv_writer w = pv_writer(buf, len);
    pv_put_u8(&w, PV_INBAND_FIRST);
    pv_put_u8(&w, PV_INBAND_PROBE);
    pv_put_u16(&w, (uint16_t)(len - PV_INBAND_HEADER));
    pv_put_u32(&w, token);
    pv_put_u8(&w, 0);
    pv_put_u8(&w, 1);
    pv_put_u32(&w, token);
    return w.status;
}

int pv_inband_probe_parse(struct pv_view body, uint32_t *ret_token)
{
    struct pv_reader r = pv_reader(body);
    uint32_t token = pv_get_u32(&r);
    if (r.status == PV_OK)
        *ret_token = token;
    return r.status;
}
