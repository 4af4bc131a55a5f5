/* SPDX-License-Identifier: MIT */
/* chat.c - what all parts of chat ask of the node and say to clients. */
#include "chat/core/base/chat.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define STORE_AGAIN PV_S(10) /* ours: after a write that failed, all is written again */

void *pv_chat_part(const struct pv_chat *c, const struct pv_chatpart *part)
{
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].part == part)
            return c->parts[i].self;
    return NULL;
}

struct pv_view pv_chatpart_value(const struct pv_chatpart_config *cfg, const char *name)
{
    for (size_t i = 0; i < cfg->n_values; i++)
        if (strcmp(cfg->values[i].name, name) == 0)
            return pv_view(cfg->values[i].bytes, cfg->values[i].len);
    return pv_view(NULL, 0);
}

/* --- the node ------------------------------------------------------------------------------ */

bool pv_chat_member(const struct pv_chat *c, const uint8_t *key,
                    struct pv_overlay_member *ret_member)
{
    return pv_chat_known(c, key, ret_member) && pv_overlay_is_in(ret_member);
}

bool pv_chat_peer(const struct pv_chat *c, const uint8_t *key, struct pv_overlay_member *ret_member)
{
    return pv_chat_known(c, key, ret_member) && ret_member->is_peer;
}

bool pv_chat_next_node(const struct pv_chat *c, const struct pv_overlay_member *after,
                       struct pv_overlay_member *ret_member)
{
    const struct pv_overlay *o = c->overlay;
    uint8_t key[PV_SIGN_PK_LEN];
    bool is = o->next(o->node, after == NULL ? NULL : after->key, ret_member);
    while (is && (!ret_member->is_peer || ret_member->kind != PV_OVERLAY_MEMBER)) {
        memcpy(key, ret_member->key, sizeof(key));
        is = o->next(o->node, key, ret_member);
    }
    return is;
}

bool pv_chat_is_there(const struct pv_chat *c, const uint8_t *key)
{
    struct pv_overlay_member m;
    return pv_chat_peer(c, key, &m) && m.is_there;
}

static int sign(const void *keeper, enum pv_appsigner_domain domain, struct pv_view head,
                struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    const struct pv_chat *c = keeper;
    return c->overlay->sign(c->overlay->node, domain, head, body, ret_sig);
}

struct pv_appsigner pv_chat_signer(const struct pv_chat *c)
{
    return (struct pv_appsigner){.sign = sign, .keeper = c};
}

/* --- names --------------------------------------------------------------------------------- */

const char *pv_chat_who(const struct pv_chat *c, const uint8_t *key, char buf[static PV_CHAT_WHO])
{
    struct pv_overlay_member m;
    if (!pv_chat_known(c, key, &m) || m.name[0] == '\0')
        snprintf(buf, PV_CHAT_WHO, "?");
    else if (pv_overlay_is_former(&m))
        snprintf(buf, PV_CHAT_WHO, "%s (former, %s)", m.name, PV_KEY_SHORT_STR(PV_KEY_STR(key)));
    else
        snprintf(buf, PV_CHAT_WHO, "%s", m.name);
    return buf;
}

/* --- clients ------------------------------------------------------------------------------- */

bool pv_chat_need_network(const struct pv_chat *c, const char *what, uint64_t handle, pv_ns now)
{
    if (pv_chat_own(c)->standing == PV_OVERLAY_IN)
        return true;
    c->overlay->explain(c->overlay->node, what, "", PV_OVERLAY_NEEDS_NETWORK, handle, now);
    return false;
}

static bool is_of_kind(const struct pv_overlay_member *m, enum pv_overlay_needs needs)
{
    return m->is_peer &&
           (needs == PV_OVERLAY_NEEDS_NODE ? m->kind == PV_OVERLAY_MEMBER : pv_overlay_is_in(m));
}

bool pv_chat_need(const struct pv_chat *c, const char *word, enum pv_overlay_needs needs,
                  const struct pv_chat_asker *asker, struct pv_overlay_member *ret_member)
{
    if (pv_chat_own(c)->standing == PV_OVERLAY_IN &&
        pv_overlay_by_word(c->overlay, PV_OVERLAY_BY_WORD, word, ret_member) &&
        is_of_kind(ret_member, needs))
        return true;
    c->overlay->explain(c->overlay->node, asker->what, word, needs, asker->handle, asker->now);
    return false;
}

bool pv_chat_find(const struct pv_chat *c, const char *word, struct pv_overlay_member *ret_member)
{
    return pv_overlay_by_word(c->overlay, PV_OVERLAY_BY_WORD, word, ret_member) &&
           (ret_member->is_peer || ret_member->kind == PV_OVERLAY_STATIC);
}

bool pv_chat_refuse(const struct pv_chat *c, const struct pv_overlay_member *m,
                    enum pv_overlay_service service, const char *what, uint64_t handle)
{
    char rule[PV_OVERLAY_RULE_BUF];
    const bool files = service == PV_OVERLAY_FILES;
    const enum pv_overlay_may may = c->overlay->may(c->overlay->node, m->key, service, true, rule);
    /* While the node is away nobody names a rule: what is typed is kept. The other machine judges
     * it when it comes. */
    if (may == PV_OVERLAY_ALLOWED || (may == PV_OVERLAY_NOT_KNOWN && rule[0] == '\0'))
        return false;
    pv_ctlsrv_failf(c->ctl, handle, PV_CTLAPI_REFUSED,
                    "%s: %s from this node to %s %s denied by %s: `p2pvpnctl rules` lists the "
                    "rules, admins change them",
                    what, files ? "files" : "chat", m->name, files ? "are" : "is", rule);
    return true;
}

static uint64_t wall_us(const struct pv_chat *c, pv_ns now)
{
    return c->wall_us + (now > c->wall_at ? (now - c->wall_at) / PV_US(1) : 0);
}

void pv_chat_held_done(struct pv_chat_held *held)
{
    free(held->who);
    free(held->text);
}

static void hold(struct pv_chat *c, struct pv_chat_held *held)
{
    if (pv_fifo_put(&c->held, held, sizeof(*held)) == PV_OK)
        return;
    if (held->handle != 0)
        pv_ctlsrv_fail(c->ctl, held->handle, PV_CTLAPI_FAILED, "chat: out of memory");
    json_decref(held->body);
    pv_chat_held_done(held);
}

void pv_chat_answer(struct pv_chat *c, uint64_t handle, json_t *body)
{
    hold(c, &(struct pv_chat_held){.handle = handle, .body = body});
}

static char *copy_of(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

void pv_chat_tell(struct pv_chat *c, const struct pv_event *event, json_t *body, pv_ns now)
{
    struct pv_chat_held held = {.wall_us = wall_us(c, now), .event = *event, .body = body};
    held.event.who = held.who = copy_of(event->who);
    held.event.text = held.text = copy_of(event->text);
    hold(c, &held);
}

/* --- time and log -------------------------------------------------------------------------- */

uint64_t pv_chat_wall_ms(const struct pv_chat *c, pv_ns now)
{
    return wall_us(c, now) / 1000;
}

bool pv_chat_may_log(struct pv_chat *c, enum pv_chat_source source, const char *text, pv_ns now,
                     char ret_more[static PV_CHAT_MORE])
{
    uint64_t more;
    if (!pv_repeats_say(&c->repeats[source], text, now, &more))
        return false;
    ret_more[0] = '\0';
    if (more > 0)
        snprintf(ret_more, PV_CHAT_MORE, " more=%" PRIu64, more);
    return true;
}

/* --- what is kept -------------------------------------------------------------------------- */

void pv_chat_stored(struct pv_chat *c, int status, pv_ns now)
{
    if (status != PV_OK)
        c->store_at = pv_min_ns(c->store_at, now + STORE_AGAIN);
}

int pv_chat_put_value(struct pv_chat *c, const char *name, struct pv_view value, pv_ns now)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_PUT, .value_name = name, .value = value};
    struct pv_chatop_result unused;
    int r = pv_chat_do(c, &op, &unused);
    pv_chatop_result_done(&unused);
    pv_chat_stored(c, r, now);
    return r;
}

/* Parts that rest on what is lost hear of it in this turn, before anything else leaves. */
bool pv_chat_settle(struct pv_chat *c)
{
    if (c->unsettled && c->store.settle(&c->store) != PV_OK) {
        pv_chat_raise(c, PV_CHAT_FACT_LOST);
        return false;
    }
    c->unsettled = false;
    return true;
}
