// SPDX-License-Identifier: MIT
//
// bench/speed.js - what the cache costs a single stream that gains nothing from it: prefill and decode speed with the cache on and off, in
// alternation, pair by pair, medians of the ratios.
//
//   node bench/speed.js [--pairs 5] [--prompt 4096] [--predict 256] [--model FILE]
'use strict';
const { parseArgs } = require('node:util');
const { start, makeModel, tokens } = require('../tests/support/server.js');
const { settle } = require('./lib/play.js');
const { median } = require('./lib/stats.js');

const { values: args } = parseArgs({ options: { pairs: { type: 'string', default: '5' }, prompt: { type: 'string', default: '4096' }, predict: { type: 'string', default: '256' }, model: { type: 'string' } } });

async function main() {
    const model = args.model || makeModel('dense');
    const context = String(Number(args.prompt) + Number(args.predict) + 512);
    const common = ['-m', model, '-np', '1', '-c', context];
    const servers = { on: await start(common), off: await start([...common, '--cache-ram', '0']) };
    const ratios = { prefill: [], decode: [] };
    console.log('pair   prefill tokens/s: on    off  on/off   decode tokens/s: on    off  on/off');
    for (let pair = 0; pair <= Number(args.pairs); pair++) {
        const speed = {};
        // The one that goes first changes from pair to pair; an idle server does not run, so both can be up.
        for (const which of pair % 2 ? ['off', 'on'] : ['on', 'off']) {
            await settle();
            const answer = await servers[which].ask('/completion', { prompt: tokens(Number(args.prompt), pair), n_predict: Number(args.predict), temperature: 0, ignore_eos: true });
            speed[which] = answer.timings;
        }
        if (pair === 0) continue; /* warm-up */
        const prefill = speed.on.prompt_per_second / speed.off.prompt_per_second;
        const decode = speed.on.predicted_per_second / speed.off.predicted_per_second;
        ratios.prefill.push(prefill);
        ratios.decode.push(decode);
        console.log(`${String(pair).padStart(4)} ${speed.on.prompt_per_second.toFixed(0).padStart(22)} ${speed.off.prompt_per_second.toFixed(0).padStart(6)} ${prefill.toFixed(3).padStart(7)} ${speed.on.predicted_per_second.toFixed(1).padStart(21)} ${speed.off.predicted_per_second.toFixed(1).padStart(6)} ${decode.toFixed(3).padStart(7)}`);
    }
    for (const server of Object.values(servers)) await server.stop();
    console.log(`medians of ${args.pairs} pairs: prefill ${median(ratios.prefill).toFixed(3)}, decode ${median(ratios.decode).toFixed(3)} (at least 0.97)`);
    process.exitCode = median(ratios.prefill) >= 0.97 && median(ratios.decode) >= 0.97 ? 0 : 1;
}

main().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
});
