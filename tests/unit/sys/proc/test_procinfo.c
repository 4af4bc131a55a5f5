/* SPDX-License-Identifier: MIT */
/* A process sees its parent's end, also one that was over before it looked. Pages of code that are
 * given back are gone and come back as they were; what was written stays. */
#include <link.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/proc/procinfo.h"
#include "tests/unit/test_util.h"

/* The exit code of a child that watches for the end of what it takes for its parent. */
static int watch(pid_t parent)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        int fd = -1, r = pv_procinfo_watch_parent(parent, &fd);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        _exit(r == PV_ERR_CLOSED && fd < 0 ? 1 : r == PV_OK && poll(&p, 1, 0) == 0 ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

PV_TEST(a_parent_that_lives_is_watched)
{
    assert_int_equal(watch(getpid()), 0);
}

PV_TEST(one_that_has_ended_is_told)
{
    pid_t ended = fork();
    if (ended == 0)
        _exit(0);
    assert_int_equal(waitpid(ended, NULL, 0), ended);
    assert_int_equal(watch(ended), 1);
    assert_int_equal(watch(1), 1); /* another process' number by now */
}

/* --- pages of code --------------------------------------------------------------------------- */

struct code {
    const uint8_t *begin; /* the largest segment of code of this program */
    size_t len;
};

/* The first object is the program. */
static int find_code(struct dl_phdr_info *object, size_t size, void *ctx)
{
    struct code *c = ctx;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &object->dlpi_phdr[i];
        if (h->p_type == PT_LOAD && (h->p_flags & PF_X) != 0 && h->p_filesz > c->len)
            *c = (struct code){(const void *)(object->dlpi_addr + h->p_vaddr), h->p_filesz};
    }
    return 1;
}

static uint64_t sum(const struct code *c)
{
    uint64_t s = 0;
    for (size_t i = 0; i < c->len; i++)
        s = s * 31 + c->begin[i];
    return s;
}

/* KiB of files that are mapped here and in memory. */
static unsigned long mapped_kib(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        (void)!sscanf(line, "RssFile: %lu kB", &kib);
    fclose(f);
    return kib;
}

static int written = 5;
static const char *const relocated[] = {"one", "two"}; /* the linker has put addresses here */

PV_TEST(code_is_given_back_and_comes_back_as_it_was)
{
    struct code c = {.len = 0};
    dl_iterate_phdr(find_code, &c);
    assert_true(c.len > 0);
    written = 7;
    uint64_t before = sum(&c);
    unsigned long all = mapped_kib();
    pv_pages_drop_code();
    unsigned long left = mapped_kib();
    assert_in_range(left, 1, all - c.len / 1024 / 2);
    assert_int_equal(sum(&c), before);
    assert_int_equal(written, 7);
    assert_string_equal(relocated[1], "two");
}
