// SPDX-License-Identifier: MIT
//
// Several prompts that begin alike and come at once, in every kind of model: what they have in common is computed once, and each is answered as it is
// alone. bench/fanout.js is the long form, with times.
'use strict';
const { describe, it } = require('node:test');
const assert = require('node:assert/strict');
const { compare, allowed } = require('../support/judge.js');
const { knownKinds } = require('../support/soak.js');
const { start, makeModel, tokens } = require('../support/server.js');

const PREFIX = 600;
const SUFFIX = 70;
// Prompts that are split otherwise differ by so much at most (tests/exact), and a piece of somebody else's by hundreds of times as much.
const LEAST_NOISE = 0.02;
// Small batches, so that the first one has not passed any of these places when the last one comes.
const COMMON = ['-t', '1', '--fit', 'off', '--no-warmup', '-np', '4', '-c', '4096', '-ub', '64', '-b', '64'];
const body = { n_predict: 8, n_probs: 8, temperature: 0, ignore_eos: true, return_tokens: true };

function prompts(places, seed) {
    const common = tokens(PREFIX, seed);
    return places.map((n, i) => [...common.slice(0, n), ...tokens(SUFFIX, 100 * seed + i)]);
}

describe('prompts that begin alike', { concurrency: 2 }, () => {
    for (const kind of knownKinds())
        it(`are computed once by a model of kind ${kind.name}`, async (t) => {
            const model = makeModel(kind.name, ['--vocab', 'phi-3']);
            const servers = [];
            t.after(() => Promise.all(servers.map((each) => each.stop())));
            const without = ['--cache-ram', '0', '--no-cache-prompt'];
            for (const more of [[], without, [...without, '-ub', '17']]) servers.push(await start(['-m', model, ...COMMON, ...more]));
            const [server, plain, other] = servers;
            for (const [seed, places] of [[1, [600, 600, 600, 600]], [2, [600, 450, 300, 200]]]) {
                const all = prompts(places, seed);
                const answers = await server.ask('/completion', { ...body, prompt: all });
                const computed = answers.reduce((sum, { timings }) => sum + timings.cache.computed, 0);
                assert.equal(computed, PREFIX + all.length * SUFFIX);
                const reference = [];
                const again = [];
                for (const prompt of all) {
                    reference.push(await plain.ask('/completion', { ...body, prompt }));
                    again.push(await other.ask('/completion', { ...body, prompt }));
                }
                const noise = Math.max(LEAST_NOISE, compare(reference, again).largest);
                const result = compare(reference, answers);
                assert.ok(allowed(result, noise), `${JSON.stringify(result)} noise ${noise}`);
            }
            for (const each of servers) assert.equal(await each.stop(), 0);
        });
});
