/* SPDX-License-Identifier: MIT */
/* roomop.c - who owns what in results of operations on rooms. */
#include "chat/core/base/roomop.h"

#include <stdlib.h>

/* Lists that were filled in part are freed too: what was not reached is NULL. */
void pv_room_raws_free(struct pv_room_raw *raws, size_t n)
{
    for (size_t i = 0; raws != NULL && i < n; i++)
        free(raws[i].bytes);
    free(raws);
}

void pv_room_texts_free(struct pv_room_text *texts, size_t n)
{
    for (size_t i = 0; texts != NULL && i < n; i++)
        free(texts[i].text);
    free(texts);
}

struct pv_roomop_result *pv_roomop_result_free(struct pv_roomop_result *result)
{
    if (result == NULL)
        return NULL;
    for (size_t i = 0; i < result->n_rooms; i++)
        pv_room_raws_free(result->rooms[i].records, result->rooms[i].n_records);
    free(result->rooms);
    pv_room_texts_free(result->texts, result->n_texts);
    free(result);
    return NULL;
}
