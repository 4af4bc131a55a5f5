/* SPDX-License-Identifier: MIT */
/* ctlpage.c - packed pages of statements, both directions. */
#include "proto/control/ctlpage.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "proto/control/ctlmsg_words.h"

enum {
    FORM = 1,      /* statements; the only one */
    FLAG_MORE = 1, /* ask again with have */
    FLAG_HEAD = 2, /* head and members follow */
    RUN_MAX = 255, /* bytes of a run: its length is one byte */
    RUN_MIN = 3,   /* equal bytes that are worth a run: two lengths go with each */
    RUN_LEN = 2,   /* bytes of the two lengths */
};

/* --- writing --------------------------------------------------------------------------------- */

/* How many bytes from at on are those of the field before. */
static size_t equal_bytes(struct pv_view field, struct pv_view before, size_t at)
{
    size_t n = 0;
    size_t end = field.len < before.len ? field.len : before.len;
    while (at + n < end && n < RUN_MAX && field.ptr[at + n] == before.ptr[at + n])
        n++;
    return n;
}

/* Its length, then runs: so many bytes as before, so many new ones. */
static void put_field(struct pv_writer *w, struct pv_view field, struct pv_view before)
{
    size_t at = 0;
    pv_put_u16(w, (uint16_t)field.len);
    while (at < field.len && w->status == PV_OK) {
        size_t same = equal_bytes(field, before, at), fresh = 0;
        at += same;
        while (at + fresh < field.len && fresh < RUN_MAX &&
               equal_bytes(field, before, at + fresh) < RUN_MIN)
            fresh++;
        pv_put_u8(w, (uint8_t)same);
        pv_put_u8(w, (uint8_t)fresh);
        pv_put_bytes(w, field.ptr + at, fresh);
        at += fresh;
    }
}

/* A run of new bytes ends only where at least RUN_MIN equal ones follow, or when it is full: so
 * lengths never take more than the runs save, but for one pair in RUN_MAX bytes and the first. */
static size_t field_max(size_t len)
{
    return sizeof(uint16_t) + len + RUN_LEN * (len / RUN_MAX + 2);
}

size_t pv_ctlpage_item_max(const struct pv_ctl_item *item)
{
    return field_max(item->statement.len) + field_max(item->receipt.len);
}

static void put_head(struct pv_writer *w, const struct pv_ctl_msg *msg, size_t raw)
{
    const struct pv_ctl_statements *st = &msg->u.statements;
    pv_put_u8(w, PV_CTLPAGE_FIRST);
    pv_put_u8(w, FORM);
    pv_put_u64(w, msg->kind == PV_CTL_PUSH ? 0 : msg->id);
    pv_put_u8(w, (uint8_t)((st->more ? FLAG_MORE : 0) | (st->has_head ? FLAG_HEAD : 0)));
    pv_put_u64(w, st->have.epoch);
    pv_put_u64(w, st->have.n);
    pv_put_u8(w, (uint8_t)st->n);
    pv_put_u16(w, (uint16_t)raw);
    if (!st->has_head)
        return;
    pv_put_bytes(w, st->head, sizeof(st->head));
    pv_put_bytes(w, st->members, sizeof(st->members));
}

int pv_ctlpage_build(const struct pv_ctl_msg *msg, void *buf, size_t cap, size_t *ret_len)
{
    const struct pv_ctl_statements *st = &msg->u.statements;
    struct pv_writer w = pv_writer(buf, cap < PV_CTL_TEXT_MAX ? cap : PV_CTL_TEXT_MAX);
    struct pv_view statement = {0}, receipt = {0};
    size_t raw = 0;
    if (msg->type != PV_CTL_STATEMENTS || msg->kind == PV_CTL_REQUEST || st->n > PV_CTL_ITEMS_MAX ||
        st->have.epoch > PV_CTL_U64_MAX || st->have.n > PV_CTL_U64_MAX ||
        (msg->kind == PV_CTL_ANSWER && (msg->id == 0 || msg->id > PV_CTL_ID_MAX)))
        return PV_ERR_STATE;
    for (size_t i = 0; i < st->n; i++) {
        const struct pv_ctl_item *item = &st->items[i];
        if (item->statement.len == 0 || item->statement.len > PV_CTL_STATEMENT_MAX ||
            item->receipt.len > PV_CTL_RECEIPT_MAX)
            return PV_ERR_STATE;
        raw += item->statement.len + item->receipt.len;
    }
    if (raw > PV_CTL_TEXT_MAX)
        return PV_ERR_NO_SPACE;
    put_head(&w, msg, raw);
    for (size_t i = 0; i < st->n; i++) {
        put_field(&w, st->items[i].statement, statement);
        put_field(&w, st->items[i].receipt, receipt);
        statement = st->items[i].statement;
        receipt = st->items[i].receipt;
    }
    if (w.status == PV_OK)
        *ret_len = w.len;
    return w.status;
}

/* --- reading --------------------------------------------------------------------------------- */

/* The room that is left for unpacked bytes. */
struct unpacked {
    uint8_t *at;
    size_t left;
};

/* Unpacks a field; what does not fit or add up fails the reader. */
static struct pv_view get_field(struct pv_reader *r, struct unpacked *room, struct pv_view before,
                                size_t max)
{
    uint8_t *field = room->at;
    size_t len = pv_get_u16(r), at = 0;
    if (len > max || len > room->left) {
        pv_reader_fail(r, PV_ERR_MALFORMED);
        return pv_view(NULL, 0);
    }
    while (at < len && r->status == PV_OK) {
        size_t same = pv_get_u8(r), fresh = pv_get_u8(r);
        if (same + fresh == 0 || same + fresh > len - at || (same > 0 && at + same > before.len)) {
            pv_reader_fail(r, PV_ERR_MALFORMED);
            break;
        }
        if (same > 0)
            memcpy(field + at, before.ptr + at, same);
        pv_get_copy(r, field + at + same, fresh);
        at += same + fresh;
    }
    room->at += len;
    room->left -= len;
    return pv_view(field, len);
}

static void get_items(struct pv_reader *r, struct pv_ctl_item *items, size_t n,
                      struct unpacked *room)
{
    static const struct pv_ctl_item none;
    const struct pv_ctl_item *before = &none;
    for (size_t i = 0; i < n && r->status == PV_OK; i++) {
        items[i].statement = get_field(r, room, before->statement, PV_CTL_STATEMENT_MAX);
        items[i].receipt = get_field(r, room, before->receipt, PV_CTL_RECEIPT_MAX);
        if (items[i].statement.len == 0)
            pv_reader_fail(r, PV_ERR_MALFORMED);
        before = &items[i];
    }
    if (room->left > 0)
        pv_reader_fail(r, PV_ERR_MALFORMED);
}

/* The first part, up to the items. */
static void get_head(struct pv_reader *r, struct pv_ctl_msg *msg, size_t *ret_raw)
{
    struct pv_ctl_statements *st = &msg->u.statements;
    (void)pv_get_u8(r);
    uint8_t form = pv_get_u8(r);
    msg->type = PV_CTL_STATEMENTS;
    msg->id = pv_get_u64(r);
    msg->kind = msg->id == 0 ? PV_CTL_PUSH : PV_CTL_ANSWER;
    uint8_t flags = pv_get_u8(r);
    st->have.epoch = pv_get_u64(r);
    st->have.n = pv_get_u64(r);
    st->n = pv_get_u8(r);
    *ret_raw = pv_get_u16(r);
    st->more = (flags & FLAG_MORE) != 0;
    st->has_head = (flags & FLAG_HEAD) != 0;
    if (st->has_head) {
        pv_get_copy(r, st->head, sizeof(st->head));
        pv_get_copy(r, st->members, sizeof(st->members));
    }
    if (form != FORM || (flags & ~(FLAG_MORE | FLAG_HEAD)) != 0 || msg->id > PV_CTL_ID_MAX ||
        st->have.epoch > PV_CTL_U64_MAX || st->have.n > PV_CTL_U64_MAX ||
        st->n > PV_CTL_ITEMS_MAX || *ret_raw > PV_CTL_TEXT_MAX)
        pv_reader_fail(r, PV_ERR_MALFORMED);
}

/* The message says how much it is unpacked, which has a limit: it cannot take more memory than a
 * page of JSON. */
int pv_ctlpage_parse(struct pv_view text, struct pv_ctl_msg **ret_msg)
{
    struct pv_reader r = pv_reader(text);
    struct pv_ctl_msg head = {0};
    size_t raw = 0;
    if (text.len > PV_CTL_TEXT_MAX)
        return PV_ERR_LIMIT;
    get_head(&r, &head, &raw);
    if (r.status != PV_OK)
        return PV_ERR_MALFORMED;
    size_t n = head.u.statements.n;
    struct pv_ctl_owned *own = pv_ctl_owned_new(n * sizeof(struct pv_ctl_item) + raw);
    if (own == NULL)
        return PV_ERR_NOMEM;
    struct pv_ctl_item *items = (struct pv_ctl_item *)(void *)own->mem;
    struct unpacked room = {.at = own->mem + n * sizeof(*items), .left = raw};
    get_items(&r, items, n, &room);
    if (pv_reader_end(&r) != PV_OK) {
        pv_ctl_msg_free(&own->msg);
        return PV_ERR_MALFORMED;
    }
    own->msg = head;
    own->msg.u.statements.items = items;
    *ret_msg = &own->msg;
    return PV_OK;
}
