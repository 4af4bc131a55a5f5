/* SPDX-License-Identifier: MIT */
/*
 * ctl_fake.h - p2pvpnctl in this process against a scripted p2pvpnd: a thread that answers each
 * command with given lines.
 */
#pragma once

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/jsonread.h"
#include "crypto/ct.h"
#include "ctl/commands.h"
#include "ctl/help.h"
#include "ctl/run.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

enum {
    MAX_ARGS = 24,
    MAX_SCRIPT = 12,
};

/* The daemon's answer to a command: lines, "@" stands for the request's id, and ' for ". */
struct answer {
    const char *cmd;
    const char *lines;
    const char *first; /* said in their place, once; NULL: nothing */
};

static struct {
    int listen_fd, chat_fd; /* of p2pvpnd and of p2pvpn-chatd */
    char dir[64], path[96];
    pthread_t thread, chat;
    pthread_mutex_t lock; /* of what follows, while they run */
    struct answer script[MAX_SCRIPT];
    char requests[8192]; /* what it was asked, ids left out */
    char *out, *err;     /* what the last run printed */
    size_t out_len, err_len;
} t;

/* Answers with these fields, and those of a list or status; an answer that says no more than yes.
 */
#define OK(fields)    "{'id':@,'ok':true," fields "}\n"
#define OK_V1(fields) OK("'version':1," fields)
#define DONE          "{'id':@,'ok':true}\n"

/* --- the daemon ---------------------------------------------------------------------------- */

static void say(int fd, const char *lines, long long id)
{
    char buf[8192];
    size_t n = 0;
    for (const char *p = lines; *p != '\0' && n + 32 < sizeof(buf); p++) {
        if (*p == '@')
            n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%lld", id);
        else
            buf[n++] = *p == '\'' ? '"' : *p;
    }
    (void)!send(fd, buf, n, MSG_NOSIGNAL);
}

/* What is for both is noted once. */
static void serve_line(int fd, bool is_chat, const char *line)
{
    json_t *req = json_loads(line, 0, NULL);
    if (req == NULL)
        return;
    if (!is_chat && pv_json_is(req, "cmd", "watch") && pv_json_is(req, "what", "chat")) {
        json_decref(req);
        return;
    }
    const char *cmd = pv_json_text(req, "cmd", NULL);
    long long id = pv_json_int(req, "id");
    json_t *plain = json_deep_copy(req);
    json_object_del(plain, "id");
    char *text = json_dumps(plain, JSON_COMPACT);
    size_t n = strlen(t.requests);
    snprintf(t.requests + n, sizeof(t.requests) - n, "%s\n", text);
    free(text);
    json_decref(plain);
    for (struct answer *a = t.script; a->cmd != NULL; a++) {
        if (cmd == NULL || strcmp(a->cmd, cmd) != 0)
            continue;
        say(fd, a->first != NULL ? a->first : a->lines, id);
        a->first = NULL;
    }
    json_decref(req);
}

/* Serves connections until somebody shuts the listening socket down. */
static void *serve(void *of)
{
    const int *listen_fd = of;
    for (;;) {
        int fd = accept(*listen_fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        FILE *f = fdopen(fd, "r+");
        char line[32768];
        while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
            /* Chat answers first where both were asked: what is printed is one text. */
            if (listen_fd == &t.listen_fd)
                (void)poll(NULL, 0, 10);
            pthread_mutex_lock(&t.lock);
            serve_line(fd, listen_fd == &t.chat_fd, line);
            pthread_mutex_unlock(&t.lock);
        }
        if (f != NULL)
            fclose(f);
    }
}

static inline int listen_at(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(fd, 8) == 0)
        return fd;
    return -1;
}

static int setup(void **state)
{
    memset(&t, 0, sizeof(t));
    pthread_mutex_init(&t.lock, NULL);
    snprintf(t.dir, sizeof(t.dir), "/tmp/pv-test-ctl-XXXXXX");
    if (mkdtemp(t.dir) == NULL)
        return -1;
    snprintf(t.path, sizeof(t.path), "%s/s", t.dir);
    test_shows_as(t.dir, "DIR");
    t.listen_fd = listen_at(t.path);
    t.chat_fd = listen_at(PV_STR("%s.chat", t.path));
    if (t.listen_fd < 0 || t.chat_fd < 0 || pthread_create(&t.thread, NULL, serve, &t.listen_fd))
        return -1;
    return pthread_create(&t.chat, NULL, serve, &t.chat_fd);
}

static inline void stop_daemon(void)
{
    if (t.listen_fd < 0)
        return;
    shutdown(t.listen_fd, SHUT_RDWR);
    shutdown(t.chat_fd, SHUT_RDWR);
    pthread_join(t.thread, NULL);
    pthread_join(t.chat, NULL);
    close(t.listen_fd);
    close(t.chat_fd);
    t.listen_fd = t.chat_fd = -1;
}

static int teardown(void **state)
{
    stop_daemon();
    test_dir_remove(t.dir);
    free(t.out);
    free(t.err);
    return 0;
}

/* --- running ------------------------------------------------------------------------------- */

static void answers(const char *cmd, const char *lines)
{
    struct answer *a = t.script;
    while (a->cmd != NULL && strcmp(a->cmd, cmd) != 0)
        a++;
    assert_true(a < t.script + MAX_SCRIPT - 1);
    *a = (struct answer){.cmd = cmd, .lines = lines};
}

/* The first answer to it, and those behind it. */
static inline void answers_first(const char *cmd, const char *first, const char *lines)
{
    answers(cmd, lines);
    for (struct answer *a = t.script; a->cmd != NULL; a++)
        a->first = a->lines == lines ? first : a->first;
}

static int run_with(FILE *in, FILE *out, FILE *err, const char *const *words)
{
    char *argv[MAX_ARGS + 4];
    int argc = 0;
    argv[argc++] = strdup("p2pvpnctl");
    argv[argc++] = strdup("--socket");
    argv[argc++] = strdup(t.path);
    for (; *words != NULL; words++)
        argv[argc++] = strdup(*words);
    argv[argc] = NULL;
    assert_true(out != NULL && err != NULL);
    int code = pv_cli_run(argc, argv, in, out, err);
    fclose(out);
    fclose(err);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return code;
}

static int run_in(FILE *in, const char *const *words)
{
    free(t.out);
    free(t.err);
    return run_with(in, open_memstream(&t.out, &t.out_len), open_memstream(&t.err, &t.err_len),
                    words);
}

#define RUN(...) run_in(stdin, (const char *const[]){__VA_ARGS__, NULL})

/* stdin as a file with this text. */
static inline FILE *input(const char *text)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    fputs(text, f);
    rewind(f);
    return f;
}

static inline int run_with_input(FILE *in, const char *const *words)
{
    int code = run_in(in, words);
    fclose(in);
    return code;
}

#define RUN_WITH(text, ...) run_with_input(input(text), (const char *const[]){__VA_ARGS__, NULL})

/* p2pvpnd was asked this, with ' for " and without braces, and nothing else; NULL: nothing. */
#define assert_asked(...) assert_requests((const char *const[]){__VA_ARGS__, NULL})
static inline void assert_requests(const char *const *fields)
{
    char want[sizeof(t.requests)];
    struct pv_text list = pv_text_in(want, sizeof(want));
    for (; *fields != NULL; fields++)
        pv_text_add(&list, "{%s}\n", *fields);
    assert_string_equal(t.requests, test_quotes(want));
}

static inline bool is_one_line_error(void)
{
    return strncmp(t.err, "p2pvpnctl: ", 11) == 0 && strchr(t.err, '\n') == t.err + t.err_len - 1;
}

static inline void assert_one_line_error(const char *part)
{
    if (!is_one_line_error() || !test_has(t.err, part))
        fail_msg("not one line with \"%s\": %s", part, t.err);
}

/* Shows a text under the command that printed it. */
static inline void shows_printed(const char *text, const char *const *words)
{
    char label[256];
    struct pv_text list = pv_text_in(label, sizeof(label));
    pv_text_add(&list, "$ p2pvpnctl");
    for (; *words != NULL; words++)
        pv_text_add(&list, " %s", *words);
    assert_shows(label, text);
}

/* A command succeeds and shows what it prints; or it ends with this code and shows one line; or
 * that line has part, and differs between runs or machines. */
#define assert_prints(...)                                              \
    do {                                                                \
        assert_int_equal(RUN(__VA_ARGS__), 0);                          \
        shows_printed(t.out, (const char *const[]){__VA_ARGS__, NULL}); \
    } while (0)
#define assert_refuses(code, ...)                                       \
    do {                                                                \
        assert_int_equal(RUN(__VA_ARGS__), code);                       \
        assert_true(is_one_line_error());                               \
        shows_printed(t.err, (const char *const[]){__VA_ARGS__, NULL}); \
    } while (0)
#define assert_fails(code, part, ...)             \
    do {                                          \
        assert_int_equal(RUN(__VA_ARGS__), code); \
        assert_one_line_error(part);              \
    } while (0)

/* The first line of text that a screen of so many columns has no room for, in buf; NULL: there is
 * none. The texts of these tests are ASCII. */
static inline const char *wider_than(size_t columns, const char *text, char buf[static 128])
{
    for (; *text != '\0'; text += *text == '\n') {
        size_t len = strcspn(text, "\n");
        if (len > columns) {
            snprintf(buf, 128, "%.*s", (int)len, text);
            return buf;
        }
        text += len;
    }
    return NULL;
}
