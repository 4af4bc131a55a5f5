/* SPDX-License-Identifier: MIT */
/* without_lwip.c - a program built without the source of lwIP: the kernel's networks alone. */
#include "sys/stack/stack.h"

bool pv_stack_is_built(void)
{
    return false;
}

int pv_stack_new(struct pv_stack **ret_stack, struct pv_loop *loop, uint32_t seed)
{
    return PV_ERR_UNSUPPORTED;
}

struct pv_stack *pv_stack_free(struct pv_stack *s)
{
    return NULL;
}

int pv_stack_up(struct pv_stack *s, const struct pv_prefix *addrs, size_t n, uint16_t mtu,
                unsigned queues, int ret_fds[static PV_STACK_QUEUES])
{
    return PV_ERR_UNSUPPORTED;
}

void pv_stack_down(struct pv_stack *s)
{
}

int pv_stack_serve(struct pv_stack *s, int fd, bool *ret_ended)
{
    return PV_ERR_UNSUPPORTED;
}

pv_ns pv_stack_turn(struct pv_stack *s, pv_ns now)
{
    return PV_NEVER;
}
