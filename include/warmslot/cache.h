/* SPDX-License-Identifier: MIT
 *
 * warmslot/cache.h - the prompt cache: a tree of blocks by prefix. It knows no engine: state is bytes with a length.
 *
 * Words: DESIGN.md section 2. A path is a pinned position in the tree: "the first n units of this prompt".
 * A block holds up to WARM_BLOCK_UNITS units and its state as pieces: piece k of a block covers its units
 * [k*piece_units, (k+1)*piece_units), the last piece may be short. Pieces are immutable and refcounted; sibling blocks that
 * share whole pieces share them by reference.
 * Not every position of a path is a resume point, where a sequence can go on. With a window, the units before it need their window rows: a
 * second half of their pieces that can be evicted and put back alone. With snapshots, one taken at exactly that position is
 * needed: an object of its own, a child of the last full block that ends there or before, which holds the units between the two. So
 * it belongs to that prefix, whatever blocks cover it.
 *
 * Invariants
 *  (1) A match is exact to the unit and was compared unit by unit.
 *  (2) No block's units are a prefix of a sibling's: children of one parent are ordered by their units, and the longest common
 *      prefix with a prompt is found among the two neighbours of its place in that order.
 *  (3) Only a block without children, snapshots and pins is evicted, and only window rows and snapshots that nobody holds. A pinned
 *      path stays whole until released; a block found damaged is unlinked at once (nothing finds it any more) and freed when its
 *      last pin goes.
 *  (4) Everything in host memory (extents with slack, units, nodes, child arrays) is taken from the budget before it is
 *      allocated; the sum never exceeds the limit.
 *  (5) Bytes are sealed with a checksum after they were written and verified before they are handed to an engine.
 *  (6) A snapshot goes before the last block that covers it. Window rows and snapshots are damaged and lost alone: what they need stays.
 *
 * Threads: every function is [engine] (the thread that owns the tree) unless marked [any].
 * Not here: engines, time slices, plans (sched/). */
#ifndef WARMSLOT_CACHE_H
#define WARMSLOT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"
#include "warmslot/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One KV cell of a prompt. A token is its id (0 <= id < 2^31). Bit 63 is reserved for media cells. */
typedef uint64_t warm_unit;

#define WARM_BLOCK_UNITS 256u /* a constant of the format */
#define WARM_PIECE_MIN   16u
#define WARM_SCOPE_BYTES 32

typedef struct warm_cache warm_cache;
typedef struct warm_scope warm_scope; /* the root of everything that may be shared; lives as long as the cache */
typedef struct warm_block warm_block;
typedef struct warm_piece warm_piece;

/* What goes first where not everything fits: pure functions over stats (cache/policy.c). */
typedef struct warm_policy warm_policy;
const warm_policy *warm_policy_by_name(const char *name); /* NULL: there is none. [any] */
const char *const *warm_policy_names(void);               /* the default first, NULL behind the last. [any] */

typedef struct warm_cache_options {
    warm_store *store;            /* borrowed; holds the pieces */
    warm_budget *budget;          /* borrowed; the same the store draws on */
    uint64_t (*now_ns)(void *ud); /* clock for last-use stamps; NULL = a counter */
    void *clock_ud;
    const warm_policy *policy; /* NULL: value */
    uint32_t window;           /* units; 0 = window rows are not needed */
    bool snapshots;            /* a resume point needs a snapshot; not together with a window */
    bool spill;                /* there is a tier below (cache/spill.h) */
    bool spill_snapshots_only; /* its snapshots are all the state there is */
} warm_cache_options;

WARM_MUST_USE int warm_cache_new(const warm_cache_options *opt, warm_cache **out, warm_err *err);
void warm_cache_free(warm_cache *c); /* no path, piece or save may be held */

/* SHA-256 of "warmslot scope 1\n" and of each part with its length: engine text, adapters text, salt. Parts may be NULL. [any] */
void warm_scope_fingerprint(const char *engine, const char *adapters, const char *salt, uint8_t out[WARM_SCOPE_BYTES]);

/* Finds or creates the scope. The fingerprint decides; WARM_EFULL when its node does not fit in the budget. */
WARM_MUST_USE int warm_cache_scope(warm_cache *c, const uint8_t fingerprint[WARM_SCOPE_BYTES], warm_scope **out);

/* A pinned position. Copy only with warm_path_clone; release exactly once. All zero = no path. */
typedef struct warm_path {
    warm_block *block_; /* the block that holds the unit before the position; the root at position 0 */
    size_t n_units;     /* position: number of units covered */
} warm_path;

/* Length of the longest prefix of units[0..n) that is in the tree. Changes nothing, pins nothing. */
size_t warm_cache_match(const warm_cache *c, const warm_scope *s, const warm_unit *units, size_t n);

/* What the tree holds behind the first `at` units of a prompt along the most recently used branch: up to max units into
 * out. Returns their number, 0 = nothing known goes on there, or the tree does not reach that far. For explanations. */
size_t warm_cache_follow(const warm_cache *c, const warm_scope *s, const warm_unit *units, size_t at, warm_unit *out, size_t max);

/* Finds the longest prefix, pins it, and marks it as used now. Always succeeds: a miss is the path at position 0.
 * Returns out->n_units. Cost: one comparison of the matched units and one binary search per level, no hashing. */
size_t warm_cache_lookup(warm_cache *c, warm_scope *s, const warm_unit *units, size_t n, warm_path *out);

/* Position 0, pinned. Nobody has used anything. */
void warm_cache_root(warm_cache *c, warm_scope *s, warm_path *out);
void warm_path_clone(warm_cache *c, const warm_path *p, warm_path *out);
void warm_path_release(warm_cache *c, warm_path *p); /* zeroes *p; releasing a zero path is allowed */

/* ---- loading ---- */

typedef struct warm_piece_view {
    warm_piece *piece; /* one reference, to be given back with warm_piece_unref */
    size_t start;      /* absolute position of its first unit */
    size_t n_units;
    const uint8_t *data; /* NULL with bytes 0: its units have no state of their own */
    size_t bytes;
    const uint8_t *window; /* NULL: it has no window rows, or not any more. While the view is held they are not taken away */
    size_t window_bytes;
    bool marked; /* those rows are a likely resume point's (warm_cache_mark) */
} warm_piece_view;

/* The piece that covers position pos < p->n_units. It may begin before pos and end behind p->n_units. */
void warm_path_piece(warm_cache *c, const warm_path *p, size_t pos, warm_piece_view *out);
void warm_piece_unref(warm_cache *c, warm_piece *piece);

enum warm_piece_state {
    WARM_PIECE_WRITTEN = 0, /* bytes are there, checksum not yet computed */
    WARM_PIECE_SEALED,      /* checksum computed */
    WARM_PIECE_DAMAGED      /* a verification failed */
};
/* [any], by the holder of a reference: computes the checksum once (seal), compares it (verify: 0 or WARM_ECORRUPT; a piece that
 * is not sealed yet is sealed). Different threads may do this to one piece at the same time. */
void warm_piece_seal(warm_piece *piece); /* both halves */
WARM_MUST_USE int warm_piece_verify(warm_piece *piece);
WARM_MUST_USE int warm_piece_verify_window(warm_piece *piece); /* by the holder of a view with window rows */
enum warm_piece_state warm_piece_state_get(const warm_piece *piece);

/* Unlinks the block of this path that holds pos, and everything below it. Counted as damaged. */
void warm_cache_quarantine(warm_cache *c, const warm_path *p, size_t pos);
/* The same for window rows alone, or for the snapshot at p->n_units alone (no effect when the path has none). Their memory goes with
 * the last view. */
void warm_cache_quarantine_window(warm_cache *c, warm_piece *piece);
void warm_cache_quarantine_snapshot(warm_cache *c, const warm_path *p);

/* ---- resume points ---- */

/* A pinned resume point at position path.n_units: its blocks, window rows and snapshot stay until it is released. All zero = none. */
typedef struct warm_resume {
    warm_path path;
    warm_piece_view *window; /* the pieces that hold units n_units-window+1..n_units-1, in order */
    size_t n_window;
    warm_piece_view snapshot; /* piece NULL: none is needed. start = n_units, n_units = 0 */
} warm_resume;

/* The last resume point at or before p->n_units; without window and snapshots that is p->n_units, and position 0 always is one.
 * Takes the path over (zeroes *p). Marks what it holds as used now. WARM_ENOMEM: *p is released, *out zero. */
WARM_MUST_USE int warm_cache_resume(warm_cache *c, warm_path *p, warm_resume *out);
void warm_resume_release(warm_cache *c, warm_resume *r); /* zeroes *r; releasing a zero one is allowed */

/* Position of the last resume point of units[0..n) as far as they are in the tree. Changes nothing, pins nothing. */
size_t warm_cache_match_resume(const warm_cache *c, const warm_scope *s, const warm_unit *units, size_t n);

/* Marks the window rows before position pos <= p->n_units, as far as they are there, as those of a likely resume point, used now,
 * as is the path. Rows without a mark are evicted first. */
void warm_cache_mark(warm_cache *c, const warm_path *p, size_t pos);

typedef struct warm_snapshot {
    uint8_t *data; /* write exactly `bytes` here */
    size_t bytes;
    warm_piece *piece_;
} warm_snapshot;

/* Makes room and hands out memory for a snapshot. WARM_EFULL as warm_cache_save_begin; what a path pins is not evicted. */
WARM_MUST_USE int warm_cache_snapshot_begin(warm_cache *c, size_t bytes, warm_snapshot *out);
/* Puts it at position 0 < pos <= p->n_units of the path, used now, as is the path. prior: how likely it is to be taken up again as long
 * as it never was, next to 1 for each time it has been. Consumes *s, also on failure. v as in warm_cache_save_commit. If there is one
 * already, that is a success, too, and v views that. WARM_EFULL, WARM_ENOMEM: room for its node was not to be had; WARM_EAGAIN: the
 * path was unlinked. */
WARM_MUST_USE int warm_cache_snapshot_commit(warm_cache *c, const warm_path *p, size_t pos, double prior, warm_snapshot *s,
                                             warm_piece_view *v);
void warm_cache_snapshot_abort(warm_cache *c, warm_snapshot *s);
/* Position of the last snapshot at or before pos <= p->n_units of the path, 0 = none. Changes nothing. */
size_t warm_cache_snapshot_before(const warm_cache *c, const warm_path *p, size_t pos);
/* A view of that one, which is no use of it, and its prior. false: there is none. */
bool warm_path_snapshot(warm_cache *c, const warm_path *p, size_t pos, warm_piece_view *out, double *prior);

/* ---- saving ---- */

/* Moves the path forward over what the tree already has of units[0..n) (n >= p->n_units; the first p->n_units units are the path's
 * own). If a block of the path was unlinked meanwhile, the path falls back to what is still there. Returns p->n_units. */
size_t warm_cache_advance(warm_cache *c, warm_path *p, const warm_unit *units, size_t n);

/* The next range to save for a sequence whose first n units are in the context, given the path reached by warm_cache_advance:
 * [*start, *start + *count), aligned as the block's pieces are, at most piece_units long (the size for a block
 * that is begun here: a power of two in WARM_PIECE_MIN..WARM_BLOCK_UNITS). It begins before the path's position when a short last piece is replaced or
 * a shared piece is split; a block that begins like another keeps that one's piece size. Returns false when there is nothing to save. */
bool warm_cache_next_piece(const warm_cache *c, const warm_path *p, size_t n, size_t piece_units, size_t *start, size_t *count);

typedef struct warm_save {
    uint8_t *data; /* write exactly `bytes` here; NULL with bytes 0 */
    size_t bytes;
    uint8_t *window; /* and exactly window_bytes here, or call warm_cache_save_without_window; NULL with window_bytes 0 */
    size_t window_bytes;
    size_t start, count;
    size_t piece_units;
    bool rows_only_;
    warm_piece *piece_;
} warm_save;

/* Makes room (evicting) and hands out memory for the range given by warm_cache_next_piece. bytes may be 0: the piece then only says
 * that its units are known. window_bytes is 0 in a cache without a window, and where the rows are not to be had. WARM_EFULL when everything
 * that is left is pinned or larger than the budget. The blocks of p are not evicted. */
WARM_MUST_USE int warm_cache_save_begin(warm_cache *c, const warm_path *p, size_t start, size_t count, size_t piece_units,
                                        size_t bytes, size_t window_bytes, warm_save *out);
/* Gives the window half back: its rows were not to be had. */
void warm_cache_save_without_window(warm_cache *c, warm_save *s);
/* Puts the piece into the tree behind p and moves p to start + count. units[0..start+count) are the sequence's. Consumes *s, also on
 * failure. If v is not NULL it receives a reference to the piece, for sealing it. If the tree got the range from elsewhere meanwhile, that
 * is a success, too, and its piece of just that range, if it has no window rows, gets these. On an error the piece is dropped.
 * WARM_EFULL, WARM_ENOMEM: room for the node was not to be had. WARM_EAGAIN: the tree changed so that the piece does not fit any
 * more (its beginning was unlinked, or is in other pieces); go on with warm_cache_advance. */
WARM_MUST_USE int warm_cache_save_commit(warm_cache *c, warm_path *p, warm_save *s, const warm_unit *units, warm_piece_view *v);
void warm_cache_save_abort(warm_cache *c, warm_save *s);
/* [any] Computes the checksums of what was written before it is committed: where nobody seals the view that a commit gives, damage that comes
 * before the first verification would go unnoticed. */
void warm_save_seal(warm_save *s);
void warm_snapshot_seal(warm_snapshot *s);
/* [any] The same with checksums (warm_xxh3) that the bytes were compared with as they came. */
void warm_save_seal_as(warm_save *s, uint64_t sum, uint64_t window_sum);
void warm_snapshot_seal_as(warm_snapshot *s, uint64_t sum);

/* Window rows that were evicted or never came can be put back while they are in the context. [*start, *start + *count) is the first piece
 * with unit pos or behind it that has none and lies on the path as a whole; false: there is no such piece. Cost: the blocks between pos and
 * the path's end. */
bool warm_cache_next_window(const warm_cache *c, const warm_path *p, size_t pos, size_t *start, size_t *count);
/* As warm_cache_save_begin, for the window rows of such a piece alone: data is NULL, bytes 0. It is committed with the same path, which
 * that does not move, or aborted. WARM_EAGAIN at the commit: the path has other pieces there by now. */
WARM_MUST_USE int warm_cache_save_begin_window(warm_cache *c, size_t start, size_t count, size_t window_bytes, warm_save *out);

/* ---- moving in and out as a whole ---- */

/* The units [from, from + n) of a path; they may reach beyond it as far as its last piece does. */
void warm_path_units(const warm_path *p, size_t from, size_t n, warm_unit *out);

/* The pieces of one block that come from elsewhere than an engine. */
typedef struct warm_block_save {
    size_t start, n_units, piece_units;
    size_t n_pieces;
    warm_save pieces[WARM_BLOCK_UNITS / WARM_PIECE_MIN]; /* to be written as those of warm_cache_save_begin */
} warm_block_save;

/* Makes room for a block of n_units <= WARM_BLOCK_UNITS that begins at start, in pieces of piece_units, the last one maybe shorter; bytes and
 * window_bytes as in warm_cache_save_begin, for each piece. Errors as there; nothing is held then. */
WARM_MUST_USE int warm_cache_block_begin(warm_cache *c, size_t start, size_t n_units, size_t piece_units, const size_t *bytes,
                                         const size_t *window_bytes, warm_block_save *out);
/* Puts it into the tree behind p and moves p to its end. units[0..start+n_units) are the sequence's, and a block has to end in the tree at start,
 * or WARM_EAGAIN. Where the tree has a part of these units in pieces of another size, both stay as they are, or the longer one takes the
 * shorter one's place. Where it has all of them, pieces that are alike get the window rows they lack. Consumes *b, also on failure. */
WARM_MUST_USE int warm_cache_block_commit(warm_cache *c, warm_path *p, warm_block_save *b, const warm_unit *units);
void warm_cache_block_abort(warm_cache *c, warm_block_save *b);

/* Forgets units[0..n) as far as nobody else has them: unlinks their blocks from the end upwards, with the snapshots that only these cover, and stops at
 * one that is pinned, that others go on from, or that the first `keep` units need, which somebody else has. */
void warm_cache_forget(warm_cache *c, const warm_scope *s, const warm_unit *units, size_t n, size_t keep);

/* ---- administration ---- */

/* Sets the limit and evicts until it is kept. Pinned blocks can keep it above for a while: then the limit is lowered to what
 * is used, WARM_EAGAIN is returned, and the call is to be repeated. */
WARM_MUST_USE int warm_cache_set_budget(warm_cache *c, size_t limit_bytes);
/* Evicts until so many bytes of the budget are free, for others who draw on it. WARM_EFULL: they can't be had. */
WARM_MUST_USE int warm_cache_make_room(warm_cache *c, size_t bytes);
/* Evicts everything that is not pinned. */
void warm_cache_clear(warm_cache *c);

typedef struct warm_cache_stats {
    size_t n_blocks, n_units; /* findable ones; units shared by siblings count in each */
    size_t n_pieces;          /* of blocks: all that are in memory, also those that only a view, a save or an unlinked path holds */
    size_t piece_bytes;       /* held by pieces and snapshots, each once; the two below are parts of it */
    size_t window_bytes, snapshot_bytes;
    size_t n_windows, n_snapshots; /* pieces with window rows; snapshots; findable ones */
    size_t index_bytes;            /* nodes, units, child arrays, piece headers */
    size_t budget_limit_bytes, budget_used_bytes, budget_peak_bytes;
    uint64_t n_lookups, n_units_asked, n_units_matched;
    uint64_t n_saved, saved_bytes;
    uint64_t n_evicted, evicted_bytes;               /* blocks; bytes of all kinds */
    uint64_t n_windows_evicted, n_snapshots_evicted; /* alone, or with a block */
    uint64_t n_refused;                              /* saves that found no room */
    uint64_t n_damaged;
} warm_cache_stats;
void warm_cache_stats_get(const warm_cache *c, warm_cache_stats *out);

/* Walks the whole tree and asserts the invariants (tests, debug builds). Cost: linear. */
void warm_cache_check(const warm_cache *c);

#ifdef __cplusplus
}
#endif
#endif
