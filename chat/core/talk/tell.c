/* SPDX-License-Identifier: MIT */
/* tell.c - finds the names of who said what to whom, and tells control clients. */
#include "chat/core/talk/tell.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "chat/core/talk/chatlink.h"
#include "chat/core/talk/notifier.h"
#include "chat/proto/chatjson.h"
#include "proto/local/ctlapi_pack.h"

static const uint8_t *key_of(const struct pv_chat_record *rec)
{
    return rec->in_room ? rec->author : rec->peer;
}

/* The line was stored with the name that its other side had then. A member may have another one
 * now, by which it is found, and what it wrote stands in one conversation. m: whoever has the
 * line's key now; not a member: its name is that of the line. */
static const char *name_of(const struct pv_overlay_member *m, const struct pv_chat_record *rec)
{
    return pv_overlay_is_in(m) ? m->name : rec->peer_name;
}

bool pv_tell_is_anothers(const struct pv_chat *n, const char *name, const uint8_t *pk)
{
    struct pv_overlay_member m;
    if (!pv_chat_has_network(n))
        return true;
    if (!pv_overlay_by_word(n->overlay, PV_OVERLAY_BY_NAME, name, &m) &&
        !pv_overlay_by_word(n->overlay, PV_OVERLAY_BY_LAST, name, &m))
        return !pv_chat_known(n, pk, &m);
    return memcmp(m.key, pk, sizeof(m.key)) != 0;
}

/* The key of whoever stands behind the line's name, when that means another machine by now. NULL:
 * it does not. */
static const uint8_t *former_key(const struct pv_chat *n, const char *name,
                                 const struct pv_chat_record *rec)
{
    return pv_tell_is_anothers(n, name, key_of(rec)) ? key_of(rec) : NULL;
}

/* A user who reads or writes something new has to hear that the name it goes by was another
 * machine's before. Old lines say so themselves (former_key), and of a list of one conversation its
 * head. */
static void note_change(const struct pv_chat *n, const struct pv_chat_record *rec,
                        struct pv_chatjson_message *msg)
{
    struct pv_overlay_member m;
    bool is_new = rec->outgoing ? rec->state <= PV_CHAT_SENT : rec->state == PV_CHAT_UNREAD;
    if (!is_new || (rec->outgoing && rec->in_room) || !pv_tell_story(n, key_of(rec), &m) ||
        m.renamed_since == 0)
        return;
    msg->another_since_s = m.renamed_since;
    memcpy(msg->former, m.former, sizeof(msg->former));
}

bool pv_tell_story(const struct pv_chat *n, const uint8_t *pk, struct pv_overlay_member *ret_member)
{
    const struct pv_overlay_query query = {.how = PV_OVERLAY_BY_KEY, .key = pk, .story = true};
    return n->overlay->find(n->overlay->node, &query, ret_member) && pv_overlay_is_in(ret_member);
}

bool pv_tell_is_gone(const struct pv_chat *n, const uint8_t *pk)
{
    struct pv_overlay_member m;
    return pv_chat_has_network(n) &&
           (!pv_chat_known(n, pk, &m) || m.kind == PV_OVERLAY_NONE || pv_overlay_is_former(&m));
}

struct pv_chatjson_message pv_tell_shown(const struct pv_chat *n, const struct pv_chat_record *rec,
                                         struct pv_tell_names *names)
{
    struct pv_overlay_member m;
    (void)pv_chat_known(n, key_of(rec), &m);
    snprintf(names->who, sizeof(names->who), "%s", name_of(&m, rec));
    snprintf(names->own, sizeof(names->own), "%s", pv_chat_own(n)->name);
    const char *other = rec->in_room ? pv_rooms_name(n->rooms, rec->peer, names->room) : names->who;
    const char *from = rec->outgoing ? names->own : names->who;
    bool waits = rec->outgoing && !rec->in_room && rec->state <= PV_CHAT_SENT;
    bool gone = waits && pv_tell_is_gone(n, rec->peer);
    enum pv_chat_later held = waits ? pv_chatlink_held(n->link, rec->peer) : PV_CHAT_LATER_NO;
    struct pv_chatjson_message msg = {
        .id = rec->id,
        .from = from,
        .own = rec->outgoing,
        .unproven = !rec->outgoing && !rec->in_room && rec->seq == 0,
        .to = rec->outgoing || rec->in_room ? other : names->own,
        .room = rec->in_room ? other : NULL,
        .from_key = rec->outgoing ? NULL : key_of(rec),
        .from_former = rec->outgoing ? NULL : former_key(n, names->who, rec),
        .to_former = rec->outgoing && !rec->in_room ? former_key(n, names->who, rec) : NULL,
        .text = rec->text,
        .time_ms = rec->time_ms,
        /* Handed over and not taken: it waits here. */
        .state = gone || held != PV_CHAT_LATER_NO ? PV_CHAT_QUEUED : rec->state,
        .held = held,
        .gone = gone,
    };
    note_change(n, rec, &msg);
    return msg;
}

static bool is_same_conversation(const struct pv_chat_record *a, const struct pv_chat_record *b)
{
    return a->in_room == b->in_room && memcmp(a->peer, b->peer, sizeof(a->peer)) == 0;
}

/* Those of the conversation of the first. Clients count what a name's former machine wrote by its
 * key. */
static void tell_conversation(struct pv_chat *n, const struct pv_chat_record *msgs, size_t count,
                              pv_ns now)
{
    struct pv_tell_names names;
    const struct pv_chatjson_message first = pv_tell_shown(n, &msgs[0], &names);
    const char *other = first.room != NULL ? first.room
                        : first.from_former != NULL
                            ? PV_KEY_SHORT_STR(PV_KEY_STR(first.from_former))
                            : first.from;
    json_t *body = pv_ctlapi_pack("{s:s, s:[]}", "peer", other, "ids");
    size_t read = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_same_conversation(&msgs[0], &msgs[i]))
            continue;
        pv_ctlapi_put(&body, "ids", json_string(PV_CHAT_ID_STR(msgs[i].id)));
        read++;
    }
    const struct pv_event event = {.chat = "read",
                                   .kind = "read",
                                   .what = "here",
                                   .who = other,
                                   .text = PV_STR("%zu message%s from %s %s read", read,
                                                  read == 1 ? "" : "s", other,
                                                  read == 1 ? "is" : "are")};
    pv_chat_tell(n, &event, body, now);
}

void pv_tell_read(struct pv_chat *n, const struct pv_chat_record *msgs, size_t count, pv_ns now)
{
    for (size_t i = 0; i < count; i++) {
        size_t before = 0;
        while (before < i && !is_same_conversation(&msgs[before], &msgs[i]))
            before++;
        if (before == i)
            tell_conversation(n, &msgs[i], count - i, now);
    }
}

/* By which requests mean the conversation, whatever it is called by then. */
static json_t *address_of(const struct pv_chat_record *rec)
{
    return rec->in_room ? json_string(pv_rooms_address(rec->peer, (char[PV_ROOMS_NAME_BUF]){0}))
                        : pv_ctlapi_key(rec->peer);
}

void pv_tell_message(struct pv_chat *n, const struct pv_chat_record *rec, pv_ns now)
{
    struct pv_tell_names names;
    const struct pv_chatjson_message msg = pv_tell_shown(n, rec, &names);
    /* Asked before they are told: a listener that goes because it cannot be written to saw it. */
    bool unread = !rec->outgoing && rec->state == PV_CHAT_UNREAD; /* not of a muted peer */
    bool seen = pv_events_is_seen(n->events) && unread;
    const char *other = rec->outgoing || msg.room != NULL ? msg.to : msg.from;
    const struct pv_event event = {.chat = "message",
                                   .kind = "message",
                                   .what = rec->outgoing ? "sent" : "received",
                                   .who = other,
                                   .text =
                                       PV_STR("a message %s %s%s%s", rec->outgoing ? "to" : "from",
                                              rec->outgoing ? msg.to : msg.from,
                                              msg.room != NULL && !rec->outgoing ? " in " : "",
                                              msg.room != NULL && !rec->outgoing ? msg.room : "")};
    pv_chat_tell(n, &event,
                 pv_ctlapi_pack("{s:o, s:o}", "message", pv_chatjson_write_message(&msg), "address",
                                address_of(rec)),
                 now);
    if (unread)
        pv_notifier_message(pv_chat_part(n, &pv_chatpart_notifier), &msg, now);
    if (seen) {
        pv_chatlink_seen(n->link, rec->peer, rec->id, now);
        pv_tell_read(n, rec, 1, now);
    }
}

void pv_tell_state(struct pv_chat *n, const struct pv_chat_record *rec, pv_ns now)
{
    struct pv_overlay_member m;
    const bool is_peer = !rec->in_room && pv_chat_peer(n, rec->peer, &m);
    /* The name that was stored with the message may be an older one. */
    const char *other = rec->in_room ? PV_ROOM_STR(n->rooms, rec->peer)
                        : is_peer    ? m.name
                                     : rec->peer_name;
    const struct pv_event event = {.chat = "state",
                                   .kind = "state",
                                   .what = pv_chat_state_name(rec->state),
                                   .who = other,
                                   .text =
                                       PV_STR("a message %s %s: %s", rec->outgoing ? "to" : "from",
                                              other, pv_chat_state_name(rec->state))};
    /* The key is msg_id and not id, which is the envelope's and would win. */
    pv_chat_tell(n, &event,
                 pv_ctlapi_pack("{s:s, s:s, s:s}", "msg_id", PV_CHAT_ID_STR(rec->id), "peer", other,
                                "state", pv_chat_state_name(rec->state)),
                 now);
}

void pv_tell_states(struct pv_chat *n, const struct pv_chatop_result *result, pv_ns now)
{
    for (size_t i = 0; i < result->n_msgs; i++)
        pv_tell_state(n, &result->msgs[i], now);
}

void pv_tell_sent(struct pv_chat *n, uint64_t handle, const struct pv_chat_record *rec, bool online,
                  json_t *denied, pv_ns now)
{
    struct pv_tell_names names;
    const struct pv_chatjson_message msg = pv_tell_shown(n, rec, &names);
    pv_chat_answer(n, handle,
                   pv_ctlapi_pack("{s:o, s:b, s:b, s:o*}", "message",
                                  pv_chatjson_write_message(&msg), "online", online, "down",
                                  !pv_chat_own(n)->up, "denied", denied));
    /* The sender's other screens show it too. This one knows it by its answer. */
    pv_tell_message(n, rec, now);
}

void pv_tell_taken(struct pv_chat *n, uint64_t handle)
{
    pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED,
                   "send: that id was taken with another text: an id is for the same one again");
}

bool pv_tell_off(struct pv_chat *n, const char *what, uint64_t handle)
{
    const bool off = n->off[0] != '\0';
    if (off)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "%s: %s", what, n->off);
    return off;
}
