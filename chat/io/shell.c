/* SPDX-License-Identifier: MIT */
/* shell.c - a thread for each transfer that may run. */
#include "chat/io/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "chat/io/xfer.h"
#include "sys/file/file.h"
#include "sys/helper/source.h"
#include "sys/net/stream.h"
#include "sys/proc/event.h"
#include "sys/proc/worker.h"

enum {
    PATH_BUF = 4096,                     /* PATH_MAX */
    LIMIT = 4 * PV_FILELINK_MAX_RUNNING, /* with those that are being cancelled */
};
#define PROGRESS PV_MS(200) /* ours: so often the engine is told how far transfers are */

struct pv_chatshell_xfer {
    struct pv_chatshell_xfer *prev, *next;
    struct pv_xfer x;
    uint32_t stream; /* of a FETCH, as the host knows it */
    bool drop;       /* when it is over, what it has written goes */
};

struct pv_chatshell {
    struct pv_chatshell_config cfg;
    struct pv_worker *worker;
    struct pv_watch *watch;
    struct pv_chatshell_xfer *xfers; /* under way */
    int want_fd;                     /* raised by transfers that want a connection */
    struct pv_watch *want_watch;
    uint32_t last_stream;
    pv_ns tell_at; /* when the engine is told how far they are */
    int dir;       /* of received files; -1: not opened yet */
};

/* The transfer with this tag has ended. */
static void tell_done(struct pv_chatshell *files, uint64_t tag, enum pv_file_why why, uint64_t done,
                      pv_ns now)
{
    const struct pv_files_report report = {
        .news = PV_FILES_DONE, .tag = tag, .done = done, .why = why};
    files->cfg.host.file(files->cfg.host.host, &report, now);
}

static void run_transfers(void *ctx, void *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pv_xfer_run(&((struct pv_chatshell_xfer *)items[i])->x);
}

/* --- received files ------------------------------------------------------------------------ */

/* Made with the first file: a node that gets none has no such directory. */
static int open_dir(struct pv_chatshell *files)
{
    char path[PATH_BUF];
    if (files->dir >= 0)
        return PV_OK;
    if (files->cfg.state == NULL ||
        snprintf(path, sizeof(path), "%s/files", files->cfg.state) >= (int)sizeof(path))
        return PV_ERR_NOT_FOUND;
    int r = pv_dir_make(path, 0700);
    if (r < 0)
        return r;
    /* The directory is opened once: files are named beneath it, whatever happens to the path. */
    files->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return files->dir < 0 ? -errno : PV_OK;
}

/* Removes what is kept of a received file, whole or not. */
static void drop(struct pv_chatshell *files, uint32_t number, const uint8_t *id)
{
    char name[PV_XFER_NAME_BUF];
    for (struct pv_chatshell_xfer *t = files->xfers; t != NULL; t = t->next) {
        if (t->x.op.type == PV_FILEOP_FETCH && t->x.op.number == number) {
            t->drop = true; /* its thread may still write */
            return;
        }
    }
    for (int part = 0; part < 2 && open_dir(files) == PV_OK; part++) {
        pv_xfer_name(number, id, part == 1, name);
        if (unlinkat(files->dir, name, 0) != 0 && errno != ENOENT)
            pv_log(files->cfg.log, PV_LOG_WARN, "file=%s what=\"not removed\" why=\"%s\"", name,
                   pv_strstatus(-errno));
    }
}

/* A client gets a descriptor for reading: it could not open a file of this directory itself. */
static void pass(struct pv_chatshell *files, const struct pv_fileop *op)
{
    char name[PV_XFER_NAME_BUF];
    int fd = -1;
    pv_xfer_name(op->number, op->id, false, name);
    if (open_dir(files) == PV_OK)
        fd = openat(files->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        files->cfg.host.pass(files->cfg.host.host, op->sid, fd);
    else /* the client sees that nothing came */
        pv_log(files->cfg.log, PV_LOG_WARN, "file=%s what=\"not there\" why=\"%s\"", name,
               pv_strstatus(-errno));
}

/* --- transfers ----------------------------------------------------------------------------- */

/* A fault before the thread has it is told to the engine at once: no transfer is left that nobody
 * runs. */
static void start(struct pv_chatshell *files, const struct pv_files_op *op, pv_ns now)
{
    struct pv_chatshell_xfer *t = calloc(1, sizeof(*t));
    /* The stream leaves the loop: from here on a thread of its own reads and writes it. */
    int sock = op->op.type == PV_FILEOP_SERVE
                   ? files->cfg.host.take(files->cfg.host.host, op->op.sid)
                   : -1;
    int r = t == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r == PV_OK) {
        t->x = (struct pv_xfer){.op = op->op,
                                .sock = sock,
                                .file = -1,
                                .cancel_fd = -1,
                                .want_fd = files->want_fd,
                                .proof = op->proof};
        r = pv_xfer_init(&t->x);
    }
    if (r == PV_OK && op->op.type == PV_FILEOP_FETCH)
        r = open_dir(files);
    else if (r == PV_OK) {
        /* A reader of its own: the offer may end, and its source with it, while this runs. */
        r = sock < 0 ? PV_ERR_LIMIT : pv_source_open(op->op.handle, &t->x.file);
    }
    if (r == PV_OK) {
        t->x.dir = files->dir;
        r = pv_worker_submit(files->worker, t);
    }
    if (r == PV_OK) {
        PV_LIST_ADD_FIRST(files->xfers, t);
        files->tell_at = now + PROGRESS;
        return;
    }
    pv_log(files->cfg.log, PV_LOG_WARN, "what=\"file not transferred\" why=\"%s\"",
           pv_strstatus(r));
    /* pv_xfer_done() closes what t has, the socket included. */
    if (t != NULL)
        pv_xfer_done(&t->x);
    else if (sock >= 0)
        close(sock);
    free(t);
    tell_done(files, op->op.tag,
              r == PV_ERR_LIMIT || r == PV_ERR_NOMEM ? PV_FILE_WHY_BUSY
              : r == PV_ERR_CLOSED                   ? PV_FILE_WHY_UNREADABLE
                                                     : PV_FILE_WHY_UNWRITABLE,
              0, now);
}

static void on_wanted(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_chatshell *files = ctx;
    const struct pv_chatshell_host *host = &files->cfg.host;
    pv_event_clear(files->want_fd);
    for (struct pv_chatshell_xfer *t = files->xfers; t != NULL; t = t->next) {
        if (!atomic_exchange(&t->x.wants, false))
            continue;
        t->stream = pv_sid(PV_CHATSHELL_STREAM, ++files->last_stream);
        if (host->connect(host->host, t->stream, &t->x.op.addr, now) != PV_OK) {
            t->stream = 0;
            pv_xfer_give(&t->x, -1);
        }
    }
}

void pv_chatshell_connected(struct pv_chatshell *files, uint32_t stream, int fd)
{
    for (struct pv_chatshell_xfer *t = files->xfers; t != NULL; t = t->next) {
        if (t->stream != stream)
            continue;
        t->stream = 0;
        pv_xfer_give(&t->x, fd);
        return;
    }
    if (fd >= 0)
        close(fd);
}

static void cancel(struct pv_chatshell *files, uint64_t tag)
{
    for (struct pv_chatshell_xfer *t = files->xfers; t != NULL; t = t->next)
        if (t->x.op.tag == tag)
            pv_xfer_cancel(&t->x);
}

static void answer(struct pv_chatshell *files, const struct pv_fileop *op)
{
    static const uint8_t none[PV_FILE_HASH_LEN];
    uint8_t buf[PV_FILE_ANSWER_LEN];
    size_t n = 0;
    /* The engine has refused: the connection ends with its answer. */
    int fd = files->cfg.host.take(files->cfg.host.host, op->sid);
    if (fd < 0)
        return;
    pv_file_answer_build(op->why, 0, none, buf);
    (void)!pv_stream_write(fd, pv_view(buf, sizeof(buf)), &n); /* nothing was written before it */
    close(fd);
}

void pv_chatshell_file(struct pv_chatshell *files, const struct pv_files_op *op, pv_ns now)
{
    switch (op->op.type) {
    case PV_FILEOP_FETCH:
    case PV_FILEOP_SERVE:
        start(files, op, now);
        break;
    case PV_FILEOP_ANSWER:
        answer(files, &op->op);
        break;
    case PV_FILEOP_CLOSE: {
        int fd = files->cfg.host.take(files->cfg.host.host, op->op.sid);
        if (fd >= 0)
            close(fd);
        break;
    }
    case PV_FILEOP_CANCEL:
        cancel(files, op->op.tag);
        break;
    case PV_FILEOP_RELEASE:
        close(op->op.handle);
        break;
    case PV_FILEOP_DROP:
        drop(files, op->op.number, op->op.id);
        break;
    case PV_FILEOP_PASS:
        pass(files, &op->op);
        break;
    }
}

/* After its thread has let go of it. */
static void remove_xfer(struct pv_chatshell *files, struct pv_chatshell_xfer *t)
{
    PV_LIST_DEL(files->xfers, t);
    /* Now no thread writes any more. */
    if (t->drop)
        drop(files, t->x.op.number, t->x.op.id);
    pv_xfer_done(&t->x);
    free(t);
}

static void on_filer(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_chatshell *files = ctx;
    void *item = NULL;
    while (pv_worker_take(files->worker, &item) == PV_OK) {
        struct pv_chatshell_xfer *t = item;
        uint64_t tag = t->x.op.tag, done = atomic_load(&t->x.done);
        enum pv_file_why why = t->x.why;
        pv_log(files->cfg.log, PV_LOG_DEBUG, "what=\"file transfer over\" bytes=%llu why=\"%s\"",
               (unsigned long long)done, pv_file_why_text(why));
        /* The transfer is removed before the engine is told: it may order the next one at once. */
        remove_xfer(files, t);
        tell_done(files, tag, why, done, now);
    }
}

pv_ns pv_chatshell_timeout(struct pv_chatshell *files, pv_ns now)
{
    if (files->xfers == NULL)
        return PV_NEVER;
    if (now < files->tell_at)
        return files->tell_at;
    /* The counter is read without a lock: progress may lag, it never goes back. */
    for (struct pv_chatshell_xfer *t = files->xfers; t != NULL; t = t->next) {
        const struct pv_files_report report = {
            .news = PV_FILES_PROGRESS, .tag = t->x.op.tag, .done = atomic_load(&t->x.done)};
        files->cfg.host.file(files->cfg.host.host, &report, now);
    }
    files->tell_at = now + PROGRESS;
    return files->tell_at;
}

void pv_chatshell_passed(struct pv_chatshell *files, uint32_t sid, int fd, pv_ns now)
{
    struct pv_source_info info;
    if (!pv_source_take(fd, &info)) {
        close(fd);
        return;
    }
    const struct pv_files_report report = {
        .news = PV_FILES_PASSED,
        .sid = sid,
        .passed = {.handle = fd,
                   .size = info.size,
                   .stamp = {.dev = info.dev, .ino = info.ino, .mtime_ns = info.mtime_ns}}};
    files->cfg.host.file(files->cfg.host.host, &report, now);
}

/* --- life ---------------------------------------------------------------------------------- */

/* A thread for each transfer that may run: they block on disk and socket. */
int pv_chatshell_new(struct pv_chatshell **ret_files, const struct pv_chatshell_config *cfg)
{
    const struct pv_worker_config worker = {.name = "pv-files",
                                            .threads = PV_FILELINK_MAX_RUNNING,
                                            .limit = LIMIT,
                                            .batch = 1,
                                            .run = run_transfers};
    struct pv_chatshell *files = calloc(1, sizeof(*files));
    if (files == NULL)
        return PV_ERR_NOMEM;
    files->cfg = *cfg;
    files->dir = files->want_fd = -1;
    int r = pv_event_open(&files->want_fd);
    if (r >= 0)
        r = pv_watch_new(&files->want_watch, cfg->loop, files->want_fd, PV_LOOP_READ, on_wanted,
                         files);
    if (r >= 0)
        r = pv_worker_new(&files->worker, &worker);
    if (r >= 0)
        r = pv_watch_new(&files->watch, cfg->loop, pv_worker_fd(files->worker), PV_LOOP_READ,
                         on_filer, files);
    if (r < 0)
        pv_chatshell_free(files);
    else
        *ret_files = files;
    return r;
}

struct pv_chatshell *pv_chatshell_free(struct pv_chatshell *files)
{
    void *item = NULL;
    if (files == NULL)
        return NULL;
    /* Cancelled transfers end soon, which lets the worker finish. */
    for (struct pv_chatshell_xfer *t = files->xfers; t != NULL; t = t->next)
        pv_xfer_cancel(&t->x);
    pv_watch_free(files->watch);
    if (files->worker != NULL) {
        pv_worker_finish(files->worker);
        while (pv_worker_take(files->worker, &item) == PV_OK)
            remove_xfer(files, item);
        pv_worker_free(files->worker);
    }
    pv_watch_free(files->want_watch);
    if (files->want_fd >= 0)
        close(files->want_fd);
    if (files->dir >= 0)
        close(files->dir);
    free(files);
    return NULL;
}
