/* SPDX-License-Identifier: MIT */
/*
 * porter.c - carries the bytes of one client. Here, and nowhere else in the daemon's processes, a
 * client's descriptor arrives: every call on one, its close included, may wait for as long as a
 * file system of the client's likes.
 */
#include "sys/helper/porter.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/helper/helper_proto.h"
#include "sys/helper/source.h"
#include "sys/proc/child.h"
#include "sys/proc/sandbox.h"

enum {
    BUFFER = 65536, /* bytes under way, of each direction; what the daemon takes at a time */
    SOURCES = 64, /* files that one connection may offer, more are not taken: one for each member of
                     a room */
    LINGER_MS = 30000,            /* for a client to read the daemon's last words */
    FILES_MAX = 2 * SOURCES + 16, /* descriptors of this process: a source has two */
};

/* Bytes on their way, and a descriptor that goes with the first of them. */
struct way {
    uint8_t buf[BUFFER];
    size_t len, done;
    int pass;    /* -1: none */
    bool ended;  /* nothing comes any more */
    bool closed; /* the other side was told of that end */
};

struct carrier {
    int client, daemon, life;
    struct way in, out; /* of the client; to the client */
    struct pv_source kept[SOURCES];
    size_t n_kept;
};

/* --- bytes --------------------------------------------------------------------------------- */

static void drop_pass(struct way *w)
{
    if (w->pass >= 0)
        close(w->pass);
    w->pass = -1;
}

/* A file that a client has passed becomes a source. The daemon gets the source, never the file. */
static void take_file(struct carrier *c, int file)
{
    struct pv_source k = {.file = file};
    int source = -1;
    if (c->n_kept == SOURCES || pv_source_new(file, &source, &k.own) != PV_OK) {
        close(file);
        return;
    }
    c->kept[c->n_kept++] = k;
    drop_pass(&c->in);
    c->in.pass = source;
}

/* Reads the next bytes when those before have left. False: the other side has failed. */
static bool fill(struct carrier *c, struct way *w, int from)
{
    int passed = -1;
    size_t n = 0;
    int r = pv_unix_read(from, w->buf, sizeof(w->buf), &n, &passed);
    if (r == PV_ERR_AGAIN)
        return true;
    if (r < 0) {
        w->ended = true;
        return r == PV_ERR_CLOSED;
    }
    w->len = n;
    w->done = 0;
    if (passed >= 0 && from == c->client)
        take_file(c, passed);
    else if (passed >= 0)
        w->pass = passed; /* a received file, opened by the daemon */
    return true;
}

/* Writes what is there; the end is passed on after the last byte. False: nobody reads it. */
static bool drain(struct way *w, int to)
{
    size_t n = 0;
    if (w->done < w->len) {
        int r = pv_unix_write(to, pv_view(w->buf + w->done, w->len - w->done), w->pass, &n);
        if (r == PV_ERR_AGAIN)
            return true;
        if (r < 0)
            return false;
        drop_pass(w);
        /* A token may go through here. */
        explicit_bzero(w->buf + w->done, n);
        w->done += n;
    }
    if (w->done == w->len && w->ended && !w->closed) {
        w->closed = true;
        shutdown(to, SHUT_WR);
    }
    return true;
}

static short wanted(const struct way *in, const struct way *out)
{
    short events = 0;
    if (!in->ended && in->done == in->len)
        events |= POLLIN;
    if (out->done < out->len)
        events |= POLLOUT;
    return events;
}

/* --- files --------------------------------------------------------------------------------- */

static void serve_kept(struct carrier *c, const struct pollfd *p)
{
    for (size_t i = c->n_kept; i-- > 0;) {
        if (p[i].revents == 0 || pv_source_serve(&c->kept[i], c->life) == PV_OK)
            continue;
        const struct pv_source gone = c->kept[i];
        c->kept[i] = c->kept[--c->n_kept];
        close(gone.own);
        close(gone.file);
    }
}

static size_t poll_kept(const struct carrier *c, struct pollfd *p)
{
    for (size_t i = 0; i < c->n_kept; i++)
        p[i] = (struct pollfd){.fd = c->kept[i].own, .events = POLLIN};
    return c->n_kept;
}

/* Until the daemon has closed, or the client has and the daemon was told. */
static void carry(struct carrier *c)
{
    struct pollfd p[2 + SOURCES];
    for (;;) {
        p[0] = (struct pollfd){.fd = c->client, .events = wanted(&c->in, &c->out)};
        p[1] = (struct pollfd){.fd = c->daemon, .events = wanted(&c->out, &c->in)};
        /* A direction that has ended reports that again and again. */
        for (size_t i = 0; i < 2; i++)
            if (p[i].events == 0)
                p[i].fd = -1;
        size_t n = poll_kept(c, p + 2);
        int r = poll(p, (nfds_t)(2 + n), c->out.ended ? LINGER_MS : -1);
        if (r == 0 || (r < 0 && errno != EINTR))
            return;
        if (r < 0)
            continue;
        bool going = true;
        if (p[0].revents != 0 && (p[0].events & POLLIN) != 0)
            going = fill(c, &c->in, c->client);
        if (going && p[1].revents != 0 && (p[1].events & POLLIN) != 0)
            going = fill(c, &c->out, c->daemon);
        if (!going || !drain(&c->in, c->daemon) || !drain(&c->out, c->client) || c->out.closed)
            return;
        serve_kept(c, p + 2);
    }
}

static void keep_files(struct carrier *c)
{
    struct pollfd p[SOURCES];
    while (c->n_kept > 0) {
        size_t n = poll_kept(c, p);
        if (poll(p, (nfds_t)n, -1) > 0)
            serve_kept(c, p);
    }
}

/* --- the process --------------------------------------------------------------------------- */

/* The client's user, and nothing that this user could not do. */
static void give_up_rights(const struct pv_unix_cred *cred)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    /* Without the right to become somebody else (a container, a test) it stays who it is. */
    if (setgroups(0, NULL) < 0 ? errno != EPERM
                               : setresgid(cred->gid, cred->gid, cred->gid) < 0 ||
                                     setresuid(cred->uid, cred->uid, cred->uid) < 0)
        _exit(1);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &head, none) < 0 ||
        pv_sandbox_limit(RLIMIT_NOFILE, FILES_MAX) < 0)
        _exit(1);
    /* The client may not look into it: the user may have other clients, with other tokens. */
    prctl(PR_SET_DUMPABLE, 0);
}

_Noreturn void pv_porter_run(const struct pv_porter *porter)
{
    static struct carrier c; /* static: untouched pages of it cost nothing */
    const int fds[] = {porter->client, porter->daemon, porter->life};
    uint8_t go;
    prctl(PR_SET_NAME, "p2pvpnd-porter");
    pv_child_keep_fds(fds, PV_ARRAY_LEN(fds));
    /* Before this byte the client's user must not be able to end this process: the usher would be
     * the one that closes the client's socket. */
    if (recv(porter->daemon, &go, sizeof(go), 0) != (ssize_t)sizeof(go))
        _exit(0);
    signal(SIGCHLD, SIG_IGN); /* nobody waits for readers */
    give_up_rights(&porter->cred);
    c.client = porter->client;
    c.daemon = porter->daemon;
    c.life = porter->life;
    c.in.pass = c.out.pass = -1;
    carry(&c);
    close(c.daemon);
    drop_pass(&c.in);
    drop_pass(&c.out);
    explicit_bzero(c.in.buf, sizeof(c.in.buf));
    explicit_bzero(c.out.buf, sizeof(c.out.buf));
    close(c.client); /* what the client sent last is thrown away here */
    *porter->keeping = true;
    keep_files(&c);
    _exit(0);
}
