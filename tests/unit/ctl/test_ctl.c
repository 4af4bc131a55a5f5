/* SPDX-License-Identifier: MIT */
/* p2pvpnctl: arguments, exit codes, and every command but those of chat (test_ctl_chat.c). */
#include <signal.h>

#include "ctl/lib/args.h"
#include "ctl_fake.h"
#include "proto/roster/token.h"

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
    assert_int_equal(pv_args_parse(&args, table, 2, 99, &rest, error), PV_OK);
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
    assert_int_equal(pv_args_parse(&args, table, 2, 1, &rest, error), PV_OK);
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
    assert_int_equal(pv_args_parse(&args, table, 1, 99, &rest, error), PV_OK);
    assert_int_equal(args.n_words, 1);
    assert_string_equal(args.word[0], key);
}

PV_TEST(bad_options_are_named)
{
    static const struct pv_option table[] = {{"num", 'n', true}, {"flag", 'f', false}};
    static const struct {
        const char *arg, *error;
    } rows[] = {
        {"--nope", "unknown flag --nope"},
        {"-x", "unknown flag -x"},
        {"-fx", "unknown flag -fx"},
        {"-fn", "flag -fn needs a value"},
        {"--nom=3", "unknown flag --nom=3: did you mean --num?"},
        {"--num", "flag --num needs a value"},
        {"-n", "flag -n needs a value"},
        {"--flag=1", "flag --flag takes no value"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char arg[32];
        char *argv[] = {arg};
        struct pv_args_rest rest = {.argc = 1, .argv = argv};
        struct pv_args args = {.n_words = 0};
        char error[PV_ARGS_ERROR];
        snprintf(arg, sizeof(arg), "%s", rows[i].arg);
        assert_int_equal(pv_args_parse(&args, table, 2, 99, &rest, error), PV_ERR_MALFORMED);
        assert_string_equal(error, rows[i].error);
    }
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
        {"create", "nonsense", "--network", "localhost"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (run_in(stdin, rows[i]) != PV_CTLAPI_USAGE)
            fail_msg("row %zu: %s", i, t.err);
        assert_one_line_error("-h");
        assert_int_equal(t.out_len, 0);
    }
    assert_string_equal(t.requests, "");
}

PV_TEST_IN(p2pvpnctl_alone_prints_what_there_is, setup, teardown)
{
    assert_int_equal(RUN(NULL), PV_CTLAPI_USAGE);
    assert_non_null(strstr(t.out, "\nevery day:\n  status "));
    assert_one_line_error("no command given");
    assert_int_equal(RUN("--json"), PV_CTLAPI_USAGE);
    assert_non_null(strstr(t.err, "\"error\":"));
    assert_int_equal(t.out_len, 0);
}

PV_TEST_IN(help_is_a_command_and_mistyped_ones_are_guessed, setup, teardown)
{
    assert_int_equal(RUN("help"), 0);
    assert_non_null(strstr(t.out, "usage: p2pvpnctl [flags] COMMAND"));
    assert_int_equal(RUN("help", "ping"), 0);
    assert_non_null(strstr(t.out, "usage: p2pvpnctl ping "));
    static const char *const rows[][2] = {
        {"staus", "status"}, {"peer", "peers"}, {"jion", "join"}, {"pign", "ping"}, {"hlp", NULL}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char want[64] = "";
        assert_int_equal(RUN(rows[i][0]), 2);
        if (rows[i][1] != NULL)
            snprintf(want, sizeof(want), "did you mean %s? `p2pvpnctl %s -h` says", rows[i][1],
                     rows[i][1]);
        assert_non_null(strstr(t.err, want));
    }
    assert_int_equal(RUN("dance"), 2);
    assert_null(strstr(t.err, "did you mean"));
    /* Two changed letters leave nothing of a short word. */
    assert_int_equal(RUN("lsit"), 2);
    assert_null(strstr(t.err, "did you mean"));
    assert_int_equal(RUN("msg"), 2);
    assert_null(strstr(t.err, "did you mean"));
    assert_int_equal(RUN("create", "x", "--nmae", "y"), 2);
    assert_non_null(strstr(t.err, "unknown flag --nmae: did you mean --name?"));
    assert_int_equal(RUN("help", "staus"), 2);
    assert_non_null(strstr(t.err, "did you mean status?"));
}

PV_TEST_IN(errors_are_json_where_answers_are, setup, teardown)
{
    answers("peers", "{\"id\":@,\"ok\":false,\"code\":4,\"error\":\"peers: what: why\"}\n");
    assert_int_equal(RUN("peers", "--json"), 4);
    assert_string_equal(t.out, "");
    assert_string_equal(t.err, "{\"format\":1,\"code\":4,\"error\":\"peers: what: why\"}\n");
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
        assert_int_equal(RUN("join", bad[i]), PV_CTLAPI_BAD_TOKEN);
        assert_one_line_error("copy it whole");
    }
    FILE *in = input("  nonsense \n");
    assert_int_equal(run_in(in, (const char *const[]){"join", "-", NULL}), PV_CTLAPI_BAD_TOKEN);
    fclose(in);
    /* The URL where a token should be, and the other way round. */
    assert_int_equal(RUN("join", "p2pvpn://192.0.2.1:3478/K?c=S"), PV_CTLAPI_BAD_TOKEN);
    assert_one_line_error("p2pvpnctl invite");
    assert_int_equal(RUN("create", "p2pvpn-AAAA"), PV_CTLAPI_USAGE);
    assert_one_line_error("`join`");
    assert_string_equal(t.requests, "");
}

PV_TEST_IN(flags_may_stand_before_or_behind_the_command, setup, teardown)
{
    answers("ip", "{\"id\":@,\"ok\":true,\"ip4\":\"10.66.0.1\",\"ip6\":null,\"wg_key\":\"k\"}\n");
    assert_int_equal(RUN("--json", "ip"), 0);
    char *first = strdup(t.out);
    assert_int_equal(RUN("ip", "--json"), 0);
    assert_string_equal(t.out, first);
    assert_string_equal(t.out,
                        "{\"ip4\":\"10.66.0.1\",\"ip6\":null,\"wg_key\":\"k\",\"format\":1}\n");
    free(first);
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
        return "its .summary must fit on a line of 80 columns in the overview";
    if (c->example == NULL || strstr(c->example, c->name) == NULL)
        return "its .example must be a line that one can type";
    if (c->run == NULL)
        return "nothing runs it: .run is NULL";
    return c->max_words < c->min_words ? ".max_words is below .min_words" : NULL;
}

PV_TEST_IN(every_row_of_the_command_table_is_complete, setup, teardown)
{
    const struct pv_command *c;
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        const char *what = lacking(c);
        if (what != NULL)
            fail_msg("p2pvpnctl %s: %s", c->name, what);
        if (pv_command_find(c->name) != c)
            fail_msg("p2pvpnctl %s: a row before it has the same name", c->name);
    }
}

PV_TEST_IN(every_command_has_help_with_an_example, setup, teardown)
{
    const struct pv_command *c;
    assert_int_equal(RUN("-h"), 0);
    char *overview = strdup(t.out);
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        assert_non_null(strstr(overview, c->summary));
        assert_int_equal(RUN(c->name, "-h"), 0);
        assert_non_null(strstr(t.out, "\nusage: p2pvpnctl "));
        assert_non_null(strstr(t.out, "\nexample: "));
        assert_non_null(strstr(t.out, c->name));
        assert_int_equal(t.err_len, 0);
    }
    free(overview);
    assert_int_equal(RUN("--help", "ping"), 0);
    assert_non_null(strstr(t.out, "usage: p2pvpnctl ping"));
    assert_string_equal(t.requests, "");
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
            fail_msg("p2pvpnctl %s is in %zu groups of ctl/help.c, and belongs to one", c->name,
                     groups);
    }
}

PV_TEST_IN(no_line_of_help_is_wider_than_80_columns, setup, teardown)
{
    const struct pv_command *c;
    char wide[128];
    assert_int_equal(RUN("-h"), 0);
    assert_null(wider_than_80(t.out, wide));
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        assert_int_equal(RUN(c->name, "-h"), 0);
        /* The usage and the example are lines to type, which nobody may break. */
        char *usage = strstr(t.out, "\nusage: "), *example = strstr(t.out, "\nexample: ");
        assert_true(usage != NULL && example != NULL);
        *example = '\0';
        if (wider_than_80(strchr(usage + 1, '\n') == NULL ? "" : strchr(usage + 1, '\n'), wide) !=
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
    char line[64], listed[64];
    snprintf(line, sizeof(line), "\n.TP\n%s", name);
    snprintf(listed, sizeof(listed), ", %s", name);
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
            fail_msg("docs/man/p2pvpnctl.1 has no entry for %s: add one (.TP, its usage in bold, "
                     "what it does) below COMMANDS",
                     c->name);
    }
    for (const struct pv_command_alias *a = pv_command_aliases; a->name != NULL; a++) {
        if (!is_entry(page, a->name))
            fail_msg("docs/man/p2pvpnctl.1 does not name the alias %s beside %s", a->name,
                     a->stands_for);
    }
    free(page);
}

PV_TEST(a_name_that_two_networks_have_is_told_with_what_to_say)
{
    static const char *const networks[][3] = {
        {"home", "work", "home"}, {"club", "work", NULL}, {"home", "home", "home"}};
    static const char *const wanted[] = {
        "nas is in home and in work: alone it means home's, nas.work.p2p the other",
        "nas is in club and in work: alone it means nobody, say nas.club.p2p or nas.work.p2p",
        "nas is in two networks called home: the name means the first's; for the other, say the "
        "address"};
    for (size_t i = 0; i < PV_ARRAY_LEN(wanted); i++) {
        char text[PV_CLI_SHARED_BUF];
        json_t *status =
            json_pack("{s:[{s:s, s:[s, s], s:s?}]}", "shared_names", "name", "nas", "networks",
                      networks[i][0], networks[i][1], "means", networks[i][2]);
        assert_true(pv_cli_shared_name(status, 0, text));
        assert_string_equal(text, wanted[i]);
        assert_false(pv_cli_shared_name(status, 1, text));
        json_decref(status);
    }
}

PV_TEST_IN(an_alias_works_but_is_not_listed, setup, teardown)
{
    char row[64];
    assert_int_equal(RUN("-h"), 0);
    for (const struct pv_command_alias *a = pv_command_aliases; a->name != NULL; a++) {
        const struct pv_command *c = pv_command_find(a->name);
        assert_non_null(c);
        assert_string_equal(c->name, a->stands_for);
        snprintf(row, sizeof(row), "\n  %s ", a->name);
        assert_null(strstr(t.out, row));
    }
    assert_int_equal(RUN("getu", "-h"), 0);
    assert_non_null(strstr(t.out, "usage: p2pvpnctl peers"));
}

/* --- exit codes ---------------------------------------------------------------------------- */

PV_TEST_IN(the_daemons_refusal_is_the_exit_code, setup, teardown)
{
    static const char *const lines[] = {
        [1] = "{\"id\":@,\"ok\":false,\"code\":1,\"error\":\"peers: what: why\"}\n",
        [2] = "{\"id\":null,\"ok\":false,\"code\":2,\"error\":\"peers: what: why\"}\n",
        [3] = "{\"id\":@,\"ok\":false,\"code\":3,\"error\":\"peers: what: why\"}\n",
        [4] = "{\"id\":@,\"ok\":false,\"code\":4,\"error\":\"peers: what: why\"}\n",
        [5] = "{\"id\":@,\"ok\":false,\"code\":5,\"error\":\"peers: what: why\"}\n",
        [6] = "{\"id\":@,\"ok\":false,\"code\":6,\"error\":\"peers: what: why\"}\n",
        [7] = "{\"id\":@,\"ok\":false,\"code\":7,\"error\":\"peers: what: why\"}\n",
        [8] = "{\"id\":@,\"ok\":false,\"code\":8,\"error\":\"peers: what: why\"}\n",
        [9] = "{\"id\":@,\"ok\":false,\"code\":9,\"error\":\"peers: what: why\"}\n",
        [10] = "{\"id\":@,\"ok\":false,\"code\":10,\"error\":\"peers: what: why\"}\n",
        [11] = "{\"id\":@,\"ok\":false,\"code\":11,\"error\":\"peers: what: why\"}\n",
        [12] = "{\"id\":@,\"ok\":false,\"code\":12,\"error\":\"peers: what: why\"}\n",
    };
    for (int code = 1; code <= 12; code++) {
        answers("peers", lines[code]);
        assert_int_equal(RUN("peers"), code);
        assert_string_equal(t.err, "p2pvpnctl: peers: what: why\n");
        assert_int_equal(t.out_len, 0);
    }
}

PV_TEST_IN(errors_of_the_daemon_cannot_drive_a_terminal, setup, teardown)
{
    answers("peers", "{\"id\":@,\"ok\":false,\"code\":1,\"error\":\"a\\u001b[2Jb\\nc\"}\n");
    assert_int_equal(RUN("peers"), 1);
    assert_null(strchr(t.err, '\x1b'));
}

PV_TEST_IN(no_daemon_is_exit_code_8_with_a_remedy, setup, teardown)
{
    stop_daemon(); /* the socket's name stays */
    assert_int_equal(RUN("peers"), PV_CTLAPI_NOT_RUNNING);
    assert_one_line_error("start it");
    unlink(t.path);
    assert_int_equal(RUN("ip", "bob"), PV_CTLAPI_NOT_RUNNING);
    assert_one_line_error("start it");
    assert_int_equal(RUN("version"), PV_CTLAPI_NOT_RUNNING);
    assert_string_equal(t.out, "p2pvpnctl " PV_VERSION "\n");
}

PV_TEST_IN(a_daemon_that_is_silent_is_exit_code_3, setup, teardown)
{
    assert_int_equal(RUN("--timeout", "0.05", "peers"), PV_CTLAPI_TIMEOUT);
    assert_one_line_error("--timeout");
}

PV_TEST_IN(errors_name_the_command_and_not_the_request, setup, teardown)
{
    answers("room_create", "{\"id\":@,\"ok\":false,\"code\":2,\"error\":\"room_create: bad room: "
                           "give a name\"}\n");
    assert_int_equal(RUN("room", "create", "A!"), PV_CTLAPI_USAGE);
    assert_string_equal(t.err, "p2pvpnctl: room: bad room: give a name\n");
    answers("file_send", "{\"id\":@,\"ok\":false,\"code\":6,\"error\":\"file_send: no peer\"}\n");
    assert_int_equal(RUN("send-file", "bob", "/proc/self/exe"), PV_CTLAPI_UNKNOWN_PEER);
    assert_string_equal(t.err, "p2pvpnctl: send-file: no peer\n");
}

PV_TEST_IN(something_else_behind_the_socket_is_told, setup, teardown)
{
    answers("peers", "SSH-2.0-OpenSSH\n");
    assert_int_equal(RUN("peers"), PV_CTLAPI_FAILED);
    assert_one_line_error("is the path right?");
}

PV_TEST_IN(a_name_that_changed_hands_is_told, setup, teardown)
{
    answers("peers", "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[{\"name\":\"bob\",\"online\":"
                     "true,\"former\":\"AbCdEfGhIjKl\",\"another_since\":1700000000}]}\n");
    assert_int_equal(RUN("peers"), 0);
    assert_string_equal(t.err, ""); /* years ago: above every list it would hide what is new */
    assert_int_equal(RUN("peers", "--long"), 0);
    assert_non_null(strstr(t.err, "bob is another machine since "));
    assert_non_null(strstr(t.err, "`p2pvpnctl history key:AbCd`"));
    char now[400];
    snprintf(now, sizeof(now),
             "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[{\"name\":\"bob\",\"former\":"
             "\"AbCdEfGhIjKl\",\"another_since\":%lld}]}\n",
             (long long)time(NULL) - 6 * 24 * 3600);
    answers("peers", now);
    assert_int_equal(RUN("peers"), 0);
    assert_non_null(strstr(t.err, "bob is another machine since "));
}

PV_TEST_IN(an_address_that_changed_hands_is_told, setup, teardown)
{
    answers("peers", "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[{\"name\":\"bob\",\"online\":"
                     "true,\"ip4\":\"10.66.0.5\",\"former\":null,\"another_since\":null,"
                     "\"ip4_former\":\"AbCdEfGhIjKl\",\"ip4_since\":1700000000}]}\n");
    assert_int_equal(RUN("peers"), 0);
    assert_string_equal(t.err, "");
    assert_int_equal(RUN("peers", "--long"), 0);
    assert_non_null(strstr(t.err, "bob has 10.66.0.5 since "));
    assert_non_null(strstr(t.err, "the address was that of key:AbCd"));
    assert_null(strstr(t.err, "another machine"));
}

PV_TEST_IN(a_removal_says_who_knows_and_what_the_coordinator_said, setup, teardown)
{
    answers("remove", "{\"id\":@,\"ok\":true,\"code\":9,\"online\":4,\"know\":3,\"coordinator\":"
                      "\"limit\",\"invite\":{\"id\":\"AAA\",\"uses_left\":2,\"revoked\":true}}\n");
    assert_int_equal(RUN("remove", "bob"), PV_CTLAPI_UNREACHABLE);
    assert_non_null(strstr(t.err, "bob is removed"));
    assert_non_null(strstr(t.err, "3 of 4 members online know so far"));
    assert_non_null(strstr(t.err, "has not stored it yet: it said limit"));
    assert_non_null(strstr(t.err, "revoked too, 2 uses were left"));
    answers("remove", "{\"id\":@,\"ok\":true,\"online\":2,\"know\":1,\"coordinator\":\"stored\","
                      "\"invite\":{\"id\":\"AAA\",\"uses_left\":2,\"revoked\":false}}\n");
    assert_int_equal(RUN("remove", "--keep-invite", "bob"), 0);
    assert_non_null(strstr(t.err, "the coordinator has stored it and tells the others"));
    assert_non_null(strstr(t.err, "p2pvpnctl invite revoke AAA"));
    assert_non_null(strstr(t.requests, "\"keep_invite\":true"));
}

PV_TEST_IN(a_removal_that_this_disk_lacks_fails_for_scripts, setup, teardown)
{
    answers("remove",
            "{\"id\":@,\"ok\":true,\"code\":1,\"online\":1,\"know\":1,\"coordinator\":\"away\","
            "\"disk\":\"store: disk full: free some space\",\"invite\":null}\n");
    assert_int_equal(RUN("remove", "bob"), PV_CTLAPI_FAILED);
    assert_non_null(strstr(t.err, "bob is removed"));
    assert_non_null(strstr(t.err, "does not have it yet (store: disk full: free some space)"));
    assert_int_equal(RUN("remove", "--json", "bob"), PV_CTLAPI_FAILED);
    assert_non_null(strstr(t.out, "\"disk\":\"store: disk full"));
}

PV_TEST_IN(the_end_of_rights_says_what_became_of_invites, setup, teardown)
{
    answers("admin_revoke", "{\"id\":@,\"ok\":true,\"online\":2,\"know\":2,\"coordinator\":"
                            "\"stored\",\"invites\":{\"open\":3,\"revoked\":true}}\n");
    assert_int_equal(RUN("admin", "revoke", "bob"), 0);
    assert_non_null(strstr(t.err, "bob is no admin any more, and stays a member: all 2"));
    assert_non_null(strstr(t.err, "revoked too (3)"));
    answers("admin_revoke", "{\"id\":@,\"ok\":true,\"online\":2,\"know\":2,\"coordinator\":"
                            "\"stored\",\"invites\":{\"open\":1,\"revoked\":false}}\n");
    assert_int_equal(RUN("admin", "revoke", "bob", "--keep-invites"), 0);
    assert_non_null(strstr(t.err, "still let in (1)"));
    assert_non_null(strstr(t.requests, "\"keep_invite\":true"));
    assert_int_equal(RUN("admin", "grant", "bob", "--keep-invites"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("admin", "bless", "bob"), PV_CTLAPI_USAGE);
}

PV_TEST_IN(an_answer_from_the_cache_is_shown_with_exit_code_9, setup, teardown)
{
    answers("ip", "{\"id\":@,\"ok\":true,\"code\":9,\"ip4\":\"10.66.0.1\"}\n");
    assert_int_equal(RUN("ip", "bob"), PV_CTLAPI_UNREACHABLE);
    assert_string_equal(t.out, "10.66.0.1\n");
    assert_non_null(strstr(t.err, "coordinator"));
}

void test_begin(void)
{
    setenv("TZ", "UTC", 1);
}
