/* SPDX-License-Identifier: MIT */
/* Everything that was thrown away, by reason: for status and metrics. */
#include "daemon/core/chat/copies.h"
#include "daemon/core/chat/rooms.h"
#include "daemon/core/engine_int.h"

struct list {
    struct pv_engine_drop *drops;
    size_t n;
};

static void add(struct list *l, const char *reason, uint64_t count)
{
    l->drops[l->n++] = (struct pv_engine_drop){.reason = reason, .count = count};
}

/* Of all packets, also those of nobody and of peers that have gone. */
static void add_packets(struct list *l, const struct pv_engine_datapath *d)
{
    for (unsigned r = 0; r < PV_FP_DROP_REASONS; r++)
        add(l, pv_fp_drop_name((enum pv_fp_drop)r), d->drops[r]);
    add(l, "not-received", d->not_received);
    add(l, "not-sent", d->not_sent);
    add(l, "not-written", d->not_written);
    add(l, "not-handled", d->not_handled);
    add(l, "not-injected", d->not_injected);
    add(l, "not-relayed", d->not_relayed);
}

size_t pv_engine_drops(const struct pv_engine *e,
                       struct pv_engine_drop ret_drops[static PV_ENGINE_DROPS])
{
    struct list l = {.drops = ret_drops};
    const struct pv_chatlink_counts chat = pv_chatlink_counts(e->node.chatlink);
    const struct pv_rooms_counts rooms = pv_rooms_counts(e->node.rooms);
    const struct pv_copies_counts copies =
        pv_copies_counts(pv_node_part(&e->node, &pv_part_copies));
    add_packets(&l, &e->datapath);
    add(&l, "chat-frame", chat.bad_frames);
    add(&l, "chat-flood", chat.floods);
    add(&l, "room-forged", rooms.forged);
    add(&l, "room-frame", rooms.bad_frames);
    add(&l, "room-stranger", rooms.strangers);
    add(&l, "room-flood", rooms.floods);
    add(&l, "room-full", rooms.full);
    add(&l, "copy-refused", copies.refused);
    add(&l, "copy-forged", copies.forged);
    add(&l, "copy-frame", copies.bad_frames);
    return l.n;
}
