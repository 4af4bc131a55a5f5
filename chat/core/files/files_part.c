/* SPDX-License-Identifier: MIT */
/* files_part.c - connects filelink with peers, the shell, the store and control clients. */
#include "chat/core/files/files_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "chat/core/files/autoaccept.h"
#include "chat/core/rooms/rooms.h"
#include "chat/core/talk/retention.h"
#include "chat/core/talk/rooms_part.h"
#include "chat/core/talk/tell.h"
#include "chat/proto/chatjson.h"
#include "crypto/ct.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

#define VALUE_FILES "files"     /* the table's name in the store */
#define VALUE_PINS  "file-pins" /* the pins of auto-accept */

struct files {
    struct pv_chat *chat;
    struct pv_filelink *link;      /* owned */
    struct pv_autoaccept *rules;   /* owned; with their pins */
    struct pv_files_passed passed; /* the newest that a client passed; handle -1: none */
    uint32_t passed_by;            /* the control client's sid */
    struct pv_fifo ops;            /* of struct pv_fileop, for the shell */
    struct pv_files_op given;      /* the order that the shell carries out now */
};

static bool may_move(const void *part, const uint8_t *pk, bool to)
{
    const struct files *f = part;
    return pv_chat_admits(f->chat, pk, PV_OVERLAY_FILES, to);
}

/* The word of a sender counts in a room that it is in: else it could put what it offers wherever it
 * likes. */
static enum pv_file_room room_of(const void *part, const uint8_t *pk, const uint8_t *room)
{
    const struct files *f = part;
    const struct pv_rooms *rooms = f->chat->rooms;
    struct pv_rooms_info info;
    struct pv_rooms_member m;
    if (rooms == NULL || !pv_rooms_look(rooms, room, &info))
        return PV_FILE_ROOM_STRANGE;
    for (size_t i = 0; pv_rooms_member(rooms, room, i, &m); i++) {
        if (!m.has_left && memcmp(m.pk, pk, PV_SIGN_PK_LEN) == 0)
            return info.left || info.invited ? PV_FILE_ROOM_CLOSED : PV_FILE_ROOM_OPEN;
    }
    return PV_FILE_ROOM_STRANGE;
}

static enum pv_overlay_link pair_key(const void *part, const uint8_t *pk, uint8_t *ret_key)
{
    const struct files *f = part;
    return f->chat->overlay->link(f->chat->overlay->node, pk, ret_key);
}

static void send_notice(void *part, const uint8_t *pk, struct pv_view notice, pv_ns now);
static void tell_watchers(void *part, uint32_t number, pv_ns now);

static int start(void *part, const struct pv_chatpart_config *cfg, pv_ns now)
{
    struct files *f = part;
    struct pv_filelink_config fc = {.rng = f->chat->rng,
                                    .log = f->chat->log,
                                    .keys = pair_key,
                                    .streams = &f->chat->streams,
                                    .ops = &f->ops,
                                    .admits = may_move,
                                    .room = room_of,
                                    .send = send_notice,
                                    .tell = tell_watchers,
                                    .owner = f};
    memcpy(fc.own_pk, pv_chat_own(f->chat)->key, sizeof(fc.own_pk));
    f->passed.handle = -1;
    int r = pv_autoaccept_new(&f->rules, cfg->auto_accept, cfg->n_auto_accept,
                              pv_chatpart_value(cfg, VALUE_PINS), f->chat->log);
    if (r == PV_OK)
        r = pv_filelink_new(&f->link, &fc, pv_chatpart_value(cfg, VALUE_FILES));
    return r;
}

static void free_files(void *part)
{
    struct files *f = part;
    pv_filelink_free(f->link);
    pv_fifo_clear(&f->ops);
    pv_wipe(&f->given, sizeof(f->given));
    pv_autoaccept_free(f->rules);
}

/* --- peers ----------------------------------------------------------------------------------- */

/* Files of up to how many bytes are taken unasked of it? Rules go by who the member list says it
 * is, and nobody else's word pins one. */
static uint64_t auto_max(struct files *f, const struct pv_overlay_member *m)
{
    if (!pv_overlay_is_in(m))
        return 0;
    pv_autoaccept_enter(f->rules, pv_chat_own(f->chat)->network);
    return pv_autoaccept_max(f->rules, m->name, m->key);
}

static struct pv_filelink_peer as_peer(struct files *f, const struct pv_overlay_member *m,
                                       bool online)
{
    return (struct pv_filelink_peer){.pk = m->key,
                                     .name = m->name,
                                     .addr = m->ip4,
                                     .online = online,
                                     .auto_max = auto_max(f, m)};
}

/* Also the first look at a member, by which a rule with its name is pinned to it. */
static void look_at(struct files *f, const struct pv_overlay_member *m, pv_ns now)
{
    const struct pv_filelink_peer peer = as_peer(f, m, pv_chat_can_connect(f->chat, m));
    pv_filelink_set_peer(f->link, &peer, now);
}

/* The whole table each time. */
static void save(struct files *f, pv_ns now)
{
    uint8_t *buf = malloc(PV_FILELINK_SAVE_MAX);
    uint64_t number;
    if (buf == NULL) {
        pv_chat_stored(f->chat, PV_ERR_NOMEM, now);
        return;
    }
    size_t len = pv_filelink_save(f->link, buf, &number);
    if (pv_chat_put_value(f->chat, VALUE_FILES, pv_view(buf, len), now) == PV_OK)
        pv_filelink_kept(f->link, number, now);
    free(buf);
}

static void save_pins(struct files *f, pv_ns now)
{
    size_t len;
    uint8_t *pins = pv_autoaccept_save(f->rules, &len);
    if (pins == NULL)
        pv_chat_stored(f->chat, PV_ERR_NOMEM, now);
    else
        pv_chat_put_value(f->chat, VALUE_PINS, pv_view(pins, len), now);
    free(pins);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct files *f = part;
    struct pv_overlay_member m;
    if ((facts & PV_CHAT_FACT_STORE) != 0) {
        save(f, now);
        save_pins(f, now);
    }
    if ((facts & PV_OVERLAY_RULES) != 0)
        pv_filelink_rules_changed(f->link, now);
    if ((facts & PV_CHAT_FACT_ROOMS) != 0)
        pv_filelink_rooms_changed(f->link);
    if ((facts & PV_OVERLAY_OVERLAY) == 0)
        return;
    for (bool is = pv_chat_next_node(f->chat, NULL, &m); is;
         is = pv_chat_next_node(f->chat, &m, &m))
        look_at(f, &m, now);
}

static void on_member(void *part, const struct pv_overlay_member *m, unsigned news, pv_ns now)
{
    /* A coordinator that is lost takes back its word on everybody; nobody went away by that. */
    if (m->presence == PV_OVERLAY_UNKNOWN)
        news &= ~(unsigned)PV_OVERLAY_NEWS_PRESENCE;
    if (m->kind == PV_OVERLAY_MEMBER &&
        (news & (PV_OVERLAY_NEWS_PATH | PV_OVERLAY_NEWS_PRESENCE | PV_OVERLAY_NEWS_MEMBER |
                 PV_OVERLAY_NEWS_LINK)) != 0)
        look_at(part, m, now);
}

static void on_gone(void *part, const uint8_t *key, pv_ns now)
{
    struct files *f = part;
    pv_filelink_peer_gone(f->link, key, now);
}

/* --- notices --------------------------------------------------------------------------------- */

/* A session carries it, so the peer is there, also where the coordinator has not said so. */
static void on_notice(void *part, const struct pv_overlay_member *from, struct pv_view body,
                      pv_ns now)
{
    struct files *f = part;
    const struct pv_filelink_peer peer = as_peer(f, from, true);
    pv_filelink_handle_notice(f->link, &peer, body, now);
}

/* The notice is repeated when there is a path. */
static void send_notice(void *part, const uint8_t *pk, struct pv_view notice, pv_ns now)
{
    const struct files *f = part;
    f->chat->overlay->notice(f->chat->overlay->node, pk, notice, now);
}

/* --- streams --------------------------------------------------------------------------------- */

/* Only members fetch files; whose an address is, cryptokey routing proved (DESIGN 8). */
int pv_files_part_accepted(struct pv_chat *n, const struct pv_addr *remote, uint32_t *ret_sid,
                           pv_ns now)
{
    struct files *f = pv_chat_part(n, &pv_chatpart_files);
    const struct pv_overlay_query query = {.how = PV_OVERLAY_BY_ADDR, .addr = remote};
    struct pv_overlay_member m;
    if (f == NULL || !n->overlay->find(n->overlay->node, &query, &m) || m.is_self ||
        m.kind == PV_OVERLAY_STATIC)
        return PV_ERR_REFUSED;
    return pv_filelink_accepted(f->link, m.key, now, ret_sid);
}

struct pv_filelink *pv_files_part_link(const struct pv_chat *n)
{
    const struct files *f = pv_chat_part(n, &pv_chatpart_files);
    return f == NULL ? NULL : f->link;
}

/* --- operations of the shell ----------------------------------------------------------------- */

/* The pair's key as it is now: a transfer that fails by an older one is tried again. */
static void prove(const struct files *f, struct pv_files_op *op)
{
    const struct pv_chat *n = f->chat;
    const struct pv_file_entry *entry = pv_filelink_find(f->link, op->op.number);
    struct pv_files_proof *proof = &op->proof;
    if (op->op.type != PV_FILEOP_FETCH || entry == NULL)
        return;
    const enum pv_overlay_link state = pair_key(f, entry->peer, proof->key);
    proof->wanted = state != PV_OVERLAY_LINK_NONE;
    /* Without a key it is tried with none, which no daemon answers. */
    if (!pv_overlay_has_key(state))
        return;
    pv_rng_fill(&n->rng, proof->nonce, sizeof(proof->nonce));
    memcpy(proof->opener, pv_chat_own(n)->key, sizeof(proof->opener));
    memcpy(proof->acceptor, entry->peer, sizeof(proof->acceptor));
}

bool pv_files_part_poll(struct pv_chat *n, const struct pv_files_op **ret_op)
{
    struct files *f = pv_chat_part(n, &pv_chatpart_files);
    struct pv_fileop op;
    if (f == NULL)
        return false;
    pv_wipe(&f->given, sizeof(f->given)); /* the shell has carried it out */
    if (pv_fifo_take(&f->ops, &op) != PV_OK)
        return false;
    f->given.op = op;
    if (op.sid != 0)
        f->given.op.sid =
            pv_sid(op.type == PV_FILEOP_PASS ? PV_STREAM_OF_CTL : PV_CHAT_STREAM_FILE, op.sid);
    /* The connection leaves from our address in the network: the other side knows us by it. */
    const struct pv_overlay_own *own = pv_chat_own(n);
    f->given.local = op.addr.family == PV_AF_INET6 ? own->ip6 : own->ip4;
    prove(f, &f->given);
    *ret_op = &f->given;
    return true;
}

static void drop_passed(struct files *f)
{
    const struct pv_fileop op = {.type = PV_FILEOP_RELEASE, .handle = f->passed.handle};
    if (op.handle >= 0 && pv_fifo_put(&f->ops, &op, sizeof(op)) != PV_OK)
        pv_log(f->chat->log, PV_LOG_WARN, "what=\"descriptor of a client not closed\"");
    f->passed.handle = -1;
}

void pv_files_part_report(struct pv_chat *n, const struct pv_files_report *r, pv_ns now)
{
    struct files *f = pv_chat_part(n, &pv_chatpart_files);
    if (f == NULL)
        return;
    switch (r->news) {
    case PV_FILES_PASSED:
        drop_passed(f);
        f->passed = r->passed;
        f->passed_by = pv_sid_local(r->sid);
        break;
    case PV_FILES_PROGRESS:
        pv_filelink_progress(f->link, r->tag, r->done, now);
        break;
    case PV_FILES_DONE:
        pv_filelink_done(f->link, r->tag, r->why, r->done, now);
        break;
    }
}

static void on_stop(void *part, pv_ns now)
{
    struct files *f = part;
    pv_filelink_stop_all(f->link);
    drop_passed(f);
}

/* --- what users see -------------------------------------------------------------------------- */

/* A received file that was thrown away has no bytes here, as one that was saved; its user has none
 * either. */
static enum pv_file_state state_of(const struct pv_file_entry *f)
{
    return f->state == PV_FILE_SAVED && f->why == PV_FILE_WHY_STOPPED ? PV_FILE_REFUSED : f->state;
}

/* Nothing more happens to a file in this state. */
static bool is_over(enum pv_file_state state)
{
    return state != PV_FILE_OFFERED && state != PV_FILE_ACCEPTED;
}

/* The descriptor that its user handed over went with the process. */
static bool is_lost(const struct pv_file_entry *f)
{
    return f->outgoing && !is_over(f->state) && f->why == PV_FILE_WHY_ABSENT;
}

/* A file of a machine that was removed failed by that, and nobody can mend it. While this machine
 * is down nothing moves, whatever else there is, and no peer went away by that. */
static const char *why_of(const struct pv_chat *n, const struct pv_file_entry *f)
{
    if (!pv_chat_own(n)->up && !is_over(f->state) && !f->running)
        return "this machine is down: `sudo p2pvpnctl up` goes on with it";
    if (is_lost(f))
        return "p2pvpnd began anew: send-file offers it again";
    return f->why == PV_FILE_WHY_GONE && f->state == PV_FILE_FAILED && pv_tell_is_gone(n, f->peer)
               ? "the other machine is no member any more"
               : pv_file_why_text(f->why);
}

/* Its room's name here; NULL: it is offered in none, or in one that is not known any more. */
static const char *name_room(const struct pv_chat *n, const struct pv_file_entry *f,
                             char buf[static PV_ROOMS_NAME_BUF])
{
    struct pv_rooms_info info;
    return n->rooms != NULL && pv_rooms_look(n->rooms, f->room, &info)
               ? pv_rooms_name(n->rooms, f->room, buf)
               : NULL;
}

/* An offer that calls nobody to the screen: its user has muted who sends it, or the room, or has
 * not accepted that. */
static bool is_muted(const struct pv_chat *n, const struct pv_file_entry *f)
{
    uint8_t room[PV_SIGN_PK_LEN];
    pv_room_key(f->room, room);
    return !f->outgoing && f->state == PV_FILE_OFFERED &&
           (f->held || pv_retention_is_muted(n, f->peer) || pv_retention_is_muted(n, room));
}

struct names {
    char who[PV_CHAT_WHO], room[PV_ROOMS_NAME_BUF];
};

/* The name of its other side; another: that means another machine by now. Of one that was no member
 * ever, as in a network that was left, the name is kept with the file. */
static const char *peer_of(const struct pv_chat *n, const struct pv_file_entry *f, bool another,
                           char who[static PV_CHAT_WHO])
{
    struct pv_overlay_member m;
    if (pv_chat_known(n, f->peer, &m))
        return pv_chat_who(n, f->peer, who);
    if (!another)
        return f->peer_name;
    snprintf(who, PV_CHAT_WHO, "%s (former, %s)", f->peer_name,
             PV_KEY_SHORT_STR(PV_KEY_STR(f->peer)));
    return who;
}

static struct pv_chatjson_file shown(const struct pv_chat *n, const struct pv_file_entry *f,
                                     struct names *names)
{
    struct pv_overlay_member m;
    const bool is_known = pv_chat_known(n, f->peer, &m);
    const bool another = pv_tell_is_anothers(n, is_known ? m.name : f->peer_name, f->peer);
    return (struct pv_chatjson_file){
        .number = f->number,
        .id = f->id,
        .outgoing = f->outgoing,
        .peer = peer_of(n, f, another, names->who),
        .room = name_room(n, f, names->room),
        .key = f->peer,
        .is_former = another,
        .name = f->name,
        .size = f->size,
        .done = f->done,
        .time_ms = f->time_ms,
        .state = state_of(f),
        .why = why_of(n, f),
        .running = f->running,
        .online = f->online,
        .again = is_lost(f),
        .muted = is_muted(n, f),
    };
}

static void tell_watchers(void *part, uint32_t number, pv_ns now)
{
    const struct files *f = part;
    struct names names;
    const struct pv_file_entry *entry = pv_filelink_find(f->link, number);
    if (entry == NULL)
        return;
    const struct pv_chatjson_file file = shown(f->chat, entry, &names);
    if (file.muted) /* its offers stand in the list of files */
        return;
    const struct pv_event event = {
        .chat = "file",
        .kind = "file",
        .what = pv_file_state_name(file.state),
        .who = file.peer,
        .text = PV_STR("file %s %s %s%s%s: %s", file.name, file.outgoing ? "to" : "from", file.peer,
                       file.room != NULL ? " in " : "", file.room != NULL ? file.room : "",
                       pv_file_state_name(file.state))};
    pv_chat_tell(f->chat, &event, pv_ctlapi_pack("{s:o}", "file", pv_chatjson_write_file(&file)),
                 now);
}

static void run(void *part, pv_ns now)
{
    struct files *f = part;
    /* Its request was read before its connection ended, and would have taken the descriptor. */
    if (f->passed.handle >= 0 && !pv_ctlsrv_is_open(f->chat->ctl, f->passed_by))
        drop_passed(f);
    pv_filelink_speak(f->link, now);
    if (pv_filelink_take_dirty(f->link, now))
        save(f, now);
    if (pv_autoaccept_take_dirty(f->rules))
        save_pins(f, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct files *f = part;
    pv_filelink_handle_timeout(f->link, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct files *f = part;
    return pv_filelink_next_timeout(f->link);
}

/* One line, whatever changed hands: names of others must not hide other problems. */
static void show_kept_out(const struct files *f, const struct pv_chat_page *st)
{
    const char *first = NULL, *name;
    char text[PV_NAME_BUF + 128];
    size_t n = 0;
    for (size_t i = 0; (name = pv_autoaccept_name(f->rules, i)) != NULL; i++) {
        struct pv_overlay_member m;
        if (!pv_overlay_by_word(f->chat->overlay, PV_OVERLAY_BY_NAME, name, &m) || m.is_self ||
            !pv_autoaccept_keeps_out(f->rules, i, m.key))
            continue;
        first = n++ == 0 ? name : first;
    }
    if (n == 1)
        snprintf(text, sizeof(text), "%s, which is another machine than before: ", first);
    else if (n > 1)
        snprintf(text, sizeof(text),
                 "%s and %zu more, which are other machines than before: ", first, n - 1);
    if (n > 0)
        st->minor_todo(st->page, PV_STR("[chat] auto-accept does not hold for %s", text),
                       PV_DO(accept_one_by_hand));
}

static void show_status(void *part, const struct pv_chat_page *st, pv_ns now)
{
    const struct files *f = part;
    show_kept_out(f, st);
    st->drop(st->page, "file-unproven", pv_filelink_unproven(f->link));
}

/* --- commands -------------------------------------------------------------------------------- */

static void answer_file(const struct files *f, uint32_t number, uint64_t handle)
{
    struct names names;
    const struct pv_file_entry *entry = pv_filelink_find(f->link, number);
    if (entry == NULL) {
        pv_ctlsrv_fail(f->chat->ctl, handle, PV_CTLAPI_FAILED, "files: out of memory");
        return;
    }
    const struct pv_chatjson_file file = shown(f->chat, entry, &names);
    pv_chat_answer(f->chat, handle, pv_ctlapi_pack("{s:o}", "file", pv_chatjson_write_file(&file)));
}

/* False: the client was told that there is no such room. One that hands a file over again comes
 * while p2pvpnd starts, and by its id the file knows its room. */
static bool find_room(struct pv_chat *n, const struct pv_ctlapi_request *req, uint64_t handle,
                      pv_ns now, const uint8_t **ret_room)
{
    *ret_room = NULL;
    if (req->u.file.room[0] == '\0' ||
        (req->u.file.transfer[0] != '\0' && !pv_rooms_are_ready(n->rooms)))
        return true;
    *ret_room = pv_rooms_part_need(n, req->u.file.room, false, "send-file", handle, now);
    return *ret_room != NULL;
}

static void cmd_send(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *p,
                     uint64_t handle, pv_ns now)
{
    struct files *f = part;
    struct pv_chat *n = f->chat;
    uint8_t id[PV_FILE_ID_LEN];
    uint32_t number;
    const uint8_t *room;
    _Static_assert((int)PV_FILE_ID_LEN == (int)PV_CHAT_ID_LEN, "both are written alike");
    bool has_id = req->u.file.transfer[0] != '\0';
    if (has_id && pv_chat_id_parse(req->u.file.transfer, id) != PV_OK) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_USAGE,
                       "send-file: a transfer has 22 characters, as an id of a message");
        return;
    }
    if (!find_room(n, req, handle, now, &room))
        return; /* the next request drops the descriptor, or the connection's end */
    if (pv_chat_refuse(n, p, PV_OVERLAY_FILES, "send-file", handle))
        return;
    /* The descriptor must have come on the connection of the request: a client cannot send the file
     * of another. */
    if (f->passed.handle < 0 || f->passed_by != pv_ctlsrv_sid(n->ctl, handle)) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_USAGE,
                       "send-file: no regular file came with the request: give the name of a file "
                       "you may read");
        return;
    }
    const struct pv_filelink_offer offer = {
        .peer = as_peer(f, p, pv_chat_can_connect(n, p)),
        .name = pv_view(req->text, strlen(req->text)),
        .size = f->passed.size,
        .time_ms = pv_chat_wall_ms(n, now),
        .stamp = f->passed.stamp,
        .handle = f->passed.handle,
        .id = has_id ? id : NULL,
        .room = room,
    };
    int r = pv_filelink_offer(f->link, &offer, now, &number);
    if (r != PV_OK) {
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_FAILED, "send-file: %s: %s", pv_strstatus(r),
            r == PV_ERR_LIMIT    ? "too many files are under way: `p2pvpnctl files` lists them"
            : r == PV_ERR_EXISTS ? "another file has this transfer's id: send it with a new one"
                                 : "the name of the file is not UTF-8, or the file too large");
        return;
    }
    f->passed.handle = -1; /* the offer's now */
    pv_chat_want(n, p->key, "a file waits", now);
    answer_file(f, number, handle);
}

/* Without memory for all of them the answer says so: a part of a list would look like the whole. */
static void cmd_list(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *p,
                     uint64_t handle, pv_ns now)
{
    const struct files *f = part;
    const struct pv_file_entry *entry;
    json_t *out = pv_ctlapi_list("files");
    for (size_t i = 0; out != NULL && (entry = pv_filelink_at(f->link, i)) != NULL; i++) {
        struct names names;
        const struct pv_chatjson_file file = shown(f->chat, entry, &names);
        pv_ctlapi_put(&out, "files", pv_chatjson_write_file(&file));
    }
    pv_chat_answer(f->chat, handle, out);
}

/* Gives the client the received file: its descriptor goes out with the answer. */
static int pass(struct files *f, uint32_t number, uint64_t handle)
{
    const struct pv_file_entry *entry = pv_filelink_find(f->link, number);
    if (entry == NULL)
        return PV_ERR_NOT_FOUND;
    /* Only a whole file whose hash was right leaves the daemon. */
    if (entry->outgoing || entry->state != PV_FILE_DONE)
        return PV_ERR_STATE;
    struct pv_fileop op = {
        .type = PV_FILEOP_PASS, .sid = pv_ctlsrv_sid(f->chat->ctl, handle), .number = number};
    memcpy(op.id, entry->id, sizeof(op.id));
    return pv_fifo_put(&f->ops, &op, sizeof(op));
}

/* "saved already": why what was asked for cannot be done with the file. */
static const char *state_words(enum pv_file_state state)
{
    static const char *const words[PV_FILE_N_STATES] = {
        [PV_FILE_OFFERED] = "offered and not accepted yet",
        [PV_FILE_ACCEPTED] = "accepted and not whole yet",
        [PV_FILE_DONE] = "transferred already",
        [PV_FILE_SAVED] = "saved already",
        [PV_FILE_REFUSED] = "refused",
        [PV_FILE_WITHDRAWN] = "withdrawn",
        [PV_FILE_FAILED] = "not transferred: it failed",
    };
    return words[state];
}

/* A command that does not fit the file's state names the state, so that the user sees why, and the
 * command that fits. */
static void answer_failed(const struct files *f, uint32_t number, int status, uint64_t handle)
{
    const struct pv_file_entry *entry = pv_filelink_find(f->link, number);
    char text[PV_CTLAPI_ERROR_BUF], remedy[64] = "`p2pvpnctl files` lists them";
    if (entry != NULL && !entry->outgoing && entry->state == PV_FILE_DONE)
        snprintf(remedy, sizeof(remedy), "`p2pvpnctl files get %lu` saves it",
                 (unsigned long)number);
    else if (entry != NULL && !entry->outgoing && !is_over(entry->state))
        snprintf(remedy, sizeof(remedy), "`p2pvpnctl files accept %lu` fetches it",
                 (unsigned long)number);
    if (status == PV_ERR_STATE && entry != NULL)
        snprintf(text, sizeof(text), "files: file %lu %s %s%s%s: %s", (unsigned long)number,
                 entry->outgoing         ? "goes out and is"
                 : is_over(entry->state) ? "was"
                                         : "is",
                 state_words(state_of(entry)), entry->state == PV_FILE_FAILED ? ", " : "",
                 entry->state == PV_FILE_FAILED ? why_of(f->chat, entry) : "", remedy);
    else
        snprintf(text, sizeof(text), "files: %lu: %s: `p2pvpnctl files` lists them",
                 (unsigned long)number, pv_strstatus(status));
    pv_ctlsrv_fail(f->chat->ctl, handle, PV_CTLAPI_FAILED, text);
}

/* A user who accepts a file of a machine by hand has looked at who it is: the rule with its name
 * holds for it from now on. */
static void trust(struct files *f, uint32_t number)
{
    const struct pv_file_entry *entry = pv_filelink_find(f->link, number);
    struct pv_overlay_member m;
    if (entry != NULL && pv_chat_member(f->chat, entry->peer, &m))
        pv_autoaccept_trust(f->rules, m.name, m.key);
}

/* The commands about one file that is known by its number. */
static void cmd_one(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *p,
                    uint64_t handle, pv_ns now)
{
    struct files *f = part;
    int r = PV_ERR_UNSUPPORTED;
    if (req->cmd == PV_CTLAPI_FILE_ACCEPT)
        r = pv_filelink_accept(f->link, req->u.file.number, now);
    else if (req->cmd == PV_CTLAPI_FILE_STOP)
        r = pv_filelink_stop(f->link, req->u.file.number, now);
    else if (req->cmd == PV_CTLAPI_FILE_GET)
        r = pass(f, req->u.file.number, handle);
    else if (req->cmd == PV_CTLAPI_FILE_SAVED)
        r = pv_filelink_saved(f->link, req->u.file.number, now);
    if (r == PV_OK && req->cmd == PV_CTLAPI_FILE_ACCEPT)
        trust(f, req->u.file.number);
    if (r == PV_OK)
        answer_file(f, req->u.file.number, handle);
    else
        answer_failed(f, req->u.file.number, r, handle);
}

static const struct pv_chat_command commands[] = {
    {PV_CTLAPI_FILE_SEND, PV_CHAT_NEEDS_NODE, cmd_send},
    {PV_CTLAPI_FILES, PV_CHAT_NEEDS_NOTHING, cmd_list},
    {PV_CTLAPI_FILE_ACCEPT, PV_CHAT_NEEDS_NOTHING, cmd_one},
    {PV_CTLAPI_FILE_STOP, PV_CHAT_NEEDS_NOTHING, cmd_one},
    {PV_CTLAPI_FILE_GET, PV_CHAT_NEEDS_NOTHING, cmd_one},
    {PV_CTLAPI_FILE_SAVED, PV_CHAT_NEEDS_NOTHING, cmd_one},
};

const struct pv_chatpart pv_chatpart_files = {
    .name = "files",
    .waits = true,
    .size = PV_CHATPART_SIZE(struct files),
    .start = start,
    .free = free_files,
    .on_facts = on_facts,
    .on_member = on_member,
    .on_gone = on_gone,
    .on_stop = on_stop,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .on_notice = on_notice,
    .status = show_status,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
