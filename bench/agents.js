// SPDX-License-Identifier: MIT
//
// bench/agents.js - agent sessions, call by call in turn, on ONE slot with context for one of them: how many prompt tokens are computed,
// against the oracle (an unlimited exact prefix cache), and whether the answers are those of a server without a cache.
//
//   node bench/agents.js [--traces DIR] [--share 0.25] [--calls N] [--model FILE] [--json FILE]
//
// --share S: --cache-ram is S of the bytes that the blocks of the whole run need (measured first); without it, memory is ample.
// Answers are judged as the design's test (c) says: two servers without a cache, one with batches too short for equal bits, show the noise of this model;
// up to the first token that differs both runs were given the same tokens, so a free run is teacher-forced that far. The largest difference of a log
// probability must stay within 4 x the noise, and a token may differ only where the reference's best two are closer than twice that noise.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { start, makeModel, root } = require('../tests/support/server.js');

const { values: args } = parseArgs({ options: { traces: { type: 'string', default: path.join(root, '../shared/traces/agents') }, share: { type: 'string' }, calls: { type: 'string' }, model: { type: 'string' }, json: { type: 'string' } } });
const N_PREDICT = 12;
const N_PROBS = 8;

function readCalls() {
    const files = fs.readdirSync(args.traces).filter((name) => name.endsWith('.jsonl')).sort();
    const sessions = files.map((name) => fs.readFileSync(path.join(args.traces, name), 'utf8').trim().split('\n').map((line) => JSON.parse(line).input));
    const calls = [];
    for (let i = 0; sessions.some((session) => i < session.length); i++) {
        for (const session of sessions) if (i < session.length && session[i]) calls.push(session[i]);
    }
    return args.calls ? calls.slice(0, Number(args.calls)) : calls;
}

// The fewest tokens that any server must compute: what no earlier prompt began with, and always the last one.
function oracle(prompts) {
    const tree = new Map();
    let sum = 0;
    for (const tokens of prompts) {
        let node = tree;
        let known = 0;
        tokens.forEach((token, i) => {
            if (node.has(token)) {
                if (known === i) known++;
            } else {
                node.set(token, new Map());
            }
            node = node.get(token);
        });
        sum += Math.max(1, tokens.length - known);
    }
    return sum;
}

async function run(model, serverArgs, prompts, log) {
    const server = await start(['-m', model, '-np', '1', ...serverArgs]);
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

const computedOf = (answers) => answers.reduce((sum, a) => sum + a.timings.prompt_n, 0);
const metric = (text, name) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? NaN);

// Largest difference of a log probability while the tokens agree, and the places where they part.
function compare(reference, other) {
    let largest = 0;
    const parted = [];
    reference.forEach((ref, call) => {
        const probs = ref.completion_probabilities;
        for (let i = 0; i < probs.length; i++) {
            const theirs = other[call].completion_probabilities[i];
            if (!theirs) break;
            const known = new Map(theirs.top_logprobs.map((p) => [p.id, p.logprob]));
            for (const p of probs[i].top_logprobs) if (known.has(p.id)) largest = Math.max(largest, Math.abs(known.get(p.id) - p.logprob));
            if (theirs.id !== probs[i].id) {
                // What is likelier than the chosen one is forbidden (the end of text): the best two are the chosen one and what follows it.
                const next = probs[i].top_logprobs.find((p) => p.id !== probs[i].id && p.logprob <= probs[i].logprob);
                parted.push({ call, token: i, margin: next ? probs[i].logprob - next.logprob : Infinity });
                break;
            }
        }
    });
    return { largest, parted };
}

async function main() {
    const model = args.model || makeModel('dense');
    const calls = readCalls();
    const tokenizer = await start(['-m', model, '-c', '512', '-np', '1', '--cache-ram', '0']);
    const prompts = [];
    for (const content of calls) prompts.push((await tokenizer.ask('/tokenize', { content, add_special: true, parse_special: true })).tokens);
    await tokenizer.stop();
    const asked = prompts.reduce((sum, p) => sum + p.length, 0);
    const least = oracle(prompts);
    const context = Math.ceil((Math.max(...prompts.map((p) => p.length)) + N_PREDICT + 64) / 256) * 256;
    const base = ['-c', String(context), '--metrics'];

    const cached = await run(model, [...base], calls, 'ample');
    let judged = cached;
    let budgetMiB;
    if (args.share) {
        const need = metric(cached.metrics, 'warmslot_cache_budget_used_bytes');
        budgetMiB = Math.max(1, Math.round((need * Number(args.share)) / 2 ** 20));
        judged = await run(model, [...base, '--cache-ram', String(budgetMiB)], calls, `${budgetMiB} MiB`);
    }
    const plain = await run(model, [...base, '--no-cache-prompt', '--cache-ram', '0'], calls, 'no cache');
    const split = await run(model, [...base, '--no-cache-prompt', '--cache-ram', '0', '-ub', '32'], calls, 'no cache, short batches');
    const noise = compare(plain.answers, split.answers);
    const result = compare(plain.answers, judged.answers);
    const computed = computedOf(judged.answers);
    const exceptions = result.parted.filter((p) => p.margin >= 2 * noise.largest);
    const report = {
        calls: calls.length, prompt_tokens: asked, context, oracle: least, computed, ratio: computed / least,
        device: judged.answers.reduce((sum, a) => sum + a.timings.cache.device, 0), ram: judged.answers.reduce((sum, a) => sum + a.timings.cache.ram, 0),
        noise: noise.largest, noise_parted: noise.parted.length, difference: result.largest, parted: result.parted, forbidden: exceptions.length,
        used_bytes: metric(judged.metrics, 'warmslot_cache_budget_used_bytes'), peak_bytes: metric(judged.metrics, 'warmslot_cache_budget_peak_bytes'), limit_bytes: metric(judged.metrics, 'warmslot_cache_budget_bytes'),
        rss_bytes: judged.rss, rss_without_bytes: plain.rss, budget_mib: budgetMiB,
    };
    console.log(`calls ${report.calls}, prompt tokens ${asked}, context ${context}, one slot${budgetMiB ? `, --cache-ram ${budgetMiB}` : ''}`);
    console.log(`computed ${computed}, oracle ${least}, ratio ${report.ratio.toFixed(4)} (device ${report.device}, ram ${report.ram})`);
    console.log(`without a cache ${computedOf(plain.answers)}`);
    console.log(`answers: largest difference ${result.largest.toFixed(5)}, noise ${noise.largest.toFixed(5)} (x ${(result.largest / noise.largest).toFixed(2)}, allowed 4)`);
    console.log(`tokens parted in ${result.parted.length} of ${calls.length} answers (two servers without a cache: ${noise.parted.length}), ${exceptions.length} of them not near a tie`);
    for (const p of result.parted) console.log(`  call ${p.call} token ${p.token}: best two apart by ${p.margin.toFixed(5)}`);
    console.log(`accounting: peak ${report.peak_bytes} of ${report.limit_bytes} bytes; RSS peak ${judged.rss - plain.rss} bytes over the run without a cache`);
    if (args.json) fs.writeFileSync(args.json, JSON.stringify(report, null, 1));
    const good = exceptions.length === 0 && result.largest <= 4 * noise.largest && report.peak_bytes <= report.limit_bytes && (args.share || report.ratio <= 1.05);
    process.exitCode = good ? 0 : 1;
}

main().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
});
