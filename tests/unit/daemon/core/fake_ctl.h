/* SPDX-License-Identifier: MIT */
/*
 * fake_ctl.h - one control client of a fake node: it says a request as a line, which runs the
 * command in the part's table, and reads what comes back.
 */
#pragma once

#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi_request.h"
#include "tests/unit/daemon/core/fake_node.h"

/* Connects as root; the client's sid. */
static inline uint32_t fake_ctl_open(struct fake_node *f)
{
    uint32_t sid;
    assert_ok(pv_ctlsrv_accepted(f->node.ctl, 0, true, &sid));
    return sid;
}

/* Sends the line, which has no newline and ' for "; the command runs where what it needs is there,
 * as the engine does it. */
static inline void fake_ctl_say(struct fake_node *f, uint32_t sid, const char *line)
{
    bool found = false;
    assert_null(strchr(line, '\n')); /* it comes last, once it is known who asks */
    char *json = test_quotes(strdup(line));
    pv_ctlsrv_handle_bytes(f->node.ctl, sid, pv_view(json, strlen(json)), fake_node_keep, NULL);
    free(json);
    struct fake_asked asked = fake_node_ask(f, sid, "\n");
    for (size_t i = 0; i < f->part->n_commands && !found; i++) {
        const struct pv_command_handler *c = &f->part->commands[i];
        struct pv_peer *p =
            c->needs >= PV_NEEDS_PEER ? pv_peers_find(f->node.peers, asked.req.peer) : NULL;
        found = c->cmd == asked.req.cmd;
        if (found)
            c->run(f->self, &asked.req, p, asked.handle, f->now);
    }
    assert_true(found);
    pv_ctlapi_request_done(&asked.req);
}

static char fake_ctl_output[65536]; /* what fake_ctl_reply() found */

/* The bytes written to the client since the last call; it must be less than 64 KiB. */
static inline const char *fake_ctl_reply(struct fake_node *f, uint32_t sid)
{
    char *text = fake_ctl_output;
    struct pv_view out = pv_ctlsrv_out(f->node.ctl, sid);
    size_t len = 0;
    while (out.len > 0) {
        assert_true(len + out.len < sizeof(fake_ctl_output));
        memcpy(text + len, out.ptr, out.len);
        len += out.len;
        pv_ctlsrv_wrote(f->node.ctl, sid, out.len);
        out = pv_ctlsrv_out(f->node.ctl, sid);
    }
    text[len] = '\0';
    return text;
}

/* The client's newest output must contain the text. */
#define assert_reply(f, sid, text)                      \
    do {                                                \
        const char *reply_ = fake_ctl_reply(f, sid);    \
        if (!test_has(reply_, text))                    \
            fail_msg("no \"%s\" in: %s", text, reply_); \
    } while (0)

/* Sends the line, whose answer must contain the text. */
#define assert_answered(f, sid, line, text) \
    do {                                    \
        fake_ctl_say(f, sid, line);         \
        assert_reply(f, sid, text);         \
    } while (0)
