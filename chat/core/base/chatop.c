/* SPDX-License-Identifier: MIT */
/* chatop.c - who owns what in results of the store. */
#include "chat/core/base/chatop.h"

#include <stdlib.h>
#include <string.h>

#include "chat/core/base/roomop.h"

/* Also of a list whose allocation failed, so that callers need not look. */
void pv_chatop_result_done(struct pv_chatop_result *result)
{
    for (size_t i = 0; result->msgs != NULL && i < result->n_msgs; i++)
        free(result->msgs[i].text);
    free(result->msgs);
    free(result->backlog);
    pv_roomop_result_free(result->room);
    for (size_t i = 0; i < result->n_values; i++)
        free(result->values[i].bytes);
    free(result->values);
    *result = (struct pv_chatop_result){.msgs = NULL};
}

/* *dst is written last: a copy that fails leaves nothing to free. */
int pv_chat_record_copy(struct pv_chat_record *dst, const struct pv_chat_record *src)
{
    char *text = NULL;
    if (src->text != NULL) {
        text = strdup(src->text);
        if (text == NULL)
            return PV_ERR_NOMEM;
    }
    *dst = *src;
    dst->text = text;
    return PV_OK;
}

void pv_chat_record_done(struct pv_chat_record *rec)
{
    free(rec->text);
    memset(rec, 0, sizeof(*rec)); /* so that a second end does no harm */
}
