/* SPDX-License-Identifier: MIT */
/* A program's transcript: what tests are given and show comes back as it is, and a change fails. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test_util.h"

/* Runs the test of this program that shows what the variable says; returns its exit code. */
static int run_with(const char *what)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        setenv("PV_SHOWN", what, 1);
        unsetenv("PV_TRANSCRIPTS");
        execl("/proc/self/exe", "test_shown", "shows_what_*", NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

PV_TEST(shows_what_a_variable_says)
{
    const char *what = getenv("PV_SHOWN");
    if (what == NULL)
        what = "same";
    if (strcmp(what, "less") != 0)
        assert_shows("first", strcmp(what, "other") == 0 ? "another text" : "the text");
    assert_shows(strcmp(what, "label") == 0 ? "other" : "second", "the second text");
    if (strcmp(what, "more") == 0)
        assert_shows("third", "one too many");
    if (strcmp(what, "fewer") != 0)
        assert_shows("last", "the last text");
}

PV_TEST(a_change_fails_and_nothing_else)
{
    static const char *const changes[] = {"other", "label", "less", "more", "fewer"};
    if (getenv("PV_TRANSCRIPTS") != NULL)
        skip(); /* the transcript is about to be written */
    assert_int_equal(run_with("same"), 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(changes); i++)
        assert_int_not_equal(run_with(changes[i]), 0);
}

PV_TEST(a_text_comes_back_as_it_is)
{
    static const char *const texts[] = {
        "",
        "\n",
        "two\nlines",
        "a line\n",
        "\n\nbehind two",
        "blank \n at ends ",
        "\\n \\",
        "gr\xc3\xbc\xc3\x9f",
        "\xff\x1b[2J",
        "-- label",
        "== test",
        "a\n\n\nb\n\n",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++)
        assert_shows("", texts[i]);
}

PV_TEST(a_given_text_is_there_by_its_label)
{
    assert_string_equal(test_given("two lines"), "one\n\ntwo \n");
    assert_string_equal(test_given("nothing"), "");
}

PV_TEST(texts_that_differ_between_runs_are_replaced)
{
    const char *dir = PV_STR("/tmp/x%d", (int)getpid());
    test_shows_as(dir, "DIR");
    assert_shows(PV_STR("ls %s", dir), PV_STR("%s/file", dir));
}

PV_TEST(a_given_text_is_split_at_its_empty_lines_or_at_its_newlines)
{
    size_t n = 0;
    const char *const *lines = test_given_parts("lines", &n);
    assert_int_equal(n, 3);
    assert_string_equal(lines[0], "one");
    assert_string_equal(lines[2], "three\\\t");
    const char *const *parts = test_given_parts("parts", &n);
    assert_int_equal(n, 2);
    assert_string_equal(parts[0], "a part\nof two lines");
    assert_string_equal(parts[1], "another");
    assert_ptr_equal(test_given_parts("parts", &n), parts);
    assert_string_equal(test_given("parts"), "a part\nof two lines\n\nanother");
}

PV_TEST(a_given_text_takes_strings)
{
    assert_string_equal(test_given_with("strings", "%s", "two"), "100 % of %s and two");
    assert_string_equal(test_given_with("strings", "a", "b"), "100 % of a and b");
}
