/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/file/logsink.h"
#include "tests/unit/test_util.h"

struct fixture {
    char dir[64], file[96], old[112];
    int fd, stderr_fd; /* the log; what standard error was before */
};

static struct fixture *f; /* of the test that runs */

void test_before_each(void)
{
    f = test_alloc(sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/pv-logsink-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->file, sizeof(f->file), "%s/prog.log", f->dir);
    snprintf(f->old, sizeof(f->old), "%s.1", f->file);
    f->fd = open(f->file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    f->stderr_fd = dup(STDERR_FILENO);
    assert_true(f->fd >= 0 && f->stderr_fd >= 0);
    assert_true(dup2(f->fd, STDERR_FILENO) >= 0);
    unsetenv("JOURNAL_STREAM");
}

void test_after_each(void)
{
    assert_true(dup2(f->stderr_fd, STDERR_FILENO) >= 0);
    close(f->stderr_fd);
    close(f->fd);
    unlink(f->file);
    unlink(f->old);
    rmdir(f->dir);
    unsetenv("JOURNAL_STREAM");
    free(f);
}

/* All that stands in the file. */
static const char *content(const char *path)
{
    static char text[1024];
    FILE *file = fopen(path, "re");
    size_t n = file == NULL ? 0 : fread(text, 1, sizeof(text) - 1, file);
    text[n] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

PV_TEST(lines_have_a_time_and_a_level)
{
    struct pv_logsink sink;
    struct pv_log log = pv_logsink_open(&sink, "other", PV_LOG_INFO);
    pv_log(&log, PV_LOG_WARN, "what=\"it rains\" where=here");
    pv_log(&log, PV_LOG_DEBUG, "what=unseen");
    const char *text = content(f->file);
    int year, month, day, hour, minute, second, ms, end = 0;
    assert_int_equal(sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &end),
                     7);
    assert_in_range(year, 2024, 2200);
    assert_string_equal(text + end, " other: warn: it rains: where=here\n");
}

/* Standard error is what systemd says it gave us. */
static void pretend_journal(void)
{
    struct stat st;
    assert_int_equal(fstat(f->fd, &st), 0);
    setenv("JOURNAL_STREAM",
           PV_STR("%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino), 1);
}

static void expect_entry(int fd, const char *text)
{
    char got[1024];
    ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
    assert_true(n > 0);
    got[n] = '\0';
    assert_string_equal(got, text);
}

PV_TEST(the_journal_gets_fields)
{
    struct pv_logsink sink;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/journal", f->dir);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    pretend_journal();
    struct pv_log log = pv_logsink_open_at(&sink, "other", PV_LOG_INFO, at.sun_path);
    pv_log(&log, PV_LOG_WARN, "peer=%s network=%s what=\"not told\"", "pi", "home");
    expect_entry(fd, test_given("MESSAGE not told peer pi"));
    /* Somebody else's words are no field. */
    pv_log(&log, PV_LOG_INFO, "what=said why=\"%s\"", "no peer=eve\nPRIORITY=0");
    expect_entry(fd, test_given("MESSAGE said why no peer eve"));
    assert_string_equal(content(f->file), "");
    close(fd); /* nobody takes entries any more: the line goes to standard error */
    pv_log(&log, PV_LOG_ERROR, "what=alone");
    assert_string_equal(content(f->file), "<3>alone\n");
    close(sink.journal_fd);
    unlink(at.sun_path);
}

PV_TEST(the_journal_gets_levels_only_where_it_listens)
{
    struct pv_logsink sink;
    pretend_journal();
    struct pv_log log = pv_logsink_open_at(&sink, "other", PV_LOG_INFO, "/nonexistent/socket");
    pv_log(&log, PV_LOG_ERROR, "what=broken");
    assert_string_equal(content(f->file), "<3>broken\n");
    static const char *const wrong[] = {"1:2", "", "x", "99999999999999999999:1"};
    for (unsigned i = 0; i < PV_ARRAY_LEN(wrong); i++) {
        setenv("JOURNAL_STREAM", wrong[i], 1);
        log = pv_logsink_open_at(&sink, "other", PV_LOG_INFO, "/nonexistent/socket");
        assert_false(sink.journal);
    }
}

PV_TEST(a_full_file_steps_aside)
{
    struct pv_logsink sink;
    struct stat st;
    assert_int_equal(ftruncate(f->fd, PV_LOGSINK_FILE_MAX - 10), 0);
    struct pv_log log = pv_logsink_open(&sink, "prog", PV_LOG_INFO);
    pv_log(&log, PV_LOG_INFO, "what=\"the first of a new file\"");
    pv_log(&log, PV_LOG_INFO, "what=\"the second\"");
    assert_int_equal(stat(f->old, &st), 0);
    assert_int_equal(st.st_size, PV_LOGSINK_FILE_MAX - 10);
    const char *text = content(f->file);
    assert_has(text, "prog: info: the first of a new file\n");
    assert_has(text, "prog: info: the second\n");
    assert_int_equal(stat(f->file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

PV_TEST(files_of_others_are_left_alone)
{
    struct pv_logsink sink;
    assert_int_equal(ftruncate(f->fd, PV_LOGSINK_FILE_MAX), 0);
    struct pv_log log = pv_logsink_open(&sink, "other", PV_LOG_INFO);
    pv_log(&log, PV_LOG_INFO, "what=more");
    assert_int_equal(access(f->old, F_OK), -1);
}
