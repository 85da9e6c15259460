// SPDX-License-Identifier: MIT
//
// bench/chats.js - how long the answers of a mkmodel model are: 100 default chats (no limit, default sampling), each with its own message and seed.
//
//   node bench/chats.js [--chats 100] [--kind dense] [--model FILE]
'use strict';
const { parseArgs } = require('node:util');
const { start, makeModel } = require('../tests/support/server.js');

const { values: args } = parseArgs({ options: { chats: { type: 'string', default: '100' }, kind: { type: 'string', default: 'dense' }, model: { type: 'string' } } });
const topics = ['the weather', 'a bug in a parser', 'cooking rice', 'the moon', 'a poem about rain', 'prime numbers', 'train tickets', 'a cat', 'C pointers', 'history of tea'];

async function main() {
    const server = await start(['-m', args.model || makeModel(args.kind), '-np', '4', '-c', '16384']);
    const lengths = [];
    const seeds = Array.from({ length: Number(args.chats) }, (_, i) => i + 1);
    await Promise.all(Array.from({ length: 4 }, async () => {
        for (let seed; (seed = seeds.shift()); ) {
            const content = `Tell me about ${topics[seed % topics.length]}, please. This is question ${seed}.`;
            const answer = await server.ask('/v1/chat/completions', { seed, messages: [{ role: 'user', content }] });
            lengths.push(answer.usage.completion_tokens);
        }
    }));
    await server.stop();
    lengths.sort((a, b) => a - b);
    const mean = lengths.reduce((sum, n) => sum + n, 0) / lengths.length;
    console.log(`${lengths.length} chats: mean ${mean.toFixed(1)} tokens, shortest ${lengths[0]}, median ${lengths[lengths.length >> 1]}, longest ${lengths.at(-1)}`);
    process.exitCode = mean >= 20 && mean <= 100 && lengths.at(-1) <= 1000 ? 0 : 1;
}

main().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
});
