/* SPDX-License-Identifier: MIT */
/*
 * stack_out.h - packets of lwIP on their way into a queue. For lib/sys/stack only.
 *
 * The kernel lets a queue hold a few hundred packets (net.core.wmem_max), and lwIP sends a whole
 * window at once when it may. Packets that do not fit wait here, in order.
 */
#pragma once

#include "base/pv.h"

struct pbuf;

enum {
    PV_STACK_OUT_MAX = 8192, /* ours: packets, two of the largest windows */
};

/* Zero is empty. */
struct pv_stack_out {
    struct pbuf *first, *last; /* linked by their own `next`, a packet each */
    unsigned n;
};

/* Sends a packet, of which it takes no reference, or keeps a copy behind those that wait. A packet
 * is lost when too many wait, when there is no memory, and when the queue has ended. */
void pv_stack_out_send(struct pv_stack_out *out, int fd, const struct pbuf *packet);
/* Sends what waits, as far as the queue takes it. */
void pv_stack_out_flush(struct pv_stack_out *out, int fd);
/* Frees every packet. */
void pv_stack_out_clear(struct pv_stack_out *out);
