// SPDX-License-Identifier: MIT
//
// bench/agents.js - agent sessions, call by call in turn, on ONE slot with context for one of them: how many prompt tokens are computed,
// against the oracle (an unlimited exact prefix cache), and whether the answers are those of a server without a cache.
//
//   node bench/agents.js [--traces DIR] [--kind KIND | --model FILE] [--model-args "--kv-heads 4 ..."] [--share 0.25]... [--live 1.5]... [--bytes N]...
//                        [--calls N] [--threads 2] [--counts]
//
// First with ample memory, then with less: for each --share S with S of all bytes which that took, for each --live F with F times the bytes of the
// blocks alone, without their snapshots, for each --bytes N with so many. --counts: only what is computed, no judgement of the answers.
// What fixed rules for snapshots would compute is in bench/snapshots.js. llama-server's figures stand beside them once `make peer` has built it.
// Answers are judged as tests/support/judge.js says; the noise is that between two servers without a cache, one with batches too short for equal bits.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { compare, forbidden, allowed, metric } = require('../tests/support/judge.js');
const { oracle } = require('../tests/support/oracle.js');
const { start, makeModel, root } = require('../tests/support/server.js');
const { tokenize } = require('./lib/play.js');
const { readCalls } = require('./lib/traces.js');

const { values: args } = parseArgs({ options: { traces: { type: 'string', default: path.join(root, '../shared/traces/agents') }, kind: { type: 'string', default: 'dense' }, share: { type: 'string', multiple: true, default: [] }, live: { type: 'string', multiple: true, default: [] }, bytes: { type: 'string', multiple: true, default: [] }, calls: { type: 'string' }, model: { type: 'string' }, 'model-args': { type: 'string' }, threads: { type: 'string', default: '2' }, counts: { type: 'boolean', default: false } } });
// Of the oracle, with ample memory. A recurrent model can only be taken up where somebody thought of it.
const BARS = { dense: 1.05, moe: 1.05, swa: 1.05 };
const N_PREDICT = 12;
const N_PROBS = 8;

// llama-server from `make peer`, if it is built.
const PEER = path.join(root, 'build/peer/bin/llama-server');

async function run(model, serverArgs, prompts, log, options) {
    const server = await start(['-m', model, '-np', '1', ...serverArgs], options);
    const answers = [];
    for (const [i, prompt] of prompts.entries()) {
        answers.push(await server.ask('/completion', { prompt, n_predict: N_PREDICT, n_probs: N_PROBS, temperature: 0, ignore_eos: true, return_tokens: true }));
        if (process.stderr.isTTY) process.stderr.write(`\r${log} ${i + 1}/${prompts.length}  `);
    }
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    const metrics = (await server.get('/metrics')).text;
    const rss = server.peakRssBytes();
    await server.stop();
    return { answers, metrics, rss };
}

async function peer(name, model, serverArgs, prompts, least) {
    if (!fs.existsSync(PEER)) return console.log('llama-server: not built (make peer)');
    const { answers } = await run(model, serverArgs, prompts, 'llama-server', { program: PEER });
    const computed = computedOf(answers);
    console.log(`llama-server, ${name}: computed ${computed}, ratio ${(computed / least).toFixed(4)}`);
}

const computedOf = (answers) => answers.reduce((sum, a) => sum + a.timings.prompt_n, 0);

// One run with a cache against the runs without: prints, and tells whether it is good.
function judge(name, judged, { calls, asked, least, context, plain, noise }, ratioBar) {
    const computed = computedOf(judged.answers);
    const sum = (tier) => judged.answers.reduce((n, a) => n + a.timings.cache[tier], 0);
    const peak = metric(judged.metrics, 'warmslot_cache_budget_peak_bytes');
    const limit = metric(judged.metrics, 'warmslot_cache_budget_bytes');
    console.log(`\n${name}: calls ${calls}, prompt tokens ${asked}, context ${context}, one slot`);
    console.log(`computed ${computed}, oracle ${least}, ratio ${(computed / least).toFixed(4)} (device ${sum('device')}, ram ${sum('ram')})`);
    const count = (what) => metric(judged.metrics, `warmslot_cache_${what}`);
    console.log(`accounting: peak ${peak} of ${limit} bytes (${(peak / limit).toFixed(4)}); snapshots ${count('snapshots')}, windows ${count('windows')}; evicted blocks ${count('evicted_total')}, snapshots ${count('snapshots_evicted_total')}, windows ${count('windows_evicted_total')}`);
    const kept = peak <= limit && computed / least <= ratioBar;
    if (!plain) return kept;
    const result = compare(plain.answers, judged.answers);
    const over = judged.rss - plain.rss;
    console.log(`answers: largest difference of a log probability ${result.largest.toFixed(5)}, noise ${noise.largest.toFixed(5)}: x ${(result.largest / noise.largest).toFixed(2)}, allowed 4`);
    console.log(`answers that part from the reference: ${result.parted.length} (of two servers without a cache: ${noise.parted.length}), not near a tie: ${forbidden(result, noise.largest).length}`);
    for (const p of result.parted) console.log(`  call ${p.call} token ${p.token}: the best two are apart by ${p.margin.toFixed(5)}`);
    console.log(`RSS: peak ${over} bytes above the run without a cache; 1.03 x budget + 16 MiB is ${Math.round(1.03 * limit + 2 ** 24)}`);
    return kept && allowed(result, noise.largest) && over <= 1.03 * limit + 2 ** 24;
}

async function main() {
    if (!fs.existsSync(args.traces)) return console.log(`skipped: no traces in ${args.traces}`);
    const model = args.model || makeModel(args.kind, args['model-args'] ? args['model-args'].split(' ') : []);
    const calls = readCalls(args.traces).slice(0, args.calls ? Number(args.calls) : undefined);
    const prompts = await tokenize(model, calls);
    const context = Math.ceil((Math.max(...prompts.map((p) => p.length)) + N_PREDICT + 64) / 256) * 256;
    const base = ['-c', String(context), '--metrics', '-t', args.threads];

    const none = ['--no-cache-prompt', '--cache-ram', '0'];
    const plain = args.counts ? null : await run(model, [...base, ...none], calls, 'no cache');
    const short = args.counts ? null : await run(model, [...base, ...none, '-ub', '32'], calls, 'no cache, short batches');
    const about = { calls: calls.length, asked: prompts.reduce((sum, p) => sum + p.length, 0), least: oracle(prompts), context, plain, noise: plain && compare(plain.answers, short.answers) };
    const ample = await run(model, base, calls, 'ample memory');
    let good = judge(`${args.kind}, ample memory`, ample, about, BARS[args.kind] || 1.1);
    await peer('ample memory', model, base, calls, about.least);
    const used = metric(ample.metrics, 'warmslot_cache_budget_used_bytes');
    const live = metric(ample.metrics, 'warmslot_cache_bytes{kind="pieces"}') + metric(ample.metrics, 'warmslot_cache_bytes{kind="index"}');
    console.log(`all that was kept ${used} bytes, blocks alone ${live} bytes`);
    const less = [...args.share.map((s) => [`${s} of all`, used * Number(s)]), ...args.live.map((s) => [`${s} of the blocks alone`, live * Number(s)]), ...args.bytes.map((s) => [`${s} bytes`, Number(s)])];
    for (const [name, bytes] of less) {
        const mib = Math.max(1, Math.round(bytes / 2 ** 20));
        const tight = await run(model, [...base, '--cache-ram', String(mib)], calls, `${mib} MiB`);
        good = judge(`${args.kind}, ${name}, --cache-ram ${mib}`, tight, about, Infinity) && good;
        await peer(`--cache-ram ${mib}`, model, [...base, '--cache-ram', String(mib)], calls, about.least);
    }
    process.exitCode = good ? 0 : 1;
}

main().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
});
