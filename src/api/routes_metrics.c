/* SPDX-License-Identifier: MIT
 *
 * api/routes_metrics.c - GET /metrics: llama-server's names and meanings (llamacpp:*), and ours about the cache (warmslot_*).
 *
 * llama-server's two throughput gauges are averages since the last scrape, so the totals of that scrape are kept. */
#include <stdio.h>

#include "api/call.h"
#include "metrics/prom.h"

enum { METRICS_MAX = 1 << 20 };

static void counter(warm_buf *b, const char *name, const char *help, uint64_t v) {
    warm_prom_family(b, WARM_PROM_COUNTER, name, help);
    warm_prom_uint(b, name, NULL, NULL, v);
}

static void counter_s(warm_buf *b, const char *name, const char *help, double v) {
    warm_prom_family(b, WARM_PROM_COUNTER, name, help);
    warm_prom_double(b, name, NULL, NULL, v);
}

static void gauge(warm_buf *b, const char *name, const char *help, double v) {
    warm_prom_family(b, WARM_PROM_GAUGE, name, help);
    warm_prom_double(b, name, NULL, NULL, v);
}

static double per_second(uint64_t n, uint64_t n_before, double s, double s_before) {
    return s > s_before ? (double)(n - n_before) / (s - s_before) : 0;
}

static void write_peer(warm_buf *b, warm_api *api, const warm_sched_status *st) {
    counter(b, "llamacpp:prompt_tokens_total", "Number of prompt tokens processed, excluding cached tokens", st->n_prompt_computed);
    counter(b, "llamacpp:prompt_tokens_cached_total", "Number of prompt tokens reused from the cache",
            st->n_prompt_device + st->n_prompt_ram + st->n_prompt_disk);
    counter_s(b, "llamacpp:prompt_seconds_total", "Total time spent processing prompts", st->prompt_seconds);
    counter(b, "llamacpp:tokens_predicted_total", "Number of generation tokens processed", st->n_predicted);
    counter_s(b, "llamacpp:tokens_predicted_seconds_total", "Total time spent generating tokens", st->predicted_seconds);
    counter(b, "llamacpp:n_decode_total",
            "Total number of llama_decode() calls, excluding speculative decoding and multimodal decoding", st->n_decode_steps);
    counter(b, "llamacpp:n_tokens_max", "Largest observed sequence length (prompt + generation)", st->n_tokens_max);
    counter(b, "llamacpp:spec_decode_num_draft_tokens_total", "Speculative: Total draft tokens generated", 0);
    counter(b, "llamacpp:spec_decode_num_accepted_tokens_total", "Speculative: Total draft tokens accepted by the target model", 0);
    counter(b, "llamacpp:spec_decode_num_drafts_total", "Speculative: Total speculative decoding verification steps", 0);
    gauge(b, "llamacpp:prompt_tokens_seconds", "Average prompt throughput in tokens/s",
          per_second(st->n_prompt_computed, api->scraped_prompt, st->prompt_seconds, api->scraped_prompt_s));
    gauge(b, "llamacpp:predicted_tokens_seconds", "Average generation throughput in tokens/s",
          per_second(st->n_predicted, api->scraped_predicted, st->predicted_seconds, api->scraped_predicted_s));
    gauge(b, "llamacpp:requests_processing", "Number of requests processing", st->n_running);
    gauge(b, "llamacpp:requests_deferred", "Number of requests deferred", st->n_queued);
    gauge(b, "llamacpp:n_busy_slots_per_decode", "Average number of busy slots per llama_decode() call",
          (double)st->n_busy_slot_steps / (st->n_decode_steps ? (double)st->n_decode_steps : 1.0));
    api->scraped_prompt = st->n_prompt_computed;
    api->scraped_prompt_s = st->prompt_seconds;
    api->scraped_predicted = st->n_predicted;
    api->scraped_predicted_s = st->predicted_seconds;
}

static void write_prompts(warm_buf *b, const warm_sched_status *st) {
    static const char name[] = "warmslot_prompt_tokens_total";
    warm_prom_family(b, WARM_PROM_COUNTER, name, "Prompt tokens by where their state came from");
    warm_prom_uint(b, name, "source", "device", st->n_prompt_device);
    warm_prom_uint(b, name, "source", "ram", st->n_prompt_ram);
    if (st->has_disk) warm_prom_uint(b, name, "source", "disk", st->n_prompt_disk);
    warm_prom_uint(b, name, "source", "computed", st->n_prompt_computed);
    counter(b, "warmslot_requests_total", "Tasks taken by the scheduler", st->n_tasks);
    gauge(b, "warmslot_requests_parked", "Running requests that wait for room in the context", st->n_parked);
    gauge(b, "warmslot_residents", "Idle sequences kept in the context", st->n_residents);
    gauge(b, "warmslot_cells", "Cells of the context", (double)st->n_cells);
    gauge(b, "warmslot_cells_used", "Cells of the context in use", (double)st->n_cells_used);
}

static void write_cache(warm_buf *b, const warm_sched_status *st) {
    const warm_cache_stats *c = &st->cache;
    gauge(b, "warmslot_cache_blocks", "Blocks in the tree", (double)c->n_blocks);
    gauge(b, "warmslot_cache_pieces", "Pieces of state kept", (double)c->n_pieces);
    gauge(b, "warmslot_cache_windows", "Pieces with the rows of a sliding window", (double)c->n_windows);
    gauge(b, "warmslot_cache_snapshots", "Snapshots of state that can't be cut", (double)c->n_snapshots);
    gauge(b, "warmslot_cache_units", "Units covered by blocks", (double)c->n_units);
    static const char bytes[] = "warmslot_cache_bytes";
    warm_prom_family(b, WARM_PROM_GAUGE, bytes, "Bytes held in host memory");
    warm_prom_uint(b, bytes, "kind", "pieces", c->piece_bytes - c->window_bytes - c->snapshot_bytes);
    warm_prom_uint(b, bytes, "kind", "windows", c->window_bytes);
    warm_prom_uint(b, bytes, "kind", "snapshots", c->snapshot_bytes);
    warm_prom_uint(b, bytes, "kind", "index", c->index_bytes);
    warm_prom_uint(b, bytes, "kind", "free", st->store.free_bytes);
    gauge(b, "warmslot_cache_budget_bytes", "Limit of the bytes in host memory", (double)c->budget_limit_bytes);
    gauge(b, "warmslot_cache_budget_used_bytes", "Bytes counted against the limit", (double)c->budget_used_bytes);
    gauge(b, "warmslot_cache_budget_peak_bytes", "Most bytes ever counted against the limit", (double)c->budget_peak_bytes);
    counter(b, "warmslot_cache_lookups_total", "Lookups", c->n_lookups);
    counter(b, "warmslot_cache_units_asked_total", "Units of the prompts looked up", c->n_units_asked);
    counter(b, "warmslot_cache_units_matched_total", "Units found", c->n_units_matched);
    counter(b, "warmslot_cache_saved_total", "Pieces saved", c->n_saved);
    counter(b, "warmslot_cache_saved_bytes_total", "Bytes saved", c->saved_bytes);
    counter(b, "warmslot_cache_evicted_total", "Blocks evicted", c->n_evicted);
    counter(b, "warmslot_cache_windows_evicted_total", "Window rows evicted", c->n_windows_evicted);
    counter(b, "warmslot_cache_snapshots_evicted_total", "Snapshots evicted", c->n_snapshots_evicted);
    counter(b, "warmslot_cache_evicted_bytes_total", "Bytes evicted", c->evicted_bytes);
    counter(b, "warmslot_cache_refused_total", "Saves that found no room", c->n_refused);
    counter(b, "warmslot_cache_damaged_total", "Pieces whose checksum was wrong", c->n_damaged);
}

static void write_disk(warm_buf *b, const warm_sched_status *st) {
    const warm_disk_stats *d = &st->disk;
    gauge(b, "warmslot_disk_mode", "What is done with the directory: 2 reading and writing, 1 reading only, 0 nothing",
          d->mode == WARM_DISK_READ_WRITE  ? 2
          : d->mode == WARM_DISK_READ_ONLY ? 1
                                           : 0);
    gauge(b, "warmslot_disk_scanning", "1 while the directory is being looked through", d->scanning);
    gauge(b, "warmslot_disk_paused", "1 while nothing is written because the disk is full", d->paused);
    gauge(b, "warmslot_disk_files", "Files in the directory", (double)d->n_entries);
    gauge(b, "warmslot_disk_bytes", "Bytes of all files, those being written included", (double)d->used_bytes);
    gauge(b, "warmslot_disk_limit_bytes", "Limit of these bytes", (double)d->limit_bytes);
    gauge(b, "warmslot_disk_index_bytes", "Host memory of the index, part of the cache's budget", (double)d->index_bytes);
    gauge(b, "warmslot_disk_pending_bytes", "Bytes that are on their way to the disk", (double)d->pending_bytes);
    counter(b, "warmslot_disk_written_total", "Files written", d->n_written);
    counter(b, "warmslot_disk_written_bytes_total", "Bytes written", d->written_bytes);
    counter(b, "warmslot_disk_read_total", "Files read", d->n_read);
    counter(b, "warmslot_disk_read_bytes_total", "Bytes of state read", d->read_bytes);
    counter(b, "warmslot_disk_evicted_total", "Files removed for others", d->n_evicted);
    counter(b, "warmslot_disk_evicted_bytes_total", "Bytes of these", d->evicted_bytes);
    counter(b, "warmslot_disk_missed_total", "Blocks and snapshots that left host memory before they were written",
            st->n_disk_missed);
    counter(b, "warmslot_disk_deferred_total", "Writes put off: over the limit, too much on its way, or the disk is full",
            d->n_deferred);
    counter(b, "warmslot_disk_refused_total", "Writes given up: no room", d->n_refused);
    counter(b, "warmslot_disk_damaged_total", "Files found damaged", d->n_damaged);
    counter(b, "warmslot_disk_vanished_total", "Files that were gone", d->n_vanished);
    static const char errors[] = "warmslot_disk_errors_total";
    warm_prom_family(b, WARM_PROM_COUNTER, errors, "Calls of the system that failed");
    warm_prom_uint(b, errors, "op", "write", d->n_write_errors);
    warm_prom_uint(b, errors, "op", "read", d->n_read_errors);
}

void warm__handle_metrics(warm_http_request *r, void *ud) {
    warm_api *api = ud;
    warm_failure f = {0};
    warm_sched_status st;
    if (!api->config->metrics) {
        warm_err_set(&f.err, WARM_ENOTSUP, "This server does not support metrics endpoint. Start it with `--metrics`");
        warm_reply_failure(r, &f);
        return;
    }
    int rc = warm_sched_status_get(api->sched, &st);
    if (rc) {
        warm_err_set(&f.err, rc, "the state of the scheduler is not available");
        warm_reply_failure(r, &f);
        return;
    }
    warm_buf b;
    warm_buf_init(&b, METRICS_MAX);
    write_peer(&b, api, &st);
    write_prompts(&b, &st);
    if (st.has_cache) write_cache(&b, &st);
    if (st.has_disk) write_disk(&b, &st);
    warm_sched_status_free(&st);
    char started[24];
    snprintf(started, sizeof started, "%lld", (long long)api->started);
    if (warm_buf_err(&b)) {
        warm_err_set(&f.err, WARM_ENOMEM, "out of memory for the answer");
        warm_reply_failure(r, &f);
    } else {
        warm_http_set_header(r, "Process-Start-Time-Unix", started);
        warm_http_reply(r, 200, WARM_PROM_CONTENT_TYPE, b.data, b.len);
    }
    warm_buf_free(&b);
}
