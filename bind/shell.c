/* SPDX-License-Identifier: MIT */
/* shell.c - passes orders down to chat's threads, and what they have done up to the engine. */
#include "bind/shell.h"

#include <stddef.h>
#include <unistd.h>

#include "chat/proto/chat.h"
#include "chat/proto/file.h"

static void report_result(void *host, struct pv_chatqueue_result *result, pv_ns now)
{
    const struct pv_bind_shell *b = host;
    pv_io_app_report(b->io, &(struct pv_bind_report){.result = result}, now);
}

static void report_file(void *host, const struct pv_files_report *report, pv_ns now)
{
    const struct pv_bind_shell *b = host;
    pv_io_app_report(b->io, &(struct pv_bind_report){.file = report}, now);
}

static int take(void *host, uint32_t sid)
{
    const struct pv_bind_shell *b = host;
    return pv_io_app_take(b->io, sid);
}

static void pass(void *host, uint32_t sid, int fd)
{
    const struct pv_bind_shell *b = host;
    pv_io_app_pass(b->io, sid, fd);
}

static int start(void *ctx, struct pv_io *io)
{
    struct pv_bind_shell *b = ctx;
    b->io = io;
    const struct pv_chatshell_config cfg = {
        .loop = pv_io_app_loop(io),
        .log = b->log,
        .store = b->store,
        .state = b->state,
        .ifname = b->ifname,
        .host = {
            .host = b, .result = report_result, .file = report_file, .take = take, .pass = pass}};
    return pv_chatshell_new(&b->shell, &cfg);
}

static void carry_out(void *ctx, const void *order, pv_ns now)
{
    const struct pv_bind_shell *b = ctx;
    const struct pv_bind_order *o = order;
    if (o->job != NULL)
        pv_chatshell_job(b->shell, o->job, now);
    else
        pv_chatshell_file(b->shell, o->file, now);
}

static void passed(void *ctx, uint32_t sid, int fd, pv_ns now)
{
    const struct pv_bind_shell *b = ctx;
    pv_chatshell_passed(b->shell, sid, fd, now);
}

static pv_ns timeout(void *ctx, pv_ns now)
{
    const struct pv_bind_shell *b = ctx;
    return pv_chatshell_timeout(b->shell, now);
}

static void end(void *ctx)
{
    struct pv_bind_shell *b = ctx;
    b->shell = pv_chatshell_free(b->shell);
}

struct pv_io_app pv_bind_shell_app(struct pv_bind_shell *b)
{
    return (struct pv_io_app){.part = &pv_bind_chat,
                              .ports = {PV_CHAT_PORT, PV_FILE_PORT},
                              .names = {"chat", "file"},
                              .ctx = b,
                              .start = start,
                              .order = carry_out,
                              .passed = passed,
                              .timeout = timeout,
                              .end = end};
}
