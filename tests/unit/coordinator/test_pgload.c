/* SPDX-License-Identifier: MIT */
/* The shared object of the PostgreSQL store: what is loaded, and what the coordinator says if it is
 * missing or another one. */
#include <dlfcn.h>

#include "coordinator/pgload.h"
#include "tests/unit/coordinator/coord_run.h"

static const char remedy[] = "`sudo apt install p2pvpn-coordinator-postgres`";

PV_TEST_WORLD(setup, teardown);

static const char *built(void)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", PV_BIN_DIR, PV_PGPLUGIN_FILE);
    return path;
}

/* Copies a file, and replaces these bytes by as many others wherever they stand. */
static void copy_changed(const char *from, const char *to, const void *before, const void *after,
                         size_t n)
{
    size_t size = 0, changed = 0;
    FILE *in = fopen(from, "r");
    assert_true(in != NULL && fseek(in, 0, SEEK_END) == 0);
    size = (size_t)ftell(in);
    rewind(in);
    uint8_t *all = malloc(size);
    assert_true(all != NULL && fread(all, 1, size, in) == size);
    fclose(in);
    for (size_t i = 0; n > 0 && i + n <= size; i++) {
        if (memcmp(all + i, before, n) != 0)
            continue;
        memcpy(all + i, after, n);
        changed++;
    }
    FILE *out = fopen(to, "w");
    assert_true(out != NULL && fwrite(all, 1, size, out) == size && fclose(out) == 0);
    assert_int_equal(chmod(to, 0755), 0);
    free(all);
    assert_true(changed > 0 || n == 0);
}

static const char *refused(const char *path)
{
    static char error[PV_PG_ERROR_MAX];
    const struct pv_pgplugin *pg = NULL;
    assert_int_equal(pv_pgload_from(path, &pg, error), PV_ERR_UNSUPPORTED);
    assert_null(pg);
    assert_has(error, remedy);
    return error;
}

PV_TEST(loads_what_was_built_beside_the_program)
{
    char error[PV_PG_ERROR_MAX] = "", files[PV_PG_FILES_MAX][PATH_MAX];
    const struct pv_pgplugin *pg = NULL, *again = NULL;
    struct pv_pg_lease *lease = NULL;
    const struct pv_pg_lease_config cfg = {.conninfo = "host=a nonsense"};
    assert_ok(pv_pgload(&pg, error));
    assert_ok(pv_pgload(&again, error));
    assert_ptr_equal(pg, again);
    assert_string_equal(pg->version, PV_VERSION);
    assert_int_equal(pg->lease_new(&lease, &cfg, error), PV_ERR_MALFORMED);
    assert_has(error, "[store] postgres: ");
    assert_int_equal(pg->files("passfile=/etc/p2pvpn/pgpass", files), 1);
    assert_string_equal(files[0], "/etc/p2pvpn/pgpass");
}

PV_TEST(refuses_what_is_not_the_store_of_this_version)
{
    char path[128], other[PV_PGPLUGIN_VERSION_BUF] = PV_VERSION;
    char version[PV_PGPLUGIN_VERSION_BUF] = PV_VERSION;
    Dl_info libc;
    snprintf(path, sizeof(path), "%s/other.so", dir);
    assert_has(refused(path), "other.so is not installed");

    other[0] = '9';
    copy_changed(built(), path, version, other, sizeof(version));
    assert_has(refused(path), PV_STR("is of version %s, and this program of %s", other, version));

    /* The C library lacks the symbol. */
    assert_true(dladdr(dlsym(RTLD_DEFAULT, "getpid"), &libc) != 0);
    assert_has(refused(libc.dli_fname), "is no PostgreSQL store");

    snprintf(path, sizeof(path), "%s/text.so", dir);
    test_write(path, "no shared object");
    assert_has(refused(path), "text.so: ");
}

/* The exit code of `--check` with a database, by a copy of the program in a directory of its own.
 */
static int check_copy(struct program *p, const char *program, const char *config)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    *p = (struct program){.pid = fork(), .out = fds[0]};
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        execl(program, "p2pvpn-coordinator", "--check", "--config", config, "--state",
              PV_STR("%s/s", dir), (char *)NULL);
        _exit(98);
    }
    close(fds[1]);
    return finish(p);
}

/* remedy: install_postgres */
PV_TEST(program_names_the_package_until_it_is_installed)
{
    char program[128], config[128];
    struct program p;
    snprintf(program, sizeof(program), "%s/p2pvpn-coordinator", dir);
    snprintf(config, sizeof(config), "%s/conf", dir);
    copy_changed(PV_BIN_DIR "/p2pvpn-coordinator", program, NULL, NULL, 0);
    test_write(config, "[coordinator]\npublic = 198.51.100.7\n");
    assert_int_equal(check_copy(&p, program, config), 0);
    test_write(config, "[coordinator]\npublic = 198.51.100.7\n[store]\npostgres = dbname=p2pvpn\n");
    assert_int_equal(check_copy(&p, program, config), 2);
    assert_has(p.text, "/lib/p2pvpn-coordinator/modules/store-postgres.so is not installed");
    assert_has(p.text, remedy);
    /* The package installs the file. */
    copy_changed(built(), PV_STR("%s/%s", dir, PV_PGPLUGIN_FILE), NULL, NULL, 0);
    assert_int_equal(check_copy(&p, program, config), 0);
}
