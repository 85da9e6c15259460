/* SPDX-License-Identifier: MIT
 *
 * config/options.c - the option table: every option of llama-server v0.5.0, and ours.
 *
 * One entry per option; the command line, the environment, --help, the shell completion and docs/flags.md come from here. Names,
 * variables and arity are llama-server's; the words are ours. An option moves from IGNORED to OURS on the day it does something.
 *
 * Invariants (tests/unit/test_config_table.c)
 *  (1) No name and no variable occurs twice.
 *  (2) Every option that llama-server takes is here (tests/unit/peer_flags.txt) with its names, variable and arity.
 * Threads: constant data. Not here: what a value means (setters.c), how the sources are combined (config.c). */
#include <float.h>
#include <limits.h>
#include <stddef.h>

#include "config/options.h"

/* An entry: class, value, names, names that switch it off, variable, what stands for the value, help; then what only some have. */
#define OURS    .class_ = OPT_OURS
#define ENGINE  .class_ = OPT_ENGINE
#define IGNORED .class_ = OPT_IGNORED
#define REFUSED .class_ = OPT_REFUSED
#define ACTION  .class_ = OPT_ACTION
#define FLAG    OPT_FLAG
#define BOOL    OPT_BOOL
#define INT     OPT_INT
#define NUMBER  OPT_NUMBER
#define STRING  OPT_STRING
#define TWO     OPT_TWO

#define FIELD(f)                                                                                                                   \
    .field = _Generic(((warm_config *)0)->f,                                                                                       \
                      bool: OPT_F_BOOL,                                                                                            \
                      int: OPT_F_INT,                                                                                              \
                      int64_t: OPT_F_I64,                                                                                          \
                      float: OPT_F_FLOAT,                                                                                          \
                      double: OPT_F_DOUBLE,                                                                                        \
                      const char *: OPT_F_TEXT),                                                                                   \
    .at = offsetof(warm_config, f)
#define RANGE(lo, hi) .min = (lo), .max = (hi)
#define SET(f)        .set = warm__set_##f
#define QUIET(v)      .quiet = v
#define E(x)          "LLAMA_ARG_" x

#define NO_SPEC     "speculative decoding is not available yet"
#define NO_MEDIA    "images, audio and video are not available yet"
#define NO_ROUTER   "one process serves one model"
#define NO_TOOLS    "the server runs no tools"
#define NO_UI       "there is no chat page"
#define NO_THINK    "reasoning is not told apart from the answer yet"
#define NO_DOWNLOAD "models by name are not supported yet; give -m FILE"
#define NO_CKPT     "where a prompt can be resumed is chosen by what that costs and saves, within --cache-ram"

static const warm_opt general[] = {
    {ACTION, FLAG, "-h,--help,--usage", NULL, NULL, NULL, "print this help and exit", .action = WARM_CONFIG_HELP},
    {ACTION, FLAG, "--version", NULL, NULL, NULL, "print the version and exit", .action = WARM_CONFIG_VERSION},
    {ACTION, FLAG, "--completion-bash", NULL, NULL, NULL, "print a completion script for bash and exit",
     .action = WARM_CONFIG_COMPLETION},
    {ACTION, FLAG, "--help-man", NULL, NULL, NULL, "print this help as a manual page and exit", .action = WARM_CONFIG_HELP_MAN},
    {ACTION, FLAG, "--help-md", NULL, NULL, NULL, "print this help as Markdown (docs/flags.md) and exit",
     .action = WARM_CONFIG_HELP_MD},
    {ACTION, FLAG, "--list-devices", NULL, NULL, NULL, "list the devices that can compute and exit", .action = WARM_CONFIG_DEVICES},
};

static const warm_opt model[] = {
    {ENGINE, STRING, "-m,--model", NULL, E("MODEL"), "FILE", "the model, a GGUF file; of a split model its first part",
     FIELD(model)},
    {ENGINE, INT, "-c,--ctx-size", NULL, E("CTX_SIZE"), "N",
     "tokens that fit in the context, shared by all slots (0: as the model was trained)"},
    {ENGINE, INT, "-b,--batch-size", NULL, E("BATCH"), "N", "most tokens given to the engine in one step (default 2048)"},
    {ENGINE, INT, "-ub,--ubatch-size", NULL, E("UBATCH"), "N", "most tokens computed at once (default 512)"},
    {ENGINE, STRING, "-fa,--flash-attn", NULL, E("FLASH_ATTN"), "on|off|auto", "flash attention (default auto)"},
    {ENGINE, STRING, "-ctk,--cache-type-k", NULL, E("CACHE_TYPE_K"), "TYPE",
     "number format of the KV cache's keys: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl (default f16)"},
    {ENGINE, STRING, "-ctv,--cache-type-v", NULL, E("CACHE_TYPE_V"), "TYPE",
     "number format of the KV cache's values; other than f16, bf16 and f32 need flash attention (default f16)"},
    {ENGINE, STRING, "-ngl,--gpu-layers,--n-gpu-layers", NULL, E("N_GPU_LAYERS"), "N|auto|all",
     "layers to keep on the GPU (default auto)"},
    {ENGINE, STRING, "-sm,--split-mode", NULL, E("SPLIT_MODE"), "none|layer|row|tensor",
     "how several GPUs share the model (default layer)"},
    {ENGINE, STRING, "-ts,--tensor-split", NULL, E("TENSOR_SPLIT"), "N0,N1,...", "share of the model for each GPU"},
    {ENGINE, INT, "-mg,--main-gpu", NULL, E("MAIN_GPU"), "N", "the GPU that is used alone, or for what can't be split (default 0)"},
    {ENGINE, STRING, "-dev,--device", NULL, E("DEVICE"), "DEV,...", "devices to use, none for the CPU alone (see --list-devices)"},
    {ENGINE, STRING, "-ot,--override-tensor", NULL, E("OVERRIDE_TENSOR"), "REGEX=TYPE,...",
     "where tensors whose name matches are kept"},
    {ENGINE, FLAG, "-cmoe,--cpu-moe", NULL, E("CPU_MOE"), NULL, "keep the experts of a mixture-of-experts model on the CPU"},
    {ENGINE, INT, "-ncmoe,--n-cpu-moe", NULL, E("N_CPU_MOE"), "N", "the same for the experts of the first N layers only"},
    {ENGINE, INT, "-ncffn,--n-cpu-ffn", NULL, E("N_CPU_FFN"), "N",
     "keep the feed-forward weights of a dense model's first N layers on the CPU"},
    {ENGINE, BOOL, "-kvo,--kv-offload", "-nkvo,--no-kv-offload", E("KV_OFFLOAD"), NULL,
     "keep the KV cache on the GPU (default on)"},
    {ENGINE, BOOL, "--op-offload", "--no-op-offload", NULL, NULL,
     "let the GPU compute operations whose weights are in host memory (default on)"},
    {ENGINE, STRING, "-fit,--fit", NULL, E("FIT"), "on|off", "adapt what was not set to the memory of the devices (default on)"},
    {ENGINE, STRING, "-fitt,--fit-target", NULL, E("FIT_TARGET"), "MIB,...",
     "memory that --fit leaves free on each device (default 1024)"},
    {ENGINE, INT, "-fitc,--fit-ctx", NULL, E("FIT_CTX"), "N", "--fit makes the context no smaller than this (default 4096)"},
    {ENGINE, STRING, "-lm,--load-mode", NULL, E("LOAD_MODE"), "MODE",
     "how the file is read: auto, none, mmap, mlock, mmap+mlock, dio (default auto)", SET(load_mode)},
    {OURS, BOOL, "--mmap", "--no-mmap", E("MMAP"), NULL, "older name of --load-mode mmap and --load-mode none", SET(mmap)},
    {OURS, FLAG, "--mlock", NULL, E("MLOCK"), NULL, "older name of --load-mode mmap+mlock (mlock after --no-mmap)", SET(mlock)},
    {OURS, BOOL, "-dio,--direct-io", "-ndio,--no-direct-io", E("DIO"), NULL, "older name of --load-mode dio", SET(direct_io)},
    {ENGINE, STRING, "-lzm,--lazy-mode", NULL, E("LAZY_MODE"), "on|auto|off",
     "read some large tensors from the file when they are used (default auto: those over 4 GiB)"},
    {ENGINE, STRING, "--numa", NULL, E("NUMA"), "TYPE", "distribute, isolate or numactl: how to use several memory nodes"},
    {ENGINE, INT, "-t,--threads", NULL, E("THREADS"), "N", "threads that generate (default: one for each core)"},
    {ENGINE, INT, "-tb,--threads-batch", NULL, NULL, "N", "threads that compute prompts (default: as --threads)"},
    {ENGINE, STRING, "-C,--cpu-mask", NULL, NULL, "HEX", "the CPUs to compute on, as a mask"},
    {ENGINE, STRING, "-Cr,--cpu-range", NULL, NULL, "LO-HI", "the CPUs to compute on, as a range"},
    {ENGINE, INT, "--cpu-strict", NULL, NULL, "0|1", "bind each thread to one CPU (default 0)"},
    {ENGINE, INT, "--prio", NULL, NULL, "N", "priority: -1 low, 0 normal, 1 medium, 2 high, 3 realtime (default 0)"},
    {ENGINE, INT, "--poll", NULL, NULL, "0..100", "how eagerly threads poll for work; 0 sleeps (default 50)"},
    {ENGINE, STRING, "-Cb,--cpu-mask-batch", NULL, NULL, "HEX", "--cpu-mask for prompts (default: the same)"},
    {ENGINE, STRING, "-Crb,--cpu-range-batch", NULL, NULL, "LO-HI", "--cpu-range for prompts (default: the same)"},
    {ENGINE, INT, "--cpu-strict-batch", NULL, NULL, "0|1", "--cpu-strict for prompts (default: the same)"},
    {ENGINE, INT, "--prio-batch", NULL, NULL, "N", "--prio for prompts (default 0)"},
    {ENGINE, INT, "--poll-batch", NULL, NULL, "0|1", "--poll for prompts (default: the same)"},
    {ENGINE, STRING, "--rope-scaling", NULL, E("ROPE_SCALING_TYPE"), "none|linear|yarn",
     "how positions beyond the trained context are scaled (default: the model's)"},
    {ENGINE, NUMBER, "--rope-scale", NULL, E("ROPE_SCALE"), "N", "makes the context N times as long"},
    {ENGINE, NUMBER, "--rope-freq-base", NULL, E("ROPE_FREQ_BASE"), "N", "base frequency of rope (default: the model's)"},
    {ENGINE, NUMBER, "--rope-freq-scale", NULL, E("ROPE_FREQ_SCALE"), "N", "factor of rope's frequencies, 1/N of --rope-scale N"},
    {ENGINE, INT, "--yarn-orig-ctx", NULL, E("YARN_ORIG_CTX"), "N",
     "yarn: context the model was trained with (default: the model's)"},
    {ENGINE, NUMBER, "--yarn-ext-factor", NULL, E("YARN_EXT_FACTOR"), "N", "yarn: how much is extrapolated; 0 interpolates only"},
    {ENGINE, NUMBER, "--yarn-attn-factor", NULL, E("YARN_ATTN_FACTOR"), "N", "yarn: factor of the attention's magnitude"},
    {ENGINE, NUMBER, "--yarn-beta-slow", NULL, E("YARN_BETA_SLOW"), "N", "yarn: rotations below which all is interpolated"},
    {ENGINE, NUMBER, "--yarn-beta-fast", NULL, E("YARN_BETA_FAST"), "N", "yarn: rotations above which all is extrapolated"},
    {ENGINE, FLAG, "--swa-full", NULL, E("SWA_FULL"), NULL, "keep all positions of sliding-window layers, not the window alone"},
    {ENGINE, BOOL, "--repack", "-nr,--no-repack", E("REPACK"), NULL,
     "rearrange weights for the CPU when they are loaded (default on)"},
    {ENGINE, FLAG, "--no-host", NULL, E("NO_HOST"), NULL, "do not keep weights in the GPU's host buffers"},
    {ENGINE, STRING, "--override-kv", NULL, NULL, "KEY=TYPE:VALUE,...",
     "replace metadata of the model; types int, float, bool, str"},
    {ENGINE, FLAG, "--check-tensors", NULL, NULL, NULL, "look for invalid numbers while the model is loaded"},
    {ENGINE, BOOL, "--warmup", "--no-warmup", NULL, NULL, "run the model once before the first request (default on)"},
    {ENGINE, BOOL, "--perf", "--no-perf", E("PERF"), NULL, "let the engine measure itself (default off)"},
    {ENGINE, STRING, "--rpc", NULL, E("RPC"), "HOST:PORT,...", "machines that compute too; needs an engine built for it"},
    {ENGINE, STRING, "--lora", NULL, NULL, "FILE,...", "LoRA adapters to apply"},
    {ENGINE, STRING, "--lora-scaled", NULL, NULL, "FILE:SCALE,...", "LoRA adapters with a scale each"},
    {ENGINE, FLAG, "--lora-init-without-apply", NULL, NULL, NULL, "load LoRA adapters without applying them"},
    {ENGINE, STRING, "--control-vector", NULL, NULL, "FILE,...", "control vectors to apply"},
    {ENGINE, STRING, "--control-vector-scaled", NULL, NULL, "FILE:SCALE,...", "control vectors with a scale each"},
    {ENGINE, TWO, "--control-vector-layer-range", NULL, NULL, "FIRST LAST", "layers that control vectors apply to"},
    {REFUSED, STRING, "-hf,-hfr,--hf-repo", NULL, E("HF_REPO"), "USER/MODEL", NO_DOWNLOAD},
    {REFUSED, STRING, "-mu,--model-url", NULL, E("MODEL_URL"), "URL", NO_DOWNLOAD},
    {REFUSED, STRING, "-dr,--docker-repo", NULL, E("DOCKER_REPO"), "MODEL", NO_DOWNLOAD},
    {REFUSED, FLAG, "-cl,--cache-list", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--embd-gemma-default", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--fim-qwen-1.5b-default", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--fim-qwen-3b-default", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--fim-qwen-7b-default", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--fim-qwen-7b-spec", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--fim-qwen-14b-spec", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--fim-qwen-30b-default", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--gpt-oss-20b-default", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--gpt-oss-120b-default", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--vision-gemma-4b-default", NULL, NULL, NULL, NO_DOWNLOAD},
    {REFUSED, FLAG, "--vision-gemma-12b-default", NULL, NULL, NULL, NO_DOWNLOAD},
    {IGNORED, STRING, "-hff,--hf-file", NULL, E("HF_FILE"), "FILE", NO_DOWNLOAD},
    /* The token is set on many machines for other programs, and nothing here wants it: no warning. */
    {IGNORED, STRING, "-hft,--hf-token", NULL, "HF_TOKEN", "TOKEN", NO_DOWNLOAD, QUIET(OPT_ANY)},
    {IGNORED, FLAG, "--offline", NULL, E("OFFLINE"), NULL, "nothing is ever downloaded", QUIET("1")},
};

static const warm_opt cache[] = {
    {OURS, INT, "-np,--parallel", NULL, E("N_PARALLEL"), "N", "slots: requests that run at the same time; -1: 4", FIELD(n_parallel),
     SET(parallel)},
    {OURS, INT, "-cram,--cache-ram", NULL, E("CACHE_RAM"), "MIB",
     "host memory for the prompt cache; -1: what the machine can spare, 0: none", FIELD(cache_ram_mib), RANGE(-1, INT_MAX)},
    {OURS, BOOL, "--cache-prompt", "--no-cache-prompt", E("CACHE_PROMPT"), NULL,
     "use the cache for requests that do not say (cache_prompt)", FIELD(cache_prompt)},
    {OURS, NUMBER, "--cache-slice-ms", NULL, "WARMSLOT_CACHE_SLICE_MS", "MS",
     "cache work between two steps while anything generates, in milliseconds", FIELD(slice_ms), RANGE(0.05, 10000)},
    {OURS, NUMBER, "--prefill-slice-ms", NULL, "WARMSLOT_PREFILL_SLICE_MS", "MS",
     "a step that computes prompts while anything generates takes at most so many milliseconds, or 64 tokens",
     FIELD(prefill_slice_ms), RANGE(0.05, 600000)},
    {OURS, STRING, "--cache-policy", NULL, "WARMSLOT_CACHE_POLICY", "NAME",
     "what goes first where not everything fits: value, lru (least recently used) or gdsf (least often used)", FIELD(cache_policy)},
    {OURS, STRING, "--cache-isolation", NULL, "WARMSLOT_CACHE_ISOLATION", "key|none",
     "key: requests share cached prompts only with those of the same --api-key, so that nobody learns from a fast answer what "
     "others "
     "asked (default none)",
     SET(cache_isolation)},
    {OURS, INT, "--cache-reuse", NULL, E("CACHE_REUSE"), "N",
     "keep N or more tokens that stand further on in the context than in a new prompt by moving them there, which is not exact "
     "(n_cache_reuse); 0: compute them again",
     FIELD(n_cache_reuse), RANGE(0, INT_MAX)},
    {OURS, BOOL, "--context-shift", "--no-context-shift", E("CONTEXT_SHIFT"), NULL,
     "an answer that has filled the context goes on without the oldest half behind --keep, which is not exact; otherwise it ends",
     FIELD(context_shift)},
    {OURS, INT, "--keep", NULL, NULL, "N", "tokens of the prompt that --context-shift keeps (n_keep); -1: all", FIELD(n_keep),
     RANGE(-1, INT_MAX)},
    {IGNORED, BOOL, "-kvu,--kv-unified", "-no-kvu,--no-kv-unified", E("KV_UNIFIED"), NULL,
     "all slots always share one pool of cells", QUIET("1")},
    {IGNORED, INT, "--kv-unified-per-slot", NULL, E("KV_UNIFIED_PER_SLOT"), "N",
     "a request may use the whole context; set its size with -c"},
    {IGNORED, BOOL, "--cache-idle-slots", "--no-cache-idle-slots", E("CACHE_IDLE_SLOTS"), NULL,
     "a prompt is saved while it is computed, not when its slot is idle", QUIET("1")},
    {IGNORED, INT, "-ctxcp,--ctx-checkpoints,--swa-checkpoints", NULL, E("CTX_CHECKPOINTS"), "N", NO_CKPT},
    {IGNORED, INT, "-cms,--checkpoint-min-step", NULL, E("CHECKPOINT_MIN_SPACING_NT"), "N", NO_CKPT},
    {IGNORED, NUMBER, "-sps,--slot-prompt-similarity", NULL, NULL, "X",
     "a request gets the slot and the saved prompt that leave least to compute, however little they share"},
    {IGNORED, BOOL, "-cb,--cont-batching", "-nocb,--no-cont-batching", E("CONT_BATCHING"), NULL, "requests always share batches",
     QUIET("1")},
    {IGNORED, NUMBER, "-dt,--defrag-thold", NULL, E("DEFRAG_THOLD"), "X", "the engine no longer needs it"},
};

static const warm_opt server[] = {
    {OURS, STRING, "--host", NULL, E("HOST"), "HOST,...",
     "addresses to listen on, or paths of unix sockets that end in .sock (default 127.0.0.1)", SET(host)},
    {OURS, INT, "--port", NULL, E("PORT"), "N", "port to listen on; 0 takes a free one", FIELD(port), RANGE(0, 65535)},
    {OURS, STRING, "--api-prefix", NULL, E("API_PREFIX"), "PATH", "put before every route, without a slash at its end",
     FIELD(api_prefix)},
    {OURS, STRING, "--api-key", NULL, "LLAMA_API_KEY", "KEY,...", "keys that requests must show one of", SET(api_key)},
    {OURS, STRING, "--api-key-file", NULL, E("API_KEY_FILE"), "FILE", "more keys, one a line; lines that begin with # are skipped",
     SET(api_key_file)},
    {OURS, STRING, "-a,--alias", NULL, E("ALIAS"), "NAME,...",
     "names of the model in the API, the first is shown (default: its file)", SET(alias)},
    {OURS, INT, "-to,--timeout", NULL, E("TIMEOUT"), "SECONDS", "longest silence of a client that sends or is sent to",
     FIELD(timeout_s), RANGE(1, INT_MAX)},
    {OURS, INT, "--threads-http", NULL, E("THREADS_HTTP"), "N",
     "threads that parse and tokenise requests; -1: as the machine has cores", FIELD(threads_http), RANGE(-1, 1024)},
    {OURS, INT, "--sse-ping-interval", NULL, E("SSE_PING_INTERVAL"), "SECONDS", "sign of life in a silent stream; -1: none",
     FIELD(sse_ping_interval_s), RANGE(-1, INT_MAX)},
    {OURS, FLAG, "--metrics", NULL, E("ENDPOINT_METRICS"), NULL, "serve GET /metrics for Prometheus", FIELD(metrics)},
    {OURS, STRING, "--slot-save-path", NULL, NULL, "DIR",
     "directory for the files of POST /slots/{id}; without it slots are not saved, restored or erased", SET(slot_save_path)},
    {OURS, BOOL, "--slots", "--no-slots", E("ENDPOINT_SLOTS"), NULL, "serve GET /slots", FIELD(slots)},
    {OURS, FLAG, "--props", NULL, E("ENDPOINT_PROPS"), NULL, "serve POST /props", FIELD(props)},
    {OURS, FLAG, "--reuse-port", NULL, E("REUSE_PORT"), NULL, "let several servers of one user listen on the same port",
     FIELD(reuse_port)},
    {IGNORED, STRING, "--path", NULL, E("STATIC_PATH"), "DIR", "no files are served"},
    {OURS, STRING, "--cors-origins", NULL, E("CORS_ORIGINS"), "ORIGIN,...",
     "origins whose pages may use the server; *: all, localhost: those of this machine", FIELD(cors_origins)},
    {OURS, STRING, "--cors-methods", NULL, E("CORS_METHODS"), "METHOD,...", "methods that such pages may use", FIELD(cors_methods)},
    {OURS, STRING, "--cors-headers", NULL, E("CORS_HEADERS"), "HEADER,...", "headers that such pages may send",
     FIELD(cors_headers)},
    {OURS, BOOL, "--cors-credentials", "--no-cors-credentials", E("CORS_CREDENTIALS"), NULL,
     "such pages may send credentials; with * every origin is then named back", FIELD(cors_credentials)},
    {OURS, STRING, "--ssl-key-file", NULL, E("SSL_KEY_FILE"), "FILE",
     "private key of the server, PEM: with --ssl-cert-file it speaks TLS", FIELD(ssl_key_file)},
    {OURS, STRING, "--ssl-cert-file", NULL, E("SSL_CERT_FILE"), "FILE",
     "certificate of the server, PEM, with those that it was signed with behind it", FIELD(ssl_cert_file)},
    {OURS, STRING, "--tags", NULL, E("TAGS"), "TAG,...", "tags of the model in the API; they say something to people only",
     SET(tags)},
    {IGNORED, INT, "--sleep-idle-seconds", NULL, NULL, "SECONDS", "the server does not sleep yet", QUIET("-1")},
    {IGNORED, STRING, "--models-dir", NULL, E("MODELS_DIR"), "DIR", NO_ROUTER},
    {IGNORED, STRING, "--models-preset", NULL, E("MODELS_PRESET"), "FILE", NO_ROUTER},
    {IGNORED, INT, "--models-max", NULL, E("MODELS_MAX"), "N", NO_ROUTER},
    {IGNORED, BOOL, "--models-autoload", "--no-models-autoload", E("MODELS_AUTOLOAD"), NULL, NO_ROUTER, QUIET("0")},
    {IGNORED, BOOL, "--ui,--webui", "--no-ui,--no-webui", E("UI"), NULL, NO_UI, QUIET("0")},
    {IGNORED, STRING, "--ui-config,--webui-config", NULL, E("UI_CONFIG"), "JSON", NO_UI},
    {IGNORED, STRING, "--ui-config-file,--webui-config-file", NULL, E("UI_CONFIG_FILE"), "FILE", NO_UI},
    {IGNORED, BOOL, "--ui-mcp-proxy,--webui-mcp-proxy", "--no-ui-mcp-proxy,--no-webui-mcp-proxy", E("UI_MCP_PROXY"), NULL, NO_TOOLS,
     QUIET("0")},
    {IGNORED, STRING, "--tools", NULL, E("TOOLS"), "TOOL,...", NO_TOOLS},
    {IGNORED, STRING, "--tools-runtime", NULL, E("TOOLS_RUNTIME"), "OPTION", NO_TOOLS},
    {IGNORED, STRING, "--mcp-servers-config", NULL, E("MCP_SERVERS_CONFIG"), "FILE", NO_TOOLS},
    {IGNORED, STRING, "--mcp-servers-json", NULL, E("MCP_SERVERS_JSON"), "JSON", NO_TOOLS},
    {IGNORED, BOOL, "-ag,--agent", "-no-ag,--no-agent", E("AGENT"), NULL, NO_TOOLS, QUIET("0")},
};

static const warm_opt chat[] = {
    {OURS, STRING, "--chat-template", NULL, E("CHAT_TEMPLATE"), "TEXT",
     "chat template, or the name of a built-in one (default: the model's)", SET(template)},
    {OURS, STRING, "--chat-template-file", NULL, E("CHAT_TEMPLATE_FILE"), "FILE", "the same, read from a file", SET(template_file)},
    {ENGINE, BOOL, "--jinja", "--no-jinja", E("JINJA"), NULL,
     "render templates with Jinja; without it only built-in ones by name (default on)"},
    {ENGINE, STRING, "--chat-template-kwargs", NULL, E("CHAT_TEMPLATE_KWARGS"), "JSON", "values that every chat template gets"},
    {IGNORED, STRING, "--reasoning-format", NULL, E("THINK"), "FORMAT", NO_THINK, QUIET("none")},
    {ENGINE, STRING, "-rea,--reasoning", NULL, E("REASONING"), "on|off|auto",
     "whether the template asks the model to think first (default auto: if it can)"},
    {ENGINE, STRING, "--reasoning-effort", NULL, E("REASONING_EFFORT"), "LEVEL",
     "effort that the template asks for: low, medium, high, ... (default: the template's)"},
    {IGNORED, INT, "--reasoning-budget", NULL, E("THINK_BUDGET"), "N", NO_THINK, QUIET("-1")},
    {IGNORED, STRING, "--reasoning-budget-message", NULL, E("THINK_BUDGET_MESSAGE"), "TEXT", NO_THINK},
    {ENGINE, BOOL, "--reasoning-preserve", "--no-reasoning-preserve", E("REASONING_PRESERVE"), NULL,
     "keep the reasoning of earlier answers in the prompt, where the template can (default on)"},
    {IGNORED, BOOL, "--skip-chat-parsing", "--no-skip-chat-parsing", E("SKIP_CHAT_PARSING"), NULL,
     "answers are always passed on as they were generated", QUIET("1")},
    {ENGINE, BOOL, "--prefill-assistant", "--no-prefill-assistant", E("PREFILL_ASSISTANT"), NULL,
     "continue a last message of the assistant instead of answering it (default on)"},
    {OURS, FLAG, "--spm-infill", NULL, NULL, NULL, "/infill puts the suffix in front of the prefix, as some models want it",
     FIELD(spm_infill)},
    {IGNORED, FLAG, "-sp,--special", NULL, NULL, NULL, "special tokens are not written as text yet"},
    {ENGINE, FLAG, "--embedding,--embeddings", NULL, E("EMBEDDINGS"), NULL,
     "serve /embeddings and /v1/embeddings, beside everything else, in a second context"},
    {ENGINE, FLAG, "--rerank,--reranking", NULL, E("RERANKING"), NULL, "serve /rerank; implies --embeddings and --pooling rank"},
    {ENGINE, STRING, "--pooling", NULL, E("POOLING"), "none|mean|cls|last|rank",
     "what an embedding is made of: each token's own, their mean, the first's, the last's, a score (default: the model's)"},
    {OURS, INT, "--embd-normalize", NULL, NULL, "N",
     "norm of embeddings where requests do not say (embd_normalize); -1: as computed, 0: the largest number becomes 32760, 1: sum, "
     "2: "
     "Euclidean, N: p-norm",
     FIELD(embd_normalize), RANGE(-1, INT_MAX)},
    {IGNORED, STRING, "-mm,--mmproj", NULL, E("MMPROJ"), "FILE", NO_MEDIA},
    {IGNORED, STRING, "-mmu,--mmproj-url", NULL, E("MMPROJ_URL"), "URL", NO_MEDIA},
    {IGNORED, BOOL, "--mmproj-auto", "--no-mmproj,--no-mmproj-auto", E("MMPROJ_AUTO"), NULL, NO_MEDIA, QUIET("0")},
    {IGNORED, BOOL, "--mmproj-offload", "--no-mmproj-offload", E("MMPROJ_OFFLOAD"), NULL, NO_MEDIA, QUIET("0")},
    {IGNORED, STRING, "-mmdev,--mmproj-device", NULL, "MTMD_BACKEND_DEVICE", "DEV", NO_MEDIA, QUIET("none")},
    {IGNORED, INT, "--image-min-tokens", NULL, E("IMAGE_MIN_TOKENS"), "N", NO_MEDIA},
    {IGNORED, INT, "--image-max-tokens", NULL, E("IMAGE_MAX_TOKENS"), "N", NO_MEDIA},
    {IGNORED, INT, "--mtmd-batch-max-tokens", NULL, E("MTMD_BATCH_MAX_TOKENS"), "N", NO_MEDIA},
    {IGNORED, NUMBER, "--video-fps", NULL, E("VIDEO_FPS"), "N", NO_MEDIA},
    {IGNORED, INT, "--video-timestamp-interval", NULL, E("VIDEO_TIMESTAMP_INTERVAL"), "MS", NO_MEDIA},
    {IGNORED, STRING, "--video-ffmpeg-dir", NULL, E("VIDEO_FFMPEG_DIR"), "DIR", NO_MEDIA},
    {IGNORED, STRING, "--media-path", NULL, NULL, "DIR", NO_MEDIA},
};

static const warm_opt sampling[] = {
    {OURS, INT, "-n,--predict,--n-predict", NULL, E("N_PREDICT"), "N", "most tokens to generate; -1: no limit", FIELD(n_predict),
     RANGE(-1, INT_MAX)},
    {OURS, STRING, "-r,--reverse-prompt", NULL, NULL, "TEXT", "stop at this text; may be repeated", SET(stop)},
    {OURS, FLAG, "--ignore-eos", NULL, NULL, NULL, "go on after the end of the text", FIELD(sampling.ignore_eos)},
    {OURS, INT, "-s,--seed", NULL, NULL, "N", "seed of the random numbers; -1: another one each time (default -1)", SET(seed)},
    {OURS, STRING, "--samplers", NULL, NULL, "NAME;...", "samplers in their order", FIELD(sampling.samplers)},
    {OURS, STRING, "--sampler-seq,--sampling-seq", NULL, NULL, "LETTERS", "samplers in their order, one letter each",
     FIELD(sampling.sampler_seq)},
    {OURS, NUMBER, "--temp,--temperature", NULL, E("TEMPERATURE"), "X", "temperature; 0 always takes the likeliest token",
     FIELD(sampling.temp), SET(temp)},
    {OURS, INT, "--top-k", NULL, E("TOP_K"), "N", "only the N likeliest tokens; 0: all", FIELD(sampling.top_k)},
    {OURS, NUMBER, "--top-p", NULL, E("TOP_P"), "X", "only the likeliest tokens that together reach X; 1: all",
     FIELD(sampling.top_p)},
    {OURS, NUMBER, "--min-p", NULL, E("MIN_P"), "X", "only tokens at least X times as likely as the likeliest; 0: all",
     FIELD(sampling.min_p)},
    {OURS, NUMBER, "--top-nsigma,--top-n-sigma", NULL, NULL, "X", "only tokens within X standard deviations of the best; -1: all",
     FIELD(sampling.top_n_sigma)},
    {OURS, NUMBER, "--xtc-probability", NULL, NULL, "X", "XTC: how often the likeliest tokens are left out",
     FIELD(sampling.xtc_probability)},
    {OURS, NUMBER, "--xtc-threshold", NULL, NULL, "X", "XTC: which tokens it leaves out; above 0.5 none",
     FIELD(sampling.xtc_threshold)},
    {OURS, NUMBER, "--typical,--typical-p", NULL, NULL, "X", "only typical tokens that together reach X; 1: all",
     FIELD(sampling.typ_p)},
    {OURS, INT, "--repeat-last-n", NULL, NULL, "N", "tokens that the penalties look back; 0: no penalties",
     FIELD(sampling.penalty_last_n), RANGE(0, INT_MAX)},
    {OURS, NUMBER, "--repeat-penalty", NULL, E("REPEAT_PENALTY"), "X", "penalty of repeated tokens; 1: none",
     FIELD(sampling.penalty_repeat), SET(penalty_repeat)},
    {OURS, NUMBER, "--presence-penalty", NULL, E("PRESENCE_PENALTY"), "X", "penalty of tokens that occurred",
     FIELD(sampling.penalty_present)},
    {OURS, NUMBER, "--frequency-penalty", NULL, E("FREQUENCY_PENALTY"), "X", "penalty of tokens for each time they occurred",
     FIELD(sampling.penalty_freq)},
    {OURS, NUMBER, "--dry-multiplier", NULL, NULL, "X", "DRY: penalty of repeated passages; 0: none",
     FIELD(sampling.dry_multiplier)},
    {OURS, NUMBER, "--dry-base", NULL, NULL, "X", "DRY: growth of the penalty with each token", FIELD(sampling.dry_base),
     RANGE(1, DBL_MAX)},
    {OURS, INT, "--dry-allowed-length", NULL, NULL, "N", "DRY: length of a repetition that costs nothing",
     FIELD(sampling.dry_allowed_length)},
    {OURS, INT, "--dry-penalty-last-n", NULL, NULL, "N", "DRY: tokens it looks back; 0: off", FIELD(sampling.dry_penalty_last_n),
     RANGE(0, INT_MAX)},
    {OURS, STRING, "--dry-sequence-breaker", NULL, NULL, "TEXT",
     "DRY: text that ends a passage, instead of the usual ones; may be repeated; none for no text", SET(dry_breaker)},
    {OURS, BOOL, "-e,--escape", "--no-escape", NULL, NULL,
     "\\n and the like in --dry-sequence-breaker mean what they do in C (default on)", SET(escape)},
    {OURS, NUMBER, "--dynatemp-range", NULL, NULL, "X", "the temperature varies by this much; 0: not at all",
     FIELD(sampling.dynatemp_range)},
    {OURS, NUMBER, "--dynatemp-exp", NULL, NULL, "X", "how the temperature follows the entropy", FIELD(sampling.dynatemp_exponent)},
    {OURS, NUMBER, "--adaptive-target", NULL, NULL, "X", "adaptive-p: take tokens near this probability; below 0: off",
     FIELD(sampling.adaptive_target)},
    {OURS, NUMBER, "--adaptive-decay", NULL, NULL, "X", "adaptive-p: how long it remembers, 0 to 0.99",
     FIELD(sampling.adaptive_decay)},
    {OURS, INT, "--mirostat", NULL, NULL, "0|1|2", "Mirostat of this version instead of the other samplers; 0: off",
     FIELD(sampling.mirostat), RANGE(0, 2)},
    {OURS, NUMBER, "--mirostat-lr", NULL, NULL, "X", "Mirostat: learning rate", FIELD(sampling.mirostat_eta)},
    {OURS, NUMBER, "--mirostat-ent", NULL, NULL, "X", "Mirostat: entropy aimed at", FIELD(sampling.mirostat_tau)},
    {OURS, STRING, "-l,--logit-bias", NULL, NULL, "ID+X|ID-X", "makes a token likelier or less likely; may be repeated",
     SET(logit_bias)},
    {OURS, STRING, "--grammar", NULL, NULL, "GBNF", "every answer follows this grammar", SET(grammar)},
    {OURS, STRING, "--grammar-file", NULL, NULL, "FILE", "the same, read from a file", SET(grammar_file)},
    {OURS, STRING, "-j,--json-schema", NULL, NULL, "JSON", "every answer is JSON that follows this schema", SET(json_schema)},
    {OURS, STRING, "-jf,--json-schema-file", NULL, NULL, "FILE", "the same, read from a file", SET(json_schema_file)},
    {IGNORED, FLAG, "-bs,--backend-sampling", NULL, E("BACKEND_SAMPLING"), NULL, "tokens are always sampled on the CPU"},
};

static const warm_opt logging[] = {
    {OURS, INT, "-lv,--verbosity,--log-verbosity", NULL, E("LOG_VERBOSITY"), "N",
     "how much is logged: 1 errors, 2 warnings, 3 the course of things, 4 and more everything", FIELD(verbosity)},
    {OURS, FLAG, "-v,--verbose,--log-verbose", NULL, NULL, NULL, "log everything", SET(verbose)},
    {OURS, FLAG, "--log-disable", NULL, NULL, NULL, "log errors only", SET(log_disable)},
    {OURS, STRING, "--log-file", NULL, E("LOG_FILE"), "FILE", "log to a file instead of standard error", FIELD(log_file)},
    {OURS, BOOL, "--log-jsonl", "--no-log-jsonl", E("LOG_JSONL"), NULL, "log one JSON object a line", FIELD(log_json)},
    {OURS, BOOL, "--log-prompts", "--no-log-prompts", "WARMSLOT_LOG_PROMPTS", NULL,
     "show text of prompts in the log, around the place where one differs from what is cached", FIELD(log_prompts)},
    {IGNORED, STRING, "--log-prompts-dir", NULL, NULL, "DIR", "prompts are not written to files; see --log-prompts"},
    {IGNORED, STRING, "--log-colors", NULL, E("LOG_COLORS"), "on|off|auto", "the log has no colours", QUIET("off")},
    {IGNORED, BOOL, "--log-prefix", "--no-log-prefix", E("LOG_PREFIX"), NULL, "every line shows its level and module", QUIET("1")},
    {IGNORED, BOOL, "--log-timestamps", "--no-log-timestamps", E("LOG_TIMESTAMPS"), NULL, "every line shows its time", QUIET("1")},
};

/* What stands in for an option that llama-server itself has removed. */
#define REMOVED(use) "llama-server has removed it; it is called " use " now"

static const warm_opt speculative[] = {
    {IGNORED, STRING, "--spec-type", NULL, E("SPEC_TYPE"), "TYPE,...", NO_SPEC, QUIET("none")},
    {IGNORED, FLAG, "--spec-default", NULL, NULL, NULL, NO_SPEC},
    {IGNORED, STRING, "--spec-draft-model,-md,--model-draft", NULL, E("SPEC_DRAFT_MODEL"), "FILE", NO_SPEC},
    {IGNORED, STRING, "--spec-draft-hf,-hfd,-hfrd,--hf-repo-draft", NULL, E("SPEC_DRAFT_HF_REPO"), "USER/MODEL", NO_SPEC},
    {IGNORED, INT, "--spec-draft-threads,-td,--threads-draft", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-draft-threads-batch,-tbd,--threads-batch-draft", NULL, NULL, "N", NO_SPEC},
    {IGNORED, STRING, "--spec-draft-cpu-mask,-Cd,--cpu-mask-draft", NULL, NULL, "HEX", NO_SPEC},
    {IGNORED, STRING, "--spec-draft-cpu-range,-Crd,--cpu-range-draft", NULL, NULL, "LO-HI", NO_SPEC},
    {IGNORED, INT, "--spec-draft-cpu-strict,--cpu-strict-draft", NULL, NULL, "0|1", NO_SPEC},
    {IGNORED, INT, "--spec-draft-prio,--prio-draft", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-draft-poll,--poll-draft", NULL, NULL, "0|1", NO_SPEC},
    {IGNORED, STRING, "--spec-draft-cpu-mask-batch,-Cbd,--cpu-mask-batch-draft", NULL, NULL, "HEX", NO_SPEC},
    {IGNORED, INT, "--spec-draft-cpu-strict-batch,--cpu-strict-batch-draft", NULL, NULL, "0|1", NO_SPEC},
    {IGNORED, INT, "--spec-draft-prio-batch,--prio-batch-draft", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-draft-poll-batch,--poll-batch-draft", NULL, NULL, "0|1", NO_SPEC},
    {IGNORED, STRING, "--spec-draft-type-k,-ctkd,--cache-type-k-draft", NULL, E("SPEC_DRAFT_CACHE_TYPE_K"), "TYPE", NO_SPEC},
    {IGNORED, STRING, "--spec-draft-type-v,-ctvd,--cache-type-v-draft", NULL, E("SPEC_DRAFT_CACHE_TYPE_V"), "TYPE", NO_SPEC},
    {IGNORED, STRING, "--spec-draft-override-tensor,-otd,--override-tensor-draft", NULL, NULL, "REGEX=TYPE,...", NO_SPEC},
    {IGNORED, FLAG, "--spec-draft-cpu-moe,-cmoed,--cpu-moe-draft", NULL, E("SPEC_DRAFT_CPU_MOE"), NULL, NO_SPEC},
    {IGNORED, INT, "--spec-draft-n-cpu-moe,--spec-draft-ncmoe,-ncmoed,--n-cpu-moe-draft", NULL, E("SPEC_DRAFT_N_CPU_MOE"), "N",
     NO_SPEC},
    {IGNORED, INT, "--spec-draft-n-max", NULL, E("SPEC_DRAFT_N_MAX"), "N", NO_SPEC},
    {IGNORED, INT, "--spec-draft-n-min", NULL, E("SPEC_DRAFT_N_MIN"), "N", NO_SPEC},
    {IGNORED, NUMBER, "--spec-synth-len", NULL, E("SPEC_SYNTH_LEN"), "X", NO_SPEC},
    {IGNORED, STRING, "--spec-synth-rates", NULL, E("SPEC_SYNTH_RATES"), "X,...", NO_SPEC},
    {IGNORED, NUMBER, "--spec-draft-p-split,--draft-p-split", NULL, E("SPEC_DRAFT_P_SPLIT"), "X", NO_SPEC},
    {IGNORED, NUMBER, "--spec-draft-p-min,--draft-p-min", NULL, E("SPEC_DRAFT_P_MIN"), "X", NO_SPEC},
    {IGNORED, BOOL, "--spec-draft-backend-sampling", "--no-spec-draft-backend-sampling", E("SPEC_DRAFT_BACKEND_SAMPLING"), NULL,
     NO_SPEC, QUIET("0")},
    {IGNORED, STRING, "--spec-draft-device,-devd,--device-draft", NULL, NULL, "DEV,...", NO_SPEC},
    {IGNORED, STRING, "--spec-draft-ngl,-ngld,--gpu-layers-draft,--n-gpu-layers-draft", NULL, E("N_GPU_LAYERS_DRAFT"), "N|auto|all",
     NO_SPEC},
    {IGNORED, INT, "--spec-ngram-mod-n-min", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-mod-n-max", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-mod-n-match", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-simple-size-n", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-simple-size-m", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-simple-min-hits", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-map-k-size-n", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-map-k-size-m", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-map-k-min-hits", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-map-k4v-size-n", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-map-k4v-size-m", NULL, NULL, "N", NO_SPEC},
    {IGNORED, INT, "--spec-ngram-map-k4v-min-hits", NULL, NULL, "N", NO_SPEC},
    {IGNORED, STRING, "-lcs,--lookup-cache-static", NULL, NULL, "FILE", NO_SPEC},
    {IGNORED, STRING, "-lcd,--lookup-cache-dynamic", NULL, NULL, "FILE", NO_SPEC},
    {REFUSED, INT, "--draft,--draft-n,--draft-max", NULL, E("DRAFT_MAX"), "N", REMOVED("--spec-draft-n-max")},
    {REFUSED, INT, "--draft-min,--draft-n-min", NULL, E("DRAFT_MIN"), "N", REMOVED("--spec-draft-n-min")},
    {REFUSED, INT, "--spec-ngram-size-n", NULL, NULL, "N", REMOVED("--spec-ngram-mod-n-match or --spec-ngram-simple-size-n")},
    {REFUSED, INT, "--spec-ngram-size-m", NULL, NULL, "N", REMOVED("--spec-ngram-simple-size-m")},
    {REFUSED, INT, "--spec-ngram-min-hits", NULL, NULL, "N", REMOVED("--spec-ngram-simple-min-hits")},
};

#define SECTION(title, list)                                                                                                       \
    { title, list, sizeof(list) / sizeof((list)[0]) }

const warm_opt_section warm__opt_sections[] = {
    SECTION("General", general),       SECTION("Model and engine", model),
    SECTION("Slots and cache", cache), SECTION("Server", server),
    SECTION("Chat and input", chat),   SECTION("Generation and sampling", sampling),
    SECTION("Logging", logging),       SECTION("Speculative decoding", speculative),
};
const size_t warm__opt_n_sections = sizeof(warm__opt_sections) / sizeof(warm__opt_sections[0]);
