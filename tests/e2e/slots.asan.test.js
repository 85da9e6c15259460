// SPDX-License-Identifier: MIT
//
// Several answers in one request (n, n_cmpl), and requests for one slot (id_slot).
'use strict';
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, makeModel, tokens } = require('../support/server.js');

const small = ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128'];
let server;
before(async () => {
    server = await start(['-m', makeModel('dense', small), '-t', '1', '-np', '3', '-c', '8192', '--fit', 'off', '--metrics']);
});
after(async () => assert.equal(await server.stop(), 0));

const complete = (body) => server.ask('/completion', { n_predict: 6, temperature: 0, ignore_eos: true, ...body });
const known = ({ timings }) => timings.cache.device + timings.cache.ram;
const user = (content) => [{ role: 'user', content }];
const indices = (list) => list.map(({ index }) => index);

// A stream under way, and its end.
async function begun(route, body) {
    const leave = new AbortController();
    const stream = {};
    const first = new Promise((resolve, reject) => {
        stream.end = server.stream(route, { ignore_eos: true, ...body }, { onEvent: resolve, signal: leave.signal });
        stream.end.catch(reject);
    });
    stream.first = await first;
    stream.leave = async () => {
        leave.abort();
        await assert.rejects(stream.end);
    };
    return stream;
}

async function untilIdle() {
    for (let i = 0; i < 1000; i++) if ((await server.get('/slots')).json.every((slot) => !slot.is_processing)) return;
    assert.fail('the slots do not become idle');
}

/* ---- n ---- */

test('n answers to one prompt differ, each by its own seed', async () => {
    const body = { prompt: tokens(300, 1), n_predict: 12, temperature: 1.5, seed: 40, cache_prompt: false };
    const answers = await complete({ ...body, n_cmpl: 3 });
    assert.deepEqual(indices(answers), [0, 1, 2]);
    assert.equal(new Set(answers.map(({ content }) => content)).size, 3);
    assert.deepEqual(answers.map(({ generation_settings: { seed } }) => seed), [40, 41, 42]);
    assert.ok(answers.every(({ tokens_predicted: n, stop, prompt }) => n === 12 && stop && prompt === answers[0].prompt));
    const random = await complete({ ...body, seed: undefined, n: 3 });
    assert.equal(new Set(random.map(({ generation_settings: { seed } }) => seed)).size, 3);
});

test('the prompt of n answers is computed once', async () => {
    for (const [seed, n_predict] of [[2, 6], [3, 0], [4, 1]]) {
        const computed = (await complete({ prompt: tokens(1000, seed), n: 3, n_predict })).map(({ timings }) => timings.cache.computed);
        assert.deepEqual(computed, [1000, 1, 1]);
    }
    const known = (await complete({ prompt: tokens(1000, 2), n: 3 })).map(({ timings }) => timings.cache.computed);
    assert.deepEqual(known, [1, 1, 1]);
    const prompts = [tokens(600, 5), tokens(600, 6)];
    const two = (await complete({ prompt: prompts, n: 2 })).map(({ timings }) => timings.cache.computed);
    assert.deepEqual(two, [600, 1, 600, 1]);
    const { events } = await server.stream('/completion', { prompt: tokens(800, 7), n: 3, n_predict: 3, ignore_eos: true });
    assert.equal(events.filter((event) => event.stop).reduce((sum, { timings }) => sum + timings.prompt_n, 0), 802);
});

test('without the cache each of n answers computes the prompt', async () => {
    const answers = await complete({ prompt: tokens(300, 8), n: 2, cache_prompt: false });
    assert.deepEqual(answers.map(({ timings }) => timings.cache.computed), [300, 300]);
});

test('a client that leaves before the prompt of its n answers is computed ends them, too', async () => {
    const leave = new AbortController();
    let processed = 0;
    const long = await start(['-m', makeModel('dense', small), '-t', '1', '-np', '3', '-c', '8192', '--fit', 'off', '-b', '64', '-ub', '64']);
    try {
        const onEvent = ({ prompt_progress: { processed: n } }) => {
            processed = n;
            if (n >= 64) leave.abort();
        };
        await assert.rejects(long.stream('/completion', { prompt: tokens(7000, 9), n: 3, return_progress: true }, { signal: leave.signal, onEvent }));
        assert.ok(processed < 7000);
        const slots = async () => (await long.get('/slots')).json.filter((slot) => slot.is_processing).length;
        for (let i = 0; i < 1000 && (await slots()); i++);
        assert.equal(await slots(), 0);
        const answers = await long.ask('/completion', { prompt: 'The fox', n: 3, n_predict: 2, ignore_eos: true });
        assert.equal(answers.length, 3);
    } finally {
        assert.equal(await long.stop(), 0);
    }
});

test('a list of prompts has n answers each, in order', async () => {
    const prompt = ['The fox', 'The owl'], body = { prompt, n: 2, temperature: 1, seed: 3 };
    const native = await complete(body);
    assert.deepEqual(indices(native), [0, 1, 2, 3]);
    assert.deepEqual(native.map((answer) => answer.prompt), ['The fox', 'The fox', 'The owl', 'The owl']);
    const text = await server.ask('/v1/completions', { ...body, max_tokens: 5, ignore_eos: true });
    assert.deepEqual(indices(text.choices), [0, 1, 2, 3]);
    assert.deepEqual(text.usage, { completion_tokens: 20, prompt_tokens: 4, total_tokens: 24, prompt_tokens_details: text.usage.prompt_tokens_details });
});

test('streams of n answers are told apart by their index, on each route', async () => {
    const n = 3, limit = 150;
    const { events: native } = await server.stream('/completion', { prompt: 'The fox', n_cmpl: n, n_predict: limit, ignore_eos: true, temperature: 1, seed: 9, return_tokens: true });
    const { events: text } = await server.stream('/v1/completions', { prompt: 'The fox', n, max_tokens: limit, ignore_eos: true, temperature: 1, seed: 9 });
    const { events: chat } = await server.stream('/v1/chat/completions', { messages: user('Name an animal'), n, max_tokens: limit, ignore_eos: true, stream_options: { include_usage: true } });
    for (let index = 0; index < n; index++) {
        const own = native.filter((event) => event.index === index);
        assert.equal(own.filter((event) => event.stop).length, 1);
        assert.equal(own.at(-1).stop, true);
        assert.equal(own.at(-1).tokens_predicted, limit);
        const said = own.slice(0, -1);
        assert.equal(said.flatMap((event) => event.tokens).length, limit);
        const { content } = await server.ask('/detokenize', { tokens: said.flatMap((event) => event.tokens) });
        assert.equal(said.map((event) => event.content).join(''), content);
        const pieces = text.slice(0, -1).map(({ choices: [choice] }) => choice).filter((choice) => choice.index === index);
        assert.equal(pieces.at(-1).finish_reason, 'length');
        assert.equal(pieces.filter((choice) => choice.finish_reason).length, 1);
        assert.equal(text.find((event) => event.usage && event.choices[0].index === index).usage.completion_tokens, limit);
        const deltas = chat.slice(0, -2).map(({ choices: [choice] }) => choice).filter((choice) => choice.index === index);
        assert.equal(deltas[0].delta.role, 'assistant');
        assert.equal(deltas.filter((choice) => choice.finish_reason === 'length').length, 1);
    }
    const order = indices(native.filter((event) => !event.stop));
    assert.ok(order.some((index, i) => i > 0 && index < order[i - 1]), `not interleaved: ${order}`);
    assert.equal(chat.at(-2).usage.completion_tokens, n * limit);
    assert.equal(text.at(-1), '[DONE]');
    assert.equal(chat.at(-1), '[DONE]');
});

test('a client that leaves ends all of its answers', async () => {
    const stream = await begun('/completion', { prompt: 'The fox', n: 3, n_predict: 2000 });
    await stream.leave();
    await untilIdle();
    assert.match((await server.get('/metrics')).text, /^llamacpp:requests_deferred 0$/m);
});

test('an answer that can not be made fails the request', async () => {
    const answer = await server.post('/completion', { prompt: ['The fox', tokens(9000, 4)], n: 2, n_predict: 100, ignore_eos: true });
    assert.equal(answer.status, 400);
    assert.equal(answer.json.error.type, 'exceed_context_size_error');
    assert.equal(answer.json.error.n_prompt_tokens, 9000);
    await untilIdle();
});

test('more answers than slots are refused, on each route', async () => {
    for (const [route, body] of [['/completion', { prompt: 'a' }], ['/v1/completions', { prompt: 'a' }], ['/v1/chat/completions', { messages: user('a') }], ['/infill', { input_prefix: '', input_suffix: '' }]])
        for (const [name, value, says] of [['n', 4, /^Field 'n': .*number of slots, 3, got 4/], ['n_cmpl', 4, /^Field 'n_cmpl': .*number of slots, 3, got 4/], ['n', 0, /^Field 'n':/], ['n', -1, /^Field 'n':/], ['n_cmpl', 'two', /^Field 'n_cmpl':/], ['n', 1.5, /^Field 'n':/]]) {
            const answer = await server.post(route, { ...body, [name]: value });
            assert.equal(answer.status, 400, `${route} ${name} ${value}`);
            assert.match(answer.json.error.message, says);
        }
});

/* ---- id_slot ---- */

const routes = [
    ['/completion', { prompt: 'The fox', n_predict: 3 }],
    ['/v1/completions', { prompt: 'The fox', max_tokens: 3 }],
    ['/v1/chat/completions', { messages: user('The fox'), max_tokens: 3 }],
    ['/infill', { input_prefix: 'int ', input_suffix: ';', n_predict: 3 }],
];

test('each route takes the slot that is asked for', async () => {
    for (const [route, body] of routes)
        for (const id_slot of [2, 0, 1]) {
            await untilIdle();
            const answer = await server.ask(route, { ...body, ignore_eos: true, verbose: true, id_slot });
            assert.equal((answer.__verbose || answer).id_slot, id_slot, route);
        }
});

test('a slot that does not exist is refused, on each route', async () => {
    for (const [route, body] of routes)
        for (const id_slot of [3, -2, 2 ** 40, '0', 0.5, true]) {
            const answer = await server.post(route, { ...body, id_slot });
            assert.equal(answer.status, 400, `${route} ${id_slot}`);
            assert.match(answer.json.error.message, /^Field 'id_slot': /);
        }
});

test('requests for one slot run one after the other, also where another one is free', async () => {
    const order = [];
    const ends = (name, promise) => promise.then((value) => (order.push(name), value));
    const first = await begun('/completion', { prompt: tokens(200, 5), n_predict: 300, temperature: 0, cache_prompt: false, id_slot: 1 });
    ends('first', first.end);
    const second = ends('second', complete({ prompt: tokens(100, 6), id_slot: 1 }));
    const third = await ends('third', complete({ prompt: tokens(100, 7), n_predict: 2 })); // without a slot of its own: not held up
    const [a, b] = [await first.end, await second];
    assert.deepEqual(order, ['third', 'first', 'second']);
    assert.equal(b.id_slot, 1);
    assert.notEqual(third.id_slot, 1);
    assert.equal(a.events.at(-1).id_slot, 1);
    assert.equal(a.events.at(-1).tokens_predicted, 300);
    assert.ok(b.timings.cache.wait_ms > 0);
});

test('a request that waits for its slot can be given up', async () => {
    const first = await begun('/completion', { prompt: tokens(100, 8), n_predict: 2000, id_slot: 0 });
    const leave = new AbortController();
    const second = server.post('/completion', { prompt: 'The fox', id_slot: 0 }, { signal: leave.signal });
    for (let i = 0; i < 1000 && !/^llamacpp:requests_deferred 1$/m.test((await server.get('/metrics')).text); i++);
    leave.abort();
    await assert.rejects(second);
    assert.equal((await complete({ prompt: 'The owl', id_slot: 1 })).id_slot, 1);
    await first.leave();
    await untilIdle();
});

test('what one slot has computed is there for any other', async () => {
    const prompt = tokens(700, 9);
    await complete({ prompt, id_slot: 0 });
    assert.equal(known(await complete({ prompt: [...prompt, ...tokens(50, 10)], id_slot: 2 })), 700);
    await complete({ prompt: tokens(700, 11), id_slot: 0 }); // its last prompt is another one now
    const again = await complete({ prompt, id_slot: 0 });
    assert.equal(again.id_slot, 0);
    assert.equal(known(again), 699);
});

test('a slot that has not served yet finds the cache', async () => {
    const other = await start(['-m', makeModel('dense', small), '-t', '1', '-np', '2', '-c', '1024', '--fit', 'off']);
    try {
        const ask = (body) => other.ask('/completion', { n_predict: 2, temperature: 0, ignore_eos: true, ...body });
        const prompt = tokens(600, 12);
        await ask({ prompt, id_slot: 0 });
        await ask({ prompt: tokens(900, 13), id_slot: 0 }); // the context does not hold both
        const answer = await ask({ prompt, id_slot: 1 });
        assert.equal(answer.id_slot, 1);
        assert.equal(answer.timings.cache.ram, 599, JSON.stringify(answer.timings.cache));
    } finally {
        assert.equal(await other.stop(), 0);
    }
});

test('with n the first answer has the slot that was asked for, the others take what is free', async () => {
    await untilIdle();
    const answers = await complete({ prompt: tokens(400, 14), n: 2, id_slot: 2 });
    assert.equal(answers[0].id_slot, 2);
    assert.notEqual(answers[1].id_slot, 2);
});
