/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_file.c - builders for what the control socket says about files.
 */
#include "proto/local/ctlapi_file.h"

#include "proto/chat/chat.h"
#include "proto/local/ctlapi_pack.h"

json_t *pv_ctlapi_file_json(const struct pv_ctlapi_file *f)
{
    json_t *why = f->why == PV_FILE_WHY_NONE ? json_null() : json_string(pv_file_why_text(f->why));
    char id[PV_CHAT_ID_TEXT_BUF];
    _Static_assert((int)PV_FILE_ID_LEN == (int)PV_CHAT_ID_LEN, "both are written alike");
    return pv_ctlapi_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:b, s:b, s:o}", "id",
                          (json_int_t)f->number, "transfer", pv_chat_id_format(f->id, id),
                          "direction", f->outgoing ? "out" : "in", "peer", f->peer, "name", f->name,
                          "size", (json_int_t)f->size, "done", (json_int_t)f->done, "state",
                          pv_file_state_name(f->state), "why", why, "running", f->running, "online",
                          f->online, "time", json_real((double)f->time_ms / 1000.0));
}

json_t *pv_ctlapi_files_new(void)
{
    return pv_ctlapi_pack("{s:i, s:[]}", "version", PV_CTLAPI_FORMAT, "files");
}

int pv_ctlapi_files_add(json_t *files, const struct pv_ctlapi_file *file)
{
    return pv_ctlapi_append(files, "files", pv_ctlapi_file_json(file));
}

json_t *pv_ctlapi_one_file_json(const struct pv_ctlapi_file *file)
{
    return pv_ctlapi_pack("{s:o}", "file", pv_ctlapi_file_json(file));
}
