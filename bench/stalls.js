// SPDX-License-Identifier: MIT
//
// bench/stalls.js - how long a running stream is left waiting while others are served, and how long a request waits behind a large
// conversation: warmslot, and llama-server beside it (make peer), the same models and flags, one after the other.
//
//   node bench/stalls.js [--threads N] [--slice-ms 100] [--only warmslot] [--json FILE]
//
// The stream is an answer over SSE with a token an event; a gap is the time between two events at the client. Four cases:
//   alone   nothing else happens
//   swap    conversations of 5000 and 2000 tokens at 128 KiB a token are asked for in turn; the context holds one of them beside the stream,
//           so that each comes from host memory and the other one goes. Also `there`: one is asked for that is still in the context, which is
//           what computing for it costs the stream without any swap
//   cold    a prompt of 5000 tokens that nobody has seen, on another, smaller model
//   after   a request of 64 tokens right behind the large conversation, against the same while nothing happens, in alternation
// Status 0: warmslot's longest gap is at most 5 x its median or 50 ms (swap), twice --prefill-slice-ms or the time of a 64-token chunk (cold),
// and the request's first token comes within 1.2 x of its time on an idle server (after).
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { root, binary, start, makeModel, tokens } = require('../tests/support/server.js');

const options = { threads: { type: 'string', default: String(os.availableParallelism()) }, 'slice-ms': { type: 'string', default: '100' }, only: { type: 'string' }, json: { type: 'string' }, stream: { type: 'string', default: '1000' } };
const { values: args } = parseArgs({ options });
const PEER = process.env.PEER || path.join(root, 'build/peer/bin/llama-server');

// 8 layers x 64 heads x 64 x 2 (keys, values) x 2 bytes = 128 KiB a token, in a small vocabulary: as little beside attention as there can be.
const FAT = ['--layers', '8', '--heads', '64', '--kv-heads', '64', '--embd', '64', '--ff', '32', '--type', 'q8_0', '--vocab', 'phi-3'];
const SMALL = ['--layers', '8', '--heads', '8', '--kv-heads', '2', '--embd', '512', '--ff', '1536', '--type', 'q8_0', '--vocab', 'phi-3'];
const LARGE = 5000;
const OTHER = 2000;
const STREAM = Number(args.stream);
const CONTEXT = Math.floor((STREAM + LARGE + OTHER + 256) / 256) * 256; // the stream and one of the two, not both
const ALONE = 100;
const REPEATS = 5;

const sorted = (list) => [...list].sort((a, b) => a - b);
const median = (list) => sorted(list)[list.length >> 1];
const ms = (x) => `${x.toFixed(x < 10 ? 2 : 1)} ms`;

// Runs a stream until `during`, called when it is under way, is over; gives the gaps of that time.
async function gapsWhile(server, nPrompt, during) {
    const stamps = [];
    const abort = new AbortController();
    let underWay;
    const begun = new Promise((resolve) => (underWay = resolve));
    const body = { prompt: tokens(nPrompt, 900), n_predict: -1, ignore_eos: true, temperature: 0 };
    const onEvent = () => stamps.push(performance.now()) === 10 && underWay();
    const stream = server.stream('/completion', body, { onEvent, signal: abort.signal }).catch((error) => {
        if (error.name !== 'AbortError') throw error;
    });
    await Promise.race([begun, stream]);
    const parts = await during(stamps);
    abort.abort();
    await stream;
    return parts;
}

const ask = (server, n, seed, nPredict = 1) => server.ask('/completion', { prompt: tokens(n, seed), n_predict: nPredict, ignore_eos: true, temperature: 0 });

// The gaps that end while `action` runs, or one event later: what it delayed.
async function gapsOf(stamps, action) {
    const from = stamps.length;
    await action();
    const after = stamps.length + 2;
    while (stamps.length < after) await new Promise((resolve) => setTimeout(resolve, 5));
    return stamps.slice(from).map((t, i) => t - stamps[from + i - 1]);
}

const events = (stamps, n) => gapsOf(stamps, async () => {
    for (const to = stamps.length + n; stamps.length < to; ) await new Promise((resolve) => setTimeout(resolve, 5));
});

// Milliseconds to the first token of an answer.
async function firstToken(server, n, seed) {
    const begin = performance.now();
    let first;
    await server.stream('/completion', { prompt: tokens(n, seed), n_predict: 1, ignore_eos: true, temperature: 0 }, { onEvent: () => (first ??= performance.now() - begin) });
    return first;
}

const idle = () => new Promise((resolve) => setTimeout(resolve, 500));

async function measureSwaps(program, model) {
    const server = await start(['-m', model, '-np', '2', '-kvu', '-c', String(CONTEXT), '-t', args.threads, '--cache-ram', '4096'], { program, waitMs: 120000 });
    const out = {};
    await ask(server, LARGE, 1);
    await ask(server, OTHER, 2);
    const loads = [];
    await gapsWhile(server, STREAM, async (stamps) => {
        await ask(server, OTHER, 2);
        out.alone = await events(stamps, ALONE);
        out.swap = [];
        for (let i = 0; i < 2; i++) {
            for (const [n, seed] of [[LARGE, 1], [OTHER, 2]]) {
                const begin = performance.now();
                let answer;
                out.swap.push(...await gapsOf(stamps, async () => (answer = await ask(server, n, seed))));
                loads.push({ n, ms: performance.now() - begin, computed: answer.timings.prompt_n });
            }
        }
        await ask(server, LARGE, 1);
        out.there = await gapsOf(stamps, () => ask(server, LARGE, 1));
    });
    out.after = { busy: [], quiet: [] };
    for (let i = 0; i < REPEATS; i++) {
        await ask(server, LARGE, 1);
        out.after.busy.push(await firstToken(server, 64, 100 + i));
        await ask(server, OTHER, 2); // the next time, the large one has to come back
        await idle();
        out.after.quiet.push(await firstToken(server, 64, 200 + i));
    }
    await server.stop();
    return { ...out, loads };
}

async function measureCold(program, model, extra) {
    const server = await start(['-m', model, '-np', '2', '-kvu', '-c', '8192', '-t', args.threads, ...extra], { program });
    const chunk = [];
    for (let i = 0; i < 5; i++) chunk.push((await ask(server, 64, 300 + i)).timings.prompt_ms);
    let gaps;
    await gapsWhile(server, 64, async (stamps) => {
        await events(stamps, ALONE);
        gaps = await gapsOf(stamps, () => ask(server, LARGE, 3));
    });
    await server.stop();
    return { cold: gaps, chunk: median(chunk) };
}

function histogram(gaps) {
    const counts = new Map();
    for (const gap of gaps) {
        const bin = Math.ceil(Math.log2(Math.max(gap, 0.5)));
        counts.set(bin, (counts.get(bin) ?? 0) + 1);
    }
    return [...counts].sort((a, b) => a[0] - b[0]).map(([bin, n]) => `<${2 ** bin}:${n}`).join(' ');
}

function report(name, gaps) {
    const order = sorted(gaps);
    const p99 = order[Math.min(order.length - 1, Math.floor(order.length * 0.99))];
    console.log(`  ${name.padEnd(6)} ${String(gaps.length).padStart(4)} gaps   median ${ms(median(gaps))}   p99 ${ms(p99)}   longest ${ms(order.at(-1))}   by ms ${histogram(gaps)}`);
}

function judge(what, value, bar) {
    console.log(`  ${value <= bar ? 'holds ' : 'BROKEN'} ${what}: ${value.toFixed(value < 10 ? 2 : 1)}, at most ${bar.toFixed(bar < 10 ? 2 : 1)}`);
    return value <= bar;
}

function show(m) {
    for (const name of ['alone', 'swap', 'there', 'cold']) report(name, m[name]);
    for (const l of m.loads) console.log(`  swap of ${l.n} tokens: ${ms(l.ms)}, ${l.computed} of them computed`);
    const busy = median(m.after.busy), quiet = median(m.after.quiet);
    console.log(`  first token of 64 tokens: ${ms(busy)} right behind the large conversation, ${ms(quiet)} while idle`);
    const longest = (gaps) => Math.max(...gaps);
    return [
        judge('swap, longest gap (ms), 5 x median or 50', longest(m.swap), Math.max(50, 5 * median(m.swap))),
        judge('cold, longest gap (ms), 2 x --prefill-slice-ms or a 64-token chunk', longest(m.cold), Math.max(2 * Number(args['slice-ms']), m.chunk)),
        judge('after, first token over idle', busy / quiet, 1.2),
    ].every(Boolean);
}

async function main() {
    const fat = makeModel('dense', FAT), small = makeModel('dense', SMALL);
    const servers = [['warmslot', binary, ['--prefill-slice-ms', args['slice-ms']]], ['llama-server', PEER, []]];
    const all = {};
    let good = true;
    for (const [name, program, extra] of servers.filter(([name]) => !args.only || args.only === name)) {
        console.log(`${name}, ${args.threads} threads`);
        if (!fs.existsSync(program)) {
            console.log('  not built (make peer)');
            continue;
        }
        all[name] = { ...await measureSwaps(program, fat), ...await measureCold(program, small, extra) };
        const holds = show(all[name]);
        if (name === 'warmslot') good = holds;
    }
    if (args.json) fs.writeFileSync(args.json, JSON.stringify(all));
    process.exitCode = good ? 0 : 1;
}

main().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
});
