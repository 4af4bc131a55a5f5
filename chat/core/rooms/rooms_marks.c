/* SPDX-License-Identifier: MIT */
/* rooms_marks.c - what this node keeps of rooms beside their records: which ones users here want to
 * be in, and what they are called here. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "chat/core/rooms/rooms_int.h"

enum {
    FORM = 1,        /* first byte of the list on disk; a list with another one counts as none */
    ACCEPTED = 0x80, /* a mark's last byte on disk: this, and the piece */
    PIECE = 0x7f,

    SHORT_PIECE = 4,
    WHOLE_ID = PV_B64_LEN(PV_ROOM_ID_LEN),
};
_Static_assert((int)WHOLE_ID <= (int)PIECE, "a piece's length fits into its bits");

/* --- marks --------------------------------------------------------------------------------- */

static size_t find(const struct pv_rooms *rs, const uint8_t *id)
{
    size_t i = 0;
    while (i < rs->n_marks && memcmp(rs->marks[i].id, id, PV_ROOM_ID_LEN) != 0)
        i++;
    return i;
}

static struct pv_rooms_mark mark_of(const struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    size_t at = find(rs, room->id);
    struct pv_rooms_mark none = {0};
    memcpy(none.id, room->id, sizeof(none.id));
    return at < rs->n_marks ? rs->marks[at] : none;
}

static void drop(struct pv_rooms *rs, size_t at)
{
    rs->marks[at] = rs->marks[--rs->n_marks];
}

/* Keeps the mark. Those of rooms of another network, or that are forgotten, give way: there are no
 * more rooms than places. */
static void put(struct pv_rooms *rs, const struct pv_rooms_mark *mark)
{
    size_t at = find(rs, mark->id);
    if (at < rs->n_marks)
        drop(rs, at);
    rs->marks_dirty = true;
    if (!mark->accepted && mark->piece == 0)
        return;
    for (size_t i = rs->n_marks; rs->n_marks == PV_ROOMS_MAX_MARKS && i > 0; i--) {
        if (pv_rooms_room_find(rs, rs->marks[i - 1].id) == NULL)
            drop(rs, i - 1);
    }
    if (rs->n_marks < PV_ROOMS_MAX_MARKS)
        rs->marks[rs->n_marks++] = *mark;
}

void pv_rooms_set_marks(struct pv_rooms *rooms, struct pv_view saved)
{
    const size_t each = PV_ROOM_ID_LEN + 1;
    if (saved.len == 0 || saved.ptr[0] != FORM)
        return;
    for (size_t at = 1; at + each <= saved.len && rooms->n_marks < PV_ROOMS_MAX_MARKS; at += each) {
        struct pv_rooms_mark *mark = &rooms->marks[rooms->n_marks++];
        uint8_t bits = saved.ptr[at + PV_ROOM_ID_LEN];
        memcpy(mark->id, saved.ptr + at, PV_ROOM_ID_LEN);
        mark->accepted = (bits & ACCEPTED) != 0;
        mark->piece = (bits & PIECE) <= WHOLE_ID ? bits & PIECE : WHOLE_ID;
    }
}

size_t pv_rooms_take_marks(struct pv_rooms *rooms, bool again,
                           uint8_t ret_list[static PV_ROOMS_MARKS_LEN])
{
    size_t len = 0;
    if (!rooms->marks_dirty && !again)
        return 0;
    rooms->marks_dirty = false;
    ret_list[len++] = FORM;
    for (size_t i = 0; i < rooms->n_marks; i++) {
        const struct pv_rooms_mark *mark = &rooms->marks[i];
        memcpy(ret_list + len, mark->id, PV_ROOM_ID_LEN);
        len += PV_ROOM_ID_LEN;
        ret_list[len++] = (uint8_t)((mark->accepted ? ACCEPTED : 0) | mark->piece);
    }
    return len;
}

/* --- what a user wants to be in -------------------------------------------------------------- */

/* Members can invite whomever they like; until a user here says yes, nothing that is said in the
 * room comes here. */

bool pv_rooms_is_accepted(const struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    /* The maker of a room wants to be in it until it leaves. */
    const bool made = pv_rooms_same(room->members[0]->pk, rs->cfg.own_pk);
    return (made && (room->self == NULL || room->self->left == 0)) || mark_of(rs, room).accepted;
}

bool pv_rooms_is_wanted(const struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    return room_is_in(room->self) && pv_rooms_is_accepted(rs, room);
}

static void set_accepted(struct pv_rooms *rs, const struct pv_rooms_room *room, bool accepted)
{
    struct pv_rooms_mark mark = mark_of(rs, room);
    if (mark.accepted == accepted)
        return;
    mark.accepted = accepted;
    put(rs, &mark);
}

void pv_rooms_note_left(struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    if (!room_is_in(room->self))
        set_accepted(rs, room, false);
}

int pv_rooms_accept(struct pv_rooms *rooms, const uint8_t *id, pv_ns now)
{
    struct pv_rooms_room *room = rooms->loaded ? pv_rooms_room_find(rooms, id) : NULL;
    rooms->now = now;
    if (room == NULL || !room_is_in(room->self))
        return PV_ERR_STATE;
    if (pv_rooms_is_accepted(rooms, room))
        return PV_OK;
    struct pv_rooms_event e = {.type = PV_ROOMS_JOINED};
    memcpy(e.room, room->id, sizeof(e.room));
    memcpy(e.node, rooms->cfg.own_pk, sizeof(e.node));
    memcpy(e.by, rooms->cfg.own_pk, sizeof(e.by));
    pv_rooms_event_push(rooms, &e);
    set_accepted(rooms, room, true);
    pv_rooms_ask(rooms, room, now);
    pv_rooms_rearm(rooms, room);
    return PV_OK;
}

/* --- what rooms are called here -------------------------------------------------------------- */

/* Creators choose names and may not know of each other: two rooms of one name are possible, and the
 * one that came here second gets a piece of its id. */

bool pv_rooms_is_listed(const struct pv_rooms_room *room)
{
    return !room->pending && !room->closed && room->n_records > 0;
}

static void write_id(const uint8_t *id, char ret_text[static WHOLE_ID + 1])
{
    if (pv_b64url_encode(pv_view(id, PV_ROOM_ID_LEN), ret_text, WHOLE_ID + 1) < 0)
        ret_text[0] = '\0'; /* cannot be: there is room */
}

static const char *name_with(const char *name, const uint8_t *id, size_t piece,
                             char buf[static PV_ROOMS_NAME_BUF])
{
    char text[WHOLE_ID + 1];
    write_id(id, text);
    snprintf(buf, PV_ROOMS_NAME_BUF, "#%.*s%s%.*s", PV_ROOM_NAME_MAX, name, piece > 0 ? "~" : "",
             (int)piece, text);
    return buf;
}

const char *pv_rooms_name(const struct pv_rooms *rooms, const uint8_t *id,
                          char buf[static PV_ROOMS_NAME_BUF])
{
    const struct pv_rooms_room *room = pv_rooms_room_find(rooms, id);
    return room == NULL || !pv_rooms_is_listed(room)
               ? name_with("", id, SHORT_PIECE, buf)
               : name_with(pv_rooms_creation(room)->name, id, mark_of(rooms, room).piece, buf);
}

const char *pv_rooms_address(const uint8_t *room, char buf[static PV_ROOMS_NAME_BUF])
{
    return name_with("", room, WHOLE_ID, buf);
}

/* Capitals mean small letters, as in names of members; in the piece of an id behind "~" they are
 * others. Compared without the "#", which is often left out, since a shell wants it quoted. */
static bool is_called(const struct pv_rooms *rs, const struct pv_rooms_room *room,
                      const char *typed)
{
    char buf[PV_ROOMS_NAME_BUF], whole[PV_ROOMS_NAME_BUF];
    const char *name = pv_rooms_name(rs, room->id, buf) + 1;
    size_t n = strcspn(name, "~");
    typed += typed[0] == '#';
    return (strncasecmp(name, typed, n) == 0 && strcmp(name + n, typed + n) == 0) ||
           strcmp(pv_rooms_address(room->id, whole) + 1, typed) == 0;
}

static const struct pv_rooms_room *find_by_name(const struct pv_rooms *rs, const char *name,
                                                const struct pv_rooms_room *except)
{
    for (size_t i = 0; i < rs->n_rooms; i++) {
        const struct pv_rooms_room *room = rs->rooms[i];
        if (room != except && pv_rooms_is_listed(room) && is_called(rs, room, name))
            return room;
    }
    return NULL;
}

const uint8_t *pv_rooms_find(const struct pv_rooms *rooms, const char *name, bool left)
{
    const struct pv_rooms_room *room = find_by_name(rooms, name, NULL);
    return room == NULL || (!left && !room_is_in(room->self)) ? NULL : room->id;
}

/* One that was left keeps its name, but stands in nobody's way. */
bool pv_rooms_is_name_taken(const struct pv_rooms *rs, const char *name)
{
    const struct pv_rooms_room *room = find_by_name(rs, name, NULL);
    return room != NULL && room_is_in(room->self);
}

/* The shortest name that no other room has. A member can find an id that begins as another's does,
 * but none that is the same. */
static void choose_name(struct pv_rooms *rs, const struct pv_rooms_room *room, size_t piece)
{
    const char *name = pv_rooms_creation(room)->name;
    char buf[PV_ROOMS_NAME_BUF];
    while (piece < WHOLE_ID && find_by_name(rs, name_with(name, room->id, piece, buf), room))
        piece = piece == 0 ? SHORT_PIECE : WHOLE_ID;
    struct pv_rooms_mark mark = mark_of(rs, room);
    if (mark.piece == piece)
        return;
    mark.piece = (uint8_t)piece;
    put(rs, &mark);
}

void pv_rooms_name_new(struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    choose_name(rs, room, 0);
}

/* --- what was loaded ------------------------------------------------------------------------- */

/* Of two rooms that both come without a piece, from a release that kept none or because their mark
 * was lost on its way to the disk: which one keeps the name? The one we are in and want to be in,
 * then the one we are in, then the older one, as that release had it. */
static bool goes_before(const struct pv_rooms *rs, const struct pv_rooms_room *a,
                        const struct pv_rooms_room *b)
{
    const struct pv_room_record *ca = pv_rooms_creation(a), *cb = pv_rooms_creation(b);
    bool a_in = room_is_in(a->self), b_in = room_is_in(b->self);
    bool a_wanted = pv_rooms_is_wanted(rs, a), b_wanted = pv_rooms_is_wanted(rs, b);
    if (a_wanted != b_wanted)
        return a_wanted;
    if (a_in != b_in)
        return a_in;
    if (ca->time_ms != cb->time_ms)
        return ca->time_ms < cb->time_ms;
    return memcmp(a->id, b->id, sizeof(a->id)) < 0;
}

static void tell_apart(struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    const char *name = pv_rooms_creation(room)->name;
    for (size_t i = 0; i < rs->n_rooms && mark_of(rs, room).piece == 0; i++) {
        const struct pv_rooms_room *other = rs->rooms[i];
        if (other != room && pv_rooms_is_listed(other) && is_called(rs, other, name))
            choose_name(rs, goes_before(rs, other, room) ? room : other, SHORT_PIECE);
    }
}

void pv_rooms_note_loaded(struct pv_rooms *rs)
{
    for (size_t i = 0; i < rs->n_rooms; i++) {
        if (!pv_rooms_is_listed(rs->rooms[i]))
            continue;
        tell_apart(rs, rs->rooms[i]);
        pv_rooms_note_left(rs, rs->rooms[i]);
    }
}
