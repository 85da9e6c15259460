// SPDX-License-Identifier: MIT
//
// Answers that go on behind a full context (--context-shift), moved text that is used again (--cache-reuse), and that nobody who did not ask
// for it gets any of it.
'use strict';
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, makeModel, tokens } = require('../support/server.js');

const context = 512;
const args = (kind, more) => ['-m', makeModel(kind, kind === 'dense' ? small : []), '-t', '1', '-np', '1', '-c', String(context), '-fa', 'on', '--fit', 'off', ...more];
const small = ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128'];
let server, fresh;
before(async () => {
    server = await start(args('dense', ['--context-shift', '--keep', '60']));
    fresh = await start(args('dense', ['-cram', '0']));
});
after(async () => {
    assert.equal(await server.stop(), 0);
    assert.equal(await fresh.stop(), 0);
});

const complete = (to, body) => to.ask('/completion', { n_predict: 6, temperature: 0, ignore_eos: true, return_tokens: true, ...body });
const cacheOf = ({ timings: { cache } }) => cache;

test('an answer goes on behind a full context, truncated', async () => {
    const prompt = tokens(100, 1);
    const answer = await complete(server, { prompt, n_predict: 1200 });
    assert.equal(answer.tokens_predicted, 1200);
    assert.equal(answer.truncated, true);
    assert.equal(answer.stop_type, 'limit');
    assert.equal(answer.generation_settings.n_keep, 60);
    assert.match(server.log(), /shifted: 60 units kept, 225 discarded/);
    // up to the first shift it is the answer of a server that has room for it
    const short = await complete(server, { prompt, n_predict: 300, cache_prompt: false });
    assert.deepEqual(answer.tokens.slice(0, 300), short.tokens);
    assert.equal(short.truncated, false);
});

test('n_keep and n_discard of the request', async () => {
    await complete(server, { prompt: tokens(100, 2), n_predict: 440, n_keep: -1, n_discard: 9 });
    assert.match(server.log(), /shifted: 100 units kept, 9 discarded/);
});

test('without --context-shift it ends with the context', async () => {
    const answer = await complete(fresh, { prompt: tokens(100, 1), n_predict: 1200 });
    assert.equal(answer.truncated, true);
    assert.ok(answer.tokens_predicted <= context - 100 + 1);
});

test('what was shifted is found by nobody', async () => {
    const prompt = tokens(100, 3);
    const { tokens: said } = await complete(server, { prompt, n_predict: context - 100 + 40 });
    // what the context holds after the one shift, which came with context - 1 of them
    const all = [...prompt, ...said];
    const discard = Math.floor((context - 1 - 60) / 2);
    const shifted = [...all.slice(0, 60), ...all.slice(60 + discard, -1)];
    for (let i = 0; i < 2; i++) {
        const answer = await complete(server, { prompt: shifted, n_predict: 20 });
        const { device, ram, computed } = cacheOf(answer);
        assert.deepEqual([device + ram, computed], i ? [shifted.length - 1, 1] : [60, shifted.length - 60]);
        const reference = await complete(fresh, { prompt: shifted, n_predict: 1, n_probs: 5, cache_prompt: false });
        assert.equal(answer.tokens[0], reference.tokens[0]);
        // the tree's own, after the context is given to another
        await complete(server, { prompt: tokens(400, 4 + i) });
    }
});

test('moved text is used where a request asks for it, and by no other', async () => {
    const first = tokens(300, 7);
    const second = [...first.slice(0, 50), ...first.slice(120, 280), ...tokens(20, 8)];
    await complete(server, { prompt: first });
    const moved = await complete(server, { prompt: second, n_cache_reuse: 32 });
    assert.deepEqual([cacheOf(moved).device, cacheOf(moved).shifted, cacheOf(moved).computed], [210, 160, 20]);
    assert.equal(moved.timings.cache_n, 210);
    assert.match(server.log(), /computed=20 .*shifted=160/);
    const exact = await complete(server, { prompt: second });
    assert.equal(cacheOf(exact).shifted, undefined);
    assert.equal(cacheOf(exact).device + cacheOf(exact).ram, 50);
    const reference = await complete(fresh, { prompt: second, cache_prompt: false });
    assert.equal(exact.tokens[0], reference.tokens[0]);
    const again = await complete(server, { prompt: first });
    assert.equal(cacheOf(again).computed, 1);
});

test('models that can be shifted are, and one that cannot says so and ends with the context', async () => {
    for (const [kind, more, shifts] of [['recurrent', [], true], ['hybrid', [], true], ['swa', ['--swa-full'], true], ['hybrid-swa', ['--swa-full'], false]]) {
        const other = await start(args(kind, ['--context-shift', ...more]));
        const answer = await complete(other, { prompt: tokens(100, 9), n_predict: 700 });
        assert.equal(answer.truncated, true);
        assert.equal(answer.tokens_predicted === 700, shifts, kind);
        assert.equal(/can't be shifted: --context-shift/.test(other.log()), !shifts);
        const { tokens: said } = await complete(other, { prompt: tokens(100, 9), n_predict: 20, cache_prompt: false });
        assert.deepEqual(said, answer.tokens.slice(0, 20));
        assert.equal(await other.stop(), 0);
    }
});
