/* SPDX-License-Identifier: MIT */
#include "tests/unit/ctl/ctl_fake.h"

PV_TEST_WORLD(setup, teardown);

/* Is this a line of what was offered, with or without a description? */
static bool offered(const char *word)
{
    size_t len = strlen(word);
    for (const char *line = t.out; *line != '\0'; line += strcspn(line, "\n") + 1) {
        if (strncmp(line, word, len) == 0 && (line[len] == '\t' || line[len] == '\n'))
            return true;
    }
    return false;
}

#define OFFERS(...) (assert_int_equal(RUN("completion", "words", __VA_ARGS__), 0))

static void answer_names(void)
{
    answers("peers", test_given("peers pi online reboot nas"));
    answers("room_list", test_given("rooms room #crew members room"));
    answers("files", test_given("files direction peer pi"));
    answers("rules", test_given("rules number verdict deny from"));
    answers("invite_list", test_given("invites used uses used uses"));
}

PV_TEST(every_command_and_flag_is_offered_with_what_it_does)
{
    const struct pv_command *c;
    char want[160];
    OFFERS("");
    char *commands = strdup(t.out);
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        snprintf(want, sizeof(want), "%s\t%s\n", c->name, c->summary);
        assert_has(commands, want);
        OFFERS(c->name, "--");
        for (const struct pv_option *o = c->options; o->name != NULL; o++) {
            snprintf(want, sizeof(want), "\n--%s\t", o->name);
            if (strncmp(t.out, want + 1, strlen(want + 1)) != 0 && strstr(t.out, want) == NULL)
                fail_msg("--%s of %s: not offered, or not in details", o->name, c->name);
        }
        assert_has(t.out, "\n--net\tthe node of this network");
    }
    free(commands);
    assert_asked(NULL);
}

/* A phone has no p2pvpnd that would take a message. */
PV_TEST(phones_are_no_chat_partners)
{
    answers("peers", test_given("peers pi carrier mobile carrier"));
    answers("room_list", OK("'rooms':[]"));
    static const char *const talk[] = {"send", "chat", "send-file"};
    for (size_t i = 0; i < PV_ARRAY_LEN(talk); i++) {
        OFFERS(talk[i], "");
        assert_has(t.out, "pi\t");
        assert_lacks(t.out, "mobile");
    }
    OFFERS("room", "invite", "crew", "");
    assert_lacks(t.out, "mobile");
    OFFERS("ping", "");
    assert_has(t.out, "mobile\t");
}

PV_TEST(words_of_a_usage_are_offered_where_they_stand)
{
    answer_names();
    OFFERS("room", "");
    assert_true(offered("create") && offered("members") && !offered("#crew") && !offered("pi"));
    OFFERS("network", "");
    assert_string_equal(t.out, "coordinators\n");
    OFFERS("network", "coordinators", "");
    assert_true(offered("add") && offered("token") && !offered("coordinators"));
    OFFERS("log", "");
    assert_string_equal(t.out, "error\nwarn\ninfo\ndebug\n");
    OFFERS("rules", "default", "");
    assert_string_equal(t.out, "allow\ndeny\n");
    OFFERS("invite", "--uses", "3", "l");
    assert_string_equal(t.out, "list\nrevoke\n");
    /* A value of a flag, a free word, and what is no command have none. */
    OFFERS("invite", "--uses", "");
    assert_string_equal(t.out, "");
    OFFERS("room", "create", "");
    assert_string_equal(t.out, "");
    OFFERS("dance", "");
    assert_string_equal(t.out, "");
    OFFERS("status", "");
    assert_string_equal(t.out, "");
}

PV_TEST(names_are_offered_where_one_belongs_and_nothing_that_a_shell_would_run)
{
    answer_names();
    OFFERS("ping", "");
    assert_string_equal(t.out, "pi\tonline\nnas\toffline\n");
    OFFERS("-j", "--timeout", "3", "room", "invite", "");
    assert_string_equal(t.out, "#crew\troom of 3\n#crew~wT-h\troom of 1\n");
    OFFERS("room", "invite", "crew", "");
    assert_true(offered("pi") && !offered("#crew"));
    OFFERS("history", "");
    assert_true(offered("pi") && offered("#crew") && offered("clear"));
    assert_true(offered("#past")); /* left: there are lines, and nothing else */
    OFFERS("history", "clear", "");
    assert_true(offered("pi") && offered("#crew") && !offered("clear"));
    OFFERS("files", "accept", "");
    assert_string_equal(t.out, "7\tfrom pi: a\xef\xbf\xbd"
                               "b.jpg, offered\nall\n");
    OFFERS("allow", "");
    assert_true(offered("pi") && offered("any") && offered("tag:guest"));
    OFFERS("allow", "any", "any", "ssh", "--before", "");
    assert_string_equal(t.out, "2\tdeny tag:guest any ssh\n");
    OFFERS("rules", "remove", "");
    assert_true(offered("2"));
    OFFERS("invite", "revoke", "");
    assert_shows("out", t.out);
    OFFERS("route", "use", "off", "");
    assert_true(offered("pi") && offered("all") && !offered("off"));
    OFFERS("route", "use", "");
    assert_true(offered("pi") && offered("off"));
    OFFERS("address", "set", "");
    assert_true(offered("pi"));
}

/* Of whom a rule speaks, whom a command asks for. */
PV_TEST(this_machine_is_offered_where_a_rule_may_be_about_it)
{
    static const char *const lines[][4] = {
        {"allow", ""}, {"deny", "pi", ""}, {"can", ""}, {"can", "pi", ""}};
    answer_names();
    answers("status", OK_V1("'self':{'name':'lap'}"));
    for (size_t i = 0; i < PV_ARRAY_LEN(lines); i++) {
        if (lines[i][2] == NULL)
            OFFERS(lines[i][0], lines[i][1]);
        else
            OFFERS(lines[i][0], lines[i][1], lines[i][2]);
        assert_has(t.out, "lap\tthis machine\n");
        assert_true(offered("pi"));
    }
    OFFERS("ping", "");
    assert_false(offered("lap"));
    OFFERS("export", "phone", "--by", "");
    assert_string_equal(t.out, "pi\tonline\nnas\toffline\n");
}

PV_TEST(the_help_of_a_flag_is_said_to_the_end)
{
    OFFERS("netcheck", "--");
    assert_shows("out", t.out);
    OFFERS("export", "phone", "--");
    assert_shows("out", t.out);
}

/* A member behind admit, or a received file behind accept, would lead to an error. */
PV_TEST(only_what_a_word_can_be_done_to_is_offered_behind_it)
{
    answers("peers", test_given("peers pi state member admin nas"));
    answers("files", test_given("files direction peer pi state"));
    answers("invite_list", test_given("invites used uses not_after"));
    answers("rules", test_given("tags tag guest peer pi tag web"));
    OFFERS("admit", "");
    assert_string_equal(t.out, "new\toffline\n");
    OFFERS("admin", "revoke", "--keep-invites", "");
    assert_string_equal(t.out, "pi\toffline\n");
    OFFERS("admin", "grant", "");
    assert_true(offered("nas") && !offered("pi"));
    OFFERS("files", "accept", "");
    assert_string_equal(t.out, "7\tfrom pi: a, offered\nall\n");
    OFFERS("files", "get", "");
    assert_true(offered("7") && offered("9") && !offered("8"));
    OFFERS("files", "withdraw", "");
    assert_string_equal(t.out, "8\tto pi: b, offered\nall\n");
    OFFERS("invite", "revoke", "");
    assert_shows("out", t.out);
    OFFERS("untag", "pi", "");
    assert_string_equal(t.out, "guest\n");
    OFFERS("untag", "");
    assert_true(offered("pi") && offered("nas") && !offered("new"));
}

PV_TEST(behind_help_stands_a_command)
{
    OFFERS("");
    char *commands = strdup(t.out);
    OFFERS("help", "");
    assert_string_equal(t.out, commands);
    free(commands);
    OFFERS("help", "ping", "");
    assert_string_equal(t.out, "");
}

/* A shell does not wait long for a daemon that says nothing, and shows no error. */
PV_TEST(without_an_answer_no_names_are_offered)
{
    OFFERS("ping", "");
    assert_string_equal(t.out, "");
    assert_int_equal(t.err_len, 0);
}
