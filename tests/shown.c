/* SPDX-License-Identifier: MIT */
/*
 * shown.c - compares what the tests of a program show with the program's transcript.
 */
#include "tests/shown.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/text.h"
#include "tests/test.h"

enum {
    SHOWN_LABEL = 72,  /* characters of a label, and a NUL */
    SHOWN_INSTEAD = 8, /* replacements of a test */
};

enum block_kind {
    BLOCK_GIVEN,
    BLOCK_TEST,
    BLOCK_SHOWN, /* belongs to the BLOCK_TEST before it */
};

struct block {
    enum block_kind kind;
    char *label, *text;
    /* Made of the text by test_given_parts() and test_given_with(), or NULL. */
    char *split, *filled;
    const char **parts;
    size_t n_parts;
};

/* A test of this run. With PV_TRANSCRIPTS=write now is what it shows, as lines of the transcript.
 */
struct shown_test {
    const char *name;
    char *now;
    size_t now_len;
    bool ended;
};

/* A text that differs between runs, and what stands for it. */
struct instead {
    char from[128], to[32];
};

static struct {
    char path[512], *file;
    struct block *blocks;
    bool *used;          /* of each block; children share it */
    size_t n_blocks, at; /* at: the next block that the test has to show */
    struct shown_test tests[256];
    size_t n_tests;
    struct instead instead[SHOWN_INSTEAD];
    size_t n_instead;
    bool writes;
    FILE *out; /* of the test that runs */
} shown;

/* --- a transcript ----------------------------------------------------------------------------- */

/* Appends a line of a text, decoded, at `to`; returns the place behind it. */
static char *shown_decode(char *to, const char *line)
{
    unsigned byte;
    for (; *line != '\0'; line++) {
        if (*line != '\\') {
            *to++ = *line;
        } else if (line[1] == 'n' || line[1] == 't') {
            *to++ = *++line == 'n' ? '\n' : '\t';
        } else if (line[1] == 'x' && sscanf(line + 2, "%2x", &byte) == 1) {
            *to++ = (char)byte;
            line += 3;
        } else {
            *to++ = *++line;
        }
    }
    return to;
}

/* Whether a character stands in a transcript as it is. */
static bool shown_is_plain(uint32_t c, char next)
{
    if (c == ' ')
        return next != '\0' && next != '\n';
    return c > ' ' && c != '\\' && (c < 0x7f || c >= 0xa0);
}

static void shown_encode(FILE *out, const char *text)
{
    if (text[0] != '\n' || text[1] == '\0')
        fputs("    ", out);
    for (size_t n = 1; *text != '\0'; text += n) {
        uint32_t c = 0;
        n = pv_utf8_char(pv_view(text, strlen(text)), &c);
        bool plain = n > 0 && shown_is_plain(c, text[n]);
        n = n == 0 ? 1 : n;
        if (*text == '\n' && text[1] == '\0')
            fputs("\\n", out);
        else if (*text == '\n')
            fputs(text[1] == '\n' && text[2] != '\0' ? "\n" : "\n    ", out);
        else if (*text == '\\' || *text == '\t')
            fputs(*text == '\t' ? "\\t" : "\\\\", out);
        else if (plain)
            fwrite(text, 1, n, out);
        else
            for (size_t i = 0; i < n; i++)
                fprintf(out, "\\x%02x", (unsigned char)text[i]);
    }
    fputc('\n', out);
}

static struct block *shown_block(enum block_kind kind, char *label)
{
    shown.blocks = realloc(shown.blocks, (shown.n_blocks + 1) * sizeof(*shown.blocks));
    assert_non_null(shown.blocks);
    struct block *b = &shown.blocks[shown.n_blocks++];
    *b = (struct block){.kind = kind, .label = label, .text = label + strlen(label)};
    return b;
}

/* The texts are decoded in their place in the file: a decoded text is never longer. */
static void shown_parse(char *file)
{
    char *to = NULL; /* the end of the text of the last block */
    size_t n_empty = 0;
    bool has_text = false;
    for (char *line; (line = strsep(&file, "\n")) != NULL;) {
        static const char *const marks[] = {"<< ", "== ", "--"};
        size_t kind = 0;
        while (kind < PV_ARRAY_LEN(marks) && strncmp(line, marks[kind], strlen(marks[kind])) != 0)
            kind++;
        if (kind < PV_ARRAY_LEN(marks)) {
            struct block *b =
                shown_block((enum block_kind)kind,
                            line + strlen(marks[kind]) + (kind == BLOCK_SHOWN && line[2] == ' '));
            to = b->text;
            n_empty = 0;
            has_text = false;
        } else if (line[0] == '\0') {
            n_empty++;
        } else if (to != NULL && strncmp(line, "    ", 4) == 0) {
            if (!has_text)
                shown.blocks[shown.n_blocks - 1].text = to = line - n_empty;
            for (n_empty += has_text; n_empty > 0; n_empty--)
                *to++ = '\n';
            to = shown_decode(to, line + 4);
            *to = '\0';
            has_text = true;
        }
    }
}

void test_shown_load(const char *source)
{
    static const char unit[] = "tests/unit/", sims[] = "tests/sim/";
    const char *mode = getenv("PV_TRANSCRIPTS"), *at = strstr(source, unit);
    shown.writes = mode != NULL && strcmp(mode, "write") == 0;
    if (at != NULL)
        at += strlen(unit);
    else if ((at = strstr(source, sims)) != NULL)
        at += strlen("tests/");
    else
        return;
    (void)snprintf(shown.path, sizeof(shown.path), "%s/transcripts/%.*s.txt", PV_TESTS_DIR,
                   (int)strcspn(at, "."), at);
    FILE *f = fopen(shown.path, "re");
    struct stat st;
    if (f == NULL)
        return;
    if (fstat(fileno(f), &st) == 0) {
        shown.file = calloc(1, (size_t)st.st_size + 1);
        assert_non_null(shown.file);
        (void)!fread(shown.file, 1, (size_t)st.st_size, f);
        shown_parse(shown.file);
        shown.used = mmap(NULL, shown.n_blocks + 1, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(shown.used, MAP_FAILED);
    }
    fclose(f);
}

/* --- a test ------------------------------------------------------------------------------------
 */

static struct shown_test *shown_test_now(void)
{
    return &shown.tests[shown.n_tests - 1];
}

static size_t shown_find(enum block_kind kind, const char *label)
{
    size_t i = 0;
    while (i < shown.n_blocks &&
           (shown.blocks[i].kind != kind || strcmp(shown.blocks[i].label, label) != 0))
        i++;
    return i;
}

static void shown_close(void)
{
    if (shown.out != NULL)
        fclose(shown.out);
    shown.out = NULL;
}

void test_shown_forget(void)
{
    shown.n_instead = 0;
}

void test_shown_begin(const char *test)
{
    shown_close(); /* of a test that failed */
    if (shown.n_tests == PV_ARRAY_LEN(shown.tests))
        fail_msg("more tests than a transcript takes");
    shown.tests[shown.n_tests++] = (struct shown_test){.name = test};
    shown.at = shown_find(BLOCK_TEST, test);
    if (shown.at < shown.n_blocks)
        shown.used[shown.at++] = true;
    if (shown.writes) {
        struct shown_test *t = shown_test_now();
        shown.out = open_memstream(&t->now, &t->now_len);
        assert_non_null(shown.out);
    }
}

void test_shown_end(void)
{
    shown_close();
    shown_test_now()->ended = true;
    if (!shown.writes && shown.at < shown.n_blocks && shown.blocks[shown.at].kind == BLOCK_SHOWN)
        fail_msg("the transcript of this test has also \"%s\"", shown.blocks[shown.at].text);
}

/* A label is one line of printed ASCII. */
static const char *shown_label(const char *label, char buf[static SHOWN_LABEL])
{
    size_t n = 0;
    for (; label != NULL && label[n] != '\0' && n + 1 < SHOWN_LABEL; n++)
        buf[n] = label[n] > ' ' && label[n] < 0x7f ? label[n] : ' ';
    while (n > 0 && buf[n - 1] == ' ')
        n--;
    buf[n] = '\0';
    return buf + strspn(buf, " ");
}

void test_shows_as(const char *from, const char *to)
{
    assert_true(shown.n_instead < SHOWN_INSTEAD && from[0] != '\0');
    struct instead *i = &shown.instead[shown.n_instead++];
    (void)snprintf(i->from, sizeof(i->from), "%s", from);
    (void)snprintf(i->to, sizeof(i->to), "%s", to);
}

/* The text with all that test_shows_as() replaces; the caller frees it. NULL for NULL. */
static char *shown_replace(const char *text)
{
    char *now = NULL;
    size_t len = 0;
    FILE *out = text == NULL ? NULL : open_memstream(&now, &len);
    if (out == NULL)
        return NULL;
    while (*text != '\0') {
        const struct instead *i = shown.instead;
        const struct instead *end = i + shown.n_instead;
        while (i < end && strncmp(text, i->from, strlen(i->from)) != 0)
            i++;
        fprintf(out, "%.*s", i == end ? 1 : (int)strlen(i->to), i == end ? text : i->to);
        text += i == end ? 1 : strlen(i->from);
    }
    fclose(out);
    return now;
}

/* Prints the difference. */
static void shown_complain(const struct block *b, const char *label, const char *text)
{
    if (b == NULL || b->kind != BLOCK_SHOWN)
        print_error("shown \"%s\", not in the transcript: %s\n", label, text);
    else
        print_error("shown \"%s\":\n%s\nthe transcript has \"%s\":\n%s\n", label, text, b->label,
                    b->text);
    print_error("`scripts/transcripts` writes %s anew\n", shown.path);
}

/* Returns true if the transcript has the text next, or takes it. */
static bool shown_fits(const char *label, const char *text)
{
    const struct block *b = shown.at < shown.n_blocks ? &shown.blocks[shown.at] : NULL;
    if (shown.out != NULL) {
        fprintf(shown.out, "--%s%s\n", label[0] == '\0' ? "" : " ", label);
        if (text[0] != '\0')
            shown_encode(shown.out, text);
        return true;
    }
    if (b == NULL || b->kind != BLOCK_SHOWN || strcmp(b->label, label) != 0 ||
        strcmp(b->text, text) != 0) {
        shown_complain(b, label, text);
        return false;
    }
    shown.at++;
    return true;
}

void test_shows(const char *label, const char *text, const char *source, int line)
{
    char buf[SHOWN_LABEL];
    char *plain_label = shown_replace(label), *plain = shown_replace(text);
    bool fits = plain != NULL && shown_fits(shown_label(plain_label, buf), plain);
    if (plain == NULL)
        print_error("there is no text to show: %s\n", label);
    free(plain_label);
    free(plain);
    if (!fits)
        _fail(source, line);
}

static struct block *shown_given(const char *label)
{
    size_t i = shown_find(BLOCK_GIVEN, label);
    if (i == shown.n_blocks)
        fail_msg("%s has no \"<< %s\"", shown.path, label);
    shown.used[i] = true;
    return &shown.blocks[i];
}

const char *test_given(const char *label)
{
    return shown_given(label)->text;
}

const char *const *test_given_parts(const char *label, size_t *ret_n)
{
    struct block *b = shown_given(label);
    const char *between = strstr(b->text, "\n\n") == NULL ? "\n" : "\n\n";
    if (b->parts == NULL) {
        b->parts = calloc(strlen(b->text) + 1, sizeof(*b->parts));
        b->split = strdup(b->text);
        assert_true(b->parts != NULL && b->split != NULL);
        for (char *at = b->split, *end; at != NULL; at = end) {
            b->parts[b->n_parts++] = at;
            end = strstr(at, between);
            if (end != NULL) {
                *end = '\0';
                end += strlen(between);
            }
        }
    }
    *ret_n = b->n_parts;
    return b->parts;
}

const char *test_fill(const char *label, const char *const *with)
{
    struct block *b = shown_given(label);
    size_t len = 0;
    free(b->filled);
    b->filled = NULL;
    FILE *out = open_memstream(&b->filled, &len);
    assert_non_null(out);
    for (const char *at = b->text; *at != '\0'; at++) {
        if (strncmp(at, "%s", 2) == 0 && *with != NULL) {
            fputs(*with++, out);
            at++;
        } else {
            fputc(*at, out);
        }
    }
    fclose(out);
    assert_null(*with); /* one %s for each */
    return b->filled;
}

/* --- the end -----------------------------------------------------------------------------------
 */

/* Writes the entries that the file has of a test that did not come to its end. */
static void shown_keep(FILE *out, const char *test)
{
    size_t i = shown_find(BLOCK_TEST, test) + 1;
    if (i > shown.n_blocks)
        return;
    fprintf(out, "== %s\n", test);
    for (; i < shown.n_blocks && shown.blocks[i].kind == BLOCK_SHOWN; i++) {
        const struct block *b = &shown.blocks[i];
        fprintf(out, "--%s%s\n", b->label[0] == '\0' ? "" : " ", b->label);
        if (b->text[0] != '\0')
            shown_encode(out, b->text);
    }
    fputc('\n', out);
}

static void shown_write(FILE *out)
{
    for (size_t i = 0; i < shown.n_blocks; i++) {
        if (shown.blocks[i].kind != BLOCK_GIVEN)
            continue;
        fprintf(out, "<< %s\n", shown.blocks[i].label);
        if (shown.blocks[i].text[0] != '\0')
            shown_encode(out, shown.blocks[i].text);
        fputc('\n', out);
    }
    for (size_t i = 0; i < shown.n_tests; i++) {
        const struct shown_test *t = &shown.tests[i];
        if (!t->ended)
            shown_keep(out, t->name);
        else if (t->now_len > 0)
            fprintf(out, "== %s\n%s\n", t->name, t->now);
    }
}

/* Makes the folders above the file. */
static void shown_make_folders(void)
{
    for (char *at = strchr(shown.path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(shown.path, 0777) < 0 && errno != EEXIST)
            fprintf(stderr, "cannot make %s\n", shown.path);
        *at = '/';
    }
}

static void shown_rewrite(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *all = open_memstream(&text, &len);
    assert_non_null(all);
    shown_write(all);
    fclose(all);
    if (len > 0) {
        shown_make_folders();
        FILE *f = fopen(shown.path, "we");
        if (f == NULL || fwrite(text, 1, len - 1, f) != len - 1 || fclose(f) != 0)
            fprintf(stderr, "cannot write %s\n", shown.path);
    }
    free(text);
    for (size_t i = 0; i < shown.n_tests; i++)
        free(shown.tests[i].now);
}

static bool shown_is_test(const char *name)
{
    for (size_t i = 0; i < shown.n_tests; i++) {
        if (strcmp(shown.tests[i].name, name) == 0)
            return true;
    }
    return false;
}

bool test_shown_finish(bool all)
{
    bool good = true;
    shown_close();
    if (shown.writes)
        shown_rewrite();
    for (size_t i = 0; i < shown.n_blocks && all; i++) {
        const struct block *b = &shown.blocks[i];
        if ((b->kind == BLOCK_GIVEN && !shown.used[i]) ||
            (b->kind == BLOCK_TEST && !shown.writes && !shown_is_test(b->label))) {
            fprintf(stderr, "%s: no test uses \"%s\"\n", shown.path, b->label);
            good = false;
        }
    }
    for (size_t i = 0; i < shown.n_blocks; i++) {
        free(shown.blocks[i].split);
        free(shown.blocks[i].filled);
        free(shown.blocks[i].parts);
    }
    if (shown.used != NULL)
        munmap(shown.used, shown.n_blocks + 1);
    free(shown.blocks);
    free(shown.file);
    return good;
}
