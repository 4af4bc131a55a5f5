/* SPDX-License-Identifier: MIT */
/* p2pvpnctl: arguments, exit codes, and every command but those of chat (test_ctl_chat.c). */
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>

#include "ctl/lib/args.h"
#include "ctl_fake.h"
#include "proto/roster/token.h"
#include "sys/term/qr.h"

static bool has_group = true;

/* Stands in for libc's: this machine may have such a group, or none. */
struct group *getgrnam(const char *name)
{
    static char ours[] = "p2pvpn";
    static struct group group = {.gr_name = ours};
    return has_group && strcmp(name, group.gr_name) == 0 ? &group : NULL;
}

/* --- arguments ----------------------------------------------------------------------------- */

PV_TEST(options_and_words_may_stand_in_any_order)
{
    static const struct pv_option table[] = {{"num", 'n', true}, {"flag", 'f', false}};
    char a[] = "x", b[] = "--num", c[] = "5", d[] = "-f", e[] = "-", f[] = "--num=7", g[] = "--",
         h[] = "-z";
    char *argv[] = {a, b, c, d, e, f, g, h};
    struct pv_args_rest rest = {.argc = 8, .argv = argv};
    struct pv_args args = {.n_words = 0};
    char error[PV_ARGS_ERROR];
    assert_ok(pv_args_parse(&args, table, 2, 99, &rest, error));
    assert_string_equal(args.value[0], "7"); /* the later one counts */
    assert_string_equal(args.value[1], "");
    assert_int_equal(args.n_words, 3);
    assert_string_equal(args.word[1], "-");
    assert_string_equal(args.word[2], "-z");
    assert_int_equal(rest.argc, 0);
}

/* "-fn5" is "-f -n 5". */
PV_TEST(short_flags_may_be_joined)
{
    static const struct pv_option table[] = {{"num", 'n', true}, {"flag", 'f', false}};
    char a[] = "-fn5", b[] = "-n7", c[] = "-fx";
    char *argv[] = {a, b, c};
    struct pv_args_rest rest = {.argc = 2, .argv = argv};
    struct pv_args args = {.n_words = 0};
    char error[PV_ARGS_ERROR];
    assert_ok(pv_args_parse(&args, table, 2, 1, &rest, error));
    assert_string_equal(args.value[0], "7");
    assert_string_equal(args.value[1], "");
    /* Half of a word that is wrong is not taken. */
    rest = (struct pv_args_rest){.argc = 1, .argv = argv + 2};
    args = (struct pv_args){.n_words = 0};
    assert_int_equal(pv_args_parse(&args, table, 2, 1, &rest, error), PV_ERR_MALFORMED);
    assert_null(args.value[1]);
}

/* One key in 64 begins like a flag. */
PV_TEST(a_key_is_no_flag)
{
    static const struct pv_option table[] = {{"num", 'n', true}};
    char key[] = "-8DU7oKT-LooyxIcoxNhwTUR-8xC3CHvi99TfDWssow";
    char *argv[] = {key};
    struct pv_args_rest rest = {.argc = 1, .argv = argv};
    struct pv_args args = {.n_words = 0};
    char error[PV_ARGS_ERROR];
    assert_ok(pv_args_parse(&args, table, 1, 99, &rest, error));
    assert_int_equal(args.n_words, 1);
    assert_string_equal(args.word[0], key);
}

PV_TEST(bad_options_are_named)
{
    static const struct pv_option table[] = {{"num", 'n', true}, {"flag", 'f', false}};
    static const char *const rows[] = {
        "--nope", "-x", "-fx", "-x8Qndi-fnzQ", "-fn", "--nom=3", "--num", "-n", "--flag=1",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char arg[32];
        char *argv[] = {arg};
        struct pv_args_rest rest = {.argc = 1, .argv = argv};
        struct pv_args args = {.n_words = 0};
        char error[PV_ARGS_ERROR];
        snprintf(arg, sizeof(arg), "%s", rows[i]);
        assert_int_equal(pv_args_parse(&args, table, 2, 99, &rest, error), PV_ERR_MALFORMED);
        assert_shows(rows[i], error);
    }
    /* A value that must not be lost is given once. */
    static const struct pv_option once = {"tag", 0, PV_OPTION_ONCE};
    char *tags[] = {(char[]){"--tag"}, (char[]){"a"}, (char[]){"--tag=b"}};
    struct pv_args_rest two = {.argc = 3, .argv = tags};
    struct pv_args told = {.n_words = 0};
    char twice[PV_ARGS_ERROR];
    assert_int_equal(pv_args_parse(&told, &once, 1, 99, &two, twice), PV_ERR_MALFORMED);
    assert_shows("twice", twice);
    /* The next word is another option: that is told, and not taken for a value. */
    char *argv[] = {(char[]){"--num"}, (char[]){"--flag"}, (char[]){"x"}};
    struct pv_args_rest rest = {.argc = 3, .argv = argv};
    struct pv_args args = {.n_words = 0};
    char error[PV_ARGS_ERROR];
    assert_int_equal(pv_args_parse(&args, table, 2, 99, &rest, error), PV_ERR_MALFORMED);
    assert_string_equal(error, "flag --num needs a value");
}

PV_TEST_IN(wrong_usage_is_exit_code_2_without_a_word_to_the_daemon, setup, teardown)
{
    static const char *const rows[][8] = {
        {"dance"},
        {"--nope"},
        {"peers", "--nope"},
        {"peers", "bob"},
        {"ping"},
        {"ping", "bob", "-c", "0"},
        {"ping", "bob", "-c", "1000001"},
        {"ping", "bob", "-c", "many"},
        {"ping", "bob", "-i", "0"},
        {"ping", "bob", "-i", "1x"},
        {"ping", "bob", "-s", "1191"},
        {"ping", "bo b"},
        {"ping", ""},
        {"invite", "--uses", "0"},
        {"invite", "--uses", "1000001"},
        {"invite", "--expires", "soon"},
        {"invite", "--expires", "0"},
        {"invite", "--expires", "1000w"},
        {"invite", "dance"},
        {"invite", "revoke"},
        {"invite", "list", "--uses", "2"},
        {"invite", "list", "--member-for", "90d"},
        {"invite", "--member-for", "90"},
        {"invite", "--member-for", "521w"},
        {"send", "bob"},
        {"send", "bob", ""},
        {"send", "bob", "\xff"},
        {"log", "louder"},
        {"log"},
        {"history", "-n", "0"},
        {"history", "-n", "1001"},
        {"wait", "--direct"},
        {"room"},
        {"room", "dance"},
        {"room", "create"},
        {"room", "invite", "crew"},
        {"room", "list", "all"},
        {"room", "create", "two words"},
        {"--timeout", "-1", "peers"},
        {"--timeout", "0", "peers"},
        {"--timeout", "soon", "peers"},
        {"--timeout", "nan", "peers"},
        {"--timeout", "86401", "peers"},
        {"create", "nonsense"},
        {"create", "nonsense", "--name", "Not A Name!"},
        {"create", "nonsense", "--cidr", "10.0.0.0/40"},
        {"create", "nonsense", "--cidr", "127.0.0.0/16"},
        {"create", "nonsense", "--network", "localhost"},
        {"ip", "-4", "-6"},
        {"ip", "--wg-key", "-4", "bob"},
        {"chat", "bob", "--lines", "--raw"},
        {"-t", "1", "forward", "0", "pi:80"},
        {"socks", "--timeout", "1"},
        {"serve", "8080", "80", "-t", "1"},
        {"web", "-t", "1"},
        {"-t", "1", "run", "true"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (run_in(stdin, rows[i]) != PV_CTLAPI_USAGE)
            fail_msg("row %zu: %s", i, t.err);
        assert_one_line_error("-h");
        assert_int_equal(t.out_len, 0);
    }
    assert_asked(NULL);
}

/* An empty variable of a script's would else mean another network. */
PV_TEST_IN(an_empty_network_is_none, setup, teardown)
{
    char *argv[] = {(char[]){"p2pvpnctl"}, (char[]){"-n"}, (char[]){""}, (char[]){"leave"}, NULL};
    FILE *err = open_memstream(&t.err, &t.err_len);
    assert_non_null(err);
    assert_int_equal(pv_cli_run(4, argv, stdin, stdout, err), PV_CTLAPI_USAGE);
    fclose(err);
    assert_true(is_one_line_error());
    assert_shows("err", t.err);
}

PV_TEST_IN(flags_that_would_do_nothing_are_refused_with_what_does, setup, teardown)
{
    assert_refuses(PV_CTLAPI_USAGE, "forward", "-t", "1", "0", "pi:80");
    assert_refuses(PV_CTLAPI_USAGE, "ip", "-46");
    assert_refuses(PV_CTLAPI_USAGE, "chat", "--lines", "--raw", "bob");
}

PV_TEST_IN(p2pvpnctl_alone_prints_what_there_is, setup, teardown)
{
    assert_int_equal(RUN(NULL), PV_CTLAPI_USAGE);
    assert_int_equal(t.err_len, 0);
    size_t lines = 0;
    for (const char *at = t.out; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_true(lines > 8 && lines <= 16);
    assert_int_equal(RUN("--json"), PV_CTLAPI_USAGE);
    assert_has(t.err, "'error':");
    assert_int_equal(t.out_len, 0);
}

PV_TEST_IN(help_is_a_command_and_mistyped_ones_are_guessed, setup, teardown)
{
    assert_int_equal(RUN("help"), 0);
    assert_has(t.out, "usage: p2pvpnctl [flags] COMMAND");
    assert_int_equal(RUN("help", "ping"), 0);
    assert_has(t.out, "usage: p2pvpnctl ping ");
    static const char *const rows[][2] = {
        {"staus", "status"}, {"peer", "peers"}, {"jion", "join"}, {"pign", "ping"}, {"hlp", NULL}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char want[64] = "";
        assert_int_equal(RUN(rows[i][0]), 2);
        if (rows[i][1] != NULL)
            snprintf(want, sizeof(want), "did you mean %s?", rows[i][1]);
        assert_has(t.err, want);
    }
    assert_int_equal(RUN("dance"), 2);
    assert_lacks(t.err, "did you mean");
    /* Two changed letters leave nothing of a short word. */
    assert_int_equal(RUN("lsit"), 2);
    assert_lacks(t.err, "did you mean");
    assert_int_equal(RUN("msg"), 2);
    assert_lacks(t.err, "did you mean");
    assert_int_equal(RUN("create", "x", "--nmae", "y"), 2);
    assert_has(t.err, "unknown flag --nmae: did you mean --name?");
    assert_int_equal(RUN("help", "staus"), 2);
    assert_has(t.err, "did you mean status?");
}

PV_TEST_IN(errors_are_json_where_answers_are, setup, teardown)
{
    answers("peers", test_given("code error peers what why"));
    assert_int_equal(RUN("peers", "--json"), 4);
    assert_string_equal(t.out, "");
    assert_shows("$ p2pvpnctl peers --json", t.err);
    static const char *const rows[][5] = {
        {"--json", "staus", NULL},          {"-j", "ping", NULL},
        {"ping", "-j", "--nope", NULL},     {"staus", "--json", NULL},
        {"ping", "--nope", "--json", NULL}, {"ping", "--nope", "-j", NULL},
        {"--nope", "--json", NULL},         {"--net", "BAD", "ping", "-j", NULL}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_int_equal(run_in(NULL, rows[i]), 2);
        assert_int_equal(strncmp(t.err, "{\"format\":1,\"code\":2,\"error\":\"", 30), 0);
    }
}

/* "p2pvpnctl peers | head -1": the pipe is closed before the rest is written. */
PV_TEST_IN(a_reader_that_goes_away_is_no_error, setup, teardown)
{
    char program[] = "p2pvpnctl", word[] = "help";
    char *argv[] = {program, word, NULL}, *text = NULL;
    size_t len = 0;
    int fds[2];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    FILE *out = fdopen(fds[1], "w"), *err = open_memstream(&text, &len);
    assert_int_equal(pv_cli_run(2, argv, stdin, out, err), 0);
    fclose(out);
    fclose(err);
    assert_string_equal(text, "");
    free(text);
}

PV_TEST_IN(a_token_that_is_none_is_exit_code_12, setup, teardown)
{
    static char big[5001];
    memset(big, 'x', sizeof(big) - 1);
    const char *const bad[] = {"p2pvpn-", "p2pvpn-AAAA", "x", "", big};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        assert_refuses(PV_CTLAPI_BAD_TOKEN, "join", bad[i]);
    }
    assert_int_equal(RUN_WITH("  nonsense \n", "join", "-"), PV_CTLAPI_BAD_TOKEN);
    assert_refuses(PV_CTLAPI_BAD_TOKEN, "join", "p2pvpn-A-1BoAQ");
    static char newer[5000] = "p2pvpn-A";
    memset(newer + 8, 'x', sizeof(newer) - 9);
    /* Some are no longer than move tokens may be. */
    for (size_t len = sizeof(newer) - 1; len > 800; len -= 400) {
        newer[len] = '\0';
        assert_fails(PV_CTLAPI_BAD_TOKEN, "from a newer p2pvpn", "join", newer);
    }
    /* The URL where a token should be, and the other way round. */
    assert_refuses(PV_CTLAPI_BAD_TOKEN, "join", "p2pvpn://192.0.2.1:3478/K?c=S");
    assert_refuses(PV_CTLAPI_USAGE, "create", "p2pvpn-AAAA");
    assert_asked(NULL);
}

PV_TEST_IN(flags_may_stand_before_or_behind_the_command, setup, teardown)
{
    answers("ip", OK("'ip4':'10.66.0.1','ip6':null,'wg_key':'k'"));
    assert_int_equal(RUN("--json", "ip"), 0);
    char *first = strdup(t.out);
    assert_int_equal(RUN("ip", "--json"), 0);
    assert_string_equal(t.out, first);
    assert_shows("$ p2pvpnctl ip --json", t.out);
    free(first);
    assert_int_equal(RUN("-V", "leave"), 0);
    assert_string_equal(t.out, "p2pvpnctl " PV_VERSION "\n");
    assert_int_equal(RUN("leave", "-V"), 0);
    assert_string_equal(t.out, "p2pvpnctl " PV_VERSION "\n");
}

enum {
    SUMMARY_MAX = 80 - 13, /* columns of a line of the overview, and where summaries begin */
};

/* The lack of a row, as a sentence for the one who adds a command; NULL: nothing. */
static const char *lacking(const struct pv_command *c)
{
    if (c->args == NULL || c->details == NULL)
        return ".args and .details may be \"\", not NULL";
    if (c->summary == NULL || c->summary[0] == '\0' || strlen(c->summary) > SUMMARY_MAX)
        return "its .summary is too long for the overview";
    if (c->example == NULL || strstr(c->example, c->name) == NULL)
        return "its .example is no command line";
    const struct pv_verb *v = &c->verb;
    bool asks = v->print != NULL || v->done != NULL || v->ask != NULL;
    if ((c->run != NULL) + (c->verbs != NULL) + asks != 1)
        return "it lacks .run, .verb and .verbs";
    return c->words.max < c->words.min ? "the most of its .words is below the least" : NULL;
}

PV_TEST_IN(every_row_of_the_command_table_is_complete, setup, teardown)
{
    const struct pv_command *c;
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        const char *what = lacking(c);
        if (what != NULL)
            fail_msg("p2pvpnctl %s: %s", c->name, what);
        if (pv_command_find(c->name) != c)
            fail_msg("p2pvpnctl %s: a second row of this name", c->name);
    }
}

PV_TEST_IN(every_command_has_help_with_an_example, setup, teardown)
{
    const struct pv_command *c;
    assert_int_equal(RUN("-h"), 0);
    char *overview = strdup(t.out);
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        assert_has(overview, c->summary);
        assert_int_equal(RUN("-h", c->name), 0);
        assert_string_equal(t.err, "");
        assert_int_equal(RUN(c->name, "-h"), 0);
        assert_has(t.out, "\nusage: p2pvpnctl ");
        assert_has(t.out, "\nexample: ");
        for (const char *line = t.out; *line != '\0'; line += strcspn(line, "\n") + 1) {
            if (strcspn(line, "\n") > 80 && strncmp(line, "example: ", 9) != 0)
                fail_msg("%s -h: more than 80 columns: %.100s", c->name, line);
        }
        assert_has(t.out, c->name);
        assert_int_equal(t.err_len, 0);
    }
    free(overview);
    assert_int_equal(RUN("--help", "ping"), 0);
    assert_has(t.out, "usage: p2pvpnctl ping");
    assert_asked(NULL);
}

/* Is the word one of those that blanks part? */
static bool is_word_of(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = strstr(words, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    }
    return false;
}

PV_TEST_IN(every_command_is_in_one_group_of_the_overview, setup, teardown)
{
    const struct pv_command *c;
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        size_t groups = 0;
        for (const struct pv_help_group *g = pv_help_groups; g->title != NULL; g++)
            groups += is_word_of(g->commands, c->name);
        if (groups != 1)
            fail_msg("%s is in %zu groups of ctl/help.c", c->name, groups);
    }
}

PV_TEST(every_name_in_the_overview_is_a_commands)
{
    for (const struct pv_help_group *g = pv_help_groups; g->title != NULL; g++) {
        for (const char *at = g->commands; *at != '\0'; at += strspn(at, " ")) {
            size_t len = strcspn(at, " ");
            const char *name = PV_STR("%.*s", (int)len, at);
            if (pv_command_find(name) == NULL)
                fail_msg("no command %s, which help.c has in \"%s\"", name, g->title);
            at += len;
        }
    }
}

PV_TEST_IN(no_line_of_help_is_wider_than_80_columns, setup, teardown)
{
    const struct pv_command *c;
    char wide[128];
    assert_int_equal(RUN("-h"), 0);
    assert_null(wider_than(80, t.out, wide));
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        assert_int_equal(RUN(c->name, "-h"), 0);
        /* The usage and the example are lines to type, which nobody may break. */
        char *usage = strstr(t.out, "\nusage: "), *example = strstr(t.out, "\nexample: ");
        assert_true(usage != NULL && example != NULL);
        *example = '\0';
        if (wider_than(80, strchr(usage + 1, '\n') == NULL ? "" : strchr(usage + 1, '\n'), wide) !=
            NULL)
            fail_msg("p2pvpnctl %s -h: a line is too wide: %s", c->name, wide);
    }
}

/* Text of the manual page with its markup taken out; the caller frees it. */
static char *manual(void)
{
    FILE *f = fopen(PV_TEST_DATA "/../../docs/man/p2pvpnctl.1", "re");
    char *text = calloc(1, 1 << 16), *to = text;
    assert_non_null(f);
    assert_non_null(text);
    size_t n = fread(text, 1, (1 << 16) - 1, f);
    fclose(f);
    assert_true(n > 1000 && n < (1 << 16) - 1);
    for (const char *p = text; *p != '\0'; p++) {
        if (p[0] == '\\' && p[1] == 'f' && p[2] != '\0')
            p += 2;
        else if (*p != '\\')
            *to++ = *p;
    }
    *to = '\0';
    return text;
}

/* At the beginning of an entry or behind a comma there. */
static bool is_entry(const char *page, const char *name)
{
    const char *line = PV_STR("\n.TP\n%s", name);
    const char *listed = PV_STR(", %s", name);
    for (const char *p = strstr(page, "\n.TP\n"); p != NULL; p = strstr(p + 1, "\n.TP\n")) {
        const char *end = strchr(p + 5, '\n');
        const char *found = strstr(p, listed);
        size_t len = strlen(line);
        if (strncmp(p, line, len) == 0 && strchr(" ,\n", p[len]) != NULL)
            return true;
        if (found != NULL && end != NULL && found < end)
            return true;
    }
    return false;
}

PV_TEST_IN(every_command_has_an_entry_in_the_manual, setup, teardown)
{
    const struct pv_command *c;
    char *page = manual();
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        if (!is_entry(page, c->name))
            fail_msg("docs/man/p2pvpnctl.1 has no entry for %s", c->name);
    }
    for (const struct pv_command_alias *a = pv_command_aliases; a->name != NULL; a++) {
        if (!is_entry(page, a->name))
            fail_msg("p2pvpnctl.1 lacks the alias %s of %s", a->name, a->stands_for);
    }
    free(page);
}

PV_TEST(a_name_that_two_networks_have_is_told_with_what_to_say)
{
    static const char *const networks[][3] = {
        {"home", "work", "home"}, {"club", "work", NULL}, {"home", "home", "home"}};
    for (size_t i = 0; i < PV_ARRAY_LEN(networks); i++) {
        char text[PV_CLI_SHARED_BUF];
        json_t *status =
            json_pack("{s:[{s:s, s:[s, s], s:s?}]}", "shared_names", "name", "nas", "networks",
                      networks[i][0], networks[i][1], "means", networks[i][2]);
        assert_true(pv_cli_shared_name(status, 0, text));
        assert_shows("text", text);
        assert_false(pv_cli_shared_name(status, 1, text));
        json_decref(status);
    }
}

PV_TEST_IN(an_alias_works_but_is_not_listed, setup, teardown)
{
    assert_int_equal(RUN("-h"), 0);
    for (const struct pv_command_alias *a = pv_command_aliases; a->name != NULL; a++) {
        const struct pv_command *c = pv_command_find(a->name);
        assert_non_null(c);
        assert_string_equal(c->name, a->stands_for);
        assert_lacks(t.out, PV_STR("\n  %s ", a->name));
    }
    assert_int_equal(RUN("getu", "-h"), 0);
    assert_has(t.out, "usage: p2pvpnctl peers");
}

/* --- exit codes ---------------------------------------------------------------------------- */

PV_TEST_IN(the_daemons_refusal_is_the_exit_code, setup, teardown)
{
    for (int code = 1; code <= 12; code++) {
        char line[128];
        /* A line that p2pvpnd could not read has no id. */
        snprintf(line, sizeof(line), "{'id':%s,'ok':false,'code':%d,%s}\n",
                 code == 2 ? "null" : "@", code, "'error':'peers: what: why'");
        answers("peers", line);
        assert_int_equal(RUN("peers"), code);
        assert_string_equal(t.err, "p2pvpnctl: peers: what: why\n");
        assert_int_equal(t.out_len, 0);
    }
}

PV_TEST_IN(errors_of_the_daemon_cannot_drive_a_terminal, setup, teardown)
{
    answers("peers", test_given("code error u001b 2Jb nc"));
    assert_int_equal(RUN("peers"), 1);
    assert_null(strchr(t.err, '\x1b'));
}

PV_TEST_IN(no_daemon_is_exit_code_8_with_a_remedy, setup, teardown)
{
    stop_daemon(); /* the socket's name stays */
    assert_refuses(PV_CTLAPI_NOT_RUNNING, "peers");
    unlink(t.path);
    assert_refuses(PV_CTLAPI_NOT_RUNNING, "ip", "bob");
    assert_int_equal(RUN("version"), PV_CTLAPI_NOT_RUNNING);
    assert_string_equal(t.out, "p2pvpnctl " PV_VERSION "\n");
}

PV_TEST_IN(a_daemon_that_is_silent_is_exit_code_3, setup, teardown)
{
    assert_refuses(PV_CTLAPI_TIMEOUT, "--timeout", "0.05", "peers");
    /* No peer keeps anybody waiting for p2pvpnd's word that a message is stored. */
    assert_int_equal(RUN("--timeout", "0.05", "send", "bob", "hi"), PV_CTLAPI_TIMEOUT);
    assert_has(t.err, "no answer in time: the message");
    assert_lacks(t.err, "why");
    assert_refuses(PV_CTLAPI_TIMEOUT, "-t", "0.05", "rename", "zoe");
    assert_refuses(PV_CTLAPI_TIMEOUT, "--timeout", "0.05", "ping", "bob");
    answers("version", OK("'version':'1'"));
    assert_refuses(PV_CTLAPI_TIMEOUT, "--timeout", "0.05", "ping", "bob");
    /* It answers all the while: nothing stands in the way. */
    answers("ping", test_given("event pong seq rtt_ms path type"));
    assert_refuses(PV_CTLAPI_TIMEOUT, "--timeout", "0.5", "ping", "bob");
}

PV_TEST_IN(errors_name_the_command_and_not_the_request, setup, teardown)
{
    answers("room_create", test_given("code error room_create bad room"));
    assert_int_equal(RUN("room", "create", "A!"), PV_CTLAPI_USAGE);
    assert_string_equal(t.err, "p2pvpnctl: room: bad room: give a name\n");
    answers("file_send", test_given("code error file_send no peer"));
    assert_int_equal(RUN("send-file", "bob", "/proc/self/exe"), PV_CTLAPI_UNKNOWN_PEER);
    assert_string_equal(t.err, "p2pvpnctl: send-file: no peer\n");
    answers("route_offer", test_given("code error route offer not here"));
    assert_int_equal(RUN("exit", "offer"), PV_CTLAPI_FAILED);
    assert_string_equal(t.err, "p2pvpnctl: exit: not here\n");
    assert_int_equal(RUN("route", "offer", "10.1.0.0/16"), PV_CTLAPI_FAILED);
    assert_string_equal(t.err, "p2pvpnctl: route offer: not here\n");
}

PV_TEST_IN(netcheck_measures_with_the_coordinator_of_the_daemon, setup, teardown)
{
    answers("status", OK("'coordinator':{'address':'no server'}"));
    assert_int_equal(RUN("netcheck"), PV_CTLAPI_USAGE);
    assert_non_null(strstr(t.err, "\"no server\" is not a server"));
    answers("status", test_given("code error not joined"));
    assert_int_equal(RUN("netcheck"), PV_CTLAPI_USAGE);
    assert_non_null(strstr(t.err, "name a STUN server, such as your coordinator"));
    assert_null(strstr(t.err, "not joined"));
    assert_asked("'cmd':'status'", "'cmd':'status'");
}

PV_TEST_IN(something_else_behind_the_socket_is_told, setup, teardown)
{
    answers("peers", "SSH-2.0-OpenSSH\n");
    assert_refuses(PV_CTLAPI_FAILED, "peers");
}

PV_TEST_IN(a_name_that_changed_hands_is_told, setup, teardown)
{
    answers("peers", test_given("peers bob online former"));
    assert_int_equal(RUN("peers"), 0);
    assert_string_equal(t.err, ""); /* years ago: above every list it would hide what is new */
    assert_int_equal(RUN("peers", "--long"), 0);
    assert_has(t.err, "bob is another machine since ");
    assert_has(t.err, "`p2pvpnctl history key:AbCd`");
    const char *now =
        PV_STR("{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[{\"name\":\"bob\",\"former\":"
               "\"AbCdEfGhIjKl\",\"another_since\":%lld}]}\n",
               (long long)time(NULL) - 6 * 24 * 3600);
    answers("peers", now);
    assert_int_equal(RUN("peers"), 0);
    assert_has(t.err, "bob is another machine since ");
}

PV_TEST_IN(an_address_that_changed_hands_is_told, setup, teardown)
{
    answers("peers", test_given("peers bob online ip4 former"));
    assert_int_equal(RUN("peers"), 0);
    assert_string_equal(t.err, "");
    assert_int_equal(RUN("peers", "--long"), 0);
    assert_has(t.err, "bob has 10.66.0.5 since ");
    assert_has(t.err, "the address was that of key:AbCd");
    assert_lacks(t.err, "another machine");
}

PV_TEST_IN(a_removal_says_who_knows_and_what_the_coordinator_said, setup, teardown)
{
    answers("remove", test_given("code online know coordinator"));
    assert_int_equal(RUN("remove", "bob"), PV_CTLAPI_UNREACHABLE);
    answers("remove", test_given("online know coordinator stored"));
    assert_int_equal(RUN("remove", "--keep-invite", "bob"), 0);
    assert_has(t.requests, "'keep_invite':true");
    /* No flag is named that the command has not. */
    answers("untag", test_given("online know coordinator stored 2"));
    assert_int_equal(RUN("untag", "bob", "lan"), 0);
    assert_lacks(t.err, "--keep-invite");
}

PV_TEST_IN(a_removal_that_this_disk_lacks_fails_for_scripts, setup, teardown)
{
    answers("remove", test_given("code online know coordinator 2"));
    assert_int_equal(RUN("remove", "bob"), PV_CTLAPI_FAILED);
    assert_int_equal(RUN("remove", "--json", "bob"), PV_CTLAPI_FAILED);
    assert_has(t.out, "'disk':'store: disk full");
}

PV_TEST_IN(the_end_of_rights_says_what_became_of_invites, setup, teardown)
{
    answers("admin_revoke", test_given("online know coordinator stored 3"));
    assert_int_equal(RUN("admin", "revoke", "bob"), 0);
    answers("admin_revoke", test_given("online know coordinator stored 4"));
    assert_int_equal(RUN("admin", "revoke", "bob", "--keep-invites"), 0);
    assert_has(t.requests, "'keep_invite':true");
    assert_int_equal(RUN("admin", "grant", "bob", "--keep-invites"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("admin", "bless", "bob"), PV_CTLAPI_USAGE);
}

PV_TEST_IN(an_answer_from_the_cache_is_shown_with_exit_code_9, setup, teardown)
{
    answers("ip", OK("'code':9,'ip4':'10.66.0.1'"));
    assert_int_equal(RUN("ip", "bob"), PV_CTLAPI_UNREACHABLE);
    assert_string_equal(t.out, "10.66.0.1\n");
    assert_has(t.err, "coordinator");
}

PV_TEST_IN(a_client_that_is_sent_away_comes_again, setup, teardown)
{
    answers_first("ip", PV_CTLAPI_BUSY_LINE, OK("'ip4':'10.66.0.1','ip6':null,'wg_key':'k'"));
    assert_int_equal(RUN("ip"), 0);
    assert_string_equal(t.out, "10.66.0.1\n");
    answers("peers", PV_CTLAPI_BUSY_LINE); /* for as long as it has */
    assert_int_equal(RUN("-t", "1", "peers"), PV_CTLAPI_BUSY);
    assert_has(t.err, "p2pvpnd has too many clients");
}

void test_begin(void)
{
    setenv("TZ", "UTC", 1);
}

/* --- peers, status, ip --------------------------------------------------------------------- */

PV_TEST_IN(peers_prints_json_as_it_is, setup, teardown)
{
    answers("peers", test_given("pi and a longer name"));
    assert_prints("peers", "--json");
    assert_prints("getu", "--json");
    assert_asked("'cmd':'peers'", "'cmd':'peers'");
}

PV_TEST_IN(a_quiet_list_of_peers_is_empty, setup, teardown)
{
    answers("peers", test_given("pi and a longer name"));
    assert_int_equal(RUN("-q", "peers"), 0);
    assert_int_equal(t.out_len + t.err_len, 0);
}

/* A phone's file with its secret key, where others may read it: wg-genkey(1) warns, too. */
PV_TEST_IN(an_exported_file_that_others_may_read_is_told, setup, teardown)
{
    static const char *const words[] = {"export",     "phone",       "--by", "pi",
                                        "--endpoint", "192.0.2.1:1", NULL};
    assert_int_equal(RUN("export", "any"), PV_CTLAPI_USAGE); /* as of other machines */
    answers("export", OK("'name':'phone','by':'pi','dns':null"));
    for (int open = 0; open < 2; open++) {
        FILE *out = tmpfile();
        assert_non_null(out);
        assert_int_equal(fchmod(fileno(out), open ? 0644 : 0600), 0);
        free(t.err);
        assert_int_equal(run_with(stdin, out, open_memstream(&t.err, &t.err_len), words), 0);
        assert_int_equal(strstr(t.err, "umask 077") != NULL, open);
        assert_has(t.err, "`[phones] gateway = on`");
        assert_has(t.err, "where a name server listens on pi");
    }
    /* By its own name a node names itself: it knows its settings. */
    answers("export", test_given("phone by pi here dns"));
    assert_int_equal(RUN("export", "phone", "--by", "pi", "--endpoint", "192.0.2.1:1"), 0);
    assert_lacks(t.err, "gateway = on");
    assert_has(t.err, "no name server listens on pi");
}

PV_TEST_IN(an_empty_socket_or_timeout_is_refused, setup, teardown)
{
    assert_int_equal(RUN("-S", "", "status"), PV_CTLAPI_USAGE);
    assert_shows("$ p2pvpnctl -S  status", t.err);
    assert_int_equal(RUN("--socket=", "status"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("-t", "", "status"), PV_CTLAPI_USAGE);
    assert_shows("$ p2pvpnctl -t  status", t.err);
}

PV_TEST_IN(an_endpoint_that_some_networks_do_not_reach_is_told, setup, teardown)
{
    answers("export", test_given("phone by pi endpoint db8"));
    assert_int_equal(RUN("export", "phone"), 0);
    assert_has(t.err, "the app finds pi by IPv6 alone");
    answers("export", test_given("phone by pi endpoint"));
    assert_int_equal(RUN("export", "phone"), 0);
    assert_lacks(t.err, "IPv6");
}

PV_TEST_IN(an_endpoint_that_is_not_tested_is_told, setup, teardown)
{
    answers("export", test_given("phone port untested"));
    assert_int_equal(RUN("export", "phone"), 0);
    assert_has(t.out, "[Interface]");
    assert_has(t.err, "phone port 203.0.113.5:51000 is not tested");
    assert_has(t.err, " is not tested from outside, as no member in");
    assert_int_equal(RUN("export", "phone", "--endpoint", "203.0.113.5:51000"), 0);
    assert_has(t.err, "endpoint 203.0.113.5:51000 is not tested");
    assert_has(t.err, " is not tested from outside: try the app in");
    answers("export", test_given("phone port passed"));
    assert_int_equal(RUN("export", "phone"), 0);
    assert_lacks(t.err, "not tested");
}

/* It is kept nowhere: who asked for a code that cannot be shown would have lost it. */
PV_TEST_IN(without_a_code_the_exported_file_is_printed, setup, teardown)
{
    answers("export", OK("'name':'phone','by':'pi','dns':null"));
    assert_int_equal(RUN("export", "phone"), 0);
    char *file = strdup(t.out);
    assert_has(file, "[Interface]");
    setenv("LC_ALL", "de_DE.ISO-8859-1", 1);
    assert_int_equal(RUN("export", "phone", "--qr"), 0);
    unsetenv("LC_ALL");
    assert_string_equal(t.out, file);
    assert_has(t.err, "no QR code: it needs a UTF-8 locale");
    free(file);
}

/* It is told before the phone is made how much room its code needs; a picture needs none. */
PV_TEST_IN(a_code_that_does_not_fit_is_refused_or_a_picture, setup, teardown)
{
    char path[] = "/tmp/pv-export-XXXXXX";
    assert_non_null(mkdtemp(path));
    const char *svg = PV_STR("%s/phone.svg", path);
    answers("export", OK("'name':'phone','by':'pi','dns':null"));
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("COLUMNS", "200", 1);
    setenv("LINES", "24", 1);
    if (pv_qr_is_there()) {
        assert_int_equal(RUN("export", "phone", "--qr"), PV_CTLAPI_FAILED);
        assert_shows("$ p2pvpnctl export phone --qr", t.err);
        assert_string_equal(t.out, "");
        setenv("LINES", "50", 1);
        assert_int_equal(RUN("export", "phone", "--qr"), 0);
        assert_has(t.out, "\u2588\u2588");
        assert_int_equal(RUN("export", "phone", PV_STR("--qr=%s", svg)), 0);
        assert_string_equal(t.out, ""); /* the secret is in the picture alone */
        assert_has(t.err, PV_STR("the QR code is in %s", svg));
        struct stat st;
        assert_int_equal(stat(svg, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_true(st.st_size > 1000);
        assert_int_equal(RUN("export", "phone", PV_STR("--qr=%s", svg)), PV_CTLAPI_FAILED);
        assert_has(t.err, "File exists: name another file");
        assert_int_equal(unlink(svg), 0);
    }
    assert_int_equal(RUN("export", "phone", "--qr="), PV_CTLAPI_USAGE);
    unsetenv("LC_ALL");
    unsetenv("COLUMNS");
    unsetenv("LINES");
    assert_int_equal(rmdir(path), 0);
}

PV_TEST_IN(peers_shows_tags_where_somebody_has_one, setup, teardown)
{
    answers("peers", test_given("peers tv ip4 tags guests media"));
    assert_int_equal(RUN("peers"), 0);
    assert_has(t.out, "  guests, media  ");
    answers("peers", test_given("peers tv tags"));
    assert_int_equal(RUN("peers"), 0);
    assert_has(t.out, "-1234, a-tag-that-is-long-");
    assert_has(t.out, "...  never\n");
}

/* A membership with an end: as it ends, in the table of peers and of invites. */
PV_TEST_IN(memberships_that_end_are_shown, setup, teardown)
{
    answers("peers", test_given("peers old ip4 online state"));
    assert_int_equal(RUN("peers"), 0);
    assert_has(t.out, "expired ");
    answers("status", test_given("state up self lap expires"));
    assert_int_equal(RUN("status", "-l"), 0);
    assert_has(t.out, "membership");
    assert_has(t.out, "renewed while this node is used");
    answers("invite_list", test_given("invites I uses used not_after"));
    assert_int_equal(RUN("invite", "list"), 0);
    assert_has(t.out, "open; member for 90d 0h");
    answers("invite", OK("'token':'p2pvpn-XYZ','invite':'I'"));
    assert_int_equal(RUN("invite", "--member-for", "90d"), 0);
    assert_has(t.requests, "'member_for':7776000");
}

PV_TEST_IN(ephemeral_invites_are_asked_for_and_shown, setup, teardown)
{
    answers("invite_list", test_given("invites I uses used not_after 2"));
    assert_int_equal(RUN("invite", "list"), 0);
    assert_has(t.out, "open; ephemeral");
    answers("invite", OK("'token':'p2pvpn-XYZ','invite':'I'"));
    assert_int_equal(RUN("invite", "--ephemeral"), 0);
    assert_has(t.requests, "'ephemeral':true");
    assert_refuses(PV_CTLAPI_USAGE, "invite", "--ephemeral", "--member-for", "90d");
}

PV_TEST_IN(ip_prints_one_word, setup, teardown)
{
    answers("ip", test_given("ip4 ip6 fd00 wg_key W"));
    assert_prints("ip");
    assert_prints("ip", "-6", "bob");
    assert_prints("ip", "bob", "--wg-key");
    assert_asked("'cmd':'ip'", "'cmd':'ip','peer':'bob'", "'cmd':'ip','peer':'bob'");
    answers("ip", OK("'ip4':null,'ip6':null,'wg_key':'W='"));
    assert_int_equal(RUN("ip"), 1);
}

PV_TEST_IN(trace_prints_json_as_it_is, setup, teardown)
{
    answers("trace", OK_V1("'events':[{'t':1.5,'text':'x'}]"));
    assert_prints("trace", "pi", "--json");
}

/* A machine does not try itself, so `why` would be refused. */
PV_TEST_IN(can_names_what_looks_at_the_firewall_there, setup, teardown)
{
#define CAN(fields) \
    OK("'allowed':true,'rule':null,'from':'bob','port':'tcp/22','why':'no rule'," fields)
    answers("can", CAN("'to':'lap','peer':'lap','self':true"));
    assert_int_equal(RUN("can", "bob", "lap:22"), 0);
    assert_has(t.err, "`sudo p2pvpnctl doctor`");
    assert_lacks(t.err, "why");
    answers("can", test_given("allowed rule from bob port"));
    assert_int_equal(RUN("can", "lap", "lap:22"), 0);
    assert_string_equal(t.err, "");
    answers("can", CAN("'to':'192.168.1.7','peer':'nas','self':false"));
    assert_int_equal(RUN("can", "bob", "192.168.1.7:22"), 0);
    assert_has(t.err, "`p2pvpnctl why nas`");
}

PV_TEST_IN(a_command_that_allows_a_route_is_shown_whole_with_the_longest_name, setup, teardown)
{
#define N31 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define HOW "route allow " N31 "-" N31 " fd12:3456:789a:bcde::/64"
    answers("routes", test_given("a route that waits"));
    assert_int_equal(RUN("route", "list", "-l"), 0);
    assert_has(t.out, "`sudo p2pvpnctl " HOW "`\n");
#undef HOW
#undef N31
}

PV_TEST_IN(events_end_with_an_answer_that_is_none, setup, teardown)
{
    answers("watch", DONE);
    assert_int_equal(RUN("events", "--past"), PV_CTLAPI_FAILED);
    assert_has(t.err, "does not speak p2pvpnd's language");
}

PV_TEST_IN(metrics_are_printed_as_they_come, setup, teardown)
{
    answers("metrics", test_given("text # TYPE x gauge nx b n"));
    assert_prints("metrics");
    assert_int_equal(RUN("metrics", "--json"), 0);
    assert_shows("$ p2pvpnctl metrics --json", t.out);
}

/* --- network ------------------------------------------------------------------------------- */

#define JOINED "\"network\":\"home\",\"name\":\"lap\",\"ip4\":\"10.66.0.1\",\"ip6\":null"

static void make_url(char *buf, size_t cap)
{
    struct pv_url url = {.addr = {.port = 3478}, .has_secret = true};
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 5);
    uint8_t seed[32], sk[PV_SIGN_SK_LEN];
    pv_rng_fill(&rng, seed, sizeof(seed));
    pv_sign_keypair(seed, sk, url.pk);
    snprintf(url.addr.host, sizeof(url.addr.host), "192.0.2.1");
    assert_ok(pv_url_format(&url, buf, cap));
}

PV_TEST_IN(create_prints_the_token_alone, setup, teardown)
{
    char url[PV_URL_TEXT_BUF];
    make_url(url, sizeof(url));
    answers("create", OK(JOINED ",'token':'p2pvpn-XYZ'"));
    assert_int_equal(
        RUN("create", url, "--name", "LAP", "--network", "home", "--cidr", "10.7.0.0/16"), 0);
    assert_string_equal(t.out, "p2pvpn-XYZ\n");
    const char *want =
        PV_STR("{\"cmd\":\"create\",\"network\":\"home\",\"name\":\"lap\",\"cidr\":\"10.7.0.0/16\","
               "\"url\":\"%s\",\"timeout_ms\":0}\n",
               url);
    assert_string_equal(t.requests, want);
    assert_lacks(t.err, "private");
    assert_int_equal(RUN("create", url, "--cidr", "8.8.8.0/24"), 0);
    assert_has(t.err, "no private range");

    t.requests[0] = '\0';
    assert_int_equal(RUN_WITH(PV_STR("%s\n", url), "create", "-", "-q"), 0);
    assert_string_equal(t.out, "p2pvpn-XYZ\n");
    assert_int_equal(t.err_len, 0);
    assert_has(t.requests, url);
    assert_prints("create", url, "--json");

    t.requests[0] = '\0'; /* in quotes, as a mail program has wrapped it */
    assert_int_equal(RUN("create", PV_STR("%.30s\r\n %s\t", url, url + 30)), 0);
    assert_has(t.requests, url);
    t.requests[0] = '\0'; /* in a file, as one has wrapped and another quoted it */
    assert_int_equal(RUN_WITH(PV_STR("> %.30s\n> %s\n", url, url + 30), "create", "-"), 0);
    assert_has(t.requests, url);
}

/* A user who is not root is told to use sudo where nothing else helps: not the group, not `up`. */
PV_TEST_IN(an_answer_says_what_only_root_may_begin, setup, teardown)
{
    char url[PV_URL_TEXT_BUF];
    if (geteuid() != 0)
        skip();
    make_url(url, sizeof(url));
    assert_int_equal(seteuid(65534), 0);
    int locked = RUN("create", url); /* the socket's directory is root's */
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(locked, PV_CTLAPI_PERMISSION);
    assert_true(is_one_line_error());
    assert_shows("err", t.err);
    assert_int_equal(seteuid(65534), 0);
    locked = RUN("leave");
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(locked, PV_CTLAPI_PERMISSION);
    assert_true(is_one_line_error());
    assert_shows("$ p2pvpnctl leave", t.err);
    assert_int_equal(seteuid(65534), 0);
    locked = RUN("peers"); /* for the group, too */
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(locked, PV_CTLAPI_PERMISSION);
    assert_true(is_one_line_error());
    assert_shows("$ p2pvpnctl peers", t.err);
    has_group = false;
    assert_int_equal(seteuid(65534), 0);
    locked = RUN("peers");
    assert_int_equal(seteuid(0), 0);
    has_group = true;
    assert_int_equal(locked, PV_CTLAPI_PERMISSION);
    assert_true(is_one_line_error());
    assert_shows("$ p2pvpnctl peers", t.err);
    stop_daemon();
    assert_int_equal(chmod(t.dir, 0711), 0);
    unlink(t.path);
    assert_int_equal(seteuid(65534), 0);
    int silent = RUN("create", url);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(silent, PV_CTLAPI_NOT_RUNNING);
    assert_one_line_error("only root starts p2pvpnd: use sudo");
}

PV_TEST_IN(invite_prints_the_token_alone_and_lists, setup, teardown)
{
    answers("invite", OK("'token':'p2pvpn-XYZ','invite':'I'"));
    answers("invite_list", test_given("invites AAA uses used"));
    answers("invite_revoke", DONE);
    assert_prints("invite", "--uses", "5", "--expires", "2h", "--admin");
    assert_has(t.err, "becomes an admin");
    assert_int_equal(RUN("invite"), 0);
    assert_int_equal(t.err_len, 0);
    assert_prints("invite", "list");
    assert_int_equal(RUN("invite", "revoke", "AAA"), 0);
    assert_asked(test_given("invite uses expires admin"), "'cmd':'invite','uses':1,'expires':86400",
                 "'cmd':'invite_list'", "'cmd':'invite_list'",
                 "'cmd':'invite_revoke','invite':'AAA'");
}

PV_TEST_IN(a_time_without_a_unit_is_told_to_be_in_seconds, setup, teardown)
{
    answers("invite", OK("'token':'p2pvpn-XYZ','invite':'I'"));
    assert_prints("invite", "--expires", "90");
    assert_shows("err", t.err);
    assert_int_equal(RUN("invite", "--expires", "90m", "--member-for", "7d"), 0);
    assert_string_equal(t.err, "");
    assert_asked("'cmd':'invite','uses':1,'expires':90",
                 test_given("invite uses expires member_for"));
}

#define INVITE_1 "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE"
#define INVITE_2 "AbCdEfGhIjKlZZOpQrStUvWxYz0123456789-_AbCdE"

PV_TEST_IN(an_invite_is_revoked_by_the_beginning_of_its_id, setup, teardown)
{
    answers("invite_list", OK_V1("'invites':[{'id':'" INVITE_1 "'},{'id':'" INVITE_2 "'}]"));
    answers("invite_revoke", DONE);
    assert_int_equal(RUN("invite", "revoke", "AbCdEfGhIjKlZ"), 0);
    assert_has(t.requests, "{'cmd':'invite_revoke','invite':'" INVITE_2 "'}");
    t.requests[0] = '\0';
    assert_refuses(PV_CTLAPI_FAILED, "invite", "revoke", "AbCdEfGhIjKl");
    assert_refuses(PV_CTLAPI_FAILED, "invite", "revoke", "Zz");
    assert_lacks(t.requests, "invite_revoke");
    assert_int_equal(RUN("invite", "revoke", INVITE_1), 0);
    assert_has(t.requests, INVITE_1);
}

/* As wide as the daemon's answers get: IPv6, long names, durations, reasons. */
PV_TEST_IN(tables_fit_the_screen, setup, teardown)
{
    static const char *const rows[][3] = {
        {"peers"}, {"status", "-l"}, {"invite", "list"}, {"route"},
        {"rules"}, {"files"},        {"room", "list"},   {"stats"},
    };
    char wide[128];
    answers("peers", test_given("peers admin ip4 online tags"));
    answers("status", test_given("state up sandbox user p2pvpn"));
    answers("invite_list", test_given("invites uses used not_after"));
    answers("routes", test_given("use auto routes prefix db8 /64"));
    answers("rules", test_given("rules number from verdict deny"));
    answers("files", test_given("files transfer L peer size"));
    answers("history", test_given("messages L own room"));
    answers("room_list", test_given("rooms room creator members"));
    answers("stats", test_given("minutes step rx_bytes hours"));
    for (unsigned columns = 80; columns >= 40; columns -= 10) {
        setenv("COLUMNS", PV_STR("%u", columns), 1);
        for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
            /* Behind the table of routes there are sentences. */
            if (columns < 80 && strcmp(rows[i][0], "route") == 0)
                continue;
            int code = run_in(stdin, rows[i]);
            if (code != 0 || t.out_len == 0)
                fail_msg("%s: exit code %d: %s", rows[i][0], code, t.err);
            if (wider_than(columns, t.out, wide) != NULL)
                fail_msg("%s on %u columns: %s", rows[i][0], columns, wide);
        }
        assert_int_equal(RUN("peers"), 0);
        assert_has(t.out, "... (admin)  ");
        assert_int_equal(RUN("invite", "list"), 0);
        assert_lacks(t.out, "2023-...");
        assert_int_equal(RUN("stats"), 0);
        assert_has(t.out, "117.7 MiB");
    }
    /* With --long nothing is missing, however wide the screen is. */
    assert_int_equal(RUN("invite", "list", "-l"), 0);
    assert_has(t.out, INVITE_1);
    assert_int_equal(RUN("peers", "-l"), 0);
    assert_shows("$ p2pvpnctl peers -l", t.out);
    unsetenv("COLUMNS");
}

#define ONE_FILE(id, transfer, direction)                                     \
    "{\"id\":" id ",\"transfer\":\"" transfer "\",\"direction\":\"" direction \
    "\",\"peer\":\"pi\",\"size\":1,\"state\":\"offered\",\"name\":\"f" id "\"}"

PV_TEST_IN(a_slip_of_the_hand_ends_no_file_of_the_other_direction, setup, teardown)
{
    answers("files", OK_V1("'files':[" ONE_FILE("1", "A", "in") "," ONE_FILE("3", "C", "out") "]"));
    answers("file_stop", OK("'file':{'id':1}"));
    assert_int_equal(RUN("files", "withdraw", "1"), PV_CTLAPI_FAILED);
    assert_shows("$ p2pvpnctl files withdraw 1", t.err);
    assert_int_equal(RUN("files", "refuse", "3"), PV_CTLAPI_FAILED);
    assert_shows("$ p2pvpnctl files refuse 3", t.err);
    assert_lacks(t.requests, "file_stop");
    assert_int_equal(RUN("files", "refuse", "1"), 0);
    assert_has(t.requests, "'cmd':'file_stop','number':1");
    assert_int_equal(RUN("files", "withdraw", "3"), 0);
    assert_has(t.requests, "'cmd':'file_stop','number':3");
}

PV_TEST_IN(route_use_off_uses_nothing_whatever_stands_behind_it, setup, teardown)
{
    assert_int_equal(RUN("route", "use", "off", "all"), PV_CTLAPI_USAGE);
    assert_has(t.err, "off all: off alone uses none");
    assert_int_equal(RUN("route", "use", "off", "auto"), PV_CTLAPI_USAGE);
}

/* A member that never answers hides nothing of the others. A file's number is that of its request
 * here. */
PV_TEST_IN(a_refusal_of_a_file_for_a_room_is_told_while_another_member_is_silent, setup, teardown)
{
    answers("room_members", test_given("members pi online bob online"));
    answers("send", OK("'message':{'id':'aaaaaaaaaaaaaaaaaaaaaA'}"));
    answers("file_send", OK("'file':{'id':@}"));
    answers("files", test_given("files f state offered online f"));
    assert_int_not_equal(RUN("--timeout", "2", "send-file", "#crew", "/proc/self/exe"), 0);
    const char *refused = strstr(t.err, "f to bob: refused");
    assert_non_null(refused);
    assert_has(refused, "\np2pvpnctl: "); /* that pi did not answer in time */
}

/* The token alone is what a script gets. */
PV_TEST_IN(a_code_for_a_camera_stands_beside_the_token, setup, teardown)
{
    answers("invite", OK("'token':'p2pvpn-XYZ','invite':'I'"));
    setenv("LC_ALL", "C.UTF-8", 1);
    assert_prints("invite", "--qr");
    assert_true(t.err_len > 0); /* the code, or why there is none */
    setenv("LC_ALL", "de_DE.ISO-8859-1", 1);
    assert_prints("invite", "--qr");
    assert_has(t.err, "no QR code: it needs a UTF-8 locale");
    unsetenv("LC_ALL");
}

PV_TEST_IN(an_invite_may_come_with_a_tag, setup, teardown)
{
    answers("invite", OK("'token':'p2pvpn-XYZ','invite':'I'"));
    assert_int_equal(RUN("invite", "--tag", "tag:guest"), 0); /* as rules have it */
    assert_has(t.requests, "'tag':'guest'");
    t.requests[0] = '\0';
    assert_int_equal(RUN("invite", "--tag", "No Tag!"), PV_CTLAPI_USAGE);
    assert_asked(NULL);
    answers("invite_list", test_given("invites I uses used not_after 3"));
    assert_int_equal(RUN("invite", "list"), 0);
    assert_has(t.out, "used up; tag:guest; used by pi\n");
}

PV_TEST_IN(an_admission_may_come_with_a_tag, setup, teardown)
{
    const char *done = test_given("know online coordinator stored");
    answers("admit", done);
    assert_int_equal(RUN("admit", "tom", "--tag", "guest"), 0);
    assert_asked("'cmd':'admit','peer':'tom','tag':'guest'");
    /* As rules have it. */
    t.requests[0] = '\0';
    assert_int_equal(RUN("admit", "tom", "--tag", "tag:guest"), 0);
    assert_has(t.requests, "'tag':'guest'");
    /* Nobody is let in for a tag that cannot be. */
    t.requests[0] = '\0';
    assert_int_equal(RUN("admit", "tom", "--tag", "No Tag!"), PV_CTLAPI_USAGE);
    assert_asked(NULL);
}

/* It was `down`, which ends --block: who only wanted to look let everything out. */
PV_TEST_IN(exit_alone_changes_nothing, setup, teardown)
{
    answers("routes", test_given("use auto exit peer nas lan"));
    answers("probe", test_given("ready, and a packet that is lost"));
    assert_int_equal(RUN("exit"), 0);
    /* The list, and a packet to the internet, from a port that the kernel chose. */
    assert_has(t.requests, "{'cmd':'routes'}\n{'cmd':'probe','what':'out-udp4','to':'198.41.0.4',");
    assert_shows("a packet is lost", t.out);
    answers("probe", test_given("ready, and a packet that left"));
    assert_int_equal(RUN("exit"), 0);
    assert_shows("it goes by the exit", t.out);
}

PV_TEST_IN(a_long_name_is_said_whole, setup, teardown)
{
#define LONG "a23456789-b23456789-c23456789-d23456789-e23456789-f23456789-g23"
    answers("exit_use", DONE);
    answers("routes", OK_V1("'exit':null,'routes':[]"));
    answers("admin_grant", DONE);
    answers("tag", DONE);
    answers("admit", DONE);
    answers("peers", OK_V1("'peers':[{'name':'tv','gateway':'" LONG "','last_handshake':5}]"));
    assert_int_equal(RUN("exit", "use", LONG), 0);
    assert_has(t.err, "through " LONG ".");
    assert_int_equal(RUN("admin", "grant", LONG), 0);
    assert_has(t.err, LONG " is an admin now");
    assert_int_equal(RUN("admit", LONG, "--tag", LONG), 0);
    assert_has(t.err, LONG " may join\ntagged it with " LONG "\n");
    assert_int_equal(RUN("peers"), 0);
    assert_has(t.out, "via " LONG);
#undef LONG
}

PV_TEST_IN(changes_are_sent_as_they_are, setup, teardown)
{
    const char *done = "{\"id\":@,\"ok\":true}\n";
    answers("up", done);
    answers("down", done);
    answers("leave", done);
    answers("remove", done);
    answers("log", done);
    answers("wait", done);
    assert_int_equal(RUN("up"), 0);
    assert_int_equal(RUN("down"), 0);
    assert_int_equal(RUN("leave", "--forget"), 0);
    assert_int_equal(RUN("remove", "bob"), 0);
    assert_int_equal(RUN("log", "debug"), 0);
    assert_int_equal(t.out_len, 0);
    assert_asked("'cmd':'up'", "'cmd':'wait'", "'cmd':'down'", "'cmd':'leave','forget':true",
                 "'cmd':'remove','peer':'bob'", "'cmd':'log','level':'debug'");
    assert_prints("up", "--json");
}

PV_TEST_IN(a_root_key_goes_only_where_it_is_named, setup, teardown)
{
    answers("leave", OK("'removed':false"));
    assert_refuses(PV_CTLAPI_USAGE, "leave", "--delete-root-key");
    assert_asked(NULL);
    assert_int_equal(RUN("leave", "--forget", "--last"), 0);
    assert_lacks(t.requests, "delete_root");
    assert_int_equal(RUN("leave", "--forget", "--last", "--delete-root-key"), 0);
    assert_shows("requests", t.requests);
}

PV_TEST_IN(a_machine_that_is_there_is_replaced_by_force_alone, setup, teardown)
{
    answers("replace", DONE);
    assert_int_equal(RUN("node", "replace", "old", "new"), 0);
    assert_lacks(t.requests, "force");
    assert_int_equal(RUN("node", "replace", "old", "new", "--force"), 0);
    assert_has(t.requests, "'force':true");
}

/* --- ping, wait ---------------------------------------------------------------------------- */

#define LOST "{\"id\":@,\"event\":\"timeout\",\"seq\":2}\n"

PV_TEST_IN(ping_says_which_way_each_answer_took, setup, teardown)
{
    answers("ping", test_given("a direct pong, one lost"));
    assert_prints("ping", "pi", "-c", "2", "-i", "0.5", "-s", "100", "--direct");
    assert_asked(test_given("ping peer pi count interval_ms"));
    assert_prints("ping", "pi", "--json");
}

PV_TEST_IN(ping_direct_is_exit_code_10_when_relayed, setup, teardown)
{
    answers("ping", test_given("a relayed pong"));
    assert_int_equal(RUN("ping", "pi", "-c", "1"), 0);
    assert_shows("$ p2pvpnctl ping pi -c 1", t.out);
    assert_refuses(PV_CTLAPI_RELAYED, "ping", "pi", "-c", "1", "--direct");
}

PV_TEST_IN(ping_without_an_answer_is_exit_code_3, setup, teardown)
{
    answers("ping", LOST "{'id':@,'ok':true,'sent':1,'received':0}\n");
    assert_refuses(PV_CTLAPI_TIMEOUT, "ping", "pi", "-c", "1");
}

PV_TEST_IN(wait_blocks_until_the_answer, setup, teardown)
{
    answers("wait", DONE);
    assert_int_equal(RUN("-q", "wait", "--peer", "pi", "--direct", "--online"), 0);
    assert_int_equal(t.out_len + t.err_len, 0);
    assert_asked(test_given("wait peer pi direct online"));
    answers("wait", "");
    assert_int_equal(RUN("wait", "--timeout", "0.05"), PV_CTLAPI_TIMEOUT);
}
