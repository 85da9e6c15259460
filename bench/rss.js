// SPDX-License-Identifier: MIT
//
// bench/rss.js - whether --cache-ram is what the process really takes: peak RSS of a run that fills the budget several times over, minus the peak
// of the same run with the cache off, against 1.03 x budget + 16 MiB.
//
//   node bench/rss.js [--mib 256] [--prompts 16] [--length 4000] [--threads 2] [--model-args "--layers 8 --heads 8 --kv-heads 8 --embd 128"]
'use strict';
const { parseArgs } = require('node:util');
const { start, makeModel, tokens } = require('../tests/support/server.js');

const { values: args } = parseArgs({ options: { mib: { type: 'string', default: '256' }, prompts: { type: 'string', default: '16' }, length: { type: 'string', default: '4000' }, threads: { type: 'string', default: '2' }, 'model-args': { type: 'string', default: '--layers 8 --heads 8 --kv-heads 8 --embd 128' } } });

async function run(model, mib) {
    const server = await start(['-m', model, '-np', '1', '-c', String(Number(args.length) + 1024), '-t', args.threads, '--metrics', '--cache-ram', String(mib)]);
    // The first prompts come back at the end, so that there are loads too.
    for (let i = 0; i < Number(args.prompts); i++) await server.ask('/completion', { prompt: tokens(Number(args.length), i), n_predict: 8, ignore_eos: true });
    for (let i = Number(args.prompts) - 3; i < Number(args.prompts); i++) await server.ask('/completion', { prompt: tokens(Number(args.length), i), n_predict: 8, ignore_eos: true });
    const metrics = (await server.get('/metrics')).text;
    const rss = server.peakRssBytes();
    await server.stop();
    const value = (name) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(metrics)?.[1] ?? 0);
    return { rss, peak: value('warmslot_cache_budget_peak_bytes'), evicted: value('warmslot_cache_evicted_bytes_total'), ram: /warmslot_prompt_tokens_total\{source="ram"\} (\S+)/.exec(metrics)?.[1] };
}

async function main() {
    const model = makeModel('dense', args['model-args'].split(' '));
    const off = await run(model, 0);
    const on = await run(model, Number(args.mib));
    const limit = Number(args.mib) * 2 ** 20;
    const bar = 1.03 * limit + 2 ** 24;
    console.log(`budget ${limit}, accounting peak ${on.peak}, evicted ${on.evicted} bytes, tokens loaded from memory ${on.ram}`);
    console.log(`RSS peak: ${on.rss} with the cache, ${off.rss} with it off, difference ${on.rss - off.rss} (${((on.rss - off.rss) / limit).toFixed(4)} x budget), allowed ${Math.round(bar)}`);
    process.exitCode = on.rss - off.rss <= bar && on.peak <= limit && on.evicted > 0 ? 0 : 1;
}

main().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
});
