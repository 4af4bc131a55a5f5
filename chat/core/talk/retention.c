/* SPDX-License-Identifier: MIT */
/* retention.c - asks the store for one page of deletions after the other until nothing is left. */
#include "chat/core/talk/retention.h"

#include <stdlib.h>
#include <string.h>

#include "chat/core/rooms/rooms.h"
#include "chat/core/talk/rooms_part.h"
#include "chat/core/talk/tell.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

enum {
    PURGE_S = 3600, /* ours: between two looks at what is too old or too much */
    RETRY_S = 60,   /* ours: after a look that failed */
};

/* `history clear` under way: one page of deletions a turn, others get theirs in between. */
struct clearing {
    struct clearing *next;
    uint64_t handle;
    uint64_t deleted;
    bool all;
    struct pv_conversation of; /* unless all */
};

struct retention {
    struct pv_chat *chat;
    uint64_t keep_s;
    pv_ns purge_at;
    struct clearing *clearings;
    uint8_t (*muted)[PV_SIGN_PK_LEN]; /* conversations; owned */
    size_t n_muted;
    bool knows_muted;
};

static int start(void *part, const struct pv_chatpart_config *cfg, pv_ns now)
{
    struct retention *r = part;
    r->keep_s = r->chat->given.keep_s;
    /* At the start, too: messages may have become too old while the daemon was not running. */
    r->purge_at = now;
    return PV_OK;
}

static void free_retention(void *part)
{
    struct retention *r = part;
    while (r->clearings != NULL) {
        struct clearing *c = r->clearings;
        r->clearings = c->next;
        free(c);
    }
    free(r->muted);
}

/* --- the purge ----------------------------------------------------------------------------- */

/* One page; the next one in another turn of the loop. */
static void purge(struct retention *r, pv_ns now)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_PURGE, .keep_s = r->keep_s};
    struct pv_chatop_result gone;
    int status = pv_chat_do(r->chat, &op, &gone);
    const bool again = status == PV_OK && gone.more && gone.n_deleted > 0;
    /* After a failure the store may work before the hour is over. */
    r->purge_at = again ? now : now + PV_S(status == PV_OK ? PURGE_S : RETRY_S);
    if (status == PV_OK && !again)
        pv_rooms_sweep(r->chat->rooms, r->keep_s, now);
    pv_chatop_result_done(&gone);
}

/* --- history clear ------------------------------------------------------------------------- */

/* Of a conversation that the store still seeks nobody knows that. */
static bool is_over(const struct pv_chat *n, const struct clearing *c)
{
    return !c->all && !c->of.sought &&
           (c->of.name[0] == '#' ? pv_rooms_part_is_over(n, c->of.key)
                                 : !pv_chat_has_network(n) || pv_tell_is_gone(n, c->of.key));
}

/* No name of a peer or room is longer. */
static bool seek(const char *name, struct pv_conversation *ret)
{
    ret->sought = name[0] != '\0' && strlen(name) < sizeof(ret->name);
    if (ret->sought)
        memcpy(ret->name, name, strlen(name) + 1);
    return ret->sought;
}

void pv_retention_has_none(struct pv_chat *n, const char *name, const char *what, uint64_t handle,
                           pv_ns now)
{
    const bool is_room = name[0] == '#';
    struct pv_overlay_member m;
    if (is_room
            ? pv_rooms_part_need(n, name, true, what, handle, now) != NULL
            : pv_chat_need(n, name, PV_OVERLAY_NEEDS_MEMBER, PV_CHAT_ASKER(what, handle, now), &m))
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "%s: %s has come meanwhile: try again",
                        what, name);
}

bool pv_retention_conversation(struct pv_chat *n, const char *name, const char *what,
                               uint64_t handle, pv_ns now, struct pv_conversation *ret)
{
    struct pv_overlay_member m, renamed;
    memset(ret, 0, sizeof(*ret));
    if (name[0] == '#') {
        const uint8_t *room = n->rooms == NULL ? NULL : pv_rooms_find(n->rooms, name, true);
        /* The name of a room that is not known is its id's beginning. */
        if (room == NULL && strncmp(name, "#~", 2) == 0 && seek(name, ret))
            return true;
        if (room == NULL && (room = pv_rooms_part_need(n, name, true, what, handle, now)) == NULL)
            return false;
        pv_room_key(room, ret->key);
        snprintf(ret->name, sizeof(ret->name), "%s", PV_ROOM_STR(n->rooms, ret->key));
        return true;
    }
    /* A peer's words stay until they are deleted, also when it has gone, or this machine has. */
    const bool is_peer = pv_chat_find(n, name, &m);
    const bool is_former =
        !is_peer && pv_overlay_by_word(n->overlay, PV_OVERLAY_BY_FORMER, name, &m);
    /* The lines of a member that was renamed are found by its present name alone: what waits for it
     * is none of a machine that nobody knows. */
    if (!is_peer && !is_former &&
        !pv_overlay_by_word(n->overlay, PV_OVERLAY_BY_RENAMED, name, &renamed) && seek(name, ret))
        return true;
    if (!is_former && (!is_peer || !pv_overlay_is_in(&m)) &&
        !pv_chat_need(n, name, PV_OVERLAY_NEEDS_MEMBER, PV_CHAT_ASKER(what, handle, now), &m))
        return false;
    memcpy(ret->key, m.key, sizeof(ret->key));
    snprintf(ret->name, sizeof(ret->name), "%s", m.name);
    return true;
}

/* Deletes one page. True: there is more to delete. */
static bool delete_page(struct retention *r, struct clearing *c, struct pv_chatop_result *ret,
                        int *ret_status)
{
    _Static_assert((int)PV_OVERLAY_NETWORK_LEN == (int)PV_ROOM_NETWORK_LEN, "one id");
    const struct pv_chatop op = {.kind = PV_CHATOP_CLEAR,
                                 .peer = c->of.key,
                                 .word = c->of.sought ? c->of.name : NULL,
                                 .all_peers = c->all,
                                 .gone = is_over(r->chat, c),
                                 .network = pv_chat_own(r->chat)->network};
    const bool sought = c->of.sought;
    *ret_status = pv_chat_do(r->chat, &op, ret);
    if (*ret_status != PV_OK || ret->has_none)
        return false;
    c->deleted += ret->n_deleted;
    if (!sought)
        return ret->more;
    /* The store has found the conversation: what waits in it stays, or goes now. */
    memcpy(c->of.key, ret->peer, sizeof(c->of.key));
    c->of.sought = false;
    return ret->more || is_over(r->chat, c);
}

/* The next page of the request that came last: asks for another turn, or answers. A client that has
 * gone meanwhile wanted all of it deleted all the same. */
static void clear_page(struct retention *r, pv_ns now)
{
    struct pv_chat *n = r->chat;
    struct clearing *c = r->clearings;
    struct pv_chatop_result page;
    int status;
    if (!delete_page(r, c, &page, &status)) {
        if (status != PV_OK)
            pv_ctlsrv_fail(n->ctl, c->handle, PV_CTLAPI_FAILED, n->store.error);
        else if (page.has_none)
            pv_retention_has_none(n, c->of.name, "history clear", c->handle, now);
        else
            pv_chat_answer(n, c->handle,
                           pv_ctlapi_pack("{s:I}", "deleted", (json_int_t)c->deleted));
        /* Texts of rooms are only hidden until it is known who lacks them. */
        if (status == PV_OK && !page.has_none)
            pv_rooms_sweep(n->rooms, r->keep_s, now);
        r->clearings = c->next;
        free(c);
    }
    pv_chatop_result_done(&page);
}

static void cmd_clear(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *m,
                      uint64_t handle, pv_ns now)
{
    struct retention *r = part;
    struct pv_chat *n = r->chat;
    struct clearing *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, "history clear: out of memory");
        return;
    }
    c->handle = handle;
    c->all = req->peer[0] == '\0';
    if (!c->all && !pv_retention_conversation(n, req->peer, "history clear", handle, now, &c->of)) {
        free(c);
        return;
    }
    c->next = r->clearings;
    r->clearings = c;
    clear_page(r, now);
}

/* --- who is muted ---------------------------------------------------------------------------- */

bool pv_retention_is_muted(const struct pv_chat *n, const uint8_t *pk)
{
    const struct retention *r = pv_chat_part(n, &pv_chatpart_retention);
    for (size_t i = 0; r != NULL && i < r->n_muted; i++) {
        if (memcmp(r->muted[i], pk, PV_SIGN_PK_LEN) == 0)
            return true;
    }
    return false;
}

static bool find_story(const struct pv_chat *n, const uint8_t *key, struct pv_overlay_member *ret)
{
    const struct pv_overlay_query query = {.how = PV_OVERLAY_BY_KEY, .key = key, .story = true};
    return n->overlay->find(n->overlay->node, &query, ret);
}

/* Did this member come by the same invite as another one that was gone by then? Then it may be that
 * one, with a key of its own: nobody can tell. Both with their stories. */
static bool came_after(const struct pv_overlay_member *m, const struct pv_overlay_member *before)
{
    return memcmp(before->key, m->key, sizeof(m->key)) != 0 && pv_overlay_is_former(before) &&
           memcmp(before->by, m->by, sizeof(m->by)) == 0 && m->by_invite &&
           m->joined >= before->gone;
}

/* Mutes or unmutes a conversation. */
static int set_mute(struct retention *r, const uint8_t *key, const char *name, bool mute,
                    bool *ret_changed)
{
    const struct pv_chatop op = {
        .kind = PV_CHATOP_MUTE, .peer = key, .peer_name = name, .mute = mute};
    struct pv_chatop_result done;
    int status = pv_chat_do(r->chat, &op, &done);
    *ret_changed = done.changed;
    pv_chatop_result_done(&done);
    return status;
}

/* Muting somebody would be of no use if it could leave and come back by the token it has. */
static bool inherit_mute(struct retention *r, const uint8_t *key)
{
    struct pv_overlay_member m, muted;
    if (r->n_muted == 0 || pv_retention_is_muted(r->chat, key) || !find_story(r->chat, key, &m) ||
        !pv_overlay_is_in(&m))
        return false;
    for (size_t i = 0; i < r->n_muted; i++) {
        if (!find_story(r->chat, r->muted[i], &muted) || !came_after(&m, &muted))
            continue;
        pv_log(r->chat->log, PV_LOG_INFO, "peer=%s what=\"muted: came by the token of %s\"", m.name,
               PV_CHAT_WHO_STR(r->chat, r->muted[i]));
        bool changed;
        return set_mute(r, m.key, m.name, true, &changed) == PV_OK && changed;
    }
    return false;
}

/* A member that is unmuted stays so: those whose place it took are not looked at any more. */
static void unmute_former(struct retention *r, const uint8_t *pk)
{
    struct pv_overlay_member m, muted;
    bool changed;
    const bool is_member = find_story(r->chat, pk, &m) && pv_overlay_is_in(&m);
    for (size_t i = 0; is_member && i < r->n_muted; i++) {
        if (find_story(r->chat, r->muted[i], &muted) && came_after(&m, &muted))
            (void)set_mute(r, muted.key, muted.name, false, &changed);
    }
}

/* The store's word stands until somebody is muted or unmuted. A list that could not be read is
 * read again with the next purge; until then the one before tells more than none. */
static void keep_muted(struct retention *r, const struct pv_chatop_result *list)
{
    const size_t n = list->n_backlog;
    uint8_t(*muted)[PV_SIGN_PK_LEN] = n > 0 ? calloc(n, sizeof(*muted)) : NULL;
    r->knows_muted = n == 0 || muted != NULL;
    if (!r->knows_muted)
        return;
    for (size_t i = 0; i < n; i++)
        memcpy(muted[i], list->backlog[i].peer, sizeof(*muted));
    free(r->muted);
    r->muted = muted;
    r->n_muted = n;
}

/* Members may have come while nobody looked: those that inherit a mute lengthen the list. */
static void read_muted(struct retention *r)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_MUTED};
    const struct pv_overlay *o = r->chat->overlay;
    struct pv_chatop_result list;
    struct pv_overlay_member m;
    bool longer;
    do {
        longer = r->knows_muted = false;
        if (pv_chat_do(r->chat, &op, &list) == PV_OK)
            keep_muted(r, &list);
        const bool any = r->knows_muted && list.n_backlog > 0;
        pv_chatop_result_done(&list);
        for (bool is = any && o->next(o->node, NULL, &m); is; is = o->next(o->node, m.key, &m))
            longer = inherit_mute(r, m.key) || longer;
    } while (longer);
}

static void on_member(void *part, const struct pv_overlay_member *m, unsigned news, pv_ns now)
{
    if ((news & PV_OVERLAY_NEWS_MEMBER) != 0 && inherit_mute(part, m->key))
        read_muted(part);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct retention *r = part;
    if (r->clearings != NULL)
        clear_page(r, now);
    if (now < r->purge_at)
        return;
    purge(r, now);
    if (!r->knows_muted)
        read_muted(r);
}

static pv_ns next_timeout(const void *part)
{
    const struct retention *r = part;
    return r->clearings != NULL ? 0 : r->purge_at;
}

/* --- mute ---------------------------------------------------------------------------------- */

/* mute and unmute. A conversation is known by its key, so a peer that gets another name stays
 * muted, also when it is gone. */
static void cmd_mute(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *m,
                     uint64_t handle, pv_ns now)
{
    struct retention *r = part;
    struct pv_chat *n = r->chat;
    const char *what = pv_ctlapi_cmd_name(req->cmd);
    struct pv_conversation of;
    if (!pv_retention_conversation(n, req->peer, what, handle, now, &of))
        return;
    /* A machine that nobody here knows says nothing more. */
    if (of.sought) {
        pv_retention_has_none(n, of.name, what, handle, now);
        return;
    }
    const bool mute = req->cmd == PV_CTLAPI_MUTE;
    bool changed = false;
    if (!mute)
        unmute_former(r, of.key);
    if (set_mute(r, of.key, of.name, mute, &changed) != PV_OK) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, n->store.error);
        return;
    }
    pv_chat_answer(n, handle, pv_ctlapi_pack("{s:b}", "changed", changed));
    read_muted(r);
}

/* A peer may have another name than when it was muted, or be gone. */
static json_t *muted_list(const struct pv_chat *n, const struct pv_chatop_result *list)
{
    json_t *out = pv_ctlapi_list("muted");
    for (size_t i = 0; out != NULL && i < list->n_backlog; i++) {
        struct pv_overlay_member m;
        const bool known = pv_chat_known(n, list->backlog[i].peer, &m);
        const char *name =
            known ? PV_CHAT_WHO_STR(n, list->backlog[i].peer) : list->backlog[i].peer_name;
        pv_ctlapi_put(&out, "muted", json_string(name));
    }
    return out;
}

static void cmd_muted(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *m,
                      uint64_t handle, pv_ns now)
{
    struct retention *r = part;
    const struct pv_chatop op = {.kind = PV_CHATOP_MUTED};
    struct pv_chatop_result list;
    if (pv_chat_do(r->chat, &op, &list) == PV_OK)
        pv_chat_answer(r->chat, handle, muted_list(r->chat, &list));
    else
        pv_ctlsrv_fail(r->chat->ctl, handle, PV_CTLAPI_FAILED, r->chat->store.error);
    pv_chatop_result_done(&list);
}

static const struct pv_chat_command commands[] = {
    {PV_CTLAPI_HISTORY_CLEAR, PV_CHAT_NEEDS_NOTHING, cmd_clear},
    {PV_CTLAPI_MUTE, PV_CHAT_NEEDS_NOTHING, cmd_mute},
    {PV_CTLAPI_UNMUTE, PV_CHAT_NEEDS_NOTHING, cmd_mute},
    {PV_CTLAPI_MUTED, PV_CHAT_NEEDS_NOTHING, cmd_muted},
};

const struct pv_chatpart pv_chatpart_retention = {
    .name = "retention",
    .size = PV_CHATPART_SIZE(struct retention),
    .start = start,
    .free = free_retention,
    .on_member = on_member,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
