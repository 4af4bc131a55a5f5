/* SPDX-License-Identifier: MIT */
/* Finds the shared object of the PostgreSQL store, and compares its version with this program's. */
#include "coordinator/pgload.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/remedy.h"

#ifdef PV_STATIC
int pv_pgload(const struct pv_pgplugin **ret_plugin, char ret_error[static PV_PG_ERROR_MAX])
{
    snprintf(ret_error, PV_PG_ERROR_MAX,
             "[store] postgres: this program is static and cannot load the PostgreSQL store: use "
             "that of Debian's packages, %s",
             PV_DO_STR(install_postgres));
    return PV_ERR_UNSUPPORTED;
}
#else
#include <dlfcn.h>

static int refuse(const char *why, char ret_error[static PV_PG_ERROR_MAX])
{
    snprintf(ret_error, PV_PG_ERROR_MAX, "[store] postgres: %.150s: %s", why,
             PV_DO_STR(install_postgres));
    return PV_ERR_UNSUPPORTED;
}

/* RTLD_NOW: a function that libpq lacks shows here, and not while the coordinator serves.
 * RTLD_LOCAL: no other library takes functions from libpq and what libpq needs. */
int pv_pgload_from(const char *path, const struct pv_pgplugin **ret_plugin,
                   char ret_error[static PV_PG_ERROR_MAX])
{
    char why[PV_PG_ERROR_MAX];
    if (access(path, F_OK) < 0) {
        snprintf(why, sizeof(why), "%.120s is not installed", path);
        return refuse(why, ret_error);
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        return refuse(dlerror(), ret_error);
    const struct pv_pgplugin *plugin = dlsym(object, PV_PGPLUGIN_SYMBOL);
    if (plugin == NULL) {
        snprintf(why, sizeof(why), "%.100s is no PostgreSQL store", path);
    } else if (strncmp(plugin->version, PV_VERSION, sizeof(plugin->version)) != 0) {
        snprintf(why, sizeof(why), "%.60s is of version %.*s, and this program of %.30s", path, 30,
                 plugin->version, PV_VERSION);
    } else {
        *ret_plugin = plugin;
        return PV_OK;
    }
    dlclose(object);
    return refuse(why, ret_error);
}

/* Anybody who can write to the directory of the program can replace the program as well. */
static void find(char ret_path[static PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[len > 0 ? len : 0] = '\0';
    const char *slash = strrchr(self, '/');
    int n = slash == NULL ? -1
                          : snprintf(ret_path, PATH_MAX, "%.*s/%s", (int)(slash - self), self,
                                     PV_PGPLUGIN_FILE);
    if (n < 0 || n >= PATH_MAX || access(ret_path, F_OK) < 0)
        snprintf(ret_path, PATH_MAX, "%s/%s", PV_PGPLUGIN_DIR, PV_PGPLUGIN_FILE);
}

/* The functions may be called until the program ends, so the object is never closed. */
int pv_pgload(const struct pv_pgplugin **ret_plugin, char ret_error[static PV_PG_ERROR_MAX])
{
    static const struct pv_pgplugin *loaded;
    char path[PATH_MAX];
    if (loaded == NULL) {
        find(path);
        int r = pv_pgload_from(path, &loaded, ret_error);
        if (r < 0)
            return r;
    }
    *ret_plugin = loaded;
    return PV_OK;
}
#endif
