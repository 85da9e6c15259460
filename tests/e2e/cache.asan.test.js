// SPDX-License-Identifier: MIT
//
// Patterns of use against a real server and model: how many tokens of each prompt are computed. Prompts are token arrays, so that every
// number is known beforehand.
'use strict';
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, makeModel, tokens } = require('../support/server.js');

const small = ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128'];
let model;
before(() => {
    model = makeModel('dense', small);
});

async function withServer(args, fn) {
    const server = await start(['-m', model, '-t', '1', ...args]);
    try {
        await fn(server);
        assert.equal((await server.get('/health')).status, 200);
    } finally {
        assert.equal(await server.stop(), 0);
    }
}

function complete(server, prompt, more = {}) {
    return server.ask('/completion', { prompt, n_predict: 8, temperature: 0, ignore_eos: true, return_tokens: true, ...more });
}

const known = (answer) => answer.timings.cache.device + answer.timings.cache.ram;

function checkSums(answer, n) {
    const { device, ram, computed } = answer.timings.cache;
    assert.equal(device + ram + computed, n);
    assert.equal(answer.timings.cache_n, device + ram);
    assert.equal(answer.timings.prompt_n, computed);
}

test('turns of one conversation compute only what is new', () =>
    withServer(['-c', '2048', '-np', '1'], async (server) => {
        let prompt = tokens(300, 1);
        let answer = await complete(server, prompt);
        checkSums(answer, 300);
        assert.equal(known(answer), 0);
        for (let turn = 0; turn < 3; turn++) {
            const before = prompt.length + answer.tokens.length;
            prompt = [...prompt, ...answer.tokens, ...tokens(25, 10 + turn)];
            answer = await complete(server, prompt);
            checkSums(answer, prompt.length);
            assert.equal(known(answer), before - 1);
        }
    }));

test('two conversations on one slot with context for one, and auxiliary calls between their turns', () =>
    withServer(['-c', '1024', '-np', '1'], async (server) => {
        const talks = [tokens(600, 1), tokens(600, 2)];
        const seen = [0, 0];
        for (let turn = 0; turn < 6; turn++) {
            const i = turn % 2;
            const answer = await complete(server, talks[i]);
            checkSums(answer, talks[i].length);
            assert.equal(known(answer), seen[i]);
            seen[i] = talks[i].length + answer.tokens.length - 1;
            talks[i] = [...talks[i], ...answer.tokens, ...tokens(20, 50 + turn)];
            await complete(server, tokens(100, 900 + turn));
        }
        assert.ok((await complete(server, talks[0])).timings.cache.ram > 0);
    }));

test('four at once on two slots', () =>
    withServer(['-c', '4096', '-np', '2'], async (server) => {
        const prompts = [1, 2, 3, 4].map((seed) => tokens(400, seed));
        const first = await Promise.all(prompts.map((prompt) => complete(server, prompt, { n_predict: 30 })));
        first.forEach((answer) => checkSums(answer, 400));
        assert.deepEqual([...new Set(first.map((answer) => answer.id_slot))].sort(), [0, 1]);
        const again = await Promise.all(prompts.map((prompt, i) => complete(server, [...prompt, ...first[i].tokens, 1234])));
        again.forEach((answer) => assert.equal(answer.timings.cache.computed, 2));
    }));

test('a fork and an edit in the middle keep both branches', () =>
    withServer(['-c', '1024', '-np', '1'], async (server) => {
        const whole = tokens(700, 1);
        const fork = [...whole.slice(0, 333), ...tokens(200, 2)];
        const edit = [...whole.slice(0, 100), ...tokens(3, 3), ...whole.slice(103)];
        assert.equal(known(await complete(server, whole)), 0);
        assert.equal(known(await complete(server, fork)), 333);
        assert.equal(known(await complete(server, edit)), 100);
        for (const prompt of [whole, fork, edit, whole]) assert.equal((await complete(server, prompt)).timings.cache.computed, 1);
    }));

test('two running requests share what they have in common', () =>
    withServer(['-c', '4096', '-np', '2'], async (server) => {
        const common = tokens(500, 1);
        let begun;
        const first = new Promise((resolve) => (begun = resolve));
        const long = server.stream('/completion', { prompt: common, n_predict: 200, temperature: 0, ignore_eos: true }, { onEvent: begun });
        await first;
        const answer = await complete(server, [...common, ...tokens(50, 2)]);
        assert.equal(answer.timings.cache.device, 500);
        const { events } = await long;
        assert.equal(events.at(-1).tokens_predicted, 200);
    }));

test('a client that leaves in mid-prefill loses nothing that was computed', () =>
    withServer(['-c', '8192', '-np', '1', '-ub', '64', '-b', '64'], async (server) => {
        const prompt = tokens(6000, 1);
        const leave = new AbortController();
        let processed = 0;
        await assert.rejects(
            server.stream('/completion', { prompt, n_predict: 4, return_progress: true }, {
                signal: leave.signal,
                onEvent: (event) => {
                    processed = event.prompt_progress.processed;
                    if (processed >= 640) leave.abort();
                },
            }),
        );
        assert.ok(processed < 6000);
        const answer = await complete(server, prompt);
        checkSums(answer, 6000);
        assert.ok(known(answer) >= processed, `${known(answer)} of ${processed} were kept`);
    }));

test('generations that exceed the context together all finish', () =>
    withServer(['-c', '768', '-np', '4'], async (server) => {
        const alone = [];
        for (let i = 0; i < 4; i++) alone.push(await complete(server, tokens(100, i), { n_predict: 300 }));
        const together = await Promise.all([0, 1, 2, 3].map((i) => complete(server, tokens(100, 40 + i), { n_predict: 300 })));
        for (const answer of [...alone, ...together]) {
            assert.equal(answer.tokens_predicted, 300);
            assert.equal(answer.truncated, false);
        }
        assert.match(server.log(), /parked/);
    }));

test('a budget far too small is only slower', () =>
    withServer(['-c', '1024', '-np', '1', '--cache-ram', '1', '--metrics'], async (server) => {
        for (let i = 0; i < 12; i++) checkSums(await complete(server, tokens(900, i % 4)), 900);
        const metrics = (await server.get('/metrics')).text;
        const value = (name) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)[1]);
        assert.ok(value('warmslot_cache_budget_peak_bytes') <= 2 ** 20);
        assert.ok(value('warmslot_cache_evicted_total') > 0);
    }));

test('a budget of 0 leaves the residents', () =>
    withServer(['-c', '1024', '-np', '1', '--cache-ram', '0'], async (server) => {
        const prompt = tokens(600, 1);
        await complete(server, prompt);
        const again = await complete(server, prompt);
        assert.equal(again.timings.cache.device, 599);
        await complete(server, tokens(900, 2));
        assert.equal(known(await complete(server, prompt)), 0);
    }));

test('cache_prompt false neither reads nor writes, and a salt shares nothing', () =>
    withServer(['-c', '2048', '-np', '1'], async (server) => {
        const prompt = tokens(300, 1);
        for (let i = 0; i < 2; i++) assert.equal(known(await complete(server, prompt, { cache_prompt: false })), 0);
        assert.equal(known(await complete(server, prompt)), 0);
        assert.equal(known(await complete(server, prompt, { cache_prompt: false })), 0);
        assert.equal(known(await complete(server, prompt, { cache_salt: 'one' })), 0);
        assert.equal(known(await complete(server, prompt, { cache_salt: 'one' })), 299);
        assert.equal(known(await complete(server, prompt)), 299);
    }));

test('what is too large for the context is refused with both numbers, before anything else', () =>
    withServer(['-c', '512', '-np', '1'], async (server) => {
        const answer = await server.post('/completion', { prompt: tokens(600, 1), n_predict: 4 });
        assert.equal(answer.status, 400);
        assert.equal(answer.json.error.type, 'exceed_context_size_error');
        assert.equal(answer.json.error.n_prompt_tokens, 600);
        assert.equal(answer.json.error.n_ctx, 512);
    }));

test('with --cache-isolation key, requests of one key share what was computed, and those of another one do not', async () => {
    const server = await start(['-m', model, '-c', '2048', '-t', '1', '--api-key', 'first,second', '--cache-isolation', 'key']);
    try {
        const prompt = tokens(300, 77);
        const computed = async (key, more = {}) => {
            const answer = await server.post('/completion', { prompt, n_predict: 1, ...more }, { headers: { authorization: `Bearer ${key}` } });
            assert.equal(answer.status, 200, answer.text);
            return answer.json.timings.cache.computed;
        };
        assert.equal(await computed('first'), 300);
        assert.equal(await computed('first'), 1);
        assert.equal(await computed('second'), 300);
        assert.equal(await computed('second', { cache_salt: 'of a user' }), 300);
        assert.equal(await computed('second'), 1);
        assert.equal(await computed('first', { cache_salt: '' }), 1);
    } finally {
        await server.stop();
    }
});
