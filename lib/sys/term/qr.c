/* SPDX-License-Identifier: MIT */
/* qr.c - draws QR codes with block characters. */
#include "sys/term/qr.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/ct.h"

#ifdef PV_HAVE_QRENCODE
#include <dlfcn.h>
#include <qrencode.h>

enum {
    SVG_QUIET = 4, /* as the standard has it */
    SVG_PIXELS = 8,
    QUIET = 2, /* light modules around the code; the standard's 4 would not fit every terminal */
};

/* libqrencode, loaded when a code is to be drawn (adr/0127): p2pvpnctl joins networks without it.
 */
static struct {
    __typeof__(&QRcode_encodeString) encode;
    __typeof__(&QRcode_free) free;
} lib;

static bool load(void)
{
    void *object = lib.free == NULL ? dlopen("libqrencode.so.4", RTLD_NOW | RTLD_LOCAL) : NULL;
    void *encode = object != NULL ? dlsym(object, "QRcode_encodeString") : NULL;
    void *free_code = object != NULL ? dlsym(object, "QRcode_free") : NULL;
    if (encode != NULL && free_code != NULL) {
        /* C has no cast from a pointer to an object to one to a function. */
        memcpy(&lib.encode, &encode, sizeof(encode));
        memcpy(&lib.free, &free_code, sizeof(free_code));
    }
    return lib.free != NULL;
}

/* The code of a text, by bytes, the densest that is asked for here. NULL: it is too long, or the
 * library is not installed. */
static QRcode *encode(const char *text)
{
    return load() ? lib.encode(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1) : NULL;
}

/* Returns true if this module is dark. Modules around the code are light. */
static bool is_dark(const QRcode *code, int x, int y)
{
    if (x < 0 || y < 0 || x >= code->width || y >= code->width)
        return false;
    return (code->data[y * code->width + x] & 1) != 0;
}

/* Two rows of modules are one line of text. Light modules are drawn, since most terminals are dark;
 * cameras read both. */
static void draw(const QRcode *code, FILE *out)
{
    static const char *const block[2][2] = {{"\u2588", "\u2580"}, {"\u2584", " "}};
    for (int y = -QUIET; y < code->width + QUIET; y += 2) {
        for (int x = -QUIET; x < code->width + QUIET; x++)
            fputs(block[is_dark(code, x, y)][is_dark(code, x, y + 1)], out);
        fputc('\n', out);
    }
}

bool pv_qr_is_there(void)
{
    return load();
}

struct pv_qr_size pv_qr_size(size_t len)
{
    struct pv_qr_size size = {.columns = 0};
    char *any = malloc(len + 1);
    if (any == NULL)
        return size;
    memset(any, 'x', len);
    any[len] = '\0';
    QRcode *code = encode(any);
    if (code != NULL) {
        size.columns = (unsigned)code->width + 2 * QUIET;
        size.lines = (size.columns + 1) / 2;
    }
    if (code != NULL)
        lib.free(code);
    free(any);
    return size;
}

/* Runs of dark modules, one path for all of them: small, and without gaps between neighbours. */
bool pv_qr_write_svg(const char *text, FILE *out)
{
    QRcode *code = encode(text);
    if (code == NULL)
        return false;
    int side = code->width + 2 * SVG_QUIET;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" shape-rendering=\"crispEdges\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<path d=\"",
            side, side, side * SVG_PIXELS, side * SVG_PIXELS);
    for (int y = 0; y < code->width; y++) {
        for (int x = 0, end; x < code->width; x = end + 1) {
            for (end = x; is_dark(code, end, y); end++)
                continue;
            if (end > x)
                fprintf(out, "M%d %dh%dv1H%dz", x + SVG_QUIET, y + SVG_QUIET, end - x,
                        x + SVG_QUIET);
        }
    }
    fprintf(out, "\"/>\n</svg>\n");
    pv_wipe(code->data, (size_t)code->width * (size_t)code->width);
    lib.free(code);
    return fflush(out) == 0 && ferror(out) == 0;
}

bool pv_qr_print(const char *text, unsigned columns, FILE *out)
{
    QRcode *code = encode(text);
    if (code == NULL)
        return false;
    bool fits = (unsigned)code->width + 2 * QUIET <= columns;
    if (fits)
        draw(code, out);
    pv_wipe(code->data, (size_t)code->width * (size_t)code->width);
    lib.free(code);
    return fits;
}
#else
bool pv_qr_is_there(void)
{
    return false;
}

struct pv_qr_size pv_qr_size(size_t len)
{
    return (struct pv_qr_size){.columns = 0};
}

bool pv_qr_write_svg(const char *text, FILE *out)
{
    return false;
}

bool pv_qr_print(const char *text, unsigned columns, FILE *out)
{
    return false;
}
#endif

/* The first variable that is set and not empty counts (locale(7)). */
static const char *find_locale(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return value;
    }
    return "C";
}

bool pv_term_is_utf8(void)
{
    const char *dot = strchr(find_locale(), '.');
    return dot != NULL && (strcasecmp(dot, ".UTF-8") == 0 || strcasecmp(dot, ".utf8") == 0);
}

bool pv_term_may_be_utf8(void)
{
    const char *name = find_locale();
    return strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0 || pv_term_is_utf8();
}
