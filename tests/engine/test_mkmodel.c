/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_mkmodel.c - made models: the same bytes for the same seed, what libllama reads in them, how they
 * behave, and what is refused. */
#include <fcntl.h>
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model_fixture.h"

#include "base/buf.h"
#include "base/hash.h"
#include "llama/mkmodel.h"

enum { PROMPT = 256, TOP_K = 40 };

/* With the layers that show what the kind is; what a changed token does stands out that many times from the noise of chunking. */
static const struct made_kind {
    const char *kind, *arch;
    uint32_t layers;
    float stands_out;
} kinds[] = {{"dense", "qwen3", 2, 2},
             {"rank", "qwen3", 2, 2},
             {"moe", "qwen3moe", 4, 2},
             {"swa", "gemma3", 6, 2},
             {"recurrent", "mamba2", 4, 20},
             {"hybrid", "lfm2", 4, 20},
             {"hybrid-ssm", "granitehybrid", 6, 20},
             {"hybrid-swa", "lfm2", 4, 20}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* Small enough to be made and loaded often under ASan. */
static warm_mkmodel_options small(const char *kind, const char *file) {
    return (warm_mkmodel_options){.kind = kind, .out = temp_path(file), .vocab = "phi-3", .layers = 2, .ctx = 4096};
}

static void make(const warm_mkmodel_options *o) {
    warm_err err = {0};
    if (warm_mkmodel(o, &err)) fail_msg("mkmodel: %s", err.text);
}

static warm_engine *open_made(const warm_mkmodel_options *o) {
    const char *flags[] = {"-c", "1024", NULL};
    warm_engine *e = NULL;
    warm_err err = {0};
    make(o);
    if (try_open(&e, &err, o->out, flags)) fail_msg("open: %s", err.text);
    return e;
}

static char *read_all(const char *path, size_t *n) {
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *n = (size_t)st.st_size;
    char *bytes = malloc(*n);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, *n), (ssize_t)*n);
    close(fd);
    return bytes;
}

static void digest(const char *bytes, size_t n, char hex[65]) {
    uint8_t sum[32];
    warm_sha256 *h = warm_sha256_new();
    warm_sha256_add(h, bytes, n);
    warm_sha256_end(h, sum);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

static void digest_of_file(const char *path, char hex[65]) {
    size_t n;
    char *bytes = read_all(path, &n);
    digest(bytes, n, hex);
    free(bytes);
}

static void same_seed_same_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        char a[65], b[65], other[65];
        warm_mkmodel_options o = small(kinds[i].kind, "a.gguf");
        make(&o);
        digest_of_file(o.out, a);
        o.out = temp_path("b.gguf");
        make(&o);
        digest_of_file(o.out, b);
        assert_string_equal(a, b);
        o.seed = 1;
        make(&o);
        digest_of_file(o.out, other);
        assert_string_not_equal(a, other);
    }
}

/* The last layer's last matrix, found from the end of the file, does not depend on the vocabulary. Its digest changes with the
 * recipe only, and then on purpose. */
static void weights_are_the_same_on_every_machine(void **state) {
    (void)state;
    static const struct {
        const char *type, *want;
    } cases[] = {{"f16", "ef223a84d4e6ef726314edcaf91c9f04f8129cdea681f2f17e0c6f6ea721b025"},
                 {"q8_0", "0aae38dc43691d12fb6af8e6252c52b874e98cde6a33d0512260fb1b0b4f0ade"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_mkmodel_options o = small("dense", "pinned.gguf");
        o.embd = 32;
        o.type = cases[i].type;
        make(&o);
        size_t n, row = i ? 34 : 64, n_rows = 32064;
        char *bytes = read_all(o.out, &n), hex[65];
        size_t output = row * n_rows, norm = 32 * sizeof(float), down = 192 * 32 / 32 * row;
        digest(bytes + n - output - norm - down, down, hex);
        free(bytes);
        assert_string_equal(hex, cases[i].want);
    }
}

static void the_engine_reads_what_was_asked_for(void **state) {
    (void)state;
    static const struct { const char *kind, *arch; } cases[] = {{"dense", "qwen3"}, {"moe", "qwen3moe"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_mkmodel_options o = small(cases[i].kind, "asked.gguf");
        o.embd = 96;
        o.heads = 6;
        o.kv_heads = 3;
        o.ff = 64;
        o.ctx = 2048;
        o.type = "q8_0";
        warm_engine *e = open_made(&o);
        assert_string_equal(e->info->arch, cases[i].arch);
        assert_int_equal(e->info->n_embd, 96);
        assert_int_equal(e->info->n_ctx_train, 2048);
        assert_int_equal(e->info->n_vocab, 32064);
        /* Keys and values of 2 layers, 3 heads of 64 elements of 2 bytes. */
        size_t per_token = (e->ops->state_bytes(e, 512) - e->ops->state_bytes(e, 256)) / 256;
        assert_in_range(per_token, 2 * 2 * 3 * 64 * 2, 2 * 2 * 3 * 64 * 2 + 32);
        e->ops->close(e);
    }
}

static void is_token(warm_engine *e, int32_t token, const char *name) {
    char text[64];
    size_t len = e->text->token_piece(e, token, true, text, sizeof text), n = 0;
    int32_t *tokens = NULL;
    assert_int_equal(len, strlen(name));
    assert_memory_equal(text, name, len);
    assert_int_equal(e->text->tokenize(e, name, len, false, true, &tokens, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(tokens[0], token);
    free(tokens);
}

static void infill_tokens_have_their_names(warm_engine *e) {
    is_token(e, e->info->fim_pre, "<|fim_prefix|>");
    is_token(e, e->info->fim_suf, "<|fim_suffix|>");
    is_token(e, e->info->fim_mid, "<|fim_middle|>");
    is_token(e, e->info->fim_rep, "<|repo_name|>");
    is_token(e, e->info->fim_sep, "<|file_sep|>");
}

static void every_vocabulary_has_its_template_and_end(void **state) {
    (void)state;
    static const struct {
        const char *vocab, *end, *in_template;
        bool infill;
    } cases[] = {{"qwen2", "<|im_end|>", "tool_call", true},
                 {"qwen35", "<|im_end|>", "tool_call", false},
                 {"llama-bpe", "<|eot_id|>", "start_header_id", false},
                 {"phi-3", "<|end|>", "<|assistant|>", false},
                 {"gemma-4", "<turn|>", "<|turn>", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_mkmodel_options o = small("dense", "vocab.gguf");
        o.vocab = cases[i].vocab;
        o.embd = 32;
        o.layers = 1;
        warm_engine *e = open_made(&o);
        assert_string_equal(e->info->eos_text, cases[i].end);
        assert_true(e->text->token_is_eog(e, e->info->eos));
        assert_non_null(strstr(e->info->chat_template, cases[i].in_template));
        assert_int_equal(e->info->fim_pre >= 0, cases[i].infill);
        if (cases[i].infill) infill_tokens_have_their_names(e);
        static const char request[] =
            "{\"messages\":[{\"role\":\"user\",\"content\":\"Where is it?\"}],\"add_generation_prompt\":true}";
        warm_chat_prompt prompt;
        warm_err err = {0};
        if (e->text->chat_render(e, request, strlen(request), NULL, &prompt, &err)) fail_msg("%s: %s", o.vocab, err.text);
        assert_non_null(strstr(prompt.text, "Where is it?"));
        assert_null(prompt.stops);
        free(prompt.text);
        e->text->chat_free(e, prompt.chat);
        e->ops->close(e);
    }
}

static float greatest_change(const float *a, const float *b, size_t n) {
    float most = 0.0f;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) return INFINITY;
        most = fmaxf(most, fabsf(a[i] - b[i]));
    }
    return most;
}

/* What exactness tests rely on: a token far back is felt, well above what chunking may change. */
static void logits_depend_on_the_whole_prompt(void **state) {
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        warm_mkmodel_options o = small(kinds[i].kind, "depends.gguf");
        o.layers = kinds[i].layers;
        warm_engine *e = open_made(&o);
        assert_string_equal(e->info->arch, kinds[i].arch);
        int32_t tokens[PROMPT];
        some_tokens(e, tokens, PROMPT, 5);
        float *before = decode(e, 0, tokens, 0, PROMPT, PROMPT);
        float *noisy = decode(e, 1, tokens, 0, PROMPT, 37);
        float noise = greatest_change(before, noisy, e->info->n_vocab);
        static const int32_t changed[] = {0, PROMPT - 200, PROMPT - 100, PROMPT - 2};
        for (size_t k = 0; k < sizeof changed / sizeof *changed; k++) {
            int32_t kept = tokens[changed[k]];
            tokens[changed[k]] = kept + 1;
            e->ops->clear(e, false);
            float *after = decode(e, 0, tokens, 0, PROMPT, PROMPT);
            float change = greatest_change(before, after, e->info->n_vocab);
            if (!(change >= 0.1f && change >= kinds[i].stands_out * noise)) {
                fail_msg("%s, token %d: %g, noise %g", o.kind, changed[k], change, noise);
            }
            free(after);
            tokens[changed[k]] = kept;
        }
        free(before);
        free(noisy);
        e->ops->close(e);
    }
}

static float *logits_with_window(const char *kind, uint32_t window, int32_t n) {
    warm_mkmodel_options o = small(kind, "window.gguf");
    o.window = window;
    warm_engine *e = open_made(&o);
    int32_t tokens[PROMPT];
    some_tokens(e, tokens, PROMPT, 5);
    float *logits = decode(e, 0, tokens, 0, n, n);
    e->ops->close(e);
    return logits;
}

/* One row too few must not hide behind all the others. */
static void the_oldest_row_of_a_window_counts(void **state) {
    (void)state;
    enum { WINDOW = 128, N_VOCAB = 32064 };
    static const char *const with_window[] = {"swa", "hybrid-swa"};
    for (size_t i = 0; i < 2; i++) {
        for (int32_t n = WINDOW - 1; n <= WINDOW; n++) {
            float *full = logits_with_window(with_window[i], WINDOW, n);
            float *less = logits_with_window(with_window[i], WINDOW - 1, n);
            float change = greatest_change(full, less, N_VOCAB);
            if ((n == WINDOW) != (change > 0.0f)) fail_msg("%s, %d tokens: %g", with_window[i], n, change);
            free(full);
            free(less);
        }
    }
}

/* Batches of several sequences take other paths in some graphs. */
static void sequences_computed_together_are_as_those_computed_alone(void **state) {
    (void)state;
    enum { EACH = 40 };
    for (size_t i = 0; i < N_KINDS; i++) {
        warm_mkmodel_options o = small(kinds[i].kind, "together.gguf");
        warm_engine *e = open_made(&o);
        int32_t tokens[2 * EACH], pos[2 * EACH], seqs[2 * EACH];
        uint8_t want[2 * EACH];
        warm_err err = {0};
        some_tokens(e, tokens, 2 * EACH, 5);
        for (int32_t k = 0; k < 2 * EACH; k++) {
            pos[k] = k % EACH;
            seqs[k] = k / EACH;
            want[k] = pos[k] == EACH - 1;
        }
        float *alone = decode(e, 0, tokens + EACH, 0, EACH, EACH);
        e->ops->clear(e, false);
        warm_batch b = {2 * EACH, tokens, pos, seqs, want};
        assert_int_equal(e->ops->decode(e, &b, &err), 0);
        float change = greatest_change(alone, e->ops->logits(e, 2 * EACH - 1), e->info->n_vocab);
        if (!(change < 0.05f)) fail_msg("%s: %g", o.kind, change);
        free(alone);
        e->ops->close(e);
    }
}

struct weights {
    size_t snapshot, whole;
};

static struct weights weigh(struct llama_context *ctx, int32_t *tokens, int32_t n) {
    llama_memory_clear(llama_get_memory(ctx), false);
    assert_int_equal(llama_decode(ctx, llama_batch_get_one(tokens, n)), 0);
    return (struct weights){llama_state_seq_get_size_ext(ctx, 0, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY),
                            llama_state_seq_get_size_ext(ctx, 0, 0)};
}

/* As in real ones, so that where to take snapshots is a question. */
static void recurrent_state_weighs_1000_tokens_of_attention(void **state) {
    (void)state;
    static const char *const recurrent[] = {"recurrent", "hybrid", "hybrid-ssm", "hybrid-swa"};
    for (size_t i = 0; i < 4; i++) {
        warm_mkmodel_options o = small(recurrent[i], "weight.gguf");
        o.layers = 0;
        warm_engine *e = open_made(&o); /* for what it loads and registers, too */
        int32_t tokens[PROMPT];
        some_tokens(e, tokens, PROMPT, 5);
        struct llama_model *model = llama_model_load_from_file(o.out, llama_model_default_params());
        assert_non_null(model);
        struct llama_context_params params = llama_context_default_params();
        params.n_ctx = PROMPT;
        params.n_threads = params.n_threads_batch = 1;
        struct llama_context *ctx = llama_init_from_model(model, params);
        assert_non_null(ctx);
        /* Between these two no window fills up. */
        struct weights few = weigh(ctx, tokens, 40), more = weigh(ctx, tokens, 100);
        size_t per_token = (more.whole - more.snapshot - (few.whole - few.snapshot)) / 60;
        if (strcmp(o.kind, "hybrid-swa") != 0) assert_int_equal(few.snapshot, more.snapshot);
        if (few.snapshot < 1000 * per_token) fail_msg("%s: %zu of %zu", o.kind, few.snapshot, per_token);
        assert_in_range(few.snapshot, 100000, 1000000);
        llama_free(ctx);
        llama_model_free(model);
        e->ops->close(e);
    }
}

static size_t rank_of(const float *logits, size_t n, int32_t token) {
    size_t better = 0;
    for (size_t i = 0; i < n; i++) better += logits[i] > logits[token];
    return better;
}

static int32_t best_of(const float *logits, size_t n, int32_t except) {
    int32_t best = except == 0;
    for (size_t i = 0; i < n; i++) {
        if ((int32_t)i != except && logits[i] > logits[best]) best = (int32_t)i;
    }
    return best;
}

/* Under the default samplers a chat ends when its end is among the 40 best; greedily, when it is the best. */
static void turns_end_and_greedy_text_goes_on(void **state) {
    (void)state;
    enum { STEPS = 64, DISTINCT_MIN = 16 };
    for (size_t i = 0; i < N_KINDS; i++) {
        warm_mkmodel_options o = small(kinds[i].kind, "turns.gguf");
        o.layers = kinds[i].layers;
        warm_engine *e = open_made(&o);
        int32_t tokens[PROMPT + STEPS];
        size_t n_near = 0, n_best = 0, n_distinct = 0, n_vocab = e->info->n_vocab;
        some_tokens(e, tokens, PROMPT, 11);
        for (int32_t p = PROMPT; p < PROMPT + STEPS; p++) {
            float *logits = decode(e, 0, tokens, p == PROMPT ? 0 : p - 1, p, PROMPT);
            size_t rank = rank_of(logits, n_vocab, e->info->eos);
            n_near += rank < TOP_K;
            n_best += rank == 0;
            int32_t next = best_of(logits, n_vocab, e->info->eos);
            bool seen = false;
            for (int32_t q = PROMPT; q < p; q++) seen |= tokens[q] == next;
            n_distinct += !seen;
            tokens[p] = next;
            free(logits);
        }
        assert_in_range(n_near, STEPS / 2, STEPS);
        assert_in_range(n_best, 0, STEPS / 4);
        assert_in_range(n_distinct, DISTINCT_MIN, STEPS);
        e->ops->close(e);
    }
}

/* A client sends an answer back as text: it has to become the same tokens, or no cache could match it. */
static void generated_text_is_tokenised_back_to_the_same_tokens(void **state) {
    (void)state;
    enum { WORDS = 40 };
    static const char lead[] = "<|im_start|>assistant\n";
    warm_mkmodel_options o = small("dense", "words.gguf");
    o.vocab = "qwen2";
    warm_engine *e = open_made(&o);
    int32_t tokens[PROMPT + WORDS], *again = NULL;
    size_t n_lead = 0, n_again = 0;
    warm_err err = {0};
    warm_buf text;
    warm_buf_init(&text, 1 << 16);
    warm_buf_puts(&text, lead);
    assert_int_equal(e->text->tokenize(e, lead, strlen(lead), false, true, &again, &n_lead, &err), 0);
    memcpy(tokens, again, n_lead * sizeof *tokens);
    free(again);
    for (size_t p = n_lead; p < n_lead + WORDS; p++) {
        float *logits = decode(e, 0, tokens, p == n_lead ? 0 : (int32_t)p - 1, (int32_t)p, PROMPT);
        tokens[p] = best_of(logits, e->info->n_vocab, e->info->eos);
        free(logits);
        char piece[256];
        size_t n = e->text->token_piece(e, tokens[p], true, piece, sizeof piece);
        assert_true(n < sizeof piece && (piece[0] == ' ' || (n == 1 && piece[0] == '"')));
        warm_buf_append(&text, piece, n);
    }
    assert_int_equal(e->text->tokenize(e, text.data, text.len, false, true, &again, &n_again, &err), 0);
    assert_int_equal(n_again, n_lead + WORDS);
    assert_memory_equal(again, tokens, n_again * sizeof *again);
    free(again);
    warm_buf_free(&text);
    e->ops->close(e);
}

static void refused(warm_mkmodel_options o, int code, const char *says) {
    warm_err err = {0};
    assert_int_equal(warm_mkmodel(&o, &err), code);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, says)) fail_msg("'%s' does not say '%s'", err.text, says);
}

static void impossible_options_are_refused_with_a_sentence(void **state) {
    (void)state;
    warm_mkmodel_options o = small("recursive", "no.gguf");
    refused(o, WARM_ENOTFOUND, "dense, moe");
    o.kind = "dense";
    o.vocab = "../qwen2";
    refused(o, WARM_ENOTFOUND, "qwen2, qwen35, llama-bpe, phi-3, gemma-4");
    o.vocab = NULL;
    o.type = "q4_0";
    refused(o, WARM_EINVAL, "f16 or q8_0");
    o.type = NULL;
    o.embd = 100;
    refused(o, WARM_EINVAL, "--embd must be a multiple of 32");
    o.embd = 0;
    o.ff = 100;
    refused(o, WARM_EINVAL, "--ff must be a multiple of 32");
    o.ff = 0;
    o.heads = 4;
    o.kv_heads = 3;
    refused(o, WARM_EINVAL, "3 does not divide 4");
    o.kv_heads = 0;
    o.layers = 513;
    refused(o, WARM_EINVAL, "--layers is 1 to 512");
    o.layers = 1;
    o.kind = "swa";
    refused(o, WARM_EINVAL, "--layers is 2 or more");
    o.layers = 0;
    o.window = 1;
    refused(o, WARM_EINVAL, "--window is 2 to");
    o.window = 128;
    o.kind = "dense";
    refused(o, WARM_EINVAL, "--window means nothing for a model of kind dense");
    o.window = 0;
    o.kind = "hybrid";
    o.heads = 3;
    refused(o, WARM_EINVAL, "3 can't share 64");
    o.kind = "recurrent";
    refused(o, WARM_EINVAL, "--heads means nothing for a model of kind recurrent");
    o.kind = "dense";
    o.heads = 0;
    o.layers = 0;
    assert_int_equal(access(o.out, F_OK), -1);
    o.out = temp_path("no/such/folder.gguf");
    refused(o, WARM_EIO, "No such file or directory");
    o.out = "/dev/null";
    refused(o, WARM_EIO, "not a regular file");
    o.out = "";
    refused(o, WARM_EINVAL, "no output file");
}

/* One head is half of what the default has for keys and values. */
static void fewer_heads_than_the_default_need_no_second_option(void **state) {
    (void)state;
    warm_mkmodel_options o = small("dense", "one.gguf");
    o.heads = 1;
    make(&o);
}

static int run(const char *const *args) {
    char *argv[32] = {(char *)"mkmodel"};
    int argc = 1;
    for (; *args; args++) argv[argc++] = (char *)*args;
    return warm_mkmodel_main(argc, argv);
}

static void the_command_line_sets_every_option(void **state) {
    (void)state;
    char by_line[65], by_call[65];
    const char *out = temp_path("line.gguf");
    assert_int_equal(run((const char *[]){"moe", out, "--vocab", "phi-3", "--layers", "1", "--embd", "32", "--seed", "77", NULL}),
                     0);
    digest_of_file(out, by_line);
    warm_mkmodel_options o = {.kind = "moe", .out = out, .vocab = "phi-3", .layers = 1, .embd = 32, .seed = 77};
    make(&o);
    digest_of_file(out, by_call);
    assert_string_equal(by_line, by_call);
    assert_int_equal(run((const char *[]){"--heads", "2", "--kv-heads", "2", "--ff", "64", "--ctx", "128", "--type", "q8_0",
                                          "--embd", "32", "--vocab", "phi-3", "dense", out, NULL}),
                     0);
    digest_of_file(out, by_line);
    o = (warm_mkmodel_options){
        .kind = "dense", .out = out, .vocab = "phi-3", .type = "q8_0", .embd = 32, .heads = 2, .kv_heads = 2, .ff = 64, .ctx = 128};
    make(&o);
    digest_of_file(out, by_call);
    assert_string_equal(by_line, by_call);
    assert_int_equal(run((const char *[]){"hybrid-swa", out, "--vocab", "phi-3", "--window", "32", "--conv", "8", NULL}), 0);
    digest_of_file(out, by_line);
    o = (warm_mkmodel_options){.kind = "hybrid-swa", .out = out, .vocab = "phi-3", .window = 32, .conv = 8};
    make(&o);
    digest_of_file(out, by_call);
    assert_string_equal(by_line, by_call);
    assert_int_equal(run((const char *[]){"recurrent", out, "--vocab", "phi-3", "--state", "16", NULL}), 0);
    digest_of_file(out, by_line);
    o = (warm_mkmodel_options){.kind = "recurrent", .out = out, .vocab = "phi-3", .state = 16};
    make(&o);
    digest_of_file(out, by_call);
    assert_string_equal(by_line, by_call);
}

static void wrong_usage_is_status_2_and_failure_is_status_1(void **state) {
    (void)state;
    const char *out = temp_path("usage.gguf");
    assert_int_equal(run((const char *[]){"--help", NULL}), 0);
    assert_int_equal(run((const char *[]){NULL}), 2);
    assert_int_equal(run((const char *[]){"dense", NULL}), 2);
    assert_int_equal(run((const char *[]){"dense", out, "more", NULL}), 2);
    assert_int_equal(run((const char *[]){"sparse", out, NULL}), 2);
    assert_int_equal(run((const char *[]){"dense", out, "--vocab", "none", NULL}), 2);
    assert_int_equal(run((const char *[]){"dense", out, "--layers", NULL}), 2);
    assert_int_equal(run((const char *[]){"dense", out, "--layers", "0", NULL}), 2);
    assert_int_equal(run((const char *[]){"dense", out, "--layers", "2x", NULL}), 2);
    assert_int_equal(run((const char *[]){"dense", out, "--seed", "-1", NULL}), 2);
    assert_int_equal(run((const char *[]){"dense", out, "--sed", "1", NULL}), 2);
    assert_int_equal(run((const char *[]){"dense", temp_path("no/folder.gguf"), NULL}), 1);
    assert_int_equal(access(out, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_bytes),
        cmocka_unit_test(weights_are_the_same_on_every_machine),
        cmocka_unit_test(the_engine_reads_what_was_asked_for),
        cmocka_unit_test(every_vocabulary_has_its_template_and_end),
        cmocka_unit_test(logits_depend_on_the_whole_prompt),
        cmocka_unit_test(sequences_computed_together_are_as_those_computed_alone),
        cmocka_unit_test(the_oldest_row_of_a_window_counts),
        cmocka_unit_test(recurrent_state_weighs_1000_tokens_of_attention),
        cmocka_unit_test(turns_end_and_greedy_text_goes_on),
        cmocka_unit_test(generated_text_is_tokenised_back_to_the_same_tokens),
        cmocka_unit_test(impossible_options_are_refused_with_a_sentence),
        cmocka_unit_test(fewer_heads_than_the_default_need_no_second_option),
        cmocka_unit_test(the_command_line_sets_every_option),
        cmocka_unit_test(wrong_usage_is_status_2_and_failure_is_status_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
