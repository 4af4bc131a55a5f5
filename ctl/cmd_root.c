/* SPDX-License-Identifier: MIT */
/*
 * cmd_root.c - the root key of a network on paper or on a stick. The passphrase stays in this
 * program, and so does what export seals, which it reads itself: p2pvpnd cannot (adr 0054). For
 * import the keeper gets the key that Argon2id makes of the passphrase, and opens with that. And
 * another transport key.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "ctl/commands.h"
#include "ctl/told.h"
#include "proto/roster/paperkey.h"
#include "sys/proc/entropy.h"
#include "sys/term/ask.h"

enum {
    PASSPHRASE_MIN = 8, /* ours: characters of a new one */
    PASSPHRASE_BUF = 1024,
    FILE_MAX = 65536, /* ours: bytes of what may hold a key */
    PAPER_COLUMNS = 80,
};

enum {
    ROOT_PASSPHRASE_FILE,
    ROOT_QR,
};

/* --- passphrases ------------------------------------------------------------------------------ */

/* A file, or standard input for "-", which close_file() leaves open. NULL: the user was told. A
 * directory opens for reading as a file does, and has nothing to read. */
static FILE *open_file(struct pv_cli *cli, const char *path)
{
    struct stat st;
    if (strcmp(path, "-") == 0)
        return cli->in;
    FILE *f = fopen(path, "re");
    if (f != NULL && fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
        fclose(f);
        f = NULL;
        errno = EISDIR;
    }
    if (f == NULL)
        (void)pv_cli_fail(cli, PV_CTLAPI_FAILED, "cannot read %.200s: %s: is the path right?", path,
                          strerror(errno));
    return f;
}

static void close_file(struct pv_cli *cli, FILE *f)
{
    if (f != cli->in)
        fclose(f);
}

/* The first line of the file, as it is. 0 or an exit code. */
static int read_passphrase(struct pv_cli *cli, const char *path, char buf[static PASSPHRASE_BUF])
{
    FILE *f = open_file(cli, path);
    if (f == NULL)
        return PV_CTLAPI_FAILED;
    size_t n = 0;
    int c;
    while ((c = fgetc(f)) != EOF && c != '\n' && n + 1 < PASSPHRASE_BUF)
        buf[n++] = (char)c;
    while (n > 0 && buf[n - 1] == '\r')
        n--;
    buf[n] = '\0';
    close_file(cli, f);
    return 0;
}

/* On the terminal itself, so that standard output may go to a printer and standard input come from
 * a file. */
static int ask_passphrase(struct pv_cli *cli, const char *prompt, char buf[static PASSPHRASE_BUF])
{
    int r = pv_ask_secret(prompt, buf, PASSPHRASE_BUF);
    if (r == PV_ERR_NOT_FOUND)
        return pv_cli_usage(cli, "there is no terminal to ask for the passphrase: give "
                                 "--passphrase-file FILE (- is standard input)");
    if (r < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "the passphrase could not be read: %s: try again",
                           pv_strstatus(r));
    return 0;
}

/* fresh: it is chosen now, so it is asked for twice and must not be short. */
static int get_passphrase(struct pv_cli *cli, bool fresh, char buf[static PASSPHRASE_BUF])
{
    const char *path = cli->args.value[ROOT_PASSPHRASE_FILE];
    char again[PASSPHRASE_BUF];
    int code = path != NULL ? read_passphrase(cli, path, buf)
                            : ask_passphrase(cli, fresh ? "New passphrase: " : "Passphrase: ", buf);
    if (code != 0)
        return code;
    if (fresh && strlen(buf) < PASSPHRASE_MIN)
        return pv_cli_usage(cli,
                            "the passphrase is too short: a finder of the paper could guess it: "
                            "take at least %d characters, better six words",
                            PASSPHRASE_MIN);
    if (!fresh || path != NULL)
        return 0;
    code = ask_passphrase(cli, "Again: ", again);
    if (code == 0 && strcmp(buf, again) != 0)
        code = pv_cli_usage(cli, "the two passphrases differ: try again");
    pv_wipe(again, sizeof(again));
    return code;
}

/* The key of a passphrase, which is gone then: waiting for an answer of p2pvpnd must not prolong
 * its life. 0 or an exit code. */
static int make_key(struct pv_cli *cli, bool fresh, const struct pv_paperkey *paper,
                    uint8_t ret_key[static PV_PWHASH_KEY_LEN])
{
    char passphrase[PASSPHRASE_BUF];
    int code = get_passphrase(cli, fresh, passphrase);
    if (code == 0) {
        int r =
            pv_pwhash(ret_key, pv_view(passphrase, strlen(passphrase)), paper->salt, paper->cost);
        if (r == PV_ERR_NOMEM)
            code = pv_cli_fail(cli, PV_CTLAPI_FAILED,
                               "the passphrase needs %u MiB of free memory for a moment: close "
                               "something, or do it on a larger machine",
                               (unsigned)(((uint64_t)1 << paper->cost.memory) >> 20));
        else if (r != PV_OK)
            code = pv_cli_fail(cli, PV_CTLAPI_BAD_TOKEN,
                               "the text asks for more than p2pvpn ever writes: is it a root key?");
    }
    pv_wipe(passphrase, sizeof(passphrase));
    return code;
}

/* --- export ----------------------------------------------------------------------------------- */

/* The printed page explains itself: it may be found in a drawer in ten years. The lines for people
 * begin with '#', which import leaves out, so the whole page can be given back. */
static void print_paper(struct pv_cli *cli, const struct pv_paperkey *paper, const char *network)
{
    char text[PV_PAPERKEY_TEXT_BUF], code[PV_PAPERKEY_CHARS + 1];
    pv_paperkey_format(paper, text);
    pv_paperkey_format_code(paper, code);
    fprintf(cli->out,
            "# The root key of %s%s, sealed with a passphrase. On a node of it:\n"
            "#   sudo p2pvpnctl root import FILE\n"
            "%s",
            network != NULL ? "p2pvpn network " : "a p2pvpn network",
            network != NULL ? network : "", text);
    if (cli->args.value[ROOT_QR] == NULL)
        return;
    fputc('\n', cli->out);
    pv_cli_print_qr(cli, code, PAPER_COLUMNS, cli->out);
}

static int print_export(struct pv_cli *cli, const struct pv_paperkey *paper, const json_t *body)
{
    const char *network = pv_json_text(body, "network", NULL);
    if (cli->json) {
        char code[PV_PAPERKEY_CHARS + 1];
        pv_paperkey_format_code(paper, code);
        return pv_cli_print_packed(cli, "{s:s?, s:s}", "network", network, "text", code);
    }
    print_paper(cli, paper, network);
    pv_cli_note(cli,
                "a holder of this and the passphrase can do everything in the network, and nobody "
                "can open it without: keep the two apart");
    return 0;
}

/* p2pvpnd names the file, and may have been taken over: what is no key of its public half is
 * neither shown nor sealed, and nothing is followed or waited for. 0 or an exit code. */
static int read_root(struct pv_cli *cli, const json_t *body,
                     uint8_t ret_seed[static PV_SIGN_SEED_LEN])
{
    const char *file = pv_json_text(body, "file", ""), *key = pv_json_text(body, "key", "");
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN], want[PV_SIGN_PK_LEN];
    char text[PV_KEY_TEXT_BUF + 2] = "";
    struct stat st;
    if (pv_key_parse(key, want) != PV_OK)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "p2pvpnd is of another version: restart it");
    int fd = open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "cannot read %.200s: %s: run this as root, where p2pvpnd runs", file,
                           strerror(errno));
    ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, text, sizeof(text) - 1) : -1;
    close(fd);
    text[n < 0 ? 0 : n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    bool is_key = pv_key_parse(text, ret_seed) == PV_OK;
    pv_wipe(text, sizeof(text));
    if (is_key)
        pv_sign_keypair(ret_seed, sk, pk);
    pv_wipe(sk, sizeof(sk));
    if (is_key && memcmp(pk, want, sizeof(pk)) == 0)
        return 0;
    pv_wipe(ret_seed, PV_SIGN_SEED_LEN);
    return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                       "%.200s is not the root key that p2pvpnd has: restart p2pvpnd", file);
}

/* Nobody thinks of a passphrase and is then told that the key is not here. The salt is drawn for
 * this one text: two exports of a key have nothing in common, and who has
 * both learns no more than from one. */
static int export_root(struct pv_cli *cli)
{
    struct pv_paperkey paper = {.cost = PV_PWHASH_COST};
    const struct pv_rng rng = pv_entropy();
    uint8_t key[PV_PWHASH_KEY_LEN], seed[PV_SIGN_SEED_LEN];
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_ROOT_EXPORT);
    pv_rng_fill(&rng, paper.salt, sizeof(paper.salt));
    int code = pv_cli_ask(cli, &req, &body);
    pv_ctlapi_request_done(&req);
    if (code == 0)
        code = make_key(cli, true, &paper, key);
    if (code == 0)
        code = read_root(cli, body, seed);
    if (code == 0)
        pv_paperkey_seal(paper.box, key, seed);
    pv_wipe(key, sizeof(key));
    pv_wipe(seed, sizeof(seed));
    if (code == 0)
        code = print_export(cli, &paper, body);
    json_decref(body);
    return code;
}

/* --- import ----------------------------------------------------------------------------------- */

/* The typed or scanned key, from a file or standard input. 0 or an exit code. Each kind of slip is
 * told in words of its own, and with its line: a user who types 119 letters wants to know where to
 * look. */
static int read_paper(struct pv_cli *cli, const char *path, struct pv_paperkey *ret_paper)
{
    unsigned line = 0;
    FILE *f = open_file(cli, path);
    if (f == NULL)
        return PV_CTLAPI_FAILED;
    char *text = malloc(FILE_MAX);
    size_t n = text == NULL ? 0 : fread(text, 1, FILE_MAX, f);
    close_file(cli, f);
    if (text == NULL)
        return pv_cli_no_memory(cli);
    int r = pv_paperkey_parse(text, n, ret_paper, &line);
    free(text); /* what is in it is sealed */
    if (r == PV_OK)
        return 0;
    if (r == PV_ERR_UNSUPPORTED)
        return pv_cli_fail(cli, PV_CTLAPI_BAD_TOKEN,
                           "this root key is from a newer p2pvpn: upgrade p2pvpn on this machine");
    if (r == PV_ERR_TRUNCATED)
        return pv_cli_fail(cli, PV_CTLAPI_BAD_TOKEN,
                           "that is no whole root key: it has %d lines, and here are %u",
                           PV_PAPERKEY_LINES, line);
    if (line != 0)
        return pv_cli_fail(
            cli, PV_CTLAPI_BAD_TOKEN,
            "there is a slip in line %u of the root key: compare it letter by letter, with what "
            "`p2pvpnctl root export` printed; or that is another file",
            line);
    return pv_cli_fail(cli, PV_CTLAPI_BAD_TOKEN,
                       "that is no root key, or a damaged one: it is what `p2pvpnctl root export` "
                       "printed");
}

/* Whether the node became an admin is told, since it may sign for the network from now on. */
static int print_import(struct pv_cli *cli, const json_t *body)
{
    pv_cli_note(cli, "the root key of %s is on this machine now%s",
                pv_json_text(body, "network", "?"),
                pv_json_bool(body, "granted") ? ", and this node is an admin" : "");
    return 0;
}

/* The text comes before the passphrase: nobody types a passphrase for a text with a slip in it. */
static int import_root(struct pv_cli *cli)
{
    const char *file = cli->args.word[1], *pass = cli->args.value[ROOT_PASSPHRASE_FILE];
    struct pv_paperkey paper;
    char box[PV_B64_LEN(PV_PAPERKEY_BOX_LEN) + 1];
    uint8_t key[PV_PWHASH_KEY_LEN];
    if (pass != NULL && strcmp(pass, "-") == 0 && strcmp(file, "-") == 0)
        return pv_cli_usage(cli, "key and passphrase cannot both come from standard input");
    int code = read_paper(cli, file, &paper);
    if (code != 0)
        return code;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_ROOT_IMPORT);
    code = make_key(cli, false, &paper, key);
    req.secret = code == 0 ? calloc(1, PV_KEY_TEXT_BUF) : NULL;
    if (req.secret != NULL)
        (void)pv_key_format(key, req.secret);
    pv_wipe(key, sizeof(key));
    if (code == 0 &&
        pv_b64url_encode(pv_view(paper.box, sizeof(paper.box)), box, sizeof(box)) == PV_OK)
        req.text = strdup(box);
    if (code == 0 && (req.secret == NULL || req.text == NULL))
        code = pv_cli_no_memory(cli);
    if (code == 0)
        code = pv_cli_ask_and_print(cli, &req, print_import);
    pv_ctlapi_request_done(&req);
    return code;
}

static int root(struct pv_cli *cli)
{
    const char *what = cli->args.word[0];
    if (strcmp(what, "export") == 0 && cli->args.n_words == 1)
        return export_root(cli);
    if (strcmp(what, "import") == 0 && cli->args.n_words == 2 && cli->args.value[ROOT_QR] == NULL)
        return import_root(cli);
    return pv_cli_usage(cli, "there is root export [--qr] and root import FILE");
}

/* --- key ------------------------------------------------------------------------------------- */

/* Nobody but their users can change static peers, so these are told once more what to do. */
static int print_rotated(struct pv_cli *cli, const json_t *body)
{
    if (cli->args.value[0] != NULL)
        pv_cli_note(cli, "static peers: replace its public key there by the one that `p2pvpnctl ip "
                         "--wg-key` prints, within 15 days");
    return 0;
}

/* The daemon says what speaks against it: it knows the static peers, and whose the key is. */
static int key(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_KEY_ROTATE);
    req.u.rotate.statics = cli->args.value[0] != NULL;
    if (strcmp(cli->args.word[0], "rotate") != 0)
        return pv_cli_usage(cli, "there is key rotate [--static]");
    return pv_cli_ask_and_tell(cli, &req, "replaced the transport key of this node", print_rotated);
}

const struct pv_command pv_cmds_root[] = {
    {
        .name = "root",
        .keeps_root = true,
        .args = "export [--qr] | import FILE|- [--passphrase-file FILE|-]",
        .summary = "keep the root key of the network on paper or on a stick",
        .details =
            "  export  print the root key, sealed with a passphrase: five lines that you can\n"
            "          type in again\n"
            "  import  put the root key on this node, which becomes an admin; - is standard\n"
            "          input\n"
            "  --qr    also print a QR code\n"
            "  --passphrase-file FILE  read the passphrase from the first line of FILE; - is\n"
            "          standard input\n"
            "The root key makes admins, and its decisions stand above theirs. It is on the\n"
            "machine that ran create.\n",
        .example = "sudo p2pvpnctl root export --qr | lp",
        .options = {{"passphrase-file", 0, true}, {"qr", 0, false}},
        .words = {1, 2},
        .run = root,
    },
    {
        .name = "key",
        .args = "rotate [--static]",
        .summary = "replace the transport key of this node; connections continue",
        .details =
            "  --static  replace it although static [peer]s know the present key; give them\n"
            "            the new key within 15 days\n"
            "p2pvpnd replaces the key every 30 days ([security] rotate in p2pvpnd.conf)\n"
            "unless there are static peers.\n",
        .example = "sudo p2pvpnctl key rotate",
        .options = {{"static", 0, false}},
        .words = {1, 1},
        .run = key,
    },
    {.name = NULL},
};
