// SPDX-License-Identifier: MIT
//
// /infill: the prompt that is made of what stands before and behind the gap, that its prefix is kept, and what is refused.
'use strict';
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, makeModel } = require('../support/server.js');

const small = ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128'];
const base = ['-t', '1', '-np', '2', '-c', '2048', '-b', '512', '-ub', '512', '--fit', 'off'];
let server;
before(async () => {
    server = await start(['-m', makeModel('dense', small), ...base]);
});
after(async () => assert.equal(await server.stop(), 0));

async function withServer(args, fn) {
    const other = await start(args);
    try {
        await fn(other);
    } finally {
        assert.equal(await other.stop(), 0);
    }
}

const sides = { input_prefix: 'int sum(int a, int b) {\n', input_suffix: '\n}\n' };
const infill = (body, on = server) => on.ask('/infill', { ...sides, n_predict: 4, temperature: 0, ignore_eos: true, ...body });
const words = (n, word) => Array.from({ length: n }, (_, i) => ` ${word}${String.fromCharCode(97 + (i % 26))}`).join('');
const tokenize = async (content) => (await server.ask('/tokenize', { content, parse_special: false })).tokens;

test('the prompt is what code models are trained with', async () => {
    const plain = await infill({});
    assert.equal(plain.prompt, `<|repo_name|>myproject\n<|file_sep|>filename\n<|fim_prefix|>${sides.input_prefix}<|fim_suffix|>${sides.input_suffix}<|fim_middle|>`);
    assert.equal(plain.tokens_predicted, 4);
    assert.equal(plain.stop_type, 'limit');
    const input_extra = [{ filename: 'a.h', text: 'int sum(int, int);\n' }, { text: 'int x;' }];
    const full = await infill({ input_extra, prompt: '  return ' });
    assert.equal(full.prompt,
        `<|repo_name|>myproject\n<|file_sep|>a.h\nint sum(int, int);\n<|file_sep|>tmp\nint x;<|file_sep|>filename\n<|fim_prefix|>${sides.input_prefix}  return <|fim_suffix|>${sides.input_suffix}<|fim_middle|>`);
});

test('special tokens in the texts are text, but for the prompt', async () => {
    const pieces = ['<|fim_middle|>', '<|im_end|>'];
    const hidden = await tokenize(pieces.join(''));
    assert.ok(hidden.length > 2);
    const n = async (body) => (await infill(body)).tokens_evaluated;
    const empty = { input_prefix: '', input_suffix: '' }, none = await n(empty);
    assert.equal(await n({ ...empty, input_prefix: pieces.join('') }), none + hidden.length);
    assert.equal(await n({ ...empty, input_suffix: pieces.join('') }), none + hidden.length);
    assert.equal(await n({ ...empty, prompt: pieces.join('') }), none + 2);
});

test('long sides are cut to a batch, three parts before the gap to one behind it', async () => {
    const input_prefix = words(900, 'before'), input_suffix = words(900, 'after');
    const before = await tokenize(input_prefix), behind = await tokenize(input_suffix);
    const text = async (tokens) => (await server.ask('/detokenize', { tokens })).content;
    const cut = await infill({ input_prefix, input_suffix });
    const [, left, right] = /<\|fim_prefix\|>(.*)<\|fim_suffix\|>(.*)<\|fim_middle\|>$/s.exec(cut.prompt);
    assert.equal(left, await text(before.slice(-3 * 128)));
    assert.equal(right, await text(behind.slice(0, 128 - 2)));
    // What is left of the context is for the end of the chunks. Without a limit of the server's own it is two tokens more.
    const { prompt, tokens_evaluated: n } = await infill({ input_prefix, input_suffix, input_extra: [{ filename: 'a.c', text: `first ${words(3000, 'chunk')} last` }] });
    const room = 1024 - 512 + 2; // two slots share the context
    assert.ok(n <= 512 + room + 1 && n >= 512 + room - 2, String(n));
    assert.doesNotMatch(prompt, /first|repo_name/);
    assert.match(prompt, / last<\|file_sep\|>filename\n<\|fim_prefix\|>/);
});

test('what was there before is not computed again', async () => {
    const input_extra = [{ filename: 'lib.c', text: words(250, 'lib') }];
    const first = await infill({ input_extra });
    const { computed } = first.timings.cache;
    assert.equal(computed + first.timings.cache_n, first.tokens_evaluated);
    assert.equal((await infill({ input_extra })).timings.cache.computed, 1);
    const next = await infill({ input_extra, input_prefix: `${sides.input_prefix}  int c = a;\n` });
    assert.ok(next.timings.cache_n >= 250, JSON.stringify(next.timings));
    assert.ok(next.timings.prompt_n < 30, JSON.stringify(next.timings));
    const unkept = await infill({ input_extra, cache_prompt: false });
    assert.equal(unkept.timings.cache_n, 0);
});

test('everything that /completion takes, /infill takes', async () => {
    const { events } = await server.stream('/infill', { ...sides, n_predict: 5, temperature: 0, ignore_eos: true });
    assert.equal(events.at(-1).stop, true);
    assert.equal(events.at(-1).tokens_predicted, 5);
    assert.ok(events.slice(0, -1).every((event) => event.stop === false));
    const several = await infill({ n: 2, n_probs: 1, seed: 3, temperature: 1 });
    assert.deepEqual(several.map((answer) => answer.index), [0, 1]);
    assert.equal(several[0].completion_probabilities.length, 4);
    assert.ok((await infill({ samplers: ['top_k', 'infill'], top_k: 40, ignore_eos: false })).stop);
    const line = await infill({ grammar: 'root ::= "  a\\n  b\\nc\\n"', n_indent: 2, n_predict: 40 });
    assert.equal(line.content, '  a\n  b\n');
    assert.equal(line.stop_type, 'limit');
    const fields = await infill({ response_fields: ['content', 'timings/cache'], t_max_predict_ms: 60000, stop: ['never to be seen'], id_slot: 1 });
    assert.deepEqual(Object.keys(fields), ['content', 'timings/cache']);
    for (const missing of [{ input_prefix: '' }, { input_suffix: '' }, { input_prefix: '', input_suffix: '' }]) assert.equal((await infill(missing)).tokens_predicted, 4);
    assert.equal((await infill({ input_prefix: ['int ', 3974, ' x'], input_suffix: [13876] })).tokens_predicted, 4);
});

test('--spm-infill: the suffix stands first', () =>
    withServer(['-m', makeModel('dense', small), ...base, '--spm-infill'], async (other) => {
        const { prompt } = await infill({ prompt: '  return ' }, other);
        assert.equal(prompt, `<|repo_name|>myproject\n<|file_sep|>filename\n<|fim_suffix|>${sides.input_suffix}<|fim_prefix|>${sides.input_prefix}  return <|fim_middle|>`);
    }));

test('a model without tokens for it says which', () =>
    withServer(['-m', makeModel('dense', [...small, '--vocab', 'llama-bpe']), ...base], async (other) => {
        const answer = await other.post('/infill', sides);
        assert.equal(answer.status, 501);
        assert.deepEqual(answer.json.error, {
            code: 501,
            message: 'Infill is not supported by this model: prefix token is missing. suffix token is missing. middle token is missing.',
            type: 'not_supported_error',
        });
        assert.equal((await other.ask('/completion', { prompt: 'a', n_predict: 1 })).tokens_predicted, 1);
    }));

test('a malformed request is refused, and names the field', async () => {
    for (const [body, field] of [
        [{ input_suffix: '' }, 'input_prefix'],
        [{ input_prefix: '' }, 'input_suffix'],
        [{ ...sides, input_prefix: null }, 'input_prefix'],
        [{ ...sides, input_prefix: 5 }, 'input_prefix'],
        [{ ...sides, input_prefix: {} }, 'input_prefix'],
        [{ ...sides, input_suffix: [-1] }, 'input_suffix'],
        [{ ...sides, input_suffix: [9999999] }, 'input_suffix'],
        [{ ...sides, input_suffix: [['a']] }, 'input_suffix'],
        [{ ...sides, prompt: ['a'] }, 'prompt'],
        [{ ...sides, prompt: 1 }, 'prompt'],
        [{ ...sides, input_extra: 'a' }, 'input_extra'],
        [{ ...sides, input_extra: {} }, 'input_extra'],
        [{ ...sides, input_extra: ['a'] }, 'input_extra[0]'],
        [{ ...sides, input_extra: [{ text: 'a' }, null] }, 'input_extra[1]'],
        [{ ...sides, input_extra: [{ filename: 'a' }] }, 'input_extra[0].text'],
        [{ ...sides, input_extra: [{ text: 1 }] }, 'input_extra[0].text'],
        [{ ...sides, input_extra: [{ text: 'a', filename: 1 }] }, 'input_extra[0].filename'],
        [{ ...sides, n_predict: 'many' }, 'n_predict'],
        [{ ...sides, n_indent: -1 }, 'n_indent'],
        [{ ...sides, t_max_predict_ms: 'soon' }, 't_max_predict_ms'],
        [{ ...sides, n: 3 }, 'n'],
        [{ ...sides, id_slot: 2 }, 'id_slot'],
        [{ ...sides, stream: 'yes' }, 'stream'],
        [{ ...sides, lora: [{ id: 0, scale: 1 }] }, 'lora[0].id'],
    ]) {
        const answer = await server.post('/infill', body);
        assert.equal(answer.status, 400, `${JSON.stringify(body)}: ${answer.text}`);
        assert.ok(answer.json.error.message.startsWith(`Field '${field}':`), `${JSON.stringify(body)}: ${answer.text}`);
    }
    for (const text of ['', 'nonsense', '{"input_prefix":"a"', '[]']) assert.equal((await server.post('/infill', text)).status, 400, text);
    const long = await server.post('/infill', { ...sides, prompt: words(3000, 'long') });
    assert.equal(long.status, 400);
    assert.equal(long.json.error.type, 'exceed_context_size_error');
    assert.equal((await infill({})).tokens_predicted, 4);
});
