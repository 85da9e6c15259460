// SPDX-License-Identifier: MIT
//
// What a request may ask for, and what it gets: limits, stops, samplers, grammars, probabilities, streams, several answers, usage.
// Where two answers must be equal, cache_prompt is off: a prompt that is computed in other pieces has other last bits (DESIGN.md, 8).
'use strict';
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, makeModel } = require('../support/server.js');

let server, model, endOfTurn, wordTokens;
before(async () => {
    model = makeModel('dense', ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128']);
    server = await start(['-m', model, '-t', '1', '-np', '2', '-c', '2048', '--fit', 'off', '--metrics']);
    [endOfTurn] = await tokenize('<|im_end|>');
    wordTokens = await Promise.all([' fox', ' hen', ' owl'].map(async (word) => (await tokenize(word))[0]));
});
after(async () => assert.equal(await server.stop(), 0));

const tokenize = async (content, more) => (await server.ask('/tokenize', { content, ...more })).tokens;
const detokenize = async (tokens) => (await server.ask('/detokenize', { tokens })).content;
const repeatable = { temperature: 0, ignore_eos: true, cache_prompt: false };
const complete = (body) => server.ask('/completion', { prompt: 'The quick brown fox', n_predict: 8, ...body });
const chat = (body) => server.ask('/v1/chat/completions', { messages: [{ role: 'user', content: 'Name an animal' }], max_tokens: 8, ...body });
const force = (token) => [[token, 1000]];

/* ---- how long ---- */

test('n_predict is a limit, under each of its names', async () => {
    for (const [name, n] of [['n_predict', 1], ['n_predict', 7], ['max_tokens', 5], ['max_completion_tokens', 3]]) {
        const answer = await complete({ ...repeatable, n_predict: undefined, [name]: n, return_tokens: true });
        assert.equal(answer.tokens_predicted, n);
        assert.equal(answer.tokens.length, n);
        assert.equal(answer.stop_type, 'limit');
        assert.equal(answer.truncated, false);
        assert.equal(answer.timings.predicted_n, n);
    }
});

test('n_predict 0 computes the prompt and nothing else', async () => {
    const prompt = await tokenize('one two three four five six seven');
    const answer = await complete({ prompt, n_predict: 0 });
    assert.equal(answer.content, '');
    assert.equal(answer.tokens_predicted, 0);
    assert.equal(answer.stop_type, 'limit');
    assert.equal((await complete({ prompt })).timings.cache.computed, 1);
});

test('without a limit the end of a turn ends an answer, ignore_eos leaves the context as its end', async () => {
    const ends = await complete({ n_predict: -1, seed: 1 });
    assert.equal(ends.stop_type, 'eos');
    assert.ok(!ends.content.includes('<|im_end|>'));
    const prompt = Array.from({ length: 1990 }, (_, i) => 3000 + i);
    const full = await complete({ prompt, n_predict: -1, ignore_eos: true });
    assert.equal(full.stop_type, 'limit');
    assert.equal(full.truncated, true);
    assert.ok(full.tokens_predicted >= 50 && full.tokens_predicted <= 60, String(full.tokens_predicted));
});

test('an end of turn that is forced ends at once, and not with ignore_eos', async () => {
    const ended = await complete({ logit_bias: force(endOfTurn) });
    assert.deepEqual([ended.content, ended.stop_type], ['', 'eos']);
    assert.equal((await complete({ logit_bias: force(endOfTurn), ignore_eos: true })).stop_type, 'limit');
});

/* ---- stops ---- */

test('stop strings are found across the borders of tokens', async () => {
    const whole = await complete({ ...repeatable, n_predict: 40, return_tokens: true });
    const pieces = await Promise.all(whole.tokens.map((token) => detokenize([token])));
    assert.equal(pieces.join(''), whole.content);
    let checked = 0;
    for (let i = 1; i + 1 < pieces.length && checked < 6; i++) {
        const stop = pieces[i].slice(-2) + pieces[i + 1].slice(0, 2);
        if (/\ufffd/.test(stop) || stop.length < 4) continue;
        const at = whole.content.indexOf(stop);
        for (const stream of [false, true]) {
            const body = { ...repeatable, n_predict: 40, stop: ['never to be seen', stop] };
            const events = stream ? (await server.stream('/completion', { prompt: 'The quick brown fox', ...body })).events : [await complete(body)];
            assert.equal(events.map((event) => event.content).join(''), whole.content.slice(0, at), `${JSON.stringify(stop)} in ${JSON.stringify(whole.content)}`);
            assert.equal(events.at(-1).stop_type, 'word');
            assert.equal(events.at(-1).stopping_word, stop);
        }
        checked++;
    }
    assert.ok(checked >= 3);
});

test('a stop string in words that are known before', async () => {
    const body = { logit_bias: force(wordTokens[0]), temperature: 0, n_predict: 5 };
    assert.equal((await complete(body)).content, ' fox fox fox fox fox');
    for (const [stop, content, type] of [
        ['x fo', ' fo', 'word'],
        [' fox', '', 'word'],
        ['fox fox fox', ' ', 'word'],
        ['fox\n', ' fox fox fox fox fox', 'limit'],
        [['hen', 'ox f', 'x fo'], ' f', 'word'],
        [[], ' fox fox fox fox fox', 'limit'],
    ]) {
        const answer = await complete({ ...body, stop });
        assert.deepEqual([answer.content, answer.stop_type], [content, type], JSON.stringify(stop));
    }
    const answer = await chat({ ...body, stop: ['x fo'] });
    assert.equal(answer.choices[0].message.content, 'fo'); // a chat's parser takes no blanks before the text
    assert.equal(answer.choices[0].finish_reason, 'stop');
});

/* ---- streams ---- */

test('a stream cuts no character, and its pieces are the whole answer', async () => {
    const text = '\u{1F9AE}\u{1F9AE}\u8bed\u{1F9AE}x\u{1F9AE}\u{1F9AE}'; // characters of several tokens: their bytes come one by one
    const body = { cache_prompt: false, temperature: 1, seed: 7, n_predict: 60, grammar: `root ::= "${text}"`, return_tokens: true };
    const whole = await complete(body);
    assert.equal(whole.content, text);
    assert.ok(whole.tokens.length > [...text].length, 'several tokens per character');
    const { events } = await server.stream('/completion', { prompt: 'The quick brown fox', ...body });
    assert.equal(events.map((event) => event.content).join(''), text);
    assert.deepEqual(events.flatMap((event) => event.tokens), whole.tokens);
    assert.doesNotMatch(events.map((event) => event.content).join('|'), /\ufffd/);
    const cut = await complete({ ...body, n_predict: 1 });
    assert.match(cut.content, /^\ufffd+$/, 'a character that was cut off is shown as one');
});

test('a stream says as much as a whole answer, on each route', async () => {
    const body = { ...repeatable, prompt: 'The quick brown fox', n_predict: 12 };
    const native = (await server.stream('/completion', body)).events;
    const { content } = await complete(body);
    assert.equal(native.map((event) => event.content).join(''), content);
    assert.deepEqual(native.map((event) => event.stop), [...Array(native.length - 1).fill(false), true]);
    assert.equal(native.at(-1).content, '');

    const text = (await server.stream('/v1/completions', body)).events;
    assert.equal(text.at(-1), '[DONE]');
    assert.equal(text.slice(0, -1).map((event) => event.choices[0].text).join(''), (await server.ask('/v1/completions', body)).choices[0].text);
    assert.deepEqual(text.at(-2).usage.completion_tokens, 12);

    const messages = [{ role: 'user', content: 'Name an animal' }];
    const { events } = await server.stream('/v1/chat/completions', { ...body, prompt: undefined, messages });
    const choices = events.slice(0, -1).map((event) => event.choices[0]);
    assert.deepEqual(choices[0].delta, { role: 'assistant', content: null });
    assert.equal(choices.slice(1).map((choice) => choice.delta.content || '').join(''), (await chat({ ...repeatable, n_predict: 12 })).choices[0].message.content);
    assert.deepEqual([choices.at(-1).delta, choices.at(-1).finish_reason], [{}, 'length']);
    assert.ok(choices.slice(0, -1).every((choice) => choice.finish_reason === null));
    assert.equal(new Set(events.slice(0, -1).map((event) => event.id)).size, 1);
    assert.ok(events.at(-2).timings, 'timings come in the last chunk');
});

test('include_usage adds one chunk without choices', async () => {
    const messages = [{ role: 'user', content: 'Name an animal' }];
    const { events } = await server.stream('/v1/chat/completions', { messages, ...repeatable, max_tokens: 4, stream_options: { include_usage: true } });
    const last = events.at(-2);
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.completion_tokens, 4);
    assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + 4);
    assert.ok(last.timings);
    assert.ok(events.slice(0, -2).every((event) => event.choices.length === 1 && !event.usage));
});

test('return_progress and timings_per_token', async () => {
    const prompt = Array.from({ length: 1500 }, (_, i) => 7000 + i);
    const { events } = await server.stream('/completion', { prompt, n_predict: 4, ignore_eos: true, return_progress: true, timings_per_token: true });
    const progress = events.filter((event) => event.prompt_progress).map((event) => event.prompt_progress);
    assert.ok(progress.length >= 3, 'one per batch at least');
    for (const [i, p] of progress.entries()) {
        assert.equal(p.total, 1500);
        assert.ok(p.processed >= (i ? progress[i - 1].processed : p.cache));
    }
    assert.equal(progress.at(-1).processed, 1500);
    assert.ok(events.every((event) => event.timings.cache && event.timings.cache_n + event.timings.prompt_n <= 1500));
    assert.equal(events.findIndex((event) => !event.prompt_progress), progress.length, 'progress comes first');
});

test('a silent stream is pinged, and one that waits begins with a ping', async () => {
    const leave = new AbortController();
    let begun;
    const first = new Promise((resolve) => (begun = resolve));
    const fill = () => server.stream('/completion', { prompt: 'busy', n_predict: -1, ignore_eos: true, id_slot: 1 }, { onEvent: begun, signal: leave.signal });
    const busy = Promise.allSettled([fill(), fill(), fill(), fill()]);
    await first;
    let heard = '';
    const waiting = server.post('/completion', { prompt: 'waits', n_predict: 2, id_slot: 1, stream: true, sse_ping_interval: 1 }, {
        onData: (chunk) => {
            heard += chunk;
            if (heard === ':\n\n') leave.abort();
        },
    });
    const answer = await waiting;
    await busy;
    assert.equal(answer.status, 200);
    assert.match(answer.text, /^:\n\ndata: \{/);
    assert.match(answer.text, /"stop":true/);
});

/* ---- which tokens ---- */

test('logit_bias forces and forbids, by token and by text, as a list and as an object', async () => {
    const [fox, hen] = wordTokens;
    for (const logit_bias of [[[fox, 1000]], [[' fox', 1000]], { [fox]: 1000 }, { ' fox': 1000 }])
        assert.equal((await complete({ logit_bias, n_predict: 2 })).content, ' fox fox', JSON.stringify(logit_bias));
    for (const no of [false, -1000])
        assert.equal((await complete({ logit_bias: [[fox, no], [hen, 500]], n_predict: 2 })).content, ' hen hen');
    assert.equal((await chat({ logit_bias: { [fox]: 1000 }, max_tokens: 2 })).choices[0].message.content, 'fox fox');
});

test('a grammar is all that an answer can be', async () => {
    const answer = await complete({ grammar: 'root ::= "yes" | "no"', n_predict: 40, temperature: 2, seed: 3 });
    assert.match(answer.content, /^(yes|no)$/);
    assert.equal(answer.stop_type, 'eos');
    assert.match((await chat({ grammar: 'root ::= [0-9]{3}', max_tokens: 40 })).choices[0].message.content, /^[0-9]{3}$/);
});

const schema = { type: 'object', properties: { legs: { type: 'integer', minimum: 0, maximum: 9 }, flies: { type: 'boolean' } }, required: ['legs', 'flies'], additionalProperties: false };
function checkAnimal(text) {
    const animal = JSON.parse(text);
    assert.deepEqual(Object.keys(animal), ['legs', 'flies']);
    assert.ok(Number.isInteger(animal.legs) && animal.legs >= 0 && animal.legs <= 9);
    assert.equal(typeof animal.flies, 'boolean');
}

test('json_schema and response_format', async () => {
    checkAnimal((await complete({ json_schema: schema, n_predict: 400 })).content);
    checkAnimal((await server.ask('/v1/completions', { prompt: 'An animal:', json_schema: schema, max_tokens: 400 })).choices[0].text);
    checkAnimal((await chat({ json_schema: schema, max_tokens: 400 })).choices[0].message.content);
    checkAnimal((await chat({ response_format: { type: 'json_schema', json_schema: { name: 'animal', schema } }, max_tokens: 400 })).choices[0].message.content);
    checkAnimal((await chat({ response_format: { type: 'json_object', schema }, max_tokens: 400 })).choices[0].message.content);
    assert.match((await chat({ response_format: { type: 'json_object' }, max_tokens: 64 })).choices[0].message.content, /^\s*\{/);
    const free = await chat({ ...repeatable, response_format: { type: 'text' } });
    assert.equal(free.choices[0].message.content, (await chat(repeatable)).choices[0].message.content);
});

test('a seed makes an answer repeatable, and the one that was drawn is told', async () => {
    // A server of its own: conversations that stay in the context, or leave it between two requests, change the last bits of the next ones.
    const alone = await start(['-m', model, '-t', '1', '-np', '1', '-c', '512', '--fit', 'off', '--cache-ram', '0', '--no-cache-prompt']);
    try {
        const ask = (more) => alone.ask('/completion', { prompt: 'The quick brown fox', temperature: 1, n_predict: 12, ignore_eos: true, ...more });
        const first = await ask({ seed: 42 });
        assert.equal((await ask({ seed: 42 })).content, first.content);
        assert.notEqual((await ask({ seed: 43 })).content, first.content);
        const drawn = await ask({}), other = await ask({ seed: -1 });
        assert.notEqual(drawn.generation_settings.seed, other.generation_settings.seed);
        assert.equal((await ask({ seed: drawn.generation_settings.seed })).content, drawn.content);
    } finally {
        await alone.stop();
    }
});

test('samplers run in the order that is asked for', async () => {
    const greedy = (await complete(repeatable)).content;
    for (const more of [{ samplers: ['top_k'], top_k: 1 }, { samplers: 'k', top_k: 1 }, { samplers: ['top-k', 'temperature'], top_k: 1 }, { top_k: 1 }]) {
        const answer = await complete({ ...repeatable, temperature: 1, ...more });
        assert.equal(answer.content, greedy, JSON.stringify(more));
    }
    const shown = async (samplers) => (await complete({ samplers, n_predict: 1 })).generation_settings.samplers;
    assert.deepEqual(await shown(['min_p', 'temperature']), ['min_p', 'temperature']);
    assert.deepEqual(await shown('kpt'), ['top_k', 'top_p', 'temperature']);
    assert.deepEqual(await shown(['top_k', 'no_such']), ['top_k']);
    assert.notEqual((await complete({ ...repeatable, temperature: 1, samplers: ['temperature'], top_k: 1, seed: 1 })).content, greedy);
});

/* ---- probabilities ---- */

function checkEntry(entry, p) {
    assert.deepEqual(Object.keys(entry).slice(0, 3), ['id', 'token', 'bytes']);
    assert.equal(Buffer.from(entry.bytes).toString(), entry.token);
    assert.equal(typeof entry[p], 'number');
}

function checkProbs(list, n, p) {
    for (const entry of list) {
        const top = entry[p === 'prob' ? 'top_probs' : 'top_logprobs'];
        checkEntry(entry, p);
        assert.equal(top.length, n);
        top.forEach((other) => checkEntry(other, p));
        const values = top.map((other) => (p === 'prob' ? other.prob : Math.exp(other.logprob)));
        values.forEach((value, i) => assert.ok(value >= 0 && (i === 0 || value <= values[i - 1])));
        const sum = values.reduce((a, b) => a + b);
        assert.ok(sum > 0 && sum < 1.0001);
        const same = top.find((other) => other.id === entry.id);
        if (same) assert.equal(same[p], entry[p]);
    }
}

test('n_probs: the most probable tokens, sorted, of each token', async () => {
    const answer = await complete({ n_predict: 4, n_probs: 5, ignore_eos: true });
    assert.equal(answer.completion_probabilities.length, 4);
    checkProbs(answer.completion_probabilities, 5, 'logprob');
    assert.equal(answer.completion_probabilities.map((entry) => entry.token).join(''), answer.content);
    const { events } = await server.stream('/completion', { prompt: 'The quick brown fox', n_predict: 4, n_probs: 2, ignore_eos: true });
    const streamed = events.flatMap((event) => event.completion_probabilities || []);
    assert.equal(streamed.length, 4);
    checkProbs(streamed, 2, 'logprob');
});

test('post_sampling_probs: of what the samplers left', async () => {
    const answer = await complete({ n_predict: 3, n_probs: 3, post_sampling_probs: true, samplers: ['top_k'], top_k: 3, ignore_eos: true });
    checkProbs(answer.completion_probabilities, 3, 'prob');
    for (const entry of answer.completion_probabilities) assert.ok(Math.abs(entry.top_probs.reduce((sum, other) => sum + other.prob, 0) - 1) < 1e-4);
});

test('logprobs of the OpenAI routes', async () => {
    const { choices } = await chat({ logprobs: true, top_logprobs: 2, max_tokens: 3, ignore_eos: true });
    assert.equal(choices[0].logprobs.content.length, 3);
    checkProbs(choices[0].logprobs.content, 2, 'logprob');
    assert.equal((await chat({ max_tokens: 1 })).choices[0].logprobs, undefined);
    const text = await server.ask('/v1/completions', { prompt: 'The', max_tokens: 2, logprobs: 2, ignore_eos: true });
    checkProbs(text.choices[0].logprobs.content, 2, 'logprob');
});

/* ---- several answers ---- */

test('n answers to one prompt', async () => {
    const prompt = Array.from({ length: 200 }, (_, i) => 9000 + i);
    const native = await complete({ prompt, n: 2, temperature: 1, seed: 5, ignore_eos: true });
    assert.deepEqual(native.map((answer) => answer.index), [0, 1]);
    assert.notEqual(native[0].content, native[1].content);
    const body = { messages: [{ role: 'user', content: 'Name an animal' }], n: 2, max_tokens: 6, temperature: 1, ignore_eos: true };
    const answer = await server.ask('/v1/chat/completions', body);
    assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1]);
    assert.equal(answer.usage.completion_tokens, 12);
    const { events } = await server.stream('/v1/chat/completions', { ...body, stream_options: { include_usage: true } });
    for (const index of [0, 1]) {
        const own = events.slice(0, -2).map((event) => event.choices[0]).filter((choice) => choice.index === index);
        assert.deepEqual(own[0].delta, { role: 'assistant', content: null });
        assert.equal(own.at(-1).finish_reason, 'length');
        assert.equal(own.filter((choice) => choice.finish_reason).length, 1);
    }
    assert.equal(events.at(-2).usage.completion_tokens, 12);
    assert.equal(events.filter((event) => event === '[DONE]').length, 1);
});

test('a list of prompts has an answer each, in order', async () => {
    const prompts = ['The fox', [3974, 13876], ['A', 3974, ' hen'], 'The owl', 'The cat'];
    const answers = await complete({ ...repeatable, prompt: prompts, n_predict: 3 });
    assert.deepEqual(answers.map((answer) => answer.index), [0, 1, 2, 3, 4]);
    assert.deepEqual(answers.map((answer) => answer.prompt), ['The fox', ' quick brown', 'A quick hen', 'The owl', 'The cat']);
    const text = await server.ask('/v1/completions', { ...repeatable, prompt: ['The fox', 'The owl'], max_tokens: 3 });
    assert.deepEqual(text.choices.map((choice) => choice.index), [0, 1]);
    assert.equal(text.usage.completion_tokens, 6);
    assert.equal(text.usage.prompt_tokens, 4);
    const one = await complete({ ...repeatable, prompt: ['The fox'], n_predict: 3 });
    assert.equal(one.prompt, 'The fox');
});

/* ---- what it tells ---- */

test('usage says what was cached, the second time', async () => {
    const messages = [{ role: 'system', content: 'You know every animal.' }, { role: 'user', content: 'Which one is the largest of them all?' }];
    const ask = () => server.ask('/v1/chat/completions', { messages, max_tokens: 3, ignore_eos: true });
    const first = await ask(), second = await ask();
    const n = first.usage.prompt_tokens;
    assert.ok(n > 15);
    assert.ok(first.usage.prompt_tokens_details.cached_tokens < n - 1);
    assert.deepEqual(second.usage, { completion_tokens: 3, prompt_tokens: n, total_tokens: n + 3, prompt_tokens_details: { cached_tokens: n - 1 } });
    assert.equal(second.timings.cache_n, n - 1);
    assert.equal(second.timings.prompt_n, 1);
    const { device, ram, computed } = second.timings.cache;
    assert.deepEqual([device + ram, computed], [n - 1, 1]);
    const { prompt } = await server.ask('/apply-template', { messages });
    assert.equal((await tokenize(prompt)).length, n);
    assert.equal((await complete({ prompt, n_predict: 1 })).timings.cache.computed, 1, 'a chat is its prompt');
});

test('response_fields choose, nested ones by their path', async () => {
    const answer = await complete({ n_predict: 2, response_fields: ['content', 'generation_settings/n_predict', 'timings/cache/computed', 'no/such'] });
    assert.deepEqual(Object.keys(answer), ['content', 'generation_settings/n_predict', 'timings/cache/computed']);
    assert.equal(answer['generation_settings/n_predict'], 2);
});

test('a slot that is in use is shown with its parameters, and no text', async () => {
    const leave = new AbortController();
    let begun;
    const first = new Promise((resolve) => (begun = resolve));
    const body = { prompt: 'a secret', n_predict: 1500, ignore_eos: true, top_k: 17 };
    const running = server.stream('/completion', { ...body, id_slot: 1 }, { onEvent: begun, signal: leave.signal });
    await first;
    let slots; // as they were at the end of the engine's last step
    for (let i = 0; i < 100 && !(slots && slots.json[1].state === 'generating'); i++) slots = await server.get('/slots');
    const [idle, busy] = slots.json;
    assert.deepEqual([idle.id, idle.is_processing, idle.state], [0, false, 'idle']);
    assert.deepEqual([busy.id, busy.is_processing, busy.state], [1, true, 'generating']);
    assert.equal(busy.n_prompt_tokens, 2);
    assert.equal(busy.params.top_k, 17);
    assert.ok(busy.next_token[0].n_decoded > 0);
    assert.equal(busy.next_token[0].n_decoded + busy.next_token[0].n_remain, 1500);
    assert.doesNotMatch(slots.text, /secret/);
    assert.equal((await server.get('/slots?fail_on_no_slot=1')).status, 200);
    const metrics = (await server.get('/metrics')).text;
    assert.match(metrics, /^llamacpp:requests_processing 1$/m);
    const other = server.stream('/completion', { ...body, id_slot: 0 }, { signal: leave.signal });
    let refused;
    for (let i = 0; i < 200 && !(refused && refused.status === 503); i++) refused = await server.get('/slots?fail_on_no_slot=1');
    assert.deepEqual(refused.json, { error: { code: 503, message: 'no slot available', type: 'unavailable_error' } });
    leave.abort();
    await Promise.allSettled([running, other]);
});

test('text survives a round trip through tokens', async () => {
    const text = 'naïve Ünïcödé \u8a9e \u{1F98A}\u{1F3FD}\u200d \u202e\ttab\nline "quoted" \\ \u0000 \u0007 end';
    const tokens = await tokenize(text);
    assert.equal(await detokenize(tokens), text);
    const pieces = await tokenize(text, { with_pieces: true });
    assert.deepEqual(pieces.map(({ id }) => id), tokens);
    assert.equal(Buffer.concat(pieces.map(({ piece }) => Buffer.from(piece))).toString(), text);
    assert.equal((await tokenize('<|im_end|>')).length, 1);
    assert.ok((await tokenize('<|im_end|>', { parse_special: false })).length > 1);
    assert.deepEqual(await tokenize(['a', 5, ' b']), [...(await tokenize('a')), 5, ...(await tokenize(' b'))]);
    assert.deepEqual([await tokenize(''), await detokenize([])], [[], '']);
});

test('tools and their results are part of the prompt', async () => {
    const tools = [{ type: 'function', function: { name: 'count_legs', description: 'Counts', parameters: { type: 'object', properties: { animal: { type: 'string' } } } } }];
    const messages = [
        { role: 'user', content: [{ type: 'text', text: 'How many legs has a fox?' }] },
        { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'count_legs', arguments: '{"animal":"fox"}' } }] },
        { role: 'tool', tool_call_id: 'call_1', content: '4' },
    ];
    const { prompt } = await server.ask('/apply-template', { messages, tools });
    for (const part of ['count_legs', 'How many legs has a fox?', '{"animal": "fox"}', '4']) assert.ok(prompt.includes(part), prompt);
    assert.equal((await server.ask('/v1/chat/completions', { messages, tools, max_tokens: 2 })).choices.length, 1);
});
