/* SPDX-License-Identifier: MIT */
/*
 * pg_server.h - a PostgreSQL server of a test's own: in a directory that goes away with it, on a
 * unix socket there, run by a user without rights (it refuses root).
 */
#pragma once

#include <glob.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "coordinator/store/pg/pg.h"
#include "sys/proc/clock.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

enum {
    PG_SERVER_UID = 65534, /* nobody's */
    PG_SERVER_ARGS = 16,   /* of a command line, its program counted */
};

struct pg_server {
    char dir[64];
    char bin[128];     /* where initdb and postgres are */
    pid_t pid;         /* 0: it does not run */
    unsigned tcp_port; /* of 127.0.0.1, from the next start on; 0: none */
};

/* Runs a program of PostgreSQL's as its user, in silence; returns its pid. Programs of it look for
 * others beside themselves, where the first of args says; what stands there is replaced by the
 * path. */
static inline pid_t pg_server_spawn(const struct pg_server *s, const char *program,
                                    const char *const *args)
{
    char path[192];
    const char *argv[PG_SERVER_ARGS + 1] = {path};
    snprintf(path, sizeof(path), "%s/%s", s->bin, program);
    for (size_t i = 1; i < PG_SERVER_ARGS && args[i] != NULL; i++)
        argv[i] = args[i];
    sigset_t stops, before;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGQUIT);
    sigprocmask(SIG_BLOCK, &stops, &before);
    pid_t pid = fork();
    if (pid != 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        return pid;
    }
    /* A shell that runs the tests in the background has them ignored, and PostgreSQL until it has
     * its own handlers: a test that stops a server which has just begun would wait for ever. A
     * signal that comes until here has been kept, as both are blocked. */
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    bool quiet = freopen("/dev/null", "w", stdout) != NULL &&
                 freopen("/dev/null", "w", stderr) != NULL &&
                 freopen("/dev/null", "r", stdin) != NULL;
    if (geteuid() == 0 &&
        (setgroups(0, NULL) < 0 || setgid(PG_SERVER_UID) < 0 || setuid(PG_SERVER_UID) < 0))
        _exit(126);
    if (quiet && chdir(s->dir) == 0)
        execv(path, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static inline bool pg_server_wait(pid_t pid)
{
    int status = 0;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* Starts it; it answers soon. */
static inline void pg_server_start(struct pg_server *s)
{
    const char *const args[] = {"postgres",
                                "-D",
                                PV_STR("%s/data", s->dir),
                                "-c",
                                PV_STR("unix_socket_directories=%s", s->dir),
                                "-c",
                                s->tcp_port == 0 ? "listen_addresses="
                                                 : "listen_addresses=127.0.0.1",
                                "-c",
                                PV_STR("port=%u", s->tcp_port == 0 ? 5432 : s->tcp_port),
                                "-c",
                                "dynamic_shared_memory_type=mmap",
                                NULL};
    s->pid = pg_server_spawn(s, "postgres", args);
}

/* SIGINT: in order, without waiting for clients. SIGQUIT: at once, as if it had crashed. */
static inline void pg_server_stop(struct pg_server *s, int signal)
{
    if (s->pid > 0) {
        kill(s->pid, signal);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

/* Its address for libpq, of a user of the database ("postgres" may do everything). */
static inline const char *pg_server_conninfo(const struct pg_server *s, const char *user)
{
    static char text[4][192];
    static unsigned n;
    char *t = text[n++ % 4];
    snprintf(t, sizeof(text[0]), "host=%s port=%u dbname=postgres user=%s", s->dir,
             s->tcp_port == 0 ? 5432 : s->tcp_port, user);
    return t;
}

/* Makes a server and starts it. False: PostgreSQL is not installed. Where it is and does not work
 * the test ends, as one that failed. */
static inline bool pg_server_make(struct pg_server *s)
{
    glob_t found;
    *s = (struct pg_server){.pid = 0};
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) != 0)
        return false;
    const char *last = found.gl_pathv[found.gl_pathc - 1];
    snprintf(s->bin, sizeof(s->bin), "%.*s", (int)(strrchr(last, '/') - last), last);
    globfree(&found);
    char data[96];
    const char *const args[] = {"initdb", "-D", data,          "-U", "postgres", "-A",
                                "trust",  "-N", "--no-locale", "-E", "UTF8",     NULL};
    bool made = test_dir_make(s->dir, sizeof(s->dir)) != NULL && chmod(s->dir, 0755) == 0 &&
                (geteuid() != 0 || chown(s->dir, PG_SERVER_UID, PG_SERVER_UID) == 0);
    snprintf(data, sizeof(data), "%s/data", s->dir);
    if (!made || !pg_server_wait(pg_server_spawn(s, "initdb", args))) {
        fprintf(stderr, "pg_server: %s/initdb makes no server in %s\n", s->bin, s->dir);
        exit(1);
    }
    pg_server_start(s);
    return true;
}

static inline void pg_server_done(struct pg_server *s)
{
    pg_server_stop(s, SIGQUIT);
    (void)test_dir_remove(s->dir);
}

/* --- what a test orders of it -------------------------------------------------------------- */

/* A test gives its own PostgreSQL orders, and asks it, beside the store. */

/* A session of the user who may do everything. */
static inline struct pv_pg *pg_sql_open(const struct pg_server *server)
{
    char error[PV_PG_ERROR_MAX] = "";
    const struct pv_pg_config cfg = {
        .conninfo = pg_server_conninfo(server, "postgres"), .who = "test", .wait = PV_S(60)};
    struct pv_pg *pg = NULL;
    if (pv_pg_new(&pg, &cfg, error) < 0 || pv_pg_connect(pg, error) < 0)
        fail_msg("%s", error);
    return pg;
}

static inline int pg_sql_copy(void *ctx, PGresult *res)
{
    snprintf(ctx, PV_PG_ERROR_MAX, "%s", PQgetvalue(res, 0, 0));
    return PV_OK;
}

/* The first value of an answer, as text; empty: there was none. */
static inline const char *pg_sql_in(struct pv_pg *pg, const char *sql)
{
    static char text[PV_PG_ERROR_MAX];
    char error[PV_PG_ERROR_MAX] = "";
    text[0] = '\0';
    if (pv_pg_exec(pg, sql, pg_sql_copy, text, error) < 0)
        fail_msg("%s: %s", sql, error);
    return text;
}

static inline const char *pg_sql(const struct pg_server *server, const char *sql)
{
    struct pv_pg *pg = pg_sql_open(server);
    const char *text = pg_sql_in(pg, sql);
    pv_pg_free(pg);
    return text;
}

/* One that was started answers soon. */
static inline void pg_sql_wait(const struct pg_server *server)
{
    char error[PV_PG_ERROR_MAX] = "";
    const struct pv_pg_config cfg = {
        .conninfo = pg_server_conninfo(server, "postgres"), .who = "test", .wait = PV_S(60)};
    const pv_ns until = pv_clock_now() + PV_S(60);
    struct pv_pg *pg = NULL;
    int r = pv_pg_new(&pg, &cfg, error);
    while (r == PV_OK && pv_pg_connect(pg, error) < 0 && pv_clock_now() < until)
        poll(NULL, 0, 50);
    pv_pg_free(pg);
}
