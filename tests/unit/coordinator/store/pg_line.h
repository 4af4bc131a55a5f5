/* SPDX-License-Identifier: MIT */
/*
 * pg_line.h - a line to a test's PostgreSQL that breaks when it is told to, around a commit, so
 * that nobody knows what came of it, or that carries nothing for a while. A line by TCP breaks
 * without a word: what the client sends from then on is not even confirmed.
 */
#pragma once

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/coordinator/store/pg_server.h"

enum {
    PG_LINE_SHORT = 1400, /* bytes that pass a narrow line */
};

enum pg_line_state {
    PG_LINE_WHOLE,
    PG_LINE_BEFORE_COMMIT, /* breaks at the next one: the database does not get it */
    PG_LINE_AFTER_COMMIT,  /* its answer does not come back */
    PG_LINE_SILENT,        /* nothing passes; nothing breaks */
    PG_LINE_NARROW, /* what is long is lost, with all that comes behind it on its connection */
};

struct pg_line {
    const struct pg_server *server;
    void (*broke)(void); /* NULL, or run between the break and the moment the client sees it */
    bool tcp;
    char dir[64]; /* of its socket; empty by TCP */
    char conninfo[192];
    pid_t pid;
    struct pg_line_orders {
        _Atomic int state; /* enum pg_line_state; one that broke is whole again */
        _Atomic int spare; /* commits that pass before it breaks */
    } * orders;
};

static inline int pg_line_socket(const char *where, bool listening)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.s.PGSQL.5432", where);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = listening ? bind(fd, (struct sockaddr *)&addr, sizeof(addr))
                      : connect(fd, (struct sockaddr *)&addr, sizeof(addr));
    if (r == 0 && listening)
        r = listen(fd, 8);
    return r == 0 ? fd : -1;
}

/* A listener of 127.0.0.1. */
static inline int pg_line_port(in_port_t *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool made = fd >= 0 && bind(fd, (struct sockaddr *)&addr, len) == 0 && listen(fd, 8) == 0 &&
                getsockname(fd, (struct sockaddr *)&addr, &len) == 0;
    *ret_port = ntohs(addr.sin_port);
    return made ? fd : -1;
}

/* From now on the kernel drops whatever comes to this socket, keepalives too, and nobody writes to
 * it: for the other side the machine is switched off. */
static inline void pg_line_fall_dead(int client)
{
    struct sock_filter nothing = {.code = BPF_RET | BPF_K, .k = 0};
    const struct sock_fprog program = {.len = 1, .filter = &nothing};
    while (setsockopt(client, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0)
        pause();
}

/* Copies what is there; false: the end, or it broke at a commit in this state. */
static inline bool pg_line_copy(const struct pg_line *l, int from, int to, int state)
{
    static char buf[1 << 20];
    ssize_t n = read(from, buf, sizeof(buf));
    if (n <= 0)
        return false;
    while (state == PG_LINE_AFTER_COMMIT && n > PG_LINE_SHORT &&
           atomic_load(&l->orders->state) == PG_LINE_NARROW)
        pause();
    if (atomic_load(&l->orders->state) == state && memmem(buf, (size_t)n, "COMMIT", 6) != NULL &&
        atomic_fetch_sub(&l->orders->spare, 1) == 0) {
        atomic_store(&l->orders->state, PG_LINE_WHOLE);
        if (l->broke != NULL)
            l->broke();
        return false;
    }
    return write(to, buf, (size_t)n) == n;
}

/* One connection. The state is looked at while nothing comes, too. */
static inline void pg_line_serve(const struct pg_line *l, int client)
{
    int db = pg_line_socket(l->server->dir, false);
    struct pollfd p[2] = {{.fd = client, .events = POLLIN}, {.fd = db, .events = POLLIN}};
    while (db >= 0) {
        bool silent = atomic_load(&l->orders->state) == PG_LINE_SILENT;
        if (poll(p, silent ? 0 : 2, 20) < 0)
            break;
        if (silent)
            continue;
        if (p[0].revents != 0 && !pg_line_copy(l, client, db, PG_LINE_BEFORE_COMMIT))
            break;
        if (p[1].revents != 0 && !pg_line_copy(l, db, client, PG_LINE_AFTER_COMMIT))
            break;
        p[0].revents = p[1].revents = 0;
    }
    close(db);
    if (l->tcp)
        pg_line_fall_dead(client);
    _exit(0);
}

static inline void pg_line_end(void *line)
{
    struct pg_line *l = line;
    kill(-l->pid, SIGKILL);
    waitpid(l->pid, NULL, 0);
    munmap(l->orders, sizeof(*l->orders));
    if (!l->tcp)
        (void)test_dir_remove(l->dir);
    free(l);
}

/* Each connection has a process; all go with the first, and that with the test. */
static inline void pg_line_run(const struct pg_line *l, int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    signal(SIGCHLD, SIG_IGN);
    for (int client; (client = accept(fd, NULL, NULL)) >= 0; close(client)) {
        if (fork() != 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fd);
        pg_line_serve(l, client);
    }
    _exit(0);
}

/* Listens where a client is to come, and says where. */
static inline int pg_line_listen(struct pg_line *l)
{
    in_port_t port = 0;
    if (l->tcp) {
        int fd = pg_line_port(&port);
        snprintf(l->conninfo, sizeof(l->conninfo),
                 "host=127.0.0.1 port=%u dbname=postgres user=postgres sslmode=disable", port);
        return fd;
    }
    assert_true(test_dir_make(l->dir, sizeof(l->dir)) != NULL && chmod(l->dir, 0711) == 0);
    snprintf(l->conninfo, sizeof(l->conninfo), "host=%s dbname=postgres user=postgres", l->dir);
    const char *path = PV_STR("%s/.s.PGSQL.5432", l->dir);
    int fd = pg_line_socket(l->dir, true);
    return fd >= 0 && chmod(path, 0777) == 0 ? fd : -1;
}

/* It ends with the test's teardown. */
static inline struct pg_line *pg_line_make(const struct pg_server *server, void (*broke)(void),
                                           bool tcp)
{
    struct pg_line *l = calloc(1, sizeof(*l));
    assert_non_null(l);
    l->server = server;
    l->broke = broke;
    l->tcp = tcp;
    l->orders =
        mmap(NULL, sizeof(*l->orders), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(l->orders != MAP_FAILED);
    int fd = pg_line_listen(l);
    assert_true(fd >= 0);
    l->pid = fork();
    assert_true(l->pid >= 0);
    if (l->pid == 0)
        pg_line_run(l, fd);
    setpgid(l->pid, l->pid);
    close(fd);
    test_defer(pg_line_end, l);
    return l;
}

static inline struct pg_line *pg_line_new(const struct pg_server *server, void (*broke)(void))
{
    return pg_line_make(server, broke, false);
}

static inline struct pg_line *pg_line_new_tcp(const struct pg_server *server)
{
    return pg_line_make(server, NULL, true);
}

/* Of commits: the one behind so many. */
static inline void pg_line_set_behind(struct pg_line *l, int spare, enum pg_line_state state)
{
    atomic_store(&l->orders->spare, spare);
    atomic_store(&l->orders->state, (int)state);
}

static inline void pg_line_set(struct pg_line *l, enum pg_line_state state)
{
    pg_line_set_behind(l, 0, state);
}
