/* SPDX-License-Identifier: MIT */
/*
 * cmd_bugreport.c - one file with what somebody who looks for a fault asks for: versions, status,
 * peers, why and trace of each, metrics, the configuration. Keys that are secret are in none of
 * these: the daemon gives none away, and the configuration names files. A line that looks like one
 * is left out of the configuration all the same. --redact replaces names, addresses and public
 * keys, each by the same word everywhere.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "sys/proc/clock.h"

enum {
    REPORT_OUTPUT,
    REPORT_REDACT,
    MAX_WORDS = 1024, /* names, addresses and keys that are replaced; more become number 0 */
    WORD_BUF = 128,   /* bytes of one, with the NUL; none of ours is longer */
    KEY_CHARS = 43,   /* a key of 32 bytes in base64, without padding */
};

/* The report while it is made. */
struct report {
    struct pv_cli *cli;
    FILE *out;
    bool redact;
    char (*words)[WORD_BUF]; /* replaced ones, in the order in which they were met; owned */
    size_t n_words, n_names; /* the first n_names are names */
};

/* --- redaction ------------------------------------------------------------------------------ */

/* Number of the word among those that are replaced, from 1; 0: there is no more room. */
static size_t number_of(struct report *r, const char *word)
{
    for (size_t i = 0; i < r->n_words; i++) {
        if (strcmp(r->words[i], word) == 0)
            return i + 1;
    }
    if (r->n_words == MAX_WORDS)
        return 0;
    snprintf(r->words[r->n_words++], WORD_BUF, "%s", word);
    return r->n_words;
}

/* A name is no pattern like an address or a key: only those that the answers list are known. */
static bool is_name(const struct report *r, const char *word)
{
    for (size_t i = 0; i < r->n_names; i++) {
        if (strcmp(r->words[i], word) == 0)
            return true;
    }
    return false;
}

static bool is_address(const char *word)
{
    struct pv_addr addr;
    return strpbrk(word, ".:") != NULL && pv_addr_parse_ip(word, &addr) == PV_OK;
}

/* The characters of names, addresses and keys. */
static bool is_part(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '+' || c == '=';
}

/* Prints one run of such characters, with the dots and colons of an address in it. */
static void put_word(struct report *r, const char *text, size_t len)
{
    char word[WORD_BUF];
    const char *kind = NULL;
    snprintf(word, sizeof(word), "%.*s", (int)len, text);
    if (len < sizeof(word) && is_address(word))
        kind = "address";
    else if (len >= KEY_CHARS && len < sizeof(word) && strpbrk(word, ".:") == NULL)
        kind = "key";
    else if (len < sizeof(word) && is_name(r, word))
        kind = "name";
    if (kind == NULL)
        fwrite(text, 1, len, r->out);
    else
        fprintf(r->out, "%s-%zu", kind, number_of(r, word));
}

/* The longest address that begins here, else one run; its length. */
static size_t word_at(const char *text)
{
    char word[PV_ADDR_TEXT];
    size_t len = 0, run = 0;
    while (is_part(text[len]) || text[len] == '.' || text[len] == ':')
        len++;
    while (is_part(text[run]))
        run++;
    /* "10.0.0.1:3478" and "fd00::1." end in what is no part of the address. */
    for (size_t n = len; n > run; n--) {
        snprintf(word, sizeof(word), "%.*s", (int)n, text);
        if (n < sizeof(word) && is_address(word))
            return n;
    }
    return run;
}

/* Texts of others go through here, all of them: what is redacted is decided in one place. */
static void put_text(struct report *r, const char *text)
{
    if (!r->redact) {
        fputs(text, r->out);
        return;
    }
    while (*text != '\0') {
        size_t n = word_at(text);
        if (n > 0)
            put_word(r, text, n);
        else
            fputc(*text, r->out);
        text += n > 0 ? n : 1;
    }
}

static void note_name(struct report *r, const char *name)
{
    if (name[0] != '\0' && number_of(r, name) > r->n_names)
        r->n_names = r->n_words;
}

/* --- parts ---------------------------------------------------------------------------------- */

/* Heads are printed as they are, so they must hold nothing that is redacted: peers have numbers. */
static void put_head(struct report *r, const char *name)
{
    fprintf(r->out, "\n== %s\n", name);
}

static void put_json(struct report *r, const char *name, const json_t *body)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_INDENT(1));
    put_head(r, name);
    put_text(r, text == NULL ? "(no answer)" : text);
    fputc('\n', r->out);
    free(text);
}

/* NULL: no answer. The report goes on without it, since a daemon that does not answer is what many
 * reports are about. */
static json_t *ask(struct report *r, enum pv_ctlapi_cmd cmd, const char *peer)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(cmd);
    if (peer != NULL && pv_cli_peer(r->cli, &req, peer) != 0)
        return NULL;
    return pv_cli_ask(r->cli, &req, &body) == 0 ? body : NULL;
}

static void put_versions(struct report *r)
{
    struct utsname u;
    char when[32];
    time_t now = (time_t)(pv_clock_wall_us() / 1000000);
    struct tm tm;
    put_head(r, "versions");
    if (gmtime_r(&now, &tm) != NULL && strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm) > 0)
        fprintf(r->out, "made %s UTC\n", when);
    fprintf(r->out, "p2pvpnctl %s\n", PV_VERSION);
    if (uname(&u) == 0)
        fprintf(r->out, "%s %s %s\n", u.sysname, u.release, u.machine);
}

/* Keys of the configuration name files; a secret that somebody has put there nevertheless, or into
 * a comment, is not copied. */
static bool is_secret(const char *line)
{
    static const char *const words[] = {"password", "secret", "token", "preshared", "private"};
    bool secret = line[strspn(line, " \t")] == '#' || line[strspn(line, " \t")] == ';';
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++)
        secret = secret || strcasestr(line, words[i]) != NULL;
    return secret;
}

/* The arguments of a program: a service that it tells of messages may let it in by one of them.
 * NULL: the line has none. */
static char *arguments_in(char *line)
{
    static const char key[] = "notify";
    char *at = line + strspn(line, " \t");
    if (strncmp(at, key, sizeof(key) - 1) != 0 || (at = strchr(at, '=')) == NULL)
        return NULL;
    at++;
    at += strspn(at, " \t");
    at += strcspn(at, " \t\r\n");
    return at[strspn(at, " \t\r\n")] == '\0' ? NULL : at;
}

/* Without what may be secret: keys are in files of their own, but users write what they like. */
static void put_configuration(struct report *r)
{
    char *line = NULL;
    size_t cap = 0;
    struct pv_userdirs dirs;
    const struct pv_instance *node = &r->cli->node;
    bool own = node->is_user && pv_userdirs_find(node->name, &dirs) == PV_OK;
    const char *config = own ? dirs.config : node->config;
    FILE *f = fopen(config, "re");
    put_head(r, "configuration");
    if (f == NULL)
        fprintf(r->out, "(%s: %s)\n", config, strerror(errno));
    while (f != NULL && getline(&line, &cap, f) > 0) {
        char *arguments = arguments_in(line);
        if (is_secret(line)) {
            fputs("(a line is left out)\n", r->out);
            continue;
        }
        if (arguments != NULL)
            *arguments = '\0';
        put_text(r, line);
        if (arguments != NULL)
            fputs(" (its arguments are left out)\n", r->out);
    }
    free(line);
    if (f != NULL)
        fclose(f);
}

static void put_peers(struct report *r, const json_t *peers)
{
    PV_EACH_JSON(json_object_get(peers, "peers"), peer) {
        const char *name = pv_json_text(peer, "name", "");
        json_t *why = ask(r, PV_CTLAPI_WHY, name), *trace = ask(r, PV_CTLAPI_TRACE, name);
        put_json(r, PV_STR("why, peer %zu", peer_i + 1), why);
        put_json(r, PV_STR("trace, peer %zu", peer_i + 1), trace);
        json_decref(why);
        json_decref(trace);
    }
}

/* Names first, so that every part knows them. */
static void put_all(struct report *r)
{
    json_t *status = ask(r, PV_CTLAPI_STATUS, NULL);
    /* After one question without an answer the others would only say the same again. */
    json_t *peers = status == NULL ? NULL : ask(r, PV_CTLAPI_PEERS, NULL);
    json_t *metrics = status == NULL ? NULL : ask(r, PV_CTLAPI_METRICS, NULL);
    note_name(r, pv_json_text(json_object_get(status, "network"), "name", ""));
    note_name(r, pv_json_text(json_object_get(status, "self"), "name", ""));
    PV_EACH_JSON(json_object_get(peers, "peers"), peer)
        note_name(r, pv_json_text(peer, "name", ""));
    if (r->redact) /* it may have a user's name in it, which nobody tells from other words */
        json_object_del(status, "directory");
    put_versions(r);
    put_json(r, "status", status);
    put_json(r, "peers", peers);
    put_peers(r, peers);
    put_head(r, "metrics");
    put_text(r, pv_json_text(metrics, "text", "(no answer)"));
    put_configuration(r);
    json_decref(status);
    json_decref(peers);
    json_decref(metrics);
}

/* The file is made first, for nobody else to read: whoever cannot write it is told before p2pvpnd
 * is asked anything. */
static int bugreport(struct pv_cli *cli)
{
    const char *path = cli->args.value[REPORT_OUTPUT];
    struct report r = {.cli = cli, .redact = cli->args.value[REPORT_REDACT] != NULL};
    if (path == NULL)
        path = "p2pvpn-bugreport.txt";
    r.words = calloc(MAX_WORDS, sizeof(*r.words));
    if (r.words == NULL)
        return pv_cli_no_memory(cli);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    r.out = fd < 0 ? NULL : fdopen(fd, "w");
    if (r.out == NULL) {
        int code = pv_cli_fail(cli, PV_CTLAPI_FAILED, "cannot make %s: %s: name another with -o",
                               path, strerror(errno));
        free(r.words);
        return code;
    }
    cli->client.exact = false; /* the file is for people, whatever is printed of it */
    put_all(&r);
    bool ok = ferror(r.out) == 0;
    ok = fclose(r.out) == 0 && ok;
    free(r.words);
    cli->cached = false;
    if (!ok) {
        (void)unlink(path); /* half a report is none, and would be in the way of the next one */
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "cannot write %s: is the disk full?", path);
    }
    if (cli->json)
        return pv_cli_print_packed(cli, "{s:s}", "file", path);
    if (!cli->quiet)
        fprintf(cli->out, "%s: read it before you give it away\n", path);
    return PV_CTLAPI_DONE;
}

const struct pv_command pv_cmds_bugreport[] = {
    {
        .name = "bugreport",
        .keeps_root = true,
        .args = "[-o FILE] [--redact]",
        .summary = "write a report about this node to one file",
        .details =
            "  -o, --output FILE  instead of p2pvpn-bugreport.txt; never overwrites a file\n"
            "  --redact           replace names, addresses and keys with numbers\n"
            "The report has versions, status, peers, why and trace of each peer, metrics and\n"
            "configuration. It has no secrets and no messages.\n",
        .example = "p2pvpnctl bugreport --redact",
        .options =
            {[REPORT_OUTPUT] = {"output", 'o', true}, [REPORT_REDACT] = {"redact", 0, false}},
        .run = bugreport,
    },
    {.name = NULL},
};
