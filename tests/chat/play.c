/* SPDX-License-Identifier: MIT */
/*
 * play.c - reads scenarios of chat (docs/TESTING.md "Scenarios of chat") and plays them in the
 * world (world.h). A line is a sentence, and each sentence is a row of the table at the end of this
 * file.
 *
 * usage: chat_scenarios [FILE.chat...]     all of tests/chat without an argument
 * PV_SCENARIO=WORDS plays those whose names contain the words; PV_SCENARIO_FIRST=1 ends with the
 * first that fails.
 */
#include <ctype.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>

#include <jansson.h>

#include "base/jsonread.h"
#include "chat/proto/chat.h"
#include "chat/proto/file.h"
#include "chat/proto/room.h"
#include "crypto/ct.h"
#include "tests/chat/world.h"

enum {
    MAX_WORDS = 40,
    MAX_SAID = 4096,
    MAX_OFFERED = 64,
    MAX_LINE = 4096,
    MAX_TEXT = 70000,
};

/* One word of a line, or a text in quotes. */
struct word {
    bool quoted;
    bool is_id; /* @"text": the id of the message with that text */
    char *text; /* in the line's buffer */
};

/* A line that somebody said, and that p2pvpnd took, or (maybe) may have. */
struct said {
    const struct world_node *from;
    char to[PV_NAME_BUF + 1];
    char text[32];
    bool maybe;
};

struct offered {
    struct world_node *from, *to;
    uint64_t size;
};

static struct {
    const char *file;
    unsigned line;
    char scenario[MAX_LINE];
    char sentence[MAX_LINE];
    jmp_buf failed;
    unsigned n_failed, n_played;
    bool in_scenario, skips;
    unsigned count; /* stands for % in a text */
    struct said said[MAX_SAID];
    size_t n_said;
    struct offered offered[MAX_OFFERED]; /* in times of trouble; the first is file 0 */
    size_t n_offered;
    char room[WORLD_MAX][PV_NAME_BUF + 1]; /* that each machine is in, of the last one */
} play;

/* What the placeholders of a sentence stand for, in their order. */
static struct {
    struct world_node *node[WORLD_MAX];
    size_t n_nodes, n_words, n_texts, n_numbers;
    const char *word[4], *text[4];
    uint64_t number[4];
    const struct word *rest; /* behind "…" */
    size_t n_rest;
} a;

static const char *why_not; /* behind "it is not so" */

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void complain(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s:%u: %s\n    %s\n    ", play.file, play.line, play.scenario, play.sentence);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    longjmp(play.failed, 1);
}

/* --- what users do ------------------------------------------------------------------------- */

static struct world_text request;

static void add(const char *text)
{
    world_text_add(&request, text, strlen(text));
}

/* "key":"value", with what JSON wants escaped. */
static void add_field(const char *key, const char *value)
{
    json_t *string = json_string(value);
    char *text = json_dumps(string, JSON_ENCODE_ANY);
    if (text == NULL)
        complain("a text is no UTF-8");
    if (request.len > 0)
        add(",");
    add("\"");
    add(key);
    add("\":");
    add(text);
    free(text);
    json_decref(string);
}

static void begin_request(const char *cmd)
{
    request.len = 0;
    add_field("cmd", cmd);
}

/* A machine is meant by its present name. */
static const char *name_of(const char *word)
{
    const struct world_node *n = world_find(word);
    return n == NULL ? word : n->name;
}

static struct world_node *running(struct world_node *n)
{
    if (n->chat == NULL)
        complain("%s does not run", n->handle);
    return n;
}

static bool ask(struct world_node *n)
{
    const char *answer = world_answer(running(n), request.text);
    return answer != NULL && strstr(answer, "\"ok\":true") != NULL;
}

static void must_ask(struct world_node *n)
{
    if (!ask(n))
        complain("the answer is %s", n->answer.text == NULL ? "missing" : n->answer.text);
}

static json_t *history(struct world_node *n)
{
    const struct world_text kept = n->answer;
    n->answer = (struct world_text){NULL, 0};
    const char *answer = world_answer(running(n), "\"cmd\":\"history\",\"limit\":1000");
    json_t *root = answer == NULL ? NULL : json_loads(answer, 0, NULL);
    free(n->answer.text);
    n->answer = kept;
    if (json_object_get(root, "messages") == NULL)
        complain("%s shows no history", n->handle);
    return root;
}

static const char *id_of(struct world_node *n, const char *text)
{
    static char id[64];
    json_t *root = history(n);
    id[0] = '\0';
    PV_EACH_JSON(json_object_get(root, "messages"), m) {
        if (strcmp(pv_json_text(m, "text", ""), text) == 0)
            snprintf(id, sizeof(id), "%s", pv_json_text(m, "id", ""));
    }
    json_decref(root);
    if (id[0] == '\0')
        complain("%s has no \"%s\"", n->handle, text);
    return id;
}

static void note_said(const struct world_node *from, const char *to, const char *text, bool maybe)
{
    if (play.n_said == MAX_SAID)
        complain("too many lines");
    struct said *s = &play.said[play.n_said++];
    *s = (struct said){.from = from, .maybe = maybe};
    snprintf(s->to, sizeof(s->to), "%s", to);
    snprintf(s->text, sizeof(s->text), "%s", text);
}

static void ask_to_say(const struct world_node *n, const char *text, const char *to)
{
    begin_request("send");
    add_field("peer", name_of(to));
    add_field("text", text);
}

static void says(void)
{
    ask_to_say(a.node[0], a.text[0], a.word[0]);
    must_ask(a.node[0]);
    note_said(a.node[0], a.word[0], a.text[0], false);
}

static void tries_to_say(void)
{
    ask_to_say(a.node[0], a.text[0], a.word[0]);
    if (ask(a.node[0]))
        note_said(a.node[0], a.word[0], a.text[0], false);
}

static void begins_to_say(void)
{
    ask_to_say(a.node[0], a.text[0], a.word[0]);
    world_ask(running(a.node[0]), request.text);
    note_said(a.node[0], a.word[0], a.text[0], true);
}

static void asks(void)
{
    begin_request(a.word[0]);
    for (size_t i = 0; i + 1 < a.n_rest; i += 2) {
        const char *key = a.rest[i].text, *value = a.rest[i + 1].text;
        const bool plain = !a.rest[i + 1].quoted &&
                           (isdigit((unsigned char)value[0]) || strcmp(value, "true") == 0);
        if (a.rest[i + 1].is_id) {
            const struct world_text kept = request;
            const char *id = id_of(a.node[0], value);
            request = kept;
            add_field(key, id);
        } else if (plain) {
            add(",\"");
            add(key);
            add("\":");
            add(value);
        } else {
            add_field(key, a.rest[i + 1].quoted ? value : name_of(value));
        }
    }
    (void)ask(a.node[0]);
}

static void ask_room(const char *cmd, const char *room, const struct world_node *whom)
{
    begin_request(cmd);
    add_field("room", room);
    if (whom != NULL)
        add_field("peer", whom->name);
    must_ask(a.node[0]);
}

static void makes_room(void)
{
    ask_room("room_create", a.word[0], NULL);
    snprintf(play.room[world_index(a.node[0])], sizeof(play.room[0]), "#%s", a.word[0]);
}

static void enters(void)
{
    ask_room("room_accept", a.word[0], NULL);
    snprintf(play.room[world_index(a.node[0])], sizeof(play.room[0]), "%s", a.word[0]);
}

static void leaves_room(void)
{
    ask_room("room_leave", a.word[0], NULL);
    play.room[world_index(a.node[0])][0] = '\0';
}

/* A setting holds from the next start on. */
static void set_again(void)
{
    if (a.node[0]->chat == NULL)
        return;
    world_kill(a.node[0]);
    world_start(a.node[0]);
    world_run(PV_S(1));
}

static int handle = 100; /* of the last file that was passed */

static void offers(int again)
{
    handle = again ? handle : 100 + (int)a.text[0][0];
    world_pass(running(a.node[0]), handle, a.number[0]);
    begin_request("file_send");
    add_field("peer", name_of(a.word[0]));
    add_field("file", a.text[0]);
    (void)ask(a.node[0]);
}

static void passes(void)
{
    world_pass(running(a.node[0]), 99, 5000);
}

static void accepts_from_nobody(void)
{
    a.node[0]->n_accept = 0;
    set_again();
}

/* --- what happens -------------------------------------------------------------------------- */

static void waits(void)
{
    world_run(a.number[0]);
}

static void restarts(void)
{
    world_kill(a.node[0]);
    world_start(a.node[0]);
}

/* b NULL: from everybody. */
static void set_cut(const struct world_node *n, const struct world_node *b, bool cut)
{
    for (size_t j = 0; j < world.n_nodes; j++) {
        if (&world.n[j] != n && (b == NULL || b == &world.n[j]))
            world.cut[world_index(n)][j] = world.cut[j][world_index(n)] = cut;
    }
    world_changed();
}

static void cuts(int cut)
{
    set_cut(a.node[0], a.n_nodes > 1 ? a.node[1] : NULL, cut != 0);
    if (a.n_numbers > 0) {
        world_run(a.number[0]);
        set_cut(a.node[0], NULL, false);
    }
}

static void breaks(void)
{
    world_cut_streams(a.node[0], a.n_nodes > 1 ? a.node[1] : NULL);
}

static void silences(int silent)
{
    world.silent[world_index(a.node[0])][world_index(a.node[1])] = silent != 0;
}

static void set_rule(int denied)
{
    const bool files = strcmp(a.word[0], "files") == 0, to = strcmp(a.word[1], "to") == 0;
    if ((!files && strcmp(a.word[0], "chat") != 0) || (!to && strcmp(a.word[1], "from") != 0))
        complain("a rule is about chat or files, from or to");
    world.denied[world_index(a.node[0])][world_index(a.node[1])]
                [files ? PV_OVERLAY_FILES : PV_OVERLAY_CHAT][to] = denied != 0;
    world_tell_own(a.node[0], PV_OVERLAY_RULES);
}

/* One of these words; complains of others. */
static int one_of(const char *word, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
    }
    complain("\"%s\" is not known here", word);
}

static void sets_disk(int disk)
{
    a.node[0]->disk = (enum world_disk)disk;
}

/* A machine is switched off when its disk is brought back. */
static void backs_up(int restores)
{
    if (restores)
        world_kill(a.node[0]);
    world_back_up(a.node[0], restores != 0);
}

static void lengthens(void)
{
    world_kill(a.node[0]);
    world_lengthen_logs(a.node[0], a.number[0]);
}

static void sets_interface(int up)
{
    a.node[0]->up = up != 0;
    world_tell_own(a.node[0], PV_OVERLAY_OVERLAY);
    world_changed();
}

static void jumps(void)
{
    a.node[0]->wall_off_us += (int64_t)(a.number[0] / 1000);
}

static void renames(void)
{
    memcpy(a.node[0]->former_name, a.node[0]->name, sizeof(a.node[0]->name));
    snprintf(a.node[0]->name, sizeof(a.node[0]->name), "%s", a.word[0]);
    world_tell_own(a.node[0], PV_OVERLAY_NETWORK);
    world_tell_all(a.node[0], PV_OVERLAY_NEWS_MEMBER);
}

static void ends(int kind)
{
    world_gone(a.node[0], (enum pv_overlay_kind)kind);
}

static void becomes_phone(void)
{
    world_kill(a.node[0]);
    a.node[0]->kind = PV_OVERLAY_PHONE;
    world_tell_all(a.node[0], PV_OVERLAY_NEWS_MEMBER);
}

static void joins(void)
{
    struct world_node *n = world_find(a.word[0]);
    if (n == NULL)
        n = world_add(a.word[0]);
    if (n == NULL)
        complain("too many machines");
    n->kind = PV_OVERLAY_MEMBER;
    world_tell_own(n, PV_OVERLAY_NETWORK);
    world_tell_all(n, PV_OVERLAY_NEWS_MEMBER);
    world_start(n);
    world_changed();
    world_run(PV_S(1));
}

static void is_member(void)
{
    struct world_node *n = world_add(a.word[0]);
    if (n == NULL)
        complain("too many machines");
    world_tell_all(n, PV_OVERLAY_NEWS_MEMBER);
}

static void joins_by(void)
{
    const struct world_node *by = a.node[0];
    struct world_node *n = world_add(a.word[0]);
    if (n == NULL)
        complain("too many machines");
    n->by = by;
    a.word[0] = n->handle;
    joins();
}

static void network(void)
{
    for (size_t i = 0; i < a.n_rest; i++) {
        if (world_add(a.rest[i].text) == NULL)
            complain("too many machines");
    }
    for (size_t i = 0; i < world.n_nodes; i++)
        world_start(&world.n[i]);
    world_run(PV_S(1));
}

static void coordinator(int away)
{
    world.no_coordinator = away != 0;
    world_changed();
}

static void coordinator_answers(int error)
{
    world.refuses = (enum pv_ctl_error)error;
}

static void signs(int off)
{
    a.node[0]->signed_off = off != 0;
    world_changed();
}

static void keeps(void)
{
    a.node[0]->given.keep_s = a.number[0] / PV_S(1);
    set_again();
}

static void takes_more(void)
{
    world_leave_room(a.node[0], a.node[1], (unsigned)a.number[0]);
}

static void changes_client(void)
{
    world_change_client(running(a.node[0]));
}

static void accepts_up_to(void)
{
    struct pv_auto_accept *rule = &a.node[0]->accept[a.node[0]->n_accept++];
    snprintf(rule->name, sizeof(rule->name), "%s",
             strcmp(a.word[0], "everybody") == 0 ? "" : a.word[0]);
    rule->max = a.number[0];
    set_again();
}

static void resumes(void)
{
    world.now += a.number[0];
    world_tell_own(a.node[0], PV_OVERLAY_RESUMED);
}

/* The place of one bool of the node; it counts from its next start on. */
static void has_trait(int place)
{
    bool *trait = (bool *)((char *)a.node[0] + (place < 0 ? -place : place));
    *trait = place > 0;
    world_tell_all(a.node[0], PV_OVERLAY_NEWS_LINK);
    set_again();
}

static void has_rules(int no)
{
    a.node[0]->no_rules = no != 0;
    world_tell_own(a.node[0], PV_OVERLAY_RULES);
}

static void has_door(int no)
{
    a.node[0]->deaf = no != 0;
}

static void connects(int port)
{
    world_dial(a.node[0], a.node[1], (uint16_t)port);
    world_run(PV_MS(100));
}

static void types(int wait_ms)
{
    world_type(a.node[0], a.text[0], strlen(a.text[0]));
    world_run(PV_MS(wait_ms));
}

/* Somebody has the ports there who is not the daemon. */
static void becomes_stranger(int without_proof)
{
    world_kill(a.node[0]);
    a.node[0]->ghost = true;
    a.node[0]->no_proof = a.node[0]->no_proof || without_proof;
    world_tell_all(a.node[0], PV_OVERLAY_NEWS_LINK);
    world_changed();
}

/* A record that says it is of the second machine, signed by the first, on its connection. */
static void hands(void)
{
    static const char *const kinds[] = {"invite", "leave", "text", NULL};
    static const uint8_t network[PV_ROOM_NETWORK_LEN] = {7, 7, 7, 7, 7, 7, 7, 7,
                                                         7, 7, 7, 7, 7, 7, 7, 7};
    static char line[PV_CHAT_LINE_MAX];
    static uint8_t raw[PV_ROOM_RECORD_MAX];
    struct pv_room_frame frame = {.kind = PV_ROOM_F_RECORDS, .n_records = 1};
    struct pv_room_record rec = {
        .type = (enum pv_room_type)(PV_ROOM_INVITE + one_of(a.word[0], kinds)), .time_ms = 9};
    const struct pv_room_make make = {.network = network, .signer = pv_appsigner_of(a.node[0]->sk)};
    const struct world_node *invited = world_find(a.text[0]);
    size_t len;
    const uint8_t *room = world_room(a.word[1]);
    if (room == NULL)
        complain("nobody knows %s", a.word[1]);
    if (rec.type == PV_ROOM_TEXT) {
        rec.seq = a.number[0];
        rec.text = pv_view(a.text[0], strlen(a.text[0]));
    } else {
        rec.round = (uint32_t)a.number[0];
        memcpy(rec.node, invited == NULL ? (const uint8_t *)&a.number[0] : invited->pk,
               invited == NULL ? sizeof(a.number[0]) : sizeof(rec.node));
    }
    memcpy(rec.room, room, sizeof(rec.room));
    memcpy(frame.room, room, sizeof(frame.room));
    memcpy(rec.signer, a.node[1]->pk, sizeof(rec.signer));
    assert_ok(pv_room_record_make(&make, &rec, raw, &len));
    frame.records[0] = pv_view(raw, len);
    assert_ok(pv_room_frame_write(&frame, line, &len));
    world_type(a.node[0], line, len);
    world_run(PV_MS(100));
}

static void hangs_up(void)
{
    world_hang_up(a.node[0]);
    world_run(PV_MS(100));
}

static void forgets(void)
{
    struct world_node *n = a.node[0];
    struct world_text *const texts[] = {&n->heard, &n->log, &n->ran};
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++)
        texts[i]->len = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++)
        world_text_add(texts[i], "", 0);
    n->opened = n->wanted = n->released = n->passed = n->ops_done = 0;
}

/* --- accidents ----------------------------------------------------------------------------- */

static uint32_t draw(uint32_t n)
{
    return (uint32_t)(test_rng_next(&world.rng) % n);
}

static void one_accident(struct world_node *n, struct world_node *other)
{
    switch (draw(8)) {
    case 0:
        world_kill(n);
        break;
    case 1:
        world_stop(n);
        break;
    case 2:
        set_cut(n, other, true);
        break;
    case 3:
        set_cut(n, other, false);
        break;
    case 4:
        world_cut_streams(n, other);
        break;
    case 5:
        n->disk = draw(2) == 0 ? WORLD_DISK_FULL : WORLD_DISK_FINE;
        break;
    case 6:
        world.no_coordinator = draw(3) == 0;
        world_changed();
        break;
    default:
        world_start(n);
        break;
    }
}

/* The file k, again and again: it is one by the name that its user gives it. */
static void offer_file(size_t k)
{
    const struct offered *o = &play.offered[k];
    char name[8], transfer[24];
    const uint8_t id[PV_FILE_ID_LEN] = {(uint8_t)(k + 1), (uint8_t)world_index(o->from)};
    (void)!pv_b64url_encode(pv_view(id, sizeof(id)), transfer, sizeof(transfer));
    snprintf(name, sizeof(name), "f%zu", k % 100);
    if (o->from->chat == NULL)
        return;
    world_pass(o->from, 1000 + (int)k, o->size);
    begin_request("file_send");
    add_field("peer", o->to->name);
    add_field("file", name);
    add_field("transfer", transfer);
    (void)ask(o->from);
}

static void say_anything(struct world_node *n, const struct world_node *other, unsigned i)
{
    char text[32];
    const char *room = play.room[world_index(n)];
    const char *to = room[0] != '\0' && draw(2) == 0 ? room : other->handle;
    if (n->chat == NULL)
        return;
    if (other->n_accept > 0 && play.n_offered < MAX_OFFERED && draw(4) == 0) {
        play.offered[play.n_offered++] =
            (struct offered){n, world_find(other->handle), draw(2000000)};
        offer_file(play.n_offered - 1);
        return;
    }
    snprintf(text, sizeof(text), "anything %u", i);
    ask_to_say(n, text, to);
    const bool waits_for_it = draw(2) == 0;
    if (!waits_for_it)
        world_ask(n, request.text);
    if (!waits_for_it || ask(n))
        note_said(n, to, text, !waits_for_it);
}

/* Then everything is repaired. */
static void trouble(void)
{
    world.rng.state = a.number[1];
    for (unsigned i = 0; i < a.number[0]; i++) {
        struct world_node *n = &world.n[draw((uint32_t)world.n_nodes)];
        struct world_node *other = &world.n[draw((uint32_t)world.n_nodes)];
        if (n == other)
            continue;
        if (draw(3) == 0)
            one_accident(n, other);
        else
            say_anything(n, other, i);
        world_run(draw(4) == 0 ? PV_MS(draw(30000)) : PV_MS(draw(60)));
    }
    world.no_coordinator = false;
    for (size_t i = 0; i < world.n_nodes; i++) {
        world.n[i].disk = WORLD_DISK_FINE;
        set_cut(&world.n[i], NULL, false);
        world_start(&world.n[i]);
    }
    world_run(PV_S(2));
    for (size_t k = 0; k < play.n_offered; k++)
        offer_file(k);
}

/* --- what is so ---------------------------------------------------------------------------- */

static size_t count_in(const char *text, const char *part)
{
    char *quoted = test_quotes(strdup(part));
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, quoted)) != NULL; at++)
        n++;
    free(quoted);
    return n;
}

static size_t count_lines(struct world_node *n, const char *text, const char *state)
{
    size_t count = 0;
    json_t *root = history(n);
    PV_EACH_JSON(json_object_get(root, "messages"), m) {
        count += (text == NULL || strcmp(pv_json_text(m, "text", ""), text) == 0) &&
                 (state == NULL || strcmp(pv_json_text(m, "state", ""), state) == 0);
    }
    json_decref(root);
    return count;
}

static bool has_once(void)
{
    return count_lines(a.node[0], a.text[0], NULL) == 1;
}

static bool has_never(void)
{
    return count_lines(a.node[0], a.text[0], NULL) == 0;
}

static bool has_lines(void)
{
    return count_lines(a.node[0], NULL, NULL) == a.number[0];
}

static bool shows(void)
{
    return count_lines(a.node[0], a.text[0], a.word[0]) == 1;
}

static bool have_connections(void)
{
    return world_streams(a.node[0], a.node[1]) == a.number[0];
}

static bool copies_wait(void)
{
    return world_copies(a.node[0]) == a.number[0];
}

static bool counts(void)
{
    uint64_t unread, queued;
    return world_count(running(a.node[0]), &unread, &queued) && unread == a.number[0] &&
           queued == a.number[1];
}

static bool cannot_count(void)
{
    uint64_t unread, queued;
    return !world_count(running(a.node[0]), &unread, &queued);
}

static bool has_in_order(void)
{
    struct world_text all = {NULL, 0};
    json_t *root = history(a.node[0]);
    PV_EACH_JSON(json_object_get(root, "messages"), m) {
        if (json_is_true(json_object_get(m, "own")))
            continue;
        const char *text = pv_json_text(m, "text", "");
        world_text_add(&all, " ", all.len > 0);
        world_text_add(&all, text, strlen(text));
    }
    json_decref(root);
    const bool is = strcmp(world_text(&all), a.text[0]) == 0;
    static char got[512];
    snprintf(got, sizeof(got), "it has \"%.480s\"", world_text(&all));
    why_not = got;
    free(all.text);
    return is;
}

static const char *why_waits(struct world_node *n)
{
    return world_held(n, a.node[1]);
}

static bool says_no_why(void)
{
    return world_held(a.node[0], a.node[1])[0] == '\0';
}

static bool reads_nothing(void)
{
    const char *text = world_typed_back(a.node[0]);
    why_not = text;
    return text != NULL && text[0] == '\0';
}

static bool is_hung_up_on(void)
{
    return world_typed_back(a.node[0]) == NULL;
}

/* The files of the machine by this name whose JSON has this. */
static unsigned count_files(struct world_node *n, const char *name, const char *part)
{
    const struct world_text kept = n->answer;
    n->answer = (struct world_text){NULL, 0};
    const char *answer = world_answer(running(n), "\"cmd\":\"files\"");
    json_t *root = answer == NULL ? NULL : json_loads(answer, 0, NULL);
    unsigned count = 0;
    PV_EACH_JSON(json_object_get(root, "files"), f) {
        char *text = json_dumps(f, JSON_COMPACT);
        count += strcmp(pv_json_text(f, "name", ""), name) == 0 && count_in(text, part) > 0;
        free(text);
    }
    json_decref(root);
    free(n->answer.text);
    n->answer = kept;
    return count;
}

static bool file_has(void)
{
    return count_files(a.node[0], a.text[0], a.text[1]) > 0;
}

/* All that was offered in times of trouble. */
static bool files_are_there(void)
{
    static char name[8];
    for (size_t k = 0; k < play.n_offered; k++) {
        struct world_node *to = play.offered[k].to;
        snprintf(name, sizeof(name), "f%zu", k % 100);
        why_not = name;
        if (count_files(to, name, "'direction':'in'") != 1 ||
            count_files(to, name, "'state':'done'") != 1 ||
            count_files(play.offered[k].from, name, "'state':'done'") != 1)
            return false;
    }
    return play.n_offered > 0;
}

/* All that somebody said to this machine, or in its room, is there once and in order. */
static const char *look_through(struct world_node *n, const struct world_node *from)
{
    static char why[MAX_LINE];
    json_t *root = history(n);
    for (int rooms = 0; rooms < 2; rooms++) {
        const char *to = rooms ? play.room[world_index(n)] : n->handle;
        size_t k = 0;
        PV_EACH_JSON(json_object_get(root, "messages"), m) {
            const char *text = pv_json_text(m, "text", "");
            const bool in_room = json_is_string(json_object_get(m, "room"));
            if (in_room != (rooms != 0) || strcmp(pv_json_text(m, "from", ""), from->name) != 0)
                continue;
            for (;; k++) {
                if (k == play.n_said) {
                    snprintf(why, sizeof(why), "%s has \"%s\" of %s twice or too late", n->handle,
                             text, from->handle);
                    goto out;
                }
                const struct said *s = &play.said[k];
                if (s->from != from || strcmp(s->to, to) != 0)
                    continue;
                if (strcmp(s->text, text) == 0)
                    break;
                if (!s->maybe) {
                    snprintf(why, sizeof(why), "%s has \"%s\" of %s and lacks \"%s\"", n->handle,
                             text, from->handle, s->text);
                    goto out;
                }
            }
            k++;
        }
        for (; k < play.n_said; k++) {
            const struct said *s = &play.said[k];
            if (s->from == from && to[0] != '\0' && strcmp(s->to, to) == 0 && !s->maybe) {
                snprintf(why, sizeof(why), "%s lacks \"%s\" of %s", n->handle, s->text,
                         from->handle);
                goto out;
            }
        }
    }
    why[0] = '\0';
out:
    json_decref(root);
    return why[0] == '\0' ? NULL : why;
}

static bool all_have_all(void)
{
    for (size_t i = 0; i < world.n_nodes; i++) {
        for (size_t j = 0; j < world.n_nodes; j++) {
            if (i == j || world.n[i].chat == NULL)
                continue;
            why_not = look_through(&world.n[i], &world.n[j]);
            if (why_not != NULL)
                return false;
        }
    }
    return true;
}

/* --- sentences ----------------------------------------------------------------------------- */

/* In a pattern NODE, WORD, TEXT (in quotes), TIME and NUMBER stand for one word each, and … for all
 * that follow. Of the rest a row has one: what is done, or what is so and may stand behind within
 * and for. */
static const struct sentence {
    const char *pattern;
    void (*does)(void);
    void (*with)(int arg);
    int arg;
    void (*node)(struct world_node *n); /* done to the node */
    /* A request, which must be taken (!): w the word, n the second node, i the number. */
    const char *ask;
    size_t sets;      /* place in the node of what becomes the number */
    uint64_t *global; /* the same of the world */
    bool *flag;       /* of the world, which becomes arg */
    bool (*is)(void);
    /* The text is in this one, of the node; with a NUMBER so often; not, where the pattern says so.
     */
    const char *(*text)(struct world_node *n);
    size_t heard;   /* place in the node */
    size_t counter; /* place in the node of what is the number, or at most or at least it */
} sentences[] = {
    {"network …", .does = network},
    {"NODE says TEXT to WORD", .does = says},
    {"NODE tries to say TEXT to WORD", .does = tries_to_say},
    {"NODE begins to say TEXT to WORD", .does = begins_to_say},
    {"NODE asks WORD …", .does = asks},
    {"NODE makes room WORD", .does = makes_room},
    {"NODE invites NODE to WORD", .ask = "!room_invite room=w peer=n"},
    {"NODE enters WORD", .does = enters},
    {"NODE leaves WORD", .does = leaves_room},
    {"NODE offers TEXT of NUMBER bytes to WORD", .with = offers},
    {"NODE offers the same TEXT of NUMBER bytes to WORD", .with = offers, .arg = true},
    {"NODE passes a descriptor", .does = passes},
    {"NODE accepts files from nobody now", .does = accepts_from_nobody},
    {"NODE accepts file NUMBER", .ask = "file_accept number=i"},
    {"NODE stops file NUMBER", .ask = "file_stop number=i"},
    {"NODE saves file NUMBER", .ask = "file_saved number=i"},
    {"NODE gets file NUMBER", .ask = "file_get number=i"},
    {"wait TIME", .does = waits},
    {"kill NODE", .node = world_kill},
    {"start NODE", .node = world_start},
    {"stop NODE", .node = world_stop},
    {"restart NODE", .does = restarts},
    {"cut NODE", .with = cuts, .arg = true},
    {"cut NODE TIME", .with = cuts, .arg = true},
    {"cut NODE from NODE", .with = cuts, .arg = true},
    {"heal NODE", .with = cuts},
    {"heal NODE and NODE", .with = cuts},
    {"break connections of NODE", .does = breaks},
    {"break connections of NODE and NODE", .does = breaks},
    {"NODE goes silent for NODE", .with = silences, .arg = true},
    {"NODE is heard by NODE again", .with = silences},
    {"NODE denies WORD WORD NODE", .with = set_rule, .arg = true},
    {"NODE allows WORD WORD NODE", .with = set_rule},
    {"disk of NODE is fine", .with = sets_disk, .arg = WORLD_DISK_FINE},
    {"disk of NODE is low", .with = sets_disk, .arg = WORLD_DISK_LOW},
    {"disk of NODE is full", .with = sets_disk, .arg = WORLD_DISK_FULL},
    {"disk of NODE is off", .with = sets_disk, .arg = WORLD_DISK_OFF},
    {"disk of NODE is losing", .with = sets_disk, .arg = WORLD_DISK_LOSES},
    {"back up the disk of NODE", .with = backs_up},
    {"bring back the disk of NODE", .with = backs_up, .arg = true},
    {"logs of NODE have NUMBER texts", .does = lengthens},
    {"interface of NODE goes up", .with = sets_interface, .arg = true},
    {"interface of NODE goes down", .with = sets_interface},
    {"clock of NODE jumps TIME", .does = jumps},
    {"rename NODE to WORD", .does = renames},
    {"remove NODE", .with = ends, .arg = PV_OVERLAY_REMOVED},
    {"NODE leaves", .with = ends, .arg = PV_OVERLAY_LEFT},
    {"NODE is a phone", .does = becomes_phone},
    {"WORD joins", .does = joins},
    {"WORD is a member", .does = is_member},
    {"WORD joins by the token of NODE", .does = joins_by},
    {"the program works", .flag = &world.program_fails},
    {"the program fails", .flag = &world.program_fails, .arg = true},
    {"the program takes TIME", .global = &world.program_time},
    {"the coordinator goes", .with = coordinator, .arg = true},
    {"the coordinator returns", .with = coordinator},
    {"the coordinator forgets copies", .does = world_forget_copies},
    {"the coordinator answers well", .with = coordinator_answers},
    {"the coordinator answers limit", .with = coordinator_answers, .arg = PV_CTL_E_LIMIT},
    {"the coordinator answers storage", .with = coordinator_answers, .arg = PV_CTL_E_STORAGE},
    {"the coordinator answers forbidden", .with = coordinator_answers, .arg = PV_CTL_E_NOT_ALLOWED},
    {"NODE signs on", .with = signs},
    {"NODE signs off", .with = signs, .arg = true},
    {"NODE sleeps TIME", .does = resumes},
    {"NODE keeps messages TIME", .does = keeps},
    {"NODE has room for NUMBER bytes", .sets = offsetof(struct world_node, max_bytes)},
    {"NODE takes NUMBER unread lines of NODE", .does = takes_more},
    {"client of NODE hangs up", .does = changes_client},
    {"NODE accepts files from WORD up to NUMBER", .does = accepts_up_to},
    {"NODE has-no plain-text now", .with = has_trait,
     .arg = (int)offsetof(struct world_node, given.plain_off)},
    {"NODE has-no copies now", .with = has_trait,
     .arg = -(int)offsetof(struct world_node, given.store)},
    {"NODE has program now", .with = has_trait,
     .arg = (int)offsetof(struct world_node, given.notify)},
    {"NODE has-no proof now", .with = has_trait, .arg = (int)offsetof(struct world_node, no_proof)},
    {"NODE has rules now", .with = has_rules},
    {"NODE has-no rules now", .with = has_rules, .arg = true},
    {"NODE has door now", .with = has_door},
    {"NODE has-no door now", .with = has_door, .arg = true},
    {"NODE connects to NODE", .with = connects, .arg = PV_CHAT_PORT},
    {"NODE connects to NODE for files", .with = connects, .arg = PV_FILE_PORT},
    {"NODE types TEXT", .with = types, .arg = 100},
    {"NODE types TEXT at once", .with = types},
    {"NODE is a ghost", .with = becomes_stranger, .arg = true},
    {"NODE is a stranger", .with = becomes_stranger},
    {"NODE hands WORD NUMBER TEXT of NODE in WORD", .does = hands},
    {"NODE hangs up", .does = hangs_up},
    {"files go at NUMBER bytes", .global = &world.file_rate},
    {"files are sound", .flag = &world.spoils},
    {"files are spoilt", .flag = &world.spoils, .arg = true},
    {"forget what NODE heard", .does = forgets},
    {"trouble NUMBER steps from seed NUMBER", .does = trouble},
    {"NODE has TEXT once", .is = has_once},
    {"NODE has TEXT never", .is = has_never},
    {"NODE got TEXT", .is = has_in_order},
    {"NODE has NUMBER lines", .is = has_lines},
    {"NODE shows TEXT as WORD", .is = shows},
    {"NODE is told TEXT", .heard = offsetof(struct world_node, answer)},
    {"NODE is not told TEXT", .heard = offsetof(struct world_node, answer)},
    {"NODE heard TEXT", .heard = offsetof(struct world_node, heard)},
    {"NODE heard TEXT NUMBER times", .heard = offsetof(struct world_node, heard)},
    {"NODE logged TEXT", .heard = offsetof(struct world_node, log)},
    {"NODE logged TEXT NUMBER times", .heard = offsetof(struct world_node, log)},
    {"NODE ran TEXT NUMBER times", .heard = offsetof(struct world_node, ran)},
    {"status of NODE has TEXT", .text = world_status},
    {"status of NODE lacks TEXT", .text = world_status},
    {"NODE and NODE have NUMBER connections", .is = have_connections},
    {"NODE opened at most NUMBER connections", .counter = offsetof(struct world_node, opened)},
    {"NODE opened at least NUMBER connections", .counter = offsetof(struct world_node, opened)},
    {"NODE wanted at least NUMBER paths", .counter = offsetof(struct world_node, wanted)},
    {"store of NODE did at most NUMBER operations",
     .counter = offsetof(struct world_node, ops_done)},
    {"NUMBER copies wait for NODE", .is = copies_wait},
    {"NODE counts NUMBER unread and NUMBER queued", .is = counts},
    {"NODE cannot count", .is = cannot_count},
    {"NODE says why NODE waits TEXT", .text = why_waits},
    {"NODE says nothing of why NODE waits", .is = says_no_why},
    {"NODE gave back NUMBER files", .counter = offsetof(struct world_node, released)},
    {"NODE was passed NUMBER files", .counter = offsetof(struct world_node, passed)},
    {"NODE reads TEXT", .text = world_typed_back},
    {"NODE reads nothing", .is = reads_nothing},
    {"NODE is hung up on", .is = is_hung_up_on},
    {"file TEXT of NODE has TEXT", .is = file_has},
    {"every file is there once", .is = files_are_there},
    {"everybody has everything once in order", .is = all_have_all},
};

/* "30", "30s", "5ms", "2m", "3h", "14d". */
static bool read_number(const char *word, bool is_time, uint64_t *ret)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {
        {"ms", PV_MS(1)}, {"s", PV_S(1)}, {"m", PV_S(60)}, {"h", PV_S(3600)}, {"d", PV_S(86400)}};
    char *end;
    *ret = strtoull(word, &end, 10);
    if (end == word)
        return false;
    if (!is_time)
        return *end == '\0';
    for (size_t i = 0; i < PV_ARRAY_LEN(units); i++) {
        if (strcmp(units[i].unit, end) == 0) {
            *ret *= units[i].ns;
            return true;
        }
    }
    return false;
}

/* Returns true if the word fits the pattern's, and then notes it in a. */
static bool take_word(const char *pattern, size_t len, const struct word *w)
{
    const struct {
        const char *name;
        bool fits;
    } kinds[] = {{"NODE", !w->quoted && world_find(w->text) != NULL && a.n_nodes < WORLD_MAX},
                 {"WORD", a.n_words < PV_ARRAY_LEN(a.word)},
                 {"TEXT", w->quoted && a.n_texts < PV_ARRAY_LEN(a.text)},
                 {"TIME", a.n_numbers < PV_ARRAY_LEN(a.number)},
                 {"NUMBER", a.n_numbers < PV_ARRAY_LEN(a.number)}};
    size_t kind = 0;
    while (kind < PV_ARRAY_LEN(kinds) &&
           (strlen(kinds[kind].name) != len || strncmp(kinds[kind].name, pattern, len) != 0))
        kind++;
    if (kind == PV_ARRAY_LEN(kinds))
        return !w->quoted && strlen(w->text) == len && strncmp(w->text, pattern, len) == 0;
    if (!kinds[kind].fits)
        return false;
    switch (kind) {
    case 0:
        a.node[a.n_nodes++] = world_find(w->text);
        return true;
    case 1:
        a.word[a.n_words++] = w->text;
        return true;
    case 2:
        a.text[a.n_texts++] = w->text;
        return true;
    default:
        return read_number(w->text, kind == 3, &a.number[a.n_numbers++]);
    }
}

static bool fits(const char *pattern, const struct word *words, size_t n)
{
    size_t i = 0;
    memset(&a, 0, sizeof(a));
    while (*pattern != '\0') {
        const size_t len = strcspn(pattern, " ");
        if (strncmp(pattern, "…", len) == 0) {
            a.rest = words + i;
            a.n_rest = n - i;
            return true;
        }
        if (i == n || !take_word(pattern, len, &words[i++]))
            return false;
        pattern += len + strspn(pattern + len, " ");
    }
    return i == n;
}

static const struct sentence *find_sentence(const struct word *words, size_t n)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(sentences); i++) {
        if (fits(sentences[i].pattern, words, n))
            return &sentences[i];
    }
    complain("no sentence is like this one");
}

static bool is_said_of(const char *pattern, const char *words)
{
    return strstr(pattern, words) != NULL;
}

/* Is it so? */
static bool is_so(const struct sentence *s)
{
    const struct world_node *n = a.node[0];
    if (s->is != NULL)
        return s->is();
    if (s->counter != 0) {
        const unsigned is = *(const unsigned *)(const void *)((const char *)n + s->counter);
        return is_said_of(s->pattern, "at most")    ? is <= a.number[0]
               : is_said_of(s->pattern, "at least") ? is >= a.number[0]
                                                    : is == a.number[0];
    }
    if (s->text == NULL && s->heard == 0)
        complain("this does something, and says nothing that could be so");
    const struct world_text *heard = (const void *)((const char *)n + s->heard);
    const char *text = s->text != NULL ? s->text(a.node[0]) : world_text(heard);
    if (text == NULL)
        return false;
    const size_t times = count_in(text, a.text[0]);
    if (a.n_numbers > 0)
        return times == a.number[0];
    return (times > 0) != (is_said_of(s->pattern, " not ") || is_said_of(s->pattern, "lacks"));
}

static void ask_row(const char *row)
{
    char number[32], fields[64];
    const bool must = row[0] == '!';
    snprintf(fields, sizeof(fields), "%s", row + must);
    char *rest = fields, *part = strsep(&rest, " ");
    begin_request(part);
    while ((part = strsep(&rest, " ")) != NULL) {
        const char *field = strsep(&part, "=");
        snprintf(number, sizeof(number), ",\"%s\":%llu", field, (unsigned long long)a.number[0]);
        if (part[0] == 'i')
            add(number);
        else
            add_field(field, part[0] == 'n' ? a.node[1]->name : a.word[0]);
    }
    if (must)
        must_ask(a.node[0]);
    else
        (void)ask(a.node[0]);
}

static void carry_out(const struct sentence *s)
{
    if (s->does != NULL)
        s->does();
    else if (s->with != NULL)
        s->with(s->arg);
    else if (s->node != NULL)
        s->node(a.node[0]);
    else if (s->ask != NULL)
        ask_row(s->ask);
    else if (s->sets != 0)
        *(uint64_t *)(void *)((char *)a.node[0] + s->sets) = a.number[0];
    else if (s->flag != NULL)
        *s->flag = s->arg != 0;
    else if (s->global != NULL)
        *s->global = a.number[0];
    else if (!is_so(s))
        complain("it is not so: %s", why_not == NULL ? "" : why_not);
}

/* fails: by it the sentence must hold, or (holds) up to it. */
static void wait_for(const struct sentence *s, pv_ns time, bool holds)
{
    const pv_ns end = world.now + time;
    const pv_ns step = time / 100 > PV_MS(10) ? time / 100 : PV_MS(10);
    bool so;
    while ((so = is_so(s)) == holds && world.now < end)
        world_run(pv_min_ns(step, end - world.now));
    if (!so)
        complain("it is not so: %s", why_not == NULL ? "" : why_not);
}

static void show(void)
{
    for (size_t i = 0; i < a.n_nodes; i++)
        fprintf(stderr, "    %s: answer %s\n    heard %s\n    log %s\n", a.node[i]->handle,
                world_text(&a.node[i]->answer), world_text(&a.node[i]->heard),
                world_text(&a.node[i]->log));
}

static void run_sentence(const struct word *words, size_t n)
{
    uint64_t number;
    why_not = NULL;
    const char *first = n > 2 && !words[0].quoted ? words[0].text : "";
    if ((strcmp(first, "within") == 0 || strcmp(first, "for") == 0 ||
         strcmp(first, "after") == 0) &&
        read_number(words[1].text, true, &number)) {
        const struct sentence *s;
        if (first[0] == 'a') {
            world_run(number);
            run_sentence(words + 2, n - 2);
            return;
        }
        s = find_sentence(words + 2, n - 2);
        wait_for(s, number, first[0] == 'f');
        return;
    }
    carry_out(find_sentence(words, n));
}

/* --- files of scenarios -------------------------------------------------------------------- */

static char *add_count(char *to)
{
    return to + snprintf(to, 12, "%u", play.count);
}

/* <key NAME>, <room ROOM> (as the first machine knows it): 16 or 32 bytes as JSON has them. Returns
 * what follows, or NULL: it is neither. */
static char *read_id(char *at, char **to)
{
    char word[PV_NAME_BUF + 2], kind[5];
    int len = 0;
    if (sscanf(at, "<%4[a-z] %63[^>]>%n", kind, word, &len) != 2 || len == 0)
        return NULL;
    const struct world_node *n = world_find(word);
    const uint8_t *id = n != NULL ? n->pk : world_room(word);
    if (id == NULL)
        complain("nobody knows %s", word);
    (void)!pv_b64url_encode(pv_view(id, n != NULL ? 32 : PV_ROOM_ID_LEN), *to, 64);
    *to += strlen(*to);
    return at + len - 1;
}

/* Reads a text in quotes, with \n, \", \\ and \e; % is the count. Returns what follows. */
static char *read_text(char *at, char **ret_text, char **to)
{
    char *id;
    *ret_text = *to;
    for (; *at != '"'; at++) {
        if (*at == '\0')
            complain("a text does not end");
        if (*at == '\\') {
            at++;
            *(*to)++ = *at == 'n'   ? '\n'
                       : *at == 'r' ? '\r'
                       : *at == 'e' ? '\033'
                       : *at == 't' ? '\t'
                                    : *at;
        } else if (*at == '<' && (id = read_id(at, to)) != NULL) {
            at = id;
        } else if (*at == '%') {
            *to = add_count(*to);
        } else {
            *(*to)++ = *at;
        }
    }
    *(*to)++ = '\0';
    return at + 1;
}

static size_t split(char *line, struct word *words, char *to)
{
    size_t n = 0;
    for (char *at = line;; n++) {
        at += strspn(at, " ,");
        if (*at == '\0')
            return n;
        if (n == MAX_WORDS)
            complain("too many words");
        words[n] = (struct word){.is_id = at[0] == '@', .quoted = at[at[0] == '@'] == '"'};
        if (words[n].quoted) {
            at = read_text(at + 1 + words[n].is_id, &words[n].text, &to);
        } else {
            words[n].text = to;
            for (; *at != '\0' && strchr(" ,", *at) == NULL; at++) {
                if (*at == '%')
                    to = add_count(to);
                else
                    *to++ = *at;
            }
            *to++ = '\0';
        }
    }
}

static void end_scenario(void)
{
    if (!play.in_scenario)
        return;
    world_end();
    play.in_scenario = false;
    play.n_said = play.n_offered = 0;
    memset(play.room, 0, sizeof(play.room));
}

static void begin_scenario(const char *name)
{
    const char *wanted = getenv("PV_SCENARIO");
    end_scenario();
    snprintf(play.scenario, sizeof(play.scenario), "%s", name);
    play.skips = wanted != NULL && strstr(name, wanted) == NULL;
    if (play.skips)
        return;
    world_begin(play.n_played++ + 1);
    play.in_scenario = true;
}

/* "N times" again and again: the count stands in the texts. */
static void play_line(char *line)
{
    static char buf[MAX_TEXT];
    struct word words[MAX_WORDS];
    unsigned times = 1;
    int at = 0;
    play.count = 0;
    if (sscanf(line, "%u times %n", &times, &at) == 1 && at > 0)
        line += at;
    else
        times = 1;
    for (unsigned i = 0; i < times; i++) {
        play.count = i;
        run_sentence(words, split(line, words, buf));
    }
}

static void play_file(const char *path)
{
    static char line[MAX_LINE];
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        play.n_failed++;
        return;
    }
    play.file = path;
    play.line = 0;
    play.skips = true;
    while (fgets(line, sizeof(line), f) != NULL) {
        play.line++;
        line[strcspn(line, "\n")] = '\0';
        snprintf(play.sentence, sizeof(play.sentence), "%s", line);
        if (strncmp(line, "scenario ", 9) == 0) {
            begin_scenario(line + 9);
        } else if (!play.skips && line[strspn(line, " ")] != '\0' && line[0] != '#') {
            if (setjmp(play.failed) == 0) {
                play_line(line);
            } else {
                show();
                play.n_failed++;
                play.skips = true;
                if (getenv("PV_SCENARIO_FIRST") != NULL)
                    exit(1);
            }
        }
    }
    end_scenario();
    (void)fclose(f);
}

int main(int argc, char **argv)
{
    glob_t found = {0};
    if (pv_crypto_init() != PV_OK)
        return 1;
    if (argc == 1)
        (void)glob(PV_TESTS_DIR "/chat/*.chat", 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++)
        play_file(found.gl_pathv[i]);
    for (int i = 1; i < argc; i++)
        play_file(argv[i]);
    globfree(&found);
    free(request.text);
    printf("%u scenarios, %u failed\n", play.n_played, play.n_failed);
    return play.n_failed > 0 || play.n_played == 0;
}
