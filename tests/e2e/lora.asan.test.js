// SPDX-License-Identifier: MIT
//
// LoRA adapters against a real server and model: other adapters are other answers and other cached state, and a change of them flushes nothing.
'use strict';
const { test, before } = require('node:test');
const assert = require('node:assert/strict');
const { start, makeModel, tokens } = require('../support/server.js');
const { makeLora } = require('../support/lora.js');

const small = ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128'];
const N_PROMPT = 300, CONTEXT_FOR_ONE = '512';
let model, first, second;
before(() => {
    model = makeModel('dense', small);
    first = makeLora({ seed: 1, columns: 64, rows: 64, taskName: 'sums' });
    second = makeLora({ seed: 2, columns: 64, rows: 64 });
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

// What was computed shows in the probability of the likeliest token. One row alone gives other last bits than the same row among others, so two
// computations are taken for the same one up to a noise that is far below what the adapters do.
const NOISE = 0.01;
async function complete(server, prompt, more = {}) {
    const answer = await server.ask('/completion', { prompt, n_predict: 4, temperature: 0, ignore_eos: true, n_probs: 1, ...more });
    const { device, ram, computed } = answer.timings.cache;
    assert.equal(device + ram + computed, prompt.length);
    const [{ id, logprob }] = answer.completion_probabilities;
    return { computed, id, logprob, settings: answer.generation_settings };
}

function alike(a, b) {
    const distance = a.id === b.id ? Math.abs(a.logprob - b.logprob) : Infinity;
    assert.ok(distance < NOISE || distance > 5 * NOISE, `neither the same nor another computation: ${distance}`);
    return distance < NOISE;
}

const lists = [[], [{ id: 0, scale: 1 }], [{ id: 0, scale: 0.5 }], [{ id: 1, scale: 1 }], [{ id: 0, scale: 1 }, { id: 1, scale: -1 }]];

test('a change of the adapters finds what was computed with the same ones before, on one slot with context for one', () =>
    withServer(['-c', CONTEXT_FOR_ONE, '-np', '1', '--lora', `${first},${second}`, '--lora-init-without-apply'], async (server) => {
        assert.deepEqual((await server.get('/lora-adapters')).json, [
            { id: 0, path: first, scale: 0, task_name: 'sums', prompt_prefix: '' },
            { id: 1, path: second, scale: 0, task_name: '', prompt_prefix: '' },
        ]);
        const prompt = tokens(N_PROMPT, 1);
        const answers = [];
        for (const list of lists) {
            assert.deepEqual(await server.ask('/lora-adapters', list), { success: true });
            const answer = await complete(server, prompt);
            assert.equal(answer.computed, N_PROMPT, 'nothing of it was computed with these');
            for (const other of answers) assert.ok(!alike(answer, other), JSON.stringify([list, answer, other]));
            answers.push(answer);
        }
        for (const [i, list] of [...lists.entries()].reverse()) {
            assert.deepEqual(await server.ask('/lora-adapters', list), { success: true });
            const answer = await complete(server, prompt);
            assert.equal(answer.computed, 1);
            assert.ok(alike(answer, answers[i]));
        }
        assert.deepEqual((await server.get('/lora-adapters')).json.map((x) => x.scale), [0, 0]);
    }));

test('what a request says goes before what the server has, and is computed as if the server had it', async () => {
    const prompt = tokens(N_PROMPT, 2);
    let alone, applied;
    await withServer(['-c', '2048'], async (server) => {
        alone = await complete(server, prompt);
    });
    await withServer(['-c', '2048', '--lora-scaled', `${first}:0.5`], async (server) => {
        applied = await complete(server, prompt);
        assert.ok(!alike(applied, alone));
        const off = await complete(server, prompt, { lora: [{ id: 0, scale: 0 }] });
        assert.ok(alike(off, alone));
        assert.deepEqual(off.settings.lora, [{ id: 0, scale: 0 }]);
        for (const lora of [[], null, [{ id: 0, scale: 0.5 }]]) {
            const answer = await complete(server, prompt, { lora });
            assert.equal(answer.computed, 1);
            assert.ok(alike(answer, applied));
        }
        const chat = { messages: [{ role: 'user', content: 'hello' }], max_tokens: 2, lora: [{ id: 0, scale: 2 }] };
        assert.equal((await server.post('/v1/chat/completions', chat)).status, 200);
        assert.equal((await server.post('/v1/completions', { prompt, max_tokens: 2, lora: [{ id: 0, scale: 2 }] })).status, 200);
    });
});

test('requests with different adapters at the same time answer as each does alone', () =>
    withServer(['-c', '4096', '-np', '4', '--lora', first, '--lora-scaled', `${second}:0.25`], async (server) => {
        const requests = lists.flatMap((lora) => [1, 2].map((seed) => ({ lora, prompt: tokens(200, seed), n_predict: 12 })));
        const alone = [];
        for (const { prompt, ...more } of requests) alone.push(await complete(server, prompt, { ...more, cache_prompt: false }));
        const together = await Promise.all(requests.map(({ prompt, ...more }) => complete(server, prompt, more)));
        for (const [i, answer] of together.entries()) assert.ok(alike(answer, alone[i]), `${i}`);
    }));

test('an adapter that does not fit is refused at the start', async () => {
    const other = makeLora({ seed: 1, columns: 32, rows: 64 });
    await assert.rejects(start(['-m', model, '-c', '512', '--lora', other]), /incorrect shape/);
    const waiting = makeLora({ seed: 1, columns: 64, rows: 64, invocation: [1, 2] });
    await assert.rejects(start(['-m', model, '-c', '512', '--lora', waiting]), /aLoRA/);
});
