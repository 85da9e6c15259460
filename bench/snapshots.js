// SPDX-License-Identifier: MIT
//
// bench/snapshots.js - where snapshots of recurrent state should be taken, and which should go first: a simulation without a model.
//
//   node bench/snapshots.js [--traces DIR] [--vocab NAME] [--weights 1000,2500] [--tables describe,rules,evict,ablate,end,orders,blocks]
//
// A unit of attention state weighs 1, a snapshot S units. A prompt resumes at the deepest snapshot on its path that is at most n - 1 deep, computes the
// rest, and takes snapshots where the rule says. Hybrid: the blocks of a snapshot's path must be there, and weigh. Recurrent: units weigh nothing.
// Blocks without a snapshot at or below them are of no use to anybody and go first; then the snapshot with the least score.
// Token ids are asked of a server once and kept in the temporary folder.
// What is printed is the excess: tokens computed above the oracle. A mean is over seeded shuffles of whose turn it is.
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { oracle } = require('../tests/support/oracle.js');
const { start, makeModel, root } = require('../tests/support/server.js');

const { values: args } = parseArgs({ options: { traces: { type: 'string', default: path.join(root, '../shared/traces') }, vocab: { type: 'string', default: 'qwen2' }, weights: { type: 'string', default: '1000,2500' }, tables: { type: 'string', default: 'describe,rules,evict,ablate,end,orders,blocks' } } });

// ---- traces ----

// Sessions: [{ name, calls: [{ tokens, pieces }] }], pieces = the text of each token (only its line breaks matter).
async function readSessions() {
    const cache = path.join(os.tmpdir(), `warmslot-snapshots-${args.vocab}.json`);
    const folder = path.join(args.traces, 'agents');
    if (fs.existsSync(cache)) return JSON.parse(fs.readFileSync(cache, 'utf8'));
    const server = await start(['-m', makeModel('dense', ['--vocab', args.vocab]), '-c', '512', '-np', '1', '--cache-ram', '0', '-t', '1']);
    const sessions = [];
    for (const name of fs.readdirSync(folder).filter((file) => file.endsWith('.jsonl')).sort()) {
        const calls = [];
        for (const line of fs.readFileSync(path.join(folder, name), 'utf8').trim().split('\n')) {
            const { input } = JSON.parse(line);
            if (!input) continue;
            const tokens = (await server.ask('/tokenize', { content: input, add_special: true, parse_special: true, with_pieces: true })).tokens;
            calls.push({ tokens: tokens.map((t) => t.id), pieces: tokens.map((t) => (typeof t.piece === 'string' ? t.piece : '\ufffd')) });
        }
        sessions.push({ name, calls });
    }
    await server.stop();
    fs.writeFileSync(cache, JSON.stringify(sessions));
    return sessions;
}

function interleave(sessions) {
    const calls = [];
    for (let i = 0; sessions.some((s) => i < s.calls.length); i++) sessions.forEach((s) => i < s.calls.length && calls.push(s.calls[i]));
    return calls;
}

// mulberry32
function random(seed) {
    return () => {
        seed = (seed + 0x6d2b79f5) | 0;
        let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
}

// Each session keeps its order; whose turn it is, is drawn.
function shuffled(sessions, seed) {
    const rnd = random(seed);
    const at = sessions.map(() => 0);
    const left = sessions.flatMap((s, i) => s.calls.map(() => i));
    for (let i = left.length - 1; i > 0; i--) {
        const j = Math.floor(rnd() * (i + 1));
        [left[i], left[j]] = [left[j], left[i]];
    }
    return left.map((i) => sessions[i].calls[at[i]++]);
}

// ---- the tree: nodes are runs of at most 256 units ----

class Tree {
    constructor() {
        this.root = { start: 0, units: [], children: new Map(), parent: null, snaps: [], below: 0, tick: 0 };
        this.units = 0;
        this.leaves = new Set();
        this.snaps = new Set();
    }
    // Longest common prefix: { node, at } = at units of node's run match, { depth }, and the snapshots on the path.
    match(units) {
        let node = this.root;
        let depth = 0;
        const snaps = [];
        for (;;) {
            const next = node.children.get(units[depth]);
            if (!next) return { node, at: node.units.length, depth, snaps };
            let i = 0;
            while (i < next.units.length && depth + i < units.length && next.units[i] === units[depth + i]) i++;
            for (const s of next.snaps) if (s.pos <= depth + i) snaps.push(s);
            depth += i;
            node = next;
            if (i < next.units.length) return { node, at: i, depth, snaps };
        }
    }
    split(node, at) {
        const tail = { start: node.start + at, units: node.units.slice(at), children: node.children, parent: node, snaps: [], below: 0, tick: node.tick };
        for (const c of tail.children.values()) c.parent = tail;
        node.units = node.units.slice(0, at);
        node.children = new Map([[tail.units[0], tail]]);
        tail.snaps = node.snaps.filter((s) => s.pos > tail.start);
        tail.snaps.forEach((s) => (s.node = tail));
        node.snaps = node.snaps.filter((s) => s.pos <= tail.start);
        if (this.leaves.delete(node)) this.leaves.add(tail);
        return node;
    }
    // Makes the path units[0..n) and returns its nodes.
    insert(units, n, tick) {
        const m = this.match(units.length === n ? units : units.slice(0, n));
        let node = m.node;
        if (m.at < node.units.length && m.depth < n) node = this.split(node, m.at);
        for (let at = m.depth; at < n; ) {
            const run = units.slice(at, Math.min(n, at + 256));
            const child = { start: at, units: run, children: new Map(), parent: node, snaps: [], tick };
            node.children.set(run[0], child);
            this.leaves.delete(node);
            this.leaves.add(child);
            this.units += run.length;
            node = child;
            at += run.length;
        }
        for (let up = node; up; up = up.parent) up.tick = tick;
        return node;
    }
    addSnap(units, snap) {
        const { node } = this.match(units.slice(0, snap.pos));
        if (node.snaps.some((s) => s.pos === snap.pos)) return false;
        snap.node = node;
        node.snaps.push(snap);
        node.snaps.sort((a, b) => a.pos - b.pos);
        this.snaps.add(snap);
        return true;
    }
    dropSnap(snap) {
        snap.node.snaps.splice(snap.node.snaps.indexOf(snap), 1);
        this.snaps.delete(snap);
    }
    dropLeaf(node) {
        this.units -= node.units.length;
        node.parent.children.delete(node.units[0]);
        this.leaves.delete(node);
        if (node.parent !== this.root && node.parent.children.size === 0) this.leaves.add(node.parent);
    }
    above(snap) {
        for (let node = snap.node; node; node = node.parent) {
            for (let i = node.snaps.length - 1; i >= 0; i--) if (node.snaps[i].pos < snap.pos) return node.snaps[i];
        }
        return null;
    }
    // The next snapshots below, one on each path.
    deeper(snap) {
        const own = snap.node.snaps.find((s) => s.pos > snap.pos);
        if (own) return [own];
        const out = [];
        const walk = (node) => {
            for (const c of node.children.values()) {
                if (c.snaps.length) out.push(c.snaps[0]);
                else walk(c);
            }
        };
        walk(snap.node);
        return out;
    }
    // Units that only this snapshot needs: from the next one above, or the last fork, to it; 0 when others are below.
    exclusive(snap) {
        if (this.deeper(snap).length) return 0;
        let n = 0;
        for (let node = snap.node; node !== this.root; node = node.parent) {
            const over = node.snaps.filter((s) => s.pos < snap.pos).pop();
            if (over) return n + Math.min(snap.pos, node.start + node.units.length) - over.pos;
            n += Math.min(snap.pos, node.start + node.units.length) - node.start;
            if (node.parent.children.size > 1) break;
        }
        return n;
    }
}

// ---- simulation ----

// calls, { rule(ctx) -> positions, score(snap, ctx) -> number, S, budget, hybrid } -> counts
function simulate(calls, { rule, score, S, budget = Infinity, hybrid = true, generated = 0, atEnd = false }) {
    const tree = new Tree();
    const result = { computed: 0, taken: 0, evicted: 0, peakUnits: 0, peakSnaps: 0, peakBytes: 0, hits: {} };
    let tick = 0;
    const used = () => (hybrid ? tree.units : 0) + tree.snaps.size * S;
    const view = { tree, S, hybrid, get tick() { return tick; } };
    function room(pinned) {
        while (used() > budget) {
            let victim = null;
            if (hybrid) {
                for (const leaf of tree.leaves) if (leaf.snaps.length === 0 && !pinned.has(leaf) && (!victim || leaf.tick < victim.tick)) victim = leaf;
                if (victim) {
                    tree.dropLeaf(victim);
                    continue;
                }
            }
            let least = Infinity;
            for (const s of tree.snaps) {
                const v = score(s, view);
                if (v < least || (v === least && s.used < victim.used)) {
                    least = v;
                    victim = s;
                }
            }
            if (!victim) return;
            tree.dropSnap(victim);
            result.evicted++;
        }
    }
    for (const call of calls) {
        tick++;
        const units = call.tokens;
        const n = units.length;
        const m = tree.match(units);
        const usable = m.snaps.filter((s) => s.pos <= n - 1);
        const from = usable.length ? usable[usable.length - 1] : null;
        const resume = from ? from.pos : 0;
        if (from) {
            from.used = tick;
            from.hits++;
            result.hits[from.kind] = (result.hits[from.kind] || 0) + 1;
        }
        result.computed += n - resume;
        const due = rule({ n, pieces: call.pieces, resume, diverged: m.depth });
        const positions = [...due].filter(([p]) => p > resume && p <= n - 1).sort((a, b) => a[0] - b[0]);
        const pinned = new Set();
        for (const [pos, kind] of positions) {
            const end = tree.insert(units, pos, tick);
            pinned.clear();
            for (let node = end; node; node = node.parent) pinned.add(node);
            if (tree.addSnap(units, { pos, kind, born: tick, used: tick, hits: 0 })) result.taken++;
            room(pinned);
        }
        // What is generated is continued by nobody here; a snapshot at its end can only be in the way.
        const whole = generated ? units.concat(Array.from({ length: generated }, (_, i) => -1 - tick * 4096 - i)) : units;
        tree.insert(whole, whole.length, tick);
        if (generated && atEnd && tree.addSnap(whole, { pos: whole.length, kind: 'end', born: tick, used: tick, hits: 0 })) result.taken++;
        room(new Set());
        result.peakUnits = Math.max(result.peakUnits, tree.units);
        result.peakSnaps = Math.max(result.peakSnaps, tree.snaps.size);
        result.peakBytes = Math.max(result.peakBytes, used());
    }
    return result;
}

// ---- rules: (ctx) -> [[position, kind]] ----

const last = ({ n }) => [[n - 1, 'last']];
const spacing = (step) => ({ n }) => Array.from({ length: Math.floor((n - 1) / step) }, (_, i) => [(i + 1) * step, 'step']);
const GAP = 64;
const branch = ({ diverged, resume }) => (diverged - resume >= GAP ? [[diverged, 'branch']] : []);
const geometric = (base, factor = 4) => ({ n }) => {
    const out = [];
    for (let back = base; back < n - 1; back *= factor) out.push([n - 1 - back, 'geometric']);
    return out;
};
// A blank line begins in this token.
const blank = (pieces, i) => /\n\r?\n/.test(pieces[i]) || (/\n\r?$/.test(pieces[i]) && /^\r?\n/.test(pieces[i + 1] || ''));
// What follows the blank line begins like a message: a tag, or a few words with a colon.
const head = (pieces, i) => blank(pieces, i) && /^[^\n]*\n\s*(<[^>\s]{1,40}>?|[A-Za-z_ ]{1,20}:)/.test(pieces.slice(i, i + 10).join(''));
// One unit before the blank line: a prompt that ends there has to compute one, and its last token may be another when it is joined to what follows.
// Forward from the resume point, at least `gap` apart; the last `count` of them.
const marks = ({ count = 4, gap = GAP, tail = 1, early = 1, test = head }) => (ctx) => {
    const kept = [];
    if (ctx.pieces) for (let i = ctx.resume + gap, before = ctx.resume; i < ctx.n - tail; i++) if (i - before >= gap && (Math.abs(i - ctx.diverged) >= gap || ctx.diverged - ctx.resume < gap) && test(ctx.pieces, i + early)) kept.push([(before = i), 'mark']);
    return kept.slice(-count);
};
// The later of two close marks stays. Only to show what that does.
const marksBackward = ({ count = 4, gap = 64 }) => ({ n, pieces, resume }) => {
    const kept = [];
    for (let i = n - 2, before = Infinity; i >= resume + gap && kept.length < count; i--) if (before - i >= gap && head(pieces, i)) kept.push([(before = i), 'mark']);
    return kept;
};
const all = (...rules) => (ctx) => {
    const due = new Map();
    for (const rule of rules) for (const [p, kind] of rule(ctx)) if (!due.has(p)) due.set(p, kind);
    return due;
};
const chosen = all(last, branch, marks({}), geometric(256));

// ---- scores: the least goes first ----

const gain = (s, { tree }) => s.pos - (tree.above(s)?.pos || 0);
const weight = (s, { tree, S, hybrid }) => S + (hybrid ? tree.exclusive(s) : 0);
// A later request went through this one and left a deeper one.
const superseded = (s, { tree }) => tree.deeper(s).some((d) => d.born > s.born);
const PRIOR = { mark: 1 / 2, geometric: 1 / 64, step: 1 / 64 };
const value = ({ power = 1, hits = 1, lessen = 4, density = true, prior = PRIOR }) => (s, v) => (gain(s, v) * ((prior[s.kind] || 1) + s.hits) ** hits) / (density ? weight(s, v) : 1) / (v.tick - s.used + 1) ** power / (lessen > 1 && superseded(s, v) ? lessen : 1);
const lru = (s) => s.used;
const kept = value({});

// ---- tables ----

const columns = (cells, width = 13) => cells.map((c) => String(c).padStart(width)).join('');
const round = Math.round;
const FIXED = Object.fromEntries([['n-1', all(last)], ...[64, 128, 256, 512, 1024, 2048, 4096].map((step) => [`n-1, every ${step}`, all(last, spacing(step))])]);

// What the blocks of all prompts weigh, and at most of those that will be asked for again: two readings of "live".
function liveUnits(calls) {
    const everything = simulate(calls, { rule: all(last), score: lru, S: 0 }).peakUnits;
    const tree = new Tree();
    const lastUse = new Map();
    calls.forEach((c, t) => tree.insert(c.tokens, c.tokens.length, t));
    const nodes = [];
    const walk = (node) => node.children.forEach((c) => (nodes.push(c), walk(c)));
    walk(tree.root);
    const born = new Map();
    calls.forEach((c, t) => {
        for (let node = tree.match(c.tokens).node; node && node !== tree.root; node = node.parent) {
            if (!born.has(node)) born.set(node, t);
            lastUse.set(node, t);
        }
    });
    let again = 0;
    for (let t = 0; t < calls.length; t++) again = Math.max(again, nodes.reduce((sum, x) => sum + (born.get(x) <= t && lastUse.get(x) >= t ? x.units.length : 0), 0));
    return { everything, again };
}

function excess(world, options) {
    return simulate(world.calls, options).computed - world.least;
}
const worldOf = (calls) => ({ calls, least: oracle(calls.map((c) => c.tokens)), ...liveUnits(calls) });

function describe(sessions) {
    const calls = interleave(sessions);
    const groups = {};
    const note = (what, lost) => {
        groups[what] = groups[what] || { calls: 0, tokens: 0 };
        groups[what].calls++;
        groups[what].tokens += lost;
    };
    calls.forEach((call, j) => {
        let best = 0;
        let from = null;
        const lcp = (a, b) => {
            let i = 0;
            while (i < a.length && i < b.length && a[i] === b[i]) i++;
            return i;
        };
        let ends = Infinity;
        for (let q = 0; q < j; q++) {
            const m = lcp(call.tokens, calls[q].tokens);
            if (m > best) ends = Infinity;
            if (m >= best && m > 0) {
                best = m;
                from = calls[q];
                ends = Math.min(ends, from.tokens.length - m);
            }
        }
        const n = call.tokens.length;
        const at = !from ? 'nothing known' : best === n ? 'the same prompt again' : ends <= 1 ? 'at n-1 of an earlier prompt' : best === n - 1 ? 'a beginning of an earlier prompt' : best < 500 ? 'a head shared by sessions' : 'inside an earlier prompt, at its last message';
        note(at, best);
    });
    console.log(`\n## calls ${calls.length}, prompt tokens ${calls.reduce((s, c) => s + c.tokens.length, 0)}, oracle ${oracle(calls.map((c) => c.tokens))}`);
    for (const [what, g] of Object.entries(groups)) console.log(`${String(g.calls).padStart(5)} calls, ${String(g.tokens).padStart(7)} tokens known: ${what}`);
}

function ruleTable(world, S, hybrid, rules, scoresToShow, budgets) {
    console.log(`\n## ${hybrid ? 'hybrid' : 'recurrent'}, snapshot = ${S} units; oracle ${world.least}; budgets ${budgets.map(round).join(', ')} units`);
    console.log(' '.repeat(30) + columns(['ratio', 'excess', 'snapshots', ...budgets.flatMap((b, i) => scoresToShow.map(([name]) => `${name}@${i + 1}`))]));
    for (const [name, rule] of Object.entries(rules)) {
        const ample = simulate(world.calls, { rule, score: lru, S, hybrid });
        const tight = budgets.flatMap((budget) => scoresToShow.map(([, score]) => excess(world, { rule, score, S, budget, hybrid })));
        console.log(name.padEnd(30) + columns([(ample.computed / world.least).toFixed(4), ample.computed - world.least, ample.taken, ...tight]));
    }
}

const variant = (options) => all(last, branch, marks(options), geometric(256));
const ABLATION = {
    chosen,
    'without branch points': all(last, marks({}), geometric(256)),
    'without marks': all(last, branch, geometric(256)),
    'without geometric': all(last, branch, marks({})),
    'without marks, geometric': all(last, branch),
    'without n-1': all(branch, marks({}), geometric(256)),
    'geometric from 1024': all(last, branch, marks({}), geometric(1024)),
    'every 2048, not geometric': all(last, branch, marks({}), spacing(2048)),
    'the last 1 mark': variant({ count: 1 }),
    'the last 2 marks': variant({ count: 2 }),
    'the last 8 marks': variant({ count: 8 }),
    'marks with any gap': variant({ gap: 1 }),
    'gap 128': variant({ gap: 128 }),
    'marks 64 before n-1 at least': variant({ tail: 65 }),
    'marks right at the blank line': variant({ early: 0 }),
    'thinned backwards, no geometric': all(last, branch, marksBackward({})),
    'every blank line is a mark': variant({ test: blank }),
};
const EVICTION = {
    lru,
    chosen: kept,
    'age^1.5': value({ power: 1.5 }),
    'age^2': value({ power: 2 }),
    'without hits': value({ hits: 0 }),
    'root of hits': value({ hits: 0.5 }),
    'not lessened when superseded': value({ lessen: 1 }),
    'lessened by 16': value({ lessen: 16 }),
    'without a prior': value({ prior: {} }),
    'not per byte': value({ density: false }),
    'gain alone': value({ power: 0, hits: 0, lessen: 1 }),
};

function evictTable(worlds, weights) {
    console.log('\n## eviction: the chosen rule, excess at +50 %, trace order / mean of the shuffles');
    const cases = weights.flatMap((S) => [true, false].map((hybrid) => ({ S, hybrid })));
    console.log(' '.repeat(30) + columns(cases.map((c) => `${c.hybrid ? 'hybrid' : 'recurrent'} ${c.S}`), 18));
    for (const [name, score] of Object.entries(EVICTION)) {
        const cells = cases.map(({ S, hybrid }) => {
            const found = worlds.map((w) => excess(w, { rule: chosen, score, S, hybrid, budget: 1.5 * w.everything }));
            return `${found[0]} / ${round(found.slice(1).reduce((a, b) => a + b) / (found.length - 1))}`;
        });
        console.log(name.padEnd(30) + columns(cells, 18));
    }
}

// Does it hold in other orders and without each of the files? The bar is half of the best fixed rule, whichever eviction suits that one better.
function orderTable(sessions, weights) {
    const worlds = { 'trace order': interleave(sessions) };
    for (let seed = 1; seed <= 6; seed++) worlds[`shuffle ${seed}`] = shuffled(sessions, seed);
    for (const s of sessions) worlds[`without ${s.name}`] = interleave(sessions.filter((x) => x !== s));
    console.log('\n## other orders and parts: ratio with ample memory; at +50 %: excess of the chosen rules, of the best fixed rule under LRU / under our eviction');
    const cases = weights.flatMap((S) => [true, false].map((hybrid) => ({ S, hybrid })));
    console.log(' '.repeat(38) + columns(['ratio', ...cases.map((c) => `${c.hybrid ? 'hyb' : 'rec'} ${c.S}`)], 26));
    for (const [name, calls] of Object.entries(worlds)) {
        const w = worldOf(calls);
        const cells = cases.map(({ S, hybrid }) => {
            const options = { S, hybrid, budget: 1.5 * w.everything };
            const best = (score) => Math.min(...Object.values(FIXED).map((rule) => excess(w, { rule, score, ...options })));
            return `${excess(w, { rule: chosen, score: kept, ...options })} of ${best(lru)} / ${best(kept)}`;
        });
        console.log(name.padEnd(38) + columns([(simulate(w.calls, { rule: chosen, score: lru, S: 0 }).computed / w.least).toFixed(4), ...cells], 26));
    }
}

// The worst case of a snapshot at the end of generation: these traces never go on with what was generated.
function endTable(world, weights) {
    console.log('\n## 128 units generated per call, never continued: excess at +50 %, hybrid');
    console.log(' '.repeat(38) + columns(weights));
    const rows = { 'no snapshot at the end': [false, 1], 'taken, prior 1': [true, 1], 'taken, prior 1/2': [true, 1 / 2], 'taken, prior 1/16': [true, 1 / 16] };
    for (const [name, [atEnd, end]] of Object.entries(rows)) {
        const score = value({ prior: { ...PRIOR, end } });
        console.log(name.padEnd(38) + columns(weights.map((S) => excess(world, { rule: chosen, score, S, generated: 128, atEnd, budget: 1.5 * (world.everything + 128 * world.calls.length) }))));
    }
}

// Block traces carry no text: only n-1, branch points and distances. A block is a unit; one more stands for the rest behind the last full block.
function blockWorlds() {
    const read = (name) => fs.readFileSync(path.join(args.traces, name), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
    let unique = 2 ** 40;
    const sessions = read('claude-code.jsonl').map((s, k) => {
        const shared = Math.floor((s.tool_tokens + s.system_tokens) / 64);
        const calls = [];
        const add = (r) => {
            if (r.subagent) r.subagent.forEach(add);
            if (!r.blocks) return;
            const ids = r.blocks.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i));
            calls.push({ t: r.t, tokens: [...ids.map((id, i) => (i < shared && id <= shared ? `${s.tool_tokens} ${s.system_tokens} ${id}` : `${k}: ${id}`)), unique++] });
        };
        s.requests.forEach(add);
        return { name: s.id, calls: calls.sort((a, b) => a.t - b.t) };
    });
    const some = (seed) => {
        const draw = random(seed);
        return shuffled(sessions.filter((s) => s.calls.length < 60).map((s) => [draw(), s]).sort((a, b) => a[0] - b[0]).slice(0, 12).map(([, s]) => s), seed);
    };
    return { 'claude-code, 12 sessions (1)': [some(1), 64], 'claude-code, 12 sessions (2)': [some(2), 64], 'mooncake, 1500 calls': [read('mooncake-conversation.jsonl').slice(0, 1500).map((r) => ({ tokens: r.hash_ids })), 512] };
}

function blockTable(S) {
    const rules = (block) => ({ 'n-1': all(last), 'n-1, branch': all(last, branch), 'n-1, every 1024': all(last, spacing(1024 / block)), 'n-1, every 4096': all(last, spacing(4096 / block)), chosen: all(last, branch, geometric(Math.max(1, 256 / block))) });
    for (const [name, [calls, block]] of Object.entries(blockWorlds())) {
        const w = { calls, least: oracle(calls.map((c) => c.tokens)) };
        w.everything = simulate(calls, { rule: all(last), score: lru, S: 0 }).peakUnits;
        console.log(`\n${name}: blocks of ${block} tokens`);
        ruleTable(w, round(S / block), true, rules(block), [['lru', lru], ['ours', kept]], name.startsWith('moon') ? [0.4 * w.everything] : [0.8 * w.everything, 1.5 * w.everything]);
    }
}

async function main() {
    if (!fs.existsSync(args.traces)) return console.log(`skipped: no traces in ${args.traces}`);
    const tables = new Set(args.tables.split(','));
    const weights = args.weights.split(',').map(Number);
    const sessions = await readSessions();
    const world = worldOf(interleave(sessions));
    if (tables.has('describe')) describe(sessions);
    const budgets = [1.5 * world.everything, 1.5 * world.again];
    if (tables.has('rules')) {
        console.log(`\nlive blocks: ${world.everything} units in all; ${world.again} at most that will be asked for again. Budget 1 and 2: each plus 50 %`);
        for (const S of weights) for (const hybrid of [true, false]) ruleTable(world, S, hybrid, { ...FIXED, chosen }, [['lru', lru], ['ours', kept]], budgets);
    }
    if (tables.has('ablate')) for (const S of weights) ruleTable(world, S, true, ABLATION, [['ours', kept]], budgets);
    if (tables.has('evict')) evictTable([world, ...[1, 2, 3, 4, 5, 6].map((seed) => worldOf(shuffled(sessions, seed)))], weights);
    if (tables.has('orders')) orderTable(sessions, weights);
    if (tables.has('end')) endTable(world, weights);
    if (tables.has('blocks')) blockTable(weights[0]);
}

if (require.main === module) {
    main().catch((error) => {
        console.error(error.message);
        process.exitCode = 2;
    });
}
module.exports = { simulate, random, readSessions, interleave, shuffled, oracle, Tree, worldOf, last, spacing, branch, geometric, marks, head, blank, all, chosen, kept, lru, value, gain, weight, superseded, FIXED, excess };
