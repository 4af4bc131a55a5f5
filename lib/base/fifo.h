/* SPDX-License-Identifier: MIT */
/*
 * fifo.h - values that are taken in the order in which they were put. A zeroed fifo is empty; its
 * owner says its own limit, and frees what values own. A place that a value leaves is wiped: some
 * are secrets.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/pv.h"

struct pv_fifo {
    struct pv_fifo_item *first, *last;
    size_t n; /* how many wait */
};

struct pv_fifo_item {
    struct pv_fifo_item *next;
    size_t len;
    unsigned char value[];
};

/* Appends a copy of the len (> 0) bytes of value. PV_ERR_NOMEM. Inline, so that a test can make
 * malloc() fail. */
PV_MUST_CHECK static inline int pv_fifo_put(struct pv_fifo *f, const void *value, size_t len)
{
    struct pv_fifo_item *item = malloc(sizeof(*item) + len);
    if (item == NULL)
        return PV_ERR_NOMEM;
    item->next = NULL;
    item->len = len;
    memcpy(item->value, value, len);
    if (f->first == NULL)
        f->first = item;
    else
        f->last->next = item;
    f->last = item;
    f->n++;
    return PV_OK;
}

/* Takes out the oldest value, with as many bytes as were put. PV_ERR_AGAIN: the fifo is empty. */
PV_MUST_CHECK static inline int pv_fifo_take(struct pv_fifo *f, void *ret_value)
{
    struct pv_fifo_item *item = f->first;
    if (item == NULL)
        return PV_ERR_AGAIN;
    f->first = item->next;
    f->n--;
    memcpy(ret_value, item->value, item->len);
    explicit_bzero(item->value, item->len);
    free(item);
    return PV_OK;
}

/* Empties it; the values own nothing. */
static inline void pv_fifo_clear(struct pv_fifo *f)
{
    while (f->first != NULL) {
        struct pv_fifo_item *item = f->first;
        f->first = item->next;
        explicit_bzero(item->value, item->len);
        free(item);
    }
    f->n = 0;
}
