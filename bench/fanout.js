// SPDX-License-Identifier: MIT
//
// bench/fanout.js - agents that start together with one long prompt that nobody has computed yet: how many tokens are computed, and when each gets
// its first one, for each kind of model.
//
//   node bench/fanout.js [--kind KIND]... [--n N]... [--prefix 6000] [--suffix 200] [--predict 8] [--threads 2] [--runs 3] [--no-peer]
//
// Each request is the common prefix and a suffix of its own of about --suffix tokens. Nothing is known when they come; every run has other tokens.
//   together    n requests at the same moment.                            Bars: computed, first tokens
//   elsewhere   each leaves the prefix at another place.                  Bar: computed
//   staggered   they come one after the other while the first computes.   Bar: computed
//   cancelled   together, and the first one leaves half-way.              Bar: computed
// Computed: at most 1.03 x the oracle (an unlimited exact prefix cache: one prefill and the suffixes). What a client that left had computed alone is
// not held against anybody. First tokens: each at most 1.1 x the time of the first request's prompt alone, plus the time of all suffixes. Both
// times are measured on the same server without its cache, run by run: the first prompt by itself, and a prompt of the prefix and all
// suffixes in a row, of which the time from the end of the prefix on counts. What the bound would be with the time that the first request has among
// the others stands behind it ("among") and judges nothing. Times are those of --runs runs that are the medians of their worst
// distance from the bound. llama-server's figures stand beside them once `make peer` has built it, one run, up to 4 at once unless --n says otherwise.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { metric } = require('../tests/support/judge.js');
const { oracle } = require('../tests/support/oracle.js');
const { start, makeModel, tokens, root } = require('../tests/support/server.js');

const { values: args } = parseArgs({ options: { kind: { type: 'string', multiple: true, default: ['dense', 'moe', 'swa', 'recurrent', 'hybrid', 'hybrid-ssm', 'hybrid-swa'] }, n: { type: 'string', multiple: true }, prefix: { type: 'string', default: '6000' }, suffix: { type: 'string', default: '200' }, predict: { type: 'string', default: '8' }, threads: { type: 'string', default: '2' }, runs: { type: 'string', default: '3' }, 'no-peer': { type: 'boolean', default: false } } });
const [prefix, suffix, predict, runs] = [args.prefix, args.suffix, args.predict, args.runs].map(Number);
const counts = (args.n || ['4', '16']).map(Number);
const COMPUTED_BAR = 1.03;
const FIRST_BAR = 1.1;
// Where a kind's model is so small that a prefix takes no time worth speaking of, a larger one.
const SHAPES = { recurrent: ['--layers', '8', '--embd', '256'], hybrid: ['--layers', '8', '--embd', '128'], 'hybrid-ssm': ['--embd', '128'], 'hybrid-swa': ['--layers', '8', '--embd', '128'] };
const PEER = path.join(root, 'build/peer/bin/llama-server');
const PEER_MOST = 4;

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// n prompts; leave(i) is where the i-th one leaves the prefix. Lengths of suffixes differ by up to half.
let seed = 0;
function makePrompts(n, leave) {
    const common = tokens(prefix, ++seed);
    return Array.from({ length: n }, (_, i) => [...common.slice(0, leave(i)), ...tokens(suffix + Math.round(suffix * (((i * 7) % 11) - 5) / 10), ++seed)]);
}

const body = (prompt, more) => ({ prompt, n_predict: predict, temperature: 0, ignore_eos: true, ...more });

// One request: when it was sent, when its first token came, when it ended. Both in ms of one clock.
async function request(server, prompt, more = {}, onEvent = () => {}) {
    const r = { sent: performance.now(), progress: [] };
    const answer = await server.stream('/completion', body(prompt, more), {
        signal: more.signal,
        onEvent: (event) => {
            if (event.prompt_progress) r.progress.push({ at: performance.now() - r.sent, n: event.prompt_progress.processed });
            else r.first ??= performance.now() - r.sent;
            onEvent(event);
        },
    }).catch((error) => {
        if (!more.signal?.aborted) throw error;
    });
    if (answer && answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
    return r;
}

const computedSoFar = async (server) => metric((await server.get('/metrics')).text, 'llamacpp:prompt_tokens_total');

// What the bound is made of: the time of the first prompt alone, and that of all suffixes, without a cache.
async function alone(server, prompts) {
    const first = await request(server, prompts[0], { cache_prompt: false });
    const row = [...prompts[0], ...prompts.slice(1).flatMap((p) => p.slice(prefix))];
    const all = await request(server, row, { cache_prompt: false, return_progress: true });
    // Progress comes batch by batch: where the prefix ends lies between two of them.
    const after = all.progress.findIndex((p) => p.n >= prefix);
    const before = all.progress[after - 1] || { at: 0, n: 0 };
    const at = before.at + (all.progress[after].at - before.at) * (prefix - before.n) / (all.progress[after].n - before.n);
    return { prefill: first.first, suffixes: all.first - at };
}

// Sends all of them, the i-th one at delay(i) ms; cancel: the first one leaves when so many of its tokens are computed.
async function fanOut(server, prompts, { delay = () => 0, cancel } = {}) {
    const before = await computedSoFar(server);
    const leave = new AbortController();
    const began = performance.now();
    const all = await Promise.all(prompts.map(async (prompt, i) => {
        if (delay(i)) await sleep(delay(i) - (performance.now() - began));
        if (i || !cancel) return request(server, prompt);
        return request(server, prompt, { return_progress: true, signal: leave.signal }, (event) => event.prompt_progress?.processed >= cancel && leave.abort());
    }));
    const computed = await computedSoFar(server) - before;
    return { computed, least: oracle(prompts), first: all[0].first, firsts: all.map((r) => r.first).filter((at) => at !== undefined).sort((a, b) => a - b) };
}

const scenarios = [
    { name: 'together', bound: true, leave: () => prefix },
    { name: 'elsewhere', leave: (i, n) => Math.round(prefix * (1 - 0.75 * i / n)) },
    { name: 'staggered', leave: () => prefix, delay: (i, n, ms) => 0.8 * ms * i / n },
    { name: 'cancelled', leave: () => prefix, cancel: prefix / 2 },
];

function serverArgs(model, n, context) {
    return ['-m', model, '-np', String(n), '-c', String(context), '-t', args.threads, '--metrics', '--no-warmup'];
}

// The cells of a fan-out, and of all suffixes in a row; what a slot may still generate is kept free for each.
const contextOf = (n) => Math.ceil((prefix + n * (1.5 * suffix + 256) + 512) / 256) * 256;

const row = (cells) => console.log(cells.map((cell, i) => String(cell).padStart([10, 3, 11, 9, 8, 7, 12, 8, 8, 8, 9, 9, 8][i])).join(' '));
const ms = (x) => x === undefined ? '-' : x.toFixed(0);

function print(kind, n, name, run, base, verdict) {
    const bound = base.bound && FIRST_BAR * base.prefill + base.suffixes;
    const among = base.bound && FIRST_BAR * run.first + base.suffixes;
    row([kind, n, name, run.computed, run.least, (run.computed / run.least).toFixed(3), ms(base.prefill), ms(run.firsts[0]), ms(median(run.firsts)), ms(run.firsts.at(-1)), ms(bound), ms(among), verdict]);
}

// One scenario: runs of it, of which the one with the median distance from its bound is printed.
async function measure(server, kind, n, scenario, base) {
    const results = [];
    for (let i = 0; i < (scenario.bound ? runs : 1); i++) {
        const prompts = makePrompts(n, (k) => scenario.leave(k, n));
        if (scenario.bound) base = { ...await alone(server, prompts), bound: true };
        const run = await fanOut(server, prompts, { delay: scenario.delay && ((k) => scenario.delay(k, n, base.prefill)), cancel: scenario.cancel });
        const worst = run.firsts.at(-1) / (FIRST_BAR * base.prefill + base.suffixes);
        results.push({ run, base, worst });
    }
    results.sort((a, b) => a.worst - b.worst);
    const { run, base: its, worst } = results[results.length >> 1];
    const computed = Math.max(...results.map((r) => r.run.computed / r.run.least));
    const good = computed <= COMPUTED_BAR && (!scenario.bound || worst <= 1);
    print(kind, n, scenario.name, run, scenario.bound ? its : { prefill: its.prefill }, good ? 'ok' : 'MISSED');
    return { good, base: its };
}

async function peer(model, kind, n) {
    if (args['no-peer'] || !fs.existsSync(PEER)) return;
    // Unified, as it is without -np: otherwise each slot has a share of the context. Each sequence needs cells for all that it computes.
    const server = await start([...serverArgs(model, n, 256 * Math.ceil(n * (prefix + 2 * suffix + 64) / 256)), '-kvu'], { program: PEER });
    const prompts = makePrompts(n, () => prefix);
    const before = await computedSoFar(server);
    const first = await request(server, prompts[0], { cache_prompt: false });
    const alone = await computedSoFar(server) - before;
    const run = await fanOut(server, makePrompts(n, () => prefix));
    if (alone !== prompts[0].length) throw new Error(`llama-server counts ${alone} tokens of ${prompts[0].length}`);
    print(kind, n, 'llama-server', run, { prefill: first.first }, '');
    await server.stop();
}

async function main() {
    let good = true;
    console.log(`prefix ${prefix}, suffixes about ${suffix}, generated ${predict}, threads ${args.threads}; times in ms`);
    row(['kind', 'n', '', 'computed', 'oracle', 'ratio', 'first alone', 'first', 'median', 'last', 'bound', 'among', '']);
    for (const kind of args.kind) {
        const model = makeModel(kind, ['--vocab', 'phi-3', ...(SHAPES[kind] || [])]);
        for (const n of counts) {
            const server = await start(serverArgs(model, n, contextOf(n)));
            await request(server, tokens(1000, ++seed), { cache_prompt: false });
            let base;
            for (const scenario of scenarios) {
                const result = await measure(server, kind, n, scenario, base);
                base = result.base;
                good &&= result.good;
            }
            await server.stop();
            if (n <= PEER_MOST || args.n) await peer(model, kind, n);
        }
    }
    process.exitCode = good ? 0 : 1;
}

main().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
});
