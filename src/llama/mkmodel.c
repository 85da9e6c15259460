/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel.c - mkmodel's options and the file around its content (mkmodel.h).
 *
 * Every impossible option is refused before a byte is written, with a sentence that says what would do. The file is written under a
 * temporary name in its directory and renamed when complete, so a reader never finds half a model. It is not synced: a
 * model that a crash has eaten is made again by the same command.
 * Threads: none. */
#include "llama/mkmodel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/number.h"
#include "llama/mkmodel_recipe.h"

#define DEFAULT_VOCAB "qwen2"
#define DEFAULT_TYPE  "f16"
#define BLOCK         32u /* elements of a quantised block: no row may end inside one */

static const struct option_type {
    const char *name;
    enum ggml_type type;
    uint32_t file_type; /* general.file_type */
} types[] = {{"f16", GGML_TYPE_F16, 1}, {"q8_0", GGML_TYPE_Q8_0, 7}};

#define AT(field) offsetof(warm_mkmodel_options, field), offsetof(warm__mk_shape, field)

static const struct number {
    const char *name, *about;
    size_t at, in_shape; /* in warm_mkmodel_options and in the kind's shape */
    uint32_t min, max;
} numbers[] = {
    {"--layers", "layers", AT(layers), 1, 512},
    {"--embd", "width of the residual stream, a multiple of 32", AT(embd), 32, 16384},
    {"--heads", "attention heads, each 64 wide whatever --embd is (hybrid, hybrid-swa: they share --embd)", AT(heads), 1, 256},
    {"--kv-heads", "key/value heads, a divisor of --heads", AT(kv_heads), 1, 256},
    {"--ff", "width of the feed-forward layer or of each expert, a multiple of 32", AT(ff), 32, 65536},
    {"--window", "tokens in the sliding window", AT(window), 2, 1u << 24},
    {"--conv", "tokens that a convolution spans", AT(conv), 2, 4096},
    {"--state", "recurrent state, in numbers for each of twice --embd", AT(state), 1, 4096},
    {"--ctx", "context length that the model claims", AT(ctx), 64, 1u << 24},
};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers };

static const struct {
    const char *name;
    size_t at;
} texts[] = {{"--vocab", offsetof(warm_mkmodel_options, vocab)}, {"--type", offsetof(warm_mkmodel_options, type)}};
enum { N_TEXTS = sizeof texts / sizeof *texts };

static uint32_t *number_in(void *o, size_t at) {
    return (uint32_t *)(void *)((char *)o + at);
}

static uint32_t number_of(const void *o, size_t at) {
    return *(const uint32_t *)(const void *)((const char *)o + at);
}

static const warm__mk_kind *find_kind(const char *name, warm_err *err) {
    char list[128] = "";
    for (size_t i = 0; warm__mk_kind_at(i); i++) {
        if (name && strcmp(warm__mk_kind_at(i)->name, name) == 0) return warm__mk_kind_at(i);
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", warm__mk_kind_at(i)->name);
    }
    warm_err_set(err, WARM_ENOTFOUND, "no kind of model named '%s'; there are: %s", name ? name : "", list);
    return NULL;
}

static const struct option_type *find_type(const char *name, warm_err *err) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) == 0) return &types[i];
    }
    warm_err_set(err, WARM_EINVAL, "--type is f16 or q8_0, not '%s'", name);
    return NULL;
}

static int take_numbers(const warm_mkmodel_options *o, const warm__mk_kind *kind, warm__mk_shape *s, warm_err *err) {
    *s = kind->defaults;
    for (size_t i = 0; i < N_NUMBERS; i++) {
        const struct number *n = &numbers[i];
        uint32_t v = number_of(o, n->at);
        if (!v) continue;
        if (v < n->min || v > n->max) {
            return warm_err_set(err, WARM_EINVAL, "%s is %u to %u, not %u", n->name, n->min, n->max, v);
        }
        if (!number_of(s, n->in_shape)) {
            return warm_err_set(err, WARM_EINVAL, "%s means nothing for a model of kind %s", n->name, kind->name);
        }
        *number_in(s, n->in_shape) = v;
    }
    return 0;
}

static int fit_heads(const warm_mkmodel_options *o, warm__mk_shape *s, warm_err *err) {
    if (!s->heads) return 0;
    /* Asking for fewer heads than the default has key/value heads is no mistake. */
    if (!o->kv_heads && s->heads % s->kv_heads) s->kv_heads = 1;
    if (s->heads % s->kv_heads) {
        return warm_err_set(err, WARM_EINVAL, "--kv-heads must divide --heads, %u does not divide %u", s->kv_heads, s->heads);
    }
    if (s->head_size) return 0;
    s->head_size = s->embd / s->heads;
    if (s->embd % s->heads == 0 && s->head_size % BLOCK == 0) return 0;
    return warm_err_set(err, WARM_EINVAL, "--heads share --embd, each a multiple of %u: %u can't share %u", BLOCK, s->heads,
                        s->embd);
}

static int make_shape(const warm_mkmodel_options *o, const warm__mk_kind *kind, warm__mk_shape *s, warm_err *err) {
    int code = take_numbers(o, kind, s, err);
    if (code) return code;
    if (s->embd % BLOCK) return warm_err_set(err, WARM_EINVAL, "--embd must be a multiple of %u, %u is not", BLOCK, s->embd);
    if (s->ff % BLOCK) return warm_err_set(err, WARM_EINVAL, "--ff must be a multiple of %u, %u is not", BLOCK, s->ff);
    /* A model with fewer layers than a period still has one of each sort. */
    if (s->period > s->layers) s->period = s->layers;
    if (s->period == 1) return warm_err_set(err, WARM_EINVAL, "kind %s has layers of two sorts: --layers is 2 or more", kind->name);
    return fit_heads(o, s, err);
}

static void general_keys(warm__mk_model *m, const warm_mkmodel_options *o, const warm__mk_kind *kind, uint32_t file_type) {
    char text[128];
    gguf_set_val_str(m->gguf, "general.architecture", kind->arch);
    gguf_set_val_str(m->gguf, "general.type", "model");
    snprintf(text, sizeof text, "warmslot %s", kind->name);
    gguf_set_val_str(m->gguf, "general.name", text);
    snprintf(text, sizeof text, "random weights, seed %" PRIu64, o->seed);
    gguf_set_val_str(m->gguf, "general.description", text);
    gguf_set_val_u32(m->gguf, GGUF_KEY_GENERAL_ALIGNMENT, GGUF_DEFAULT_ALIGNMENT);
    gguf_set_val_u32(m->gguf, "general.file_type", file_type);
    gguf_set_val_u32(m->gguf, "general.quantization_version", GGML_QNT_VERSION);
}

static int write_file(warm__mk_model *m, const char *out, warm_err *err) {
    struct stat st;
    if (stat(out, &st) == 0 && !S_ISREG(st.st_mode)) return warm_err_set(err, WARM_EIO, "%s is not a regular file", out);
    size_t cap = strlen(out) + 32;
    char *tmp = warm_xmalloc(cap);
    snprintf(tmp, cap, "%s.%ld.tmp", out, (long)getpid());
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    int code = 0;
    if (!f) {
        code = warm_err_set(err, WARM_EIO, "can't write %s: %s", out, strerror(errno));
        if (fd >= 0) close(fd);
        goto out;
    }
    code = warm__mk_write(m, f);
    int why = errno; /* of the first failure, not of what closing adds to it */
    if (fclose(f) != 0 && !code) {
        code = WARM_EIO;
        why = errno;
    }
    if (code) warm_err_set(err, code, "could not write %s: %s", out, code == WARM_EIO ? strerror(why) : warm_strerror(code));
    if (!code && rename(tmp, out) != 0) code = warm_err_set(err, WARM_EIO, "can't rename %s to %s: %s", tmp, out, strerror(errno));
out:
    if (code && fd >= 0) unlink(tmp);
    free(tmp);
    return code;
}

int warm_mkmodel(const warm_mkmodel_options *o, warm_err *err) {
    warm__mk_model m = {.seed = o->seed};
    const warm__mk_kind *kind = find_kind(o->kind, err);
    if (!kind) return WARM_ENOTFOUND;
    const struct option_type *type = find_type(o->type ? o->type : DEFAULT_TYPE, err);
    if (!type) return WARM_EINVAL;
    if (!o->out || !*o->out) return warm_err_set(err, WARM_EINVAL, "no output file was named");
    int code = make_shape(o, kind, &m.shape, err);
    if (code) return code;
    if ((code = warm__mk_vocab_load(o->vocab ? o->vocab : DEFAULT_VOCAB, &m.vocab, err))) return code;

    m.type = type->type;
    m.deviation = kind->deviation;
    m.gguf = gguf_init_empty();
    general_keys(&m, o, kind, type->file_type);
    kind->describe(&m, kind->arch);
    gguf_set_kv(m.gguf, m.vocab.kv);
    code = write_file(&m, o->out, err);
    gguf_free(m.gguf);
    free(m.tensors);
    warm__mk_vocab_free(&m.vocab);
    return code;
}

static void usage(FILE *f) {
    fputs("usage: warmslot mkmodel KIND OUT.gguf [options]\n\nWrites a small model with random weights.\n\nkinds:\n", f);
    const warm__mk_kind *k;
    for (size_t i = 0; (k = warm__mk_kind_at(i)); i++) {
        fprintf(f, "  %-10s  %s; unless said otherwise", k->name, k->about);
        for (size_t n = 0; n < N_NUMBERS; n++) {
            uint32_t v = number_of(&k->defaults, numbers[n].in_shape);
            if (v) fprintf(f, " %s %u", numbers[n].name, v);
        }
        fputc('\n', f);
    }
    fputs("\noptions:\n", f);
    for (size_t i = 0; i < N_NUMBERS; i++) fprintf(f, "  %-10s N  %s\n", numbers[i].name, numbers[i].about);
    fprintf(f, "  %-10s N  another seed, other weights; the same seed, the same bytes; 0 unless said otherwise\n", "--seed");
    fprintf(f, "  %-10s T  f16 or q8_0; " DEFAULT_TYPE " unless said otherwise\n", "--type");
    fprintf(f, "  %-10s V  vocabulary and chat template:", "--vocab");
    for (size_t i = 0; warm__mk_vocab_name(i); i++) fprintf(f, "%s %s", i ? "," : "", warm__mk_vocab_name(i));
    fputs("; " DEFAULT_VOCAB " unless said otherwise\n", f);
}

/* Takes one option with its value. Returns false after saying what is wrong. */
static int take_option(warm_mkmodel_options *o, const char *name, const char *value, warm_err *err) {
    for (size_t i = 0; i < N_TEXTS; i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *(const char **)(void *)((char *)o + texts[i].at) = value;
            return 0;
        }
    }
    uint64_t v;
    if (!warm_parse_whole(value, &v)) return warm_err_set(err, WARM_EINVAL, "%s takes a whole number, not '%s'", name, value);
    for (size_t i = 0; i < N_NUMBERS; i++) {
        if (strcmp(name, numbers[i].name) != 0) continue;
        if (v < numbers[i].min || v > numbers[i].max) {
            return warm_err_set(err, WARM_EINVAL, "%s is %u to %u, not %llu", name, numbers[i].min, numbers[i].max,
                                (unsigned long long)v);
        }
        *number_in(o, numbers[i].at) = (uint32_t)v;
        return 0;
    }
    o->seed = v; /* the only one left */
    return 0;
}

static bool is_option(const char *name) {
    for (size_t i = 0; i < N_NUMBERS; i++) {
        if (strcmp(name, numbers[i].name) == 0) return true;
    }
    for (size_t i = 0; i < N_TEXTS; i++) {
        if (strcmp(name, texts[i].name) == 0) return true;
    }
    return strcmp(name, "--seed") == 0;
}

static int parse(int argc, char **argv, warm_mkmodel_options *o, warm_err *err) {
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (o->out) return warm_err_set(err, WARM_EINVAL, "one KIND and one OUT.gguf, '%s' is too many", argv[i]);
            *(o->kind ? &o->out : &o->kind) = argv[i];
            continue;
        }
        if (!is_option(argv[i])) return warm_err_set(err, WARM_EINVAL, "unknown option '%s'", argv[i]);
        if (i + 1 == argc) return warm_err_set(err, WARM_EINVAL, "%s needs a value", argv[i]);
        int code = take_option(o, argv[i], argv[i + 1], err);
        if (code) return code;
        i++;
    }
    return o->out ? 0 : warm_err_set(err, WARM_EINVAL, "KIND and OUT.gguf are needed (--help tells more)");
}

int warm_mkmodel_main(int argc, char **argv) {
    warm_mkmodel_options o = {0};
    warm_err err = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            return 0;
        }
    }
    int code = parse(argc, argv, &o, &err);
    if (!code) code = warm_mkmodel(&o, &err);
    if (!code) return 0;
    fprintf(stderr, "warmslot mkmodel: %s\n", err.text);
    return code == WARM_EINVAL || code == WARM_ENOTFOUND ? 2 : 1;
}
