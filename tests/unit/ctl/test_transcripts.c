/* SPDX-License-Identifier: MIT */
/*
 * test_transcripts.c - compares what p2pvpnctl prints with tests/transcripts/NAME.txt.
 *
 * A transcript has commands and, below each, the screen that the command prints:
 *
 *     # a comment
 *     #< CMD JSON            p2pvpnd answers the request CMD with this object; of an array, with
 *                            each element in turn
 *     #< CMD + JSON          changes these fields of its answer; null takes one out
 *     #< @FILE               loads the answers of FILE, an object of CMD: JSON
 *     #! disk MIB, disk readonly, disk no-inodes, group none, group foreign, daemon off
 *                            how this machine is from here on; "#! well" ends all of it
 *     $ p2pvpnctl peers      runs as user ann (uid 1000) on a screen of 80 columns
 *     $ sudo p2pvpnctl up    runs as root
 *     $ COLUMNS=40 p2pvpnctl status
 *     [exit 5]               the exit code, unless it is 0
 *
 * In answers {"ago": 60} stands for the time a minute ago, {"in": 60} for that in a minute, and
 * "VERSION" for our version, also on screens. The clock says 2026-11-30 12:00 UTC.
 * scripts/transcripts writes the screens anew.
 */
#include <dirent.h>
#include <grp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/jsonread.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/run.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

#define DIR_OF_THEM PV_TEST_DATA "/../transcripts"
#define SOCKET      "/run/p2pvpn/p2pvpnd.sock"

enum {
    NOW = 1796040000, /* 2026-11-30 12:00 UTC */
    ANN = 1000,       /* uid of who types a command without sudo */
    MAX_WORDS = 24,
};

static struct {
    char dir[64], path[96];
    char nobody[96]; /* a socket that nobody listens at */
    int listen_fd;
    pthread_t thread;
    json_t *answers; /* CMD: object or array */
    uid_t uid;
    struct group group;
    struct statvfs disk;
    bool has_group, is_off;
} t;

/* --- this machine, the same on every machine ------------------------------------------------ */

uid_t __wrap_geteuid(void);
struct group *__wrap_getgrnam(const char *name);
int __wrap_statvfs(const char *path, struct statvfs *ret_fs);
int __wrap_access(const char *path, int mode);
FILE *__wrap_fopen(const char *path, const char *mode);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time);
int __real_access(const char *path, int mode);
FILE *__real_fopen(const char *path, const char *mode);

uid_t __wrap_geteuid(void)
{
    return t.uid;
}

struct group *__wrap_getgrnam(const char *name)
{
    return strcmp(name, "p2pvpn") == 0 && t.has_group ? &t.group : NULL;
}

int __wrap_statvfs(const char *path, struct statvfs *ret_fs)
{
    (void)path;
    *ret_fs = t.disk;
    return 0;
}

int __wrap_access(const char *path, int mode)
{
    /* Of a program the first place at which it is looked for will do. */
    return strcmp(path, "/dev/net/tun") == 0 || mode == X_OK ? 0 : __real_access(path, mode);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
    return __real_fopen(strcmp(path, "/etc/nsswitch.conf") == 0 ? "/dev/null" : path, mode);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time)
{
    if (id != CLOCK_REALTIME)
        return (int)syscall(SYS_clock_gettime, id, ret_time);
    *ret_time = (struct timespec){.tv_sec = NOW};
    return 0;
}

/* --- p2pvpnd --------------------------------------------------------------------------------- */

static void say(int fd, json_t *answer, json_int_t id)
{
    json_t *line = json_copy(answer);
    json_object_set_new(line, "id", json_integer(id));
    if (json_object_get(line, "event") == NULL && json_object_get(line, "ok") == NULL)
        json_object_set_new(line, "ok", json_true());
    char *text = json_dumps(line, JSON_COMPACT);
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
    (void)!send(fd, "\n", 1, MSG_NOSIGNAL);
    free(text);
    json_decref(line);
}

/* A request without an answer is refused by name, so that a transcript shows what it lacks. */
static void serve_line(int fd, const char *line)
{
    json_t *req = json_loads(line, 0, NULL);
    const char *cmd = pv_json_text(req, "cmd", "?");
    json_t *answer = json_object_get(t.answers, cmd);
    json_int_t id = pv_json_int(req, "id");
    json_t *none = json_pack("{s:b, s:i, s:o}", "ok", 0, "code", 1, "error",
                             json_sprintf("the transcript has no answer to %s", cmd));
    if (json_is_array(answer))
        PV_EACH_JSON(answer, one)
            say(fd, one, id);
    else
        say(fd, answer == NULL ? none : answer, id);
    json_decref(none);
    json_decref(req);
}

static void *serve(void *unused)
{
    for (;;) {
        int fd = accept(t.listen_fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        FILE *f = fdopen(fd, "r+");
        char line[8192];
        while (f != NULL && fgets(line, sizeof(line), f) != NULL)
            serve_line(fd, line);
        if (f != NULL)
            fclose(f);
    }
}

/* {"ago": 60} becomes the time a minute before now; {"in": 60} that after it; "VERSION" our
 * version. */
static void fill_in(json_t *value)
{
    const char *key;
    json_t *field;
    void *next;
    PV_EACH_JSON(value, element)
        fill_in(element);
    json_object_foreach_safe(value, next, key, field) {
        json_t *ago = json_object_get(field, "ago"), *in = json_object_get(field, "in");
        if (json_is_number(ago) || json_is_number(in))
            json_object_set_new(value, key,
                                json_real(NOW - json_number_value(ago) + json_number_value(in)));
        else if (pv_json_is(value, key, "VERSION"))
            json_object_set_new(value, key, json_string(PV_VERSION));
        else
            fill_in(field);
    }
}

/* --- a transcript ----------------------------------------------------------------------------- */

static json_t *load(const char *text, const char *where)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (value == NULL)
        fail_msg("%s: no JSON: %s: %.80s", where, error.text, text);
    fill_in(value);
    return value;
}

static char *read_file(const char *path)
{
    FILE *f = __real_fopen(path, "re");
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    if (f == NULL)
        fail_msg("cannot read %s", path);
    (void)!fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    return text;
}

/* A line "#< ...", behind these two characters. */
static void take_answer(const char *line, const char *where)
{
    char cmd[64];
    int at = 0;
    line += strspn(line, " ");
    if (line[0] == '@') {
        char *text = read_file(PV_STR("%s/%s", DIR_OF_THEM, line + 1));
        json_t *all = load(text, where);
        json_object_update(t.answers, all);
        json_decref(all);
        free(text);
        return;
    }
    if (sscanf(line, "%63s %n", cmd, &at) != 1)
        fail_msg("%s: no command behind #<", where);
    line += at;
    json_t *was = json_object_get(t.answers, cmd), *now;
    if (line[0] == '+' && was != NULL) {
        json_t *change = load(line + 1, where);
        now = json_deep_copy(was);
        json_object_update(now, change);
        json_decref(change);
    } else {
        now = load(line, where);
    }
    json_object_set_new(t.answers, cmd, now);
}

static void be_well(void)
{
    t.has_group = true;
    t.is_off = false;
    t.group.gr_gid = getegid();
    t.disk = (struct statvfs){.f_bavail = 4096 * 1024, .f_frsize = 4096};
}

/* A line "#! ...", behind these two characters. */
static void take_state(const char *line, const char *where)
{
    unsigned long mib;
    line += strspn(line, " ");
    if (strcmp(line, "well") == 0)
        be_well();
    else if (sscanf(line, "disk %lu", &mib) == 1)
        t.disk.f_bavail = mib * 256;
    else if (strcmp(line, "disk readonly") == 0)
        t.disk.f_flag = ST_RDONLY;
    else if (strcmp(line, "disk no-inodes") == 0)
        t.disk.f_files = 5;
    else if (strcmp(line, "group none") == 0)
        t.has_group = false;
    else if (strcmp(line, "group foreign") == 0)
        t.group.gr_gid = getegid() + 1;
    else if (strcmp(line, "daemon off") == 0)
        t.is_off = true;
    else
        fail_msg("%s: nobody knows \"#!%s\"", where, line);
}

/* Words between blanks; 'two words' are one. Cuts up the line. */
static int words_of(char *line, char **words)
{
    int n = 0;
    for (char *at = line + strspn(line, " "); *at != '\0'; at += strspn(at, " ")) {
        char end = *at == '\'' ? '\'' : ' ';
        at += end == '\'';
        assert_true(n < MAX_WORDS);
        words[n++] = at;
        at += strcspn(at, (char[]){end, '\0'});
        if (*at != '\0')
            *at++ = '\0';
    }
    return n;
}

/* Writes text with each part that differs between machines replaced. */
static void write_screen(FILE *out, const char *text)
{
    static const char version[] = PV_VERSION, socket[] = SOCKET;
    size_t len = 0;
    for (const char *at = text; *at != '\0'; at += len) {
        const char *instead = NULL;
        len = 1;
        const char *path = strncmp(at, t.path, strlen(t.path)) == 0 ? t.path : t.nobody;
        if (strncmp(at, path, strlen(path)) == 0) {
            instead = socket;
            len = strlen(path);
        } else if (strncmp(at, version, strlen(version)) == 0 &&
                   (at == text || strchr("0123456789.", at[-1]) == NULL)) { /* no address */
            instead = "VERSION";
            len = strlen(version);
        }
        if (instead != NULL)
            fputs(instead, out);
        else
            fputc(*at, out);
    }
    if (text[0] != '\0' && text[strlen(text) - 1] != '\n')
        fputs("\n[no newline]\n", out);
}

/* Runs a line "$ ...", behind these two characters, and writes its screen. */
static void run_line(const char *typed, FILE *out)
{
    char *line = strdup(typed), *words[MAX_WORDS], *argv[MAX_WORDS + 4];
    char *screen = NULL;
    size_t screen_len = 0;
    int n = words_of(line, words), first = 0, argc = 0;
    const char *columns = "80";
    t.uid = ANN;
    for (; first < n && strcmp(words[first], "p2pvpnctl") != 0; first++) {
        if (strncmp(words[first], "COLUMNS=", 8) == 0)
            columns = words[first] + 8;
        else if (strcmp(words[first], "sudo") == 0)
            t.uid = 0;
        else
            fail_msg("$ %s: %s is not sudo, COLUMNS=N or p2pvpnctl", typed, words[first]);
    }
    assert_int_equal(setenv("COLUMNS", columns, 1), 0);
    argv[argc++] = (char[]){"p2pvpnctl"};
    argv[argc++] = (char[]){"--socket"};
    argv[argc++] = t.is_off ? t.nobody : t.path;
    for (int i = first + 1; i < n; i++)
        argv[argc++] = words[i];
    argv[argc] = NULL;
    /* Both streams go to one screen, in the order in which they are written. */
    FILE *both = open_memstream(&screen, &screen_len), *in = __real_fopen("/dev/null", "re");
    assert_true(both != NULL && in != NULL);
    int code = pv_cli_run(argc, argv, in, both, both);
    fclose(both);
    fclose(in);
    write_screen(out, screen);
    if (code != 0)
        fprintf(out, "[exit %d]\n", code);
    free(screen);
    free(line);
}

/* The transcript with the screens that its commands print now; the caller frees it. */
static char *play(const char *was, const char *where)
{
    char *now = NULL, *copy = strdup(was), *rest = copy;
    size_t len = 0;
    bool below_screen = false;
    FILE *out = open_memstream(&now, &len);
    assert_true(out != NULL && copy != NULL);
    json_object_clear(t.answers);
    be_well();
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        bool runs = strncmp(line, "$ ", 2) == 0;
        if (!runs && line[0] != '#')
            continue;
        fprintf(out, "%s%s\n", below_screen ? "\n" : "", line);
        below_screen = runs;
        if (runs)
            run_line(line + 2, out);
        else if (line[1] == '<')
            take_answer(line + 2, where);
        else if (line[1] == '!')
            take_state(line + 2, where);
    }
    fclose(out);
    free(copy);
    return now;
}

/* The first line that differs, with its number. */
static void tell_difference(const char *where, const char *was, const char *now)
{
    int number = 1;
    while (*was != '\0' || *now != '\0') {
        size_t a = strcspn(was, "\n"), b = strcspn(now, "\n");
        if (a != b || strncmp(was, now, a) != 0)
            fail_msg("%s:%d has \"%.*s\", p2pvpnctl \"%.*s\"", where, number, (int)a, was, (int)b,
                     now);
        was += a + (was[a] == '\n');
        now += b + (now[b] == '\n');
        number++;
    }
}

static void look_at(const char *path)
{
    char *was = read_file(path), *now = play(was, path);
    const char *mode = getenv("PV_TRANSCRIPTS");
    if (mode != NULL && strcmp(mode, "write") == 0 && strcmp(was, now) != 0)
        test_write(path, now);
    else
        tell_difference(path, was, now);
    free(was);
    free(now);
}

static int setup(void **state)
{
    static char group_name[] = "p2pvpn";
    memset(&t, 0, sizeof(t));
    t.group.gr_name = group_name;
    snprintf(t.dir, sizeof(t.dir), "/tmp/pv-test-transcripts-XXXXXX");
    if (mkdtemp(t.dir) == NULL)
        return -1;
    snprintf(t.path, sizeof(t.path), "%s/s", t.dir);
    snprintf(t.nobody, sizeof(t.nobody), "%s/n", t.dir);
    setenv("HOME", t.dir, 1);
    setenv("PATH", PV_BIN_DIR, 1); /* p2pvpnd is named without its path */
    setenv("TZ", "UTC", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("TERM", "xterm", 1);
    unsetenv("XDG_RUNTIME_DIR");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, t.path, strlen(t.path) + 1);
    t.answers = json_object();
    t.listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (t.answers == NULL || t.listen_fd < 0 ||
        bind(t.listen_fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(t.listen_fd, 8) < 0)
        return -1;
    return pthread_create(&t.thread, NULL, serve, NULL);
}

static int teardown(void **state)
{
    shutdown(t.listen_fd, SHUT_RDWR);
    pthread_join(t.thread, NULL);
    close(t.listen_fd);
    json_decref(t.answers);
    return test_dir_remove(t.dir);
}

PV_TEST_WORLD(setup, teardown);

static int is_transcript(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot != NULL && strcmp(dot, ".txt") == 0;
}

PV_TEST(p2pvpnctl_prints_what_the_transcripts_have)
{
    struct dirent **list;
    int n = scandir(DIR_OF_THEM, &list, is_transcript, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        look_at(PV_STR("%s/%s", DIR_OF_THEM, list[i]->d_name));
        free(list[i]);
    }
    free(list);
}

PV_TEST(the_help_of_each_command_is_in_a_transcript)
{
    char *text = read_file(DIR_OF_THEM "/help.txt");
    const struct pv_command *c;
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++)
        if (strstr(text, PV_STR("\n$ p2pvpnctl %s -h\n", c->name)) == NULL)
            fail_msg("help.txt lacks \"$ p2pvpnctl %s -h\"", c->name);
    free(text);
}
