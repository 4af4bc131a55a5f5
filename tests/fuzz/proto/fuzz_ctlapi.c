/* SPDX-License-Identifier: MIT */
/* Control socket, both directions: a request that is accepted is written and read again to the
 * same; a reply that is accepted has what its kind promises. */
#include <stdlib.h>
#include <string.h>

#include "proto/local/ctlapi_request.h"
#include "tests/fuzz/fuzz_util.h"

static void check_request(struct pv_ctlapi_request *req)
{
    struct pv_ctlapi_request again;
    char why[PV_CTLAPI_ERROR_BUF];
    uint64_t id;

    char *line = pv_ctlapi_request_write(req);
    if (line == NULL)
        abort();
    /* Escapes may make it longer than the line it came in. */
    if (strlen(line) <= PV_CTLAPI_LINE_MAX) {
        if (pv_ctlapi_request_parse(pv_view(line, strlen(line) - 1), &again, &id, why) < 0 ||
            again.cmd != req->cmd || again.id != req->id || strcmp(again.peer, req->peer) != 0)
            abort();
        pv_ctlapi_request_done(&again);
    }
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_ctlapi_request req;
    struct pv_ctlapi_reply reply;
    char why[PV_CTLAPI_ERROR_BUF];
    uint64_t id;

    memset(why, 0, sizeof(why));
    if (pv_ctlapi_request_parse(pv_view(data, len), &req, &id, why) == PV_OK) {
        check_request(&req);
        pv_ctlapi_request_done(&req);
    } else if (why[0] == '\0') {
        abort();
    }
    if (pv_ctlapi_reply_parse(pv_view(data, len), false, &reply) == PV_OK) {
        if (reply.is_event ? reply.event == NULL : !reply.ok && reply.error == NULL)
            abort();
        pv_ctlapi_reply_done(&reply);
    }
    return 0;
}
