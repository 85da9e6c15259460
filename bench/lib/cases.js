// SPDX-License-Identifier: MIT
//
// bench/lib/cases.js - what bench/compare.js compares. A case plays the same requests on each server, one run after the other, who goes first changing
// from round to round, and gives { flags, rows, chart } (report.js): a row holds a value for each server and, where something was promised, the bar.
//
// Memory: the peak of a run above that of the same run with --cache-ram 0, against 1.03 x --cache-ram + 16 MiB.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { oracle } = require('../../tests/support/oracle.js');
const { metric } = require('../../tests/support/judge.js');
const { start, makeModel, tokens, root, temporaryFolder } = require('../../tests/support/server.js');
const { ask, playOn, settle, tokenize } = require('./play.js');
const { median, sum } = require('./stats.js');
const { Writer, agents, readCalls, rotation } = require('./traces.js');

const MIB = 2 ** 20;
const PAIR = ['warmslot', 'llama-server']; // where the engine's build changes nothing that is asked for
// 48 KiB a token, in a small vocabulary: as much state as a larger model's for little computing.
const WIDE = ['--layers', '12', '--heads', '16', '--kv-heads', '16', '--embd', '128', '--vocab', 'phi-3'];
const contextFor = (prompts, slots = 1) => String(Math.ceil(((Math.max(...prompts.map((p) => p.length)) + 64) * slots) / 256) * 256);

// what(server, name) for every server, `rounds` times; gives { name: [result of each round] }.
async function alternate(servers, rounds, what) {
    const names = Object.keys(servers);
    const results = Object.fromEntries(names.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
        for (let i = 0; i < names.length; i++) {
            const name = names[(i + round) % names.length];
            results[name].push(await what(servers[name], name));
        }
    }
    return results;
}

const mediansOf = (results, key) => Object.fromEntries(Object.entries(results).map(([name, runs]) => [name, median(runs.map((run) => run[key]))]));

// Plays tracks on all servers with and without a cache of `mib`; rows of what is computed, first tokens and memory. off: runs without it that there
// are already, null: none are wanted.
async function played(c, { title, model, tracks, mib, slots = [], extra = [], computedBar, oracleBar, only, look, off }) {
    const prompts = tracks.flat();
    const least = oracle(prompts);
    const flags = ['-c', contextFor(prompts, tracks.length), ...slots, ...extra];
    const servers = Object.fromEntries(Object.entries(c.servers).filter(([name]) => !only || only.includes(name)));
    const run = (program, ram) => playOn({ program, args: ['-m', model, '-t', c.threads, ...flags, '--cache-ram', String(ram)] }, tracks, { look });
    const results = await alternate(servers, c.rounds, (program) => run(program, mib));
    const rows = [{ what: `${title}prompt tokens computed`, values: mediansOf(results, 'computed'), bar: computedBar && { ratio: computedBar } }];
    const over = (values) => Object.fromEntries(Object.entries(values).map(([name, n]) => [name, n / least]));
    rows.push({ what: `${title}computed over the least possible (${least})`, digits: 3, values: over(rows[0].values), bar: oracleBar && { value: oracleBar } });
    if (!c.counts) {
        rows.push({ what: `${title}first token, median ms`, digits: 1, values: mediansOf(results, 'first') });
        rows.push({ what: `${title}first token, 95 % ms`, digits: 1, values: mediansOf(results, 'first95') });
    }
    if (mib >= 256 && off !== null) {
        off ??= await alternate(servers, 1, (program) => run(program, 0));
        const above = Object.fromEntries(Object.keys(servers).map((name) => [name, Math.round((median(results[name].map((r) => r.rss)) - off[name][0].rss) / MIB)]));
        rows.push({ what: `${title}memory above --cache-ram 0, MiB`, digits: 0, alone: true, values: above, bar: { value: 1.03 * mib + 16 } });
    }
    return { rows, results, least, off, flags: [...flags, '--cache-ram', String(mib)] };
}

/* ---- what is computed ---- */

async function ample(c) {
    const { rows, flags } = await played(c, { title: '', model: makeModel('dense', [...WIDE, '--type', c.types[0]]), tracks: [agents({ turns: c.full ? 8 : 5 })], mib: 2048, slots: ['-np', '1'], oracleBar: 1.03, only: PAIR });
    return { flags, rows };
}

async function texts(c) {
    const folder = path.join(root, '../shared/traces/agents');
    if (!fs.existsSync(folder)) return { skipped: 'no recorded traces' };
    const model = makeModel('dense', ['--type', c.types[0]]);
    const calls = readCalls(folder);
    const prompts = await tokenize(model, c.full ? calls : calls.slice(0, 60));
    const { rows, flags } = await played(c, { title: '', model, tracks: [prompts], mib: 8192, slots: ['-np', '1'], oracleBar: 1.03, only: PAIR });
    return { flags, rows };
}

const SIX = { sessions: 6, turns: 5, first: 1800, more: 100 };

async function six(c) {
    const model = makeModel('dense', [...WIDE, '--type', c.types[0]]);
    const prompts = rotation(SIX);
    const slots = ['-np', '1'];
    const bytesOf = async (server) => {
        const { text } = await server.get('/metrics');
        return metric(text, 'warmslot_cache_bytes{kind="pieces"}') + metric(text, 'warmslot_cache_bytes{kind="index"}');
    };
    const all = await played({ ...c, rounds: 1 }, { title: 'all of them: ', model, tracks: [prompts], mib: 2048, slots, extra: ['--metrics'], only: PAIR, look: bytesOf, off: null });
    const bytes = all.results.warmslot[0].seen;
    const parts = [];
    let off;
    for (const [share, name, bar] of [[0.75, '3/4', 0.6], [0.5, '1/2', 0.85]]) {
        const mib = Math.round((share * bytes) / MIB);
        const part = await played(c, { title: `${name} (${mib} MiB): `, model, tracks: [prompts], mib, slots, computedBar: bar, only: PAIR, off });
        off = part.off;
        parts.push({ share, ...part });
    }
    parts.push({ share: 1, ...all });
    const points = (name) => parts.map((part) => [part.share, median(part.results[name].map((r) => r.computed)) / part.least]);
    return {
        flags: [...parts[0].flags.slice(0, -1), 'MIB'],
        rows: parts.flatMap((part) => part.rows),
        lines: { title: 'Six sessions in rotation: prompt tokens computed, over the least possible', x: 'host memory, as a share of all their state', series: { 'llama-server': points('llama-server'), warmslot: points('warmslot') } },
    };
}

async function parallel(c) {
    const writer = new Writer(7);
    const tracks = Array.from({ length: 4 }, () => writer.session(writer.text(900, 1500), c.full ? 8 : 5, 150, 400));
    const { rows, flags } = await played(c, { title: '', model: makeModel('dense', [...WIDE, '--type', c.types[0]]), tracks, mib: 1024, only: PAIR });
    return { flags, rows };
}

async function fanout(c) {
    const writer = new Writer(8);
    const prefix = writer.text(6000, 6000);
    const tracks = Array.from({ length: 4 }, () => [[...prefix, ...writer.text(200, 200)]]);
    const { rows, flags } = await played(c, { title: '', model: makeModel('dense', ['--type', c.types[0]]), tracks, mib: 8192, oracleBar: 1.03 });
    return { flags, rows };
}

async function kinds(c) {
    const rows = [];
    let flags;
    for (const kind of ['dense', 'moe', 'swa', 'recurrent', 'hybrid', 'hybrid-ssm', 'hybrid-swa']) {
        const one = await played(c, { title: `${kind}: `, model: makeModel(kind, ['--type', c.types[0]]), tracks: [agents({ system: 1000, turns: c.full ? 6 : 3, seed: 3 })], mib: 512, slots: ['-np', '1'], only: PAIR });
        rows.push(...one.rows.filter((row) => !row.what.includes('95 %')));
        flags = one.flags;
    }
    return { flags, rows };
}

/* ---- how fast ---- */

// All at once; tokens a second of n_prompt + n_predict tokens each, from the first question to the last first token, and from there to the end.
async function together(server, slots, n_prompt, n_predict, seed) {
    const answers = await Promise.all(Array.from({ length: slots }, (_, i) => ask(server, { prompt: tokens(n_prompt, seed + i), n_predict })));
    const [asked, first, begun, last] = [Math.min(...answers.map((a) => a.asked)), Math.max(...answers.map((a) => a.first)), Math.min(...answers.map((a) => a.first)), Math.max(...answers.map((a) => a.last))];
    return { prefill: (slots * n_prompt * 1e3) / (first - asked), decode: ((sum(answers.map((a) => a.timings.predicted_n)) - slots) * 1e3) / (last - begun) };
}

// Throughput of `slots` requests at once. Prompts and answers are measured by themselves: long prompts with one token, short ones with long answers.
async function throughput(c, model, slots, servers) {
    const [n_prompt, n_predict] = [2048, 256];
    const up = {};
    for (const [name, { program, flags }] of Object.entries(servers)) up[name] = await start(['-m', model, '-t', c.threads, '-c', String(slots * (n_prompt + n_predict + 256)), ...flags], { program });
    let seed = 0;
    const results = await alternate(up, c.pairs + 1, async (server) => {
        await settle();
        const { prefill } = await together(server, slots, n_prompt, 1, (seed += 10));
        await settle();
        const { decode } = await together(server, slots, 64, n_predict, (seed += 10));
        return { prefill, decode };
    });
    for (const server of Object.values(up)) await server.stop();
    for (const runs of Object.values(results)) runs.shift(); /* warm-up */
    return results;
}

// Slots as llama-server has them: by default 4 in one pool (unified); with -np N each has its own part, unless -kvu.
const slotFlags = (slots) => (slots === 4 ? [] : slots === 1 ? ['-np', '1'] : ['-np', String(slots), '-kvu']);

async function speed(c) {
    const rows = [];
    for (const type of c.types) {
        const model = makeModel('dense', ['--type', type]);
        for (const slots of [1, 2, 4]) {
            const servers = Object.fromEntries(Object.entries(c.servers).map(([name, program]) => [name, { program, flags: slotFlags(slots) }]));
            if (slots > 1) servers.apart = { program: c.servers['llama-server'], flags: ['-np', String(slots)] };
            const results = await throughput(c, model, slots, servers);
            const bar = { ratio: slots === 1 ? 0.98 : 1, more: true };
            for (const what of ['prefill', 'decode']) {
                rows.push({ what: `${type}, ${slots} slot${slots > 1 ? 's' : ''}: ${what}, tokens/s`, digits: 0, values: mediansOf(results, what), bar: slots === 2 ? undefined : bar });
            }
        }
    }
    return { flags: ['-c', 'N', '[-np 1 | -np 2 -kvu]'], rows, note: 'Four slots are the default of both, in one pool of cells. *apart*: llama-server with -np N alone, where each slot has its own part of the context.' };
}

async function ready(c) {
    const model = makeModel('dense', ['--type', c.types[0]]);
    const once = async (program, env) => {
        const begin = performance.now();
        const server = await start(['-m', model, '-t', c.threads, '-c', '8192'], { program, env, pollMs: 2 });
        const ms = performance.now() - begin;
        await server.stop();
        return { ms };
    };
    const known = temporaryFolder();
    await alternate(c.servers, 1, (program) => once(program, { XDG_CACHE_HOME: known }));
    const first = await alternate(c.servers, c.pairs, (program) => once(program, { XDG_CACHE_HOME: temporaryFolder() }));
    const again = await alternate(c.servers, c.pairs, (program) => once(program, { XDG_CACHE_HOME: known }));
    return {
        flags: ['-c', '8192'],
        rows: [
            { what: 'start to ready, ms', digits: 0, values: mediansOf(again, 'ms') },
            { what: 'the very first start with a model, ms', digits: 0, values: mediansOf(first, 'ms') },
        ],
    };
}

/* ---- bench/stalls.js's figures ---- */

async function stalls(c) {
    const file = path.join(temporaryFolder(), 'stalls.json');
    const env = { ...process.env, WARMSLOT_BIN: c.servers.warmslot, PEER: c.servers['llama-server'] };
    const done = spawnSync(process.execPath, [path.join(root, 'bench/stalls.js'), '--threads', c.threads, '--json', file], { env, encoding: 'utf8' });
    if (!fs.existsSync(file)) throw new Error(`bench/stalls.js: ${done.stdout}${done.stderr}`);
    const of = JSON.parse(fs.readFileSync(file, 'utf8'));
    const both = (value) => ({ 'llama-server': value(of['llama-server']), warmslot: value(of.warmslot) });
    const longest = (gaps) => Math.max(...gaps);
    const { warmslot } = of;
    return {
        flags: ['-np', '2', '-kvu', '-c', 'N'],
        rows: [
            { what: 'swap of 5000 tokens (640 MB) beside a stream: longest gap, ms', digits: 1, values: both((m) => longest(m.swap)), bar: { value: Math.max(50, 5 * median(warmslot.swap)) } },
            { what: 'the same: median gap, ms', digits: 1, values: both((m) => median(m.swap)) },
            { what: 'a cold prompt of 5000 tokens beside a stream: longest gap, ms', digits: 1, values: both((m) => longest(m.cold)), bar: { value: Math.max(200, warmslot.chunk) } },
            { what: 'a short request right behind the large conversation: first token, over that on an idle server', digits: 2, values: both((m) => median(m.after.busy) / median(m.after.quiet)), bar: { value: 1.2 } },
        ],
    };
}

const cases = {
    ample: { title: 'Memory for everything', what: 'Agents of two kinds on one slot: sessions in turn, titles, a sub-agent, repeated and edited prompts (`bench/lib/traces.js`).', run: ample },
    texts: { title: 'Memory for everything: recorded texts', what: 'Calls of recorded agent sessions in turn on one slot.', run: texts },
    rotation: { title: 'Six sessions in rotation, and memory for some of them', what: 'Six conversations that share nothing, of 1,800 tokens growing by 100 a turn, take turns on one slot: the one that is needed next was used longest ago.', run: six },
    parallel: { title: 'Four conversations at once', what: 'Four clients, each with a conversation that grows turn by turn.', run: parallel },
    fanout: { title: 'Four at once on one cold prefix', what: 'Four requests start together with 6,000 tokens that nobody has computed yet, and 200 of their own.', run: fanout },
    stalls: { title: 'What a stream notices', what: '`bench/stalls.js`: state of 128 KiB a token comes and goes beside a running stream.', run: stalls },
    kinds: { title: 'Each kind of model', what: 'The first case, shorter, on the default model of each kind.', run: kinds },
    speed: { title: 'Plain speed', what: 'Prompts and answers that gain nothing from a cache: 2,048 tokens with one token of answer, and 64 tokens with 256.', run: speed },
    start: { title: 'Start', what: 'From the start of the process until /health says 200.', run: ready },
};

module.exports = { cases };
