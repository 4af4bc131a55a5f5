/* SPDX-License-Identifier: MIT */
/*
 * stack_sender.h - what lwIP's TCP lacks where it sends: it finds lost segments by selective
 * acknowledgements, sends them again, and sizes the window (cubic.h). For lib/sys/stack only.
 *
 * lwIP knows one lost segment a round trip and takes a late one for lost. Here a segment is lost
 * when segments behind it have arrived and a quarter of a round trip has passed since. lwIP keeps
 * the segments, the timers and the member's window. A member without selective acknowledgements
 * gets what lwIP does.
 */
#pragma once

#include "base/pv.h"

struct tcp_pcb;

/* Call it in place of tcp_output(), which knows no larger window than the last one. */
void pv_stack_sender_output(struct tcp_pcb *pcb);
/* Returns how many bytes may be on their way: the congestion window, and what waits behind a lost
 * segment. */
size_t pv_stack_sender_window(const struct tcp_pcb *pcb);
/* Call it when lwIP has processed segments, and when the time that it returned is over. Returns ms
 * to wait, or UINT32_MAX. */
uint32_t pv_stack_sender_run(void);
/* Call it after lwIP's timers: which connections have begun again is their windows. */
void pv_stack_sender_timers(void);
