/* SPDX-License-Identifier: MIT */
/* p2pvpnctl root: what leaves this program is a key made of the passphrase, and a sealed box. */
#include "base/text.h"
#include "ctl_fake.h"
#include "proto/roster/paperkey.h"

/* A cheap one (unit/test_paperkey): 8 KiB, "open sesame". */
static const char PAPER[] = "# root key of home\n"
                            "040GT PJTB9 D5MPJ TB9D5 MPJT8\n"
                            "B9D5M PJRC8 R464C TAM2M 4EAB0\n"
                            "7G2QF 6Y3HC FPZVV HFBP8 5BX5R\n"
                            "WSXB4 DNXPN YNYE5 MKFDP ERE4N\n"
                            "R9GT5 50WDG 49RNT 854Z\n";

/* The seed of nines, as root.key has it. */
#define NINES "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"

/* A file with this text, below the test's directory; its path. */
static const char *file_of(const char *name, const char *text)
{
    static char path[2][128];
    static int next;
    char *p = path[next++ % 2];
    snprintf(p, sizeof(path[0]), "%s/%s", t.dir, name);
    test_write(p, text);
    return p;
}

static int teardown_files(void **state)
{
    static const char *const names[] = {"paper", "pass", "root.key", "link"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        unlink(PV_STR("%s/%s", t.dir, names[i]));
    }
    return teardown(state);
}

PV_TEST_WORLD(setup, teardown_files);

/* p2pvpnd says that it has the key of nines there; lie: another one. */
static void says_where(const char *file, bool lie)
{
    static char line[512];
    uint8_t seed[PV_SIGN_SEED_LEN], sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    memset(seed, lie ? 8 : 9, sizeof(seed));
    pv_sign_keypair(seed, sk, pk);
    snprintf(line, sizeof(line),
             "{\"id\":@,\"ok\":true,\"network\":\"home\",\"file\":\"%s\",\"key\":\"%s\"}\n", file,
             PV_KEY_STR(pk));
    answers("root_export", line);
}

PV_TEST(export_prints_lines_that_import_reads)
{
    char paper[1024], code[PV_PAPERKEY_CHARS + 1];
    uint8_t key[PV_PWHASH_KEY_LEN], seed[PV_SIGN_SEED_LEN];
    struct pv_paperkey p;
    unsigned line;
    says_where(file_of("root.key", NINES "\n"), false);
    FILE *in = input("six words would be better\n");
    assert_int_equal(
        run_in(in, (const char *const[]){"root", "export", "--passphrase-file", "-", NULL}), 0);
    fclose(in);
    assert_has(t.out, "# The root key of p2pvpn network home");
    assert_has(t.err, "keep the two apart");
    assert_lacks(t.requests, "six words");
    assert_lacks(t.requests, "key':"); /* nothing that opens it, either */
    assert_ok(pv_paperkey_parse(t.out, t.out_len, &p, &line));
    assert_int_equal(p.cost.memory, PV_PWHASH_COST.memory);
    /* The printed page goes back as the same box, with a key that opens it. */
    snprintf(paper, sizeof(paper), "%s", t.out);
    pv_paperkey_format_code(&p, code);
    t.requests[0] = '\0';
    answers("root_import", OK("'network':'home','granted':true"));
    const char *pass = file_of("pass", "six words would be better\r\n");
    in = input(paper);
    assert_int_equal(
        run_in(in, (const char *const[]){"root", "import", "-", "--passphrase-file", pass, NULL}),
        0);
    fclose(in);
    char text[PV_KEY_TEXT_BUF], box[PV_B64_LEN(PV_PAPERKEY_BOX_LEN) + 1];
    snprintf(text, sizeof(text), "%.43s", strstr(t.requests, "\"key\":\"") + 7);
    assert_ok(pv_key_parse(text, key));
    assert_ok(pv_paperkey_open(seed, key, p.box));
    assert_int_equal(seed[0] & seed[31], 9);
    assert_ok(pv_b64url_encode(pv_view(p.box, sizeof(p.box)), box, sizeof(box)));
    assert_has(t.requests, box);
    assert_shows("err", t.err);
}

/* An intruder who has taken p2pvpnd over names any file. */
PV_TEST(no_other_file_is_exported)
{
    const char *pass = file_of("pass", "six words would be better");
    const char *file = file_of("root.key", NINES "\n");
    says_where(file, true);
    assert_refuses(PV_CTLAPI_FAILED, "root", "export", "--passphrase-file", pass);
    const char *link = PV_STR("%s/link", t.dir);
    assert_int_equal(symlink(file, link), 0);
    says_where(link, false);
    assert_refuses(PV_CTLAPI_FAILED, "root", "export", "--passphrase-file", pass);
    says_where("/dev/zero", false);
    assert_refuses(PV_CTLAPI_FAILED, "root", "export", "--passphrase-file", pass);
    says_where(file_of("root.key", "secret of another kind\n"), false);
    assert_int_equal(RUN("root", "export", "--passphrase-file", pass), PV_CTLAPI_FAILED);
    assert_lacks(t.err, "another kind");
    assert_string_equal(t.out, "");
}

PV_TEST(import_takes_what_was_typed)
{
    answers("root_import", OK("'network':'home','granted':false"));
    const char *paper = file_of("paper", PAPER), *pass = file_of("pass", "open sesame");
    assert_int_equal(RUN("root", "import", paper, "--passphrase-file", pass), 0);
    struct pv_paperkey p;
    uint8_t key[PV_PWHASH_KEY_LEN], seed[PV_SIGN_SEED_LEN];
    unsigned line;
    assert_ok(pv_key_parse(PV_STR("%.43s", strstr(t.requests, "\"key\":\"") + 7), key));
    assert_ok(pv_paperkey_parse(PAPER, sizeof(PAPER) - 1, &p, &line));
    assert_ok(pv_paperkey_open(seed, key, p.box));
}

PV_TEST(a_slip_is_told_before_anybody_is_asked)
{
    char slip[sizeof(PAPER)];
    memcpy(slip, PAPER, sizeof(PAPER));
    *strstr(slip, "7G2QF") = '8';
    assert_refuses(PV_CTLAPI_BAD_TOKEN, "root", "import", file_of("paper", slip));
    assert_refuses(PV_CTLAPI_BAD_TOKEN, "root", "import", "/etc/passwd");
    slip[80] = '\0';
    assert_refuses(PV_CTLAPI_BAD_TOKEN, "root", "import", file_of("paper", slip));
    assert_refuses(PV_CTLAPI_FAILED, "root", "import", "/nonexistent/paper");
    assert_asked(NULL);
}

PV_TEST(a_passphrase_that_could_be_guessed_is_not_taken)
{
    const char *pass = file_of("pass", "1234567\n");
    says_where(file_of("root.key", NINES "\n"), false);
    assert_refuses(PV_CTLAPI_USAGE, "root", "export", "--passphrase-file", pass);
    t.requests[0] = '\0';
    assert_refuses(PV_CTLAPI_USAGE, "root", "import", "-", "--passphrase-file", "-");
    assert_int_equal(RUN("root", "import"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("root", "burn"), PV_CTLAPI_USAGE);
    assert_asked(NULL);
}

/* Nobody is asked for a passphrase where there is nothing to seal. */
PV_TEST(a_user_who_may_not_export_is_told_before_a_passphrase_is_asked_for)
{
    answers("root_export", test_given("code error root_export not"));
    assert_refuses(PV_CTLAPI_PERMISSION, "root", "export", "--passphrase-file",
                   file_of("pass", "short"));
}

void test_begin(void)
{
    setenv("TZ", "UTC", 1);
}
