// SPDX-License-Identifier: MIT
//
// Reasoning apart from the answer, and its budget, through the three APIs that chat. The template opens the reasoning in the prompt, and a model
// with random weights never closes it: the budget does.
'use strict';
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, makeModel } = require('../support/server.js');

const messages = [{ role: 'user', content: 'Why?' }];
const common = { messages, temperature: 0, max_tokens: 24 };
const BUDGET = 6;
const thinking = { ...common, reasoning_budget_tokens: BUDGET };

let model, server;
before(async () => {
    model = makeModel('dense', ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128', '--vocab', 'qwen35']);
    server = await start(['-m', model, '-t', '1', '-np', '2', '-c', '2048', '--fit', 'off', '--seed', '1']);
});
after(async () => assert.equal(await server.stop(), 0));

const messageOf = async (body, of = server) => (await of.ask('/v1/chat/completions', body)).choices[0].message;
const tokensOf = async (content) => (await server.ask('/tokenize', { content })).tokens.length;

test('reasoning ends with its budget, and has a field of its own', async () => {
    const message = await messageOf(thinking);
    assert.ok(message.reasoning_content.length > 0);
    assert.ok((await tokensOf(message.reasoning_content)) <= BUDGET + 1);
    assert.ok(message.content.length > 0);
    assert.ok(!`${message.reasoning_content}${message.content}`.includes('think>'));
});

test('a stream has the reasoning first, then the answer, together the same as the whole', async () => {
    const { reasoning_content, content } = await messageOf(thinking);
    const { events } = await server.stream('/v1/chat/completions', thinking);
    const deltas = events.slice(0, -1).map((e) => e.choices[0].delta);
    assert.equal(deltas.map((d) => d.reasoning_content ?? '').join(''), reasoning_content);
    assert.equal(deltas.map((d) => d.content ?? '').join(''), content);
    assert.ok(deltas.findLastIndex((d) => d.reasoning_content) < deltas.findIndex((d) => d.content));
});

test('what is put at the end of a used up budget is part of the reasoning', async () => {
    const { reasoning_content } = await messageOf({ ...thinking, reasoning_budget_message: ' That will do.' });
    assert.match(reasoning_content, / That will do\.\n?$/);
});

test('without a budget there is only reasoning, with one of 0 none', async () => {
    const endless = await messageOf(common);
    assert.ok(endless.reasoning_content.length > 0);
    assert.equal(endless.content, '');
    const none = await messageOf({ ...common, reasoning_budget_tokens: 0 });
    assert.ok(!none.reasoning_content);
    assert.ok(none.content.length > 0);
});

test('reasoning stays in the text where the request or the server says so', async () => {
    const { reasoning_content, content } = await messageOf(thinking);
    const kept = await messageOf({ ...thinking, reasoning_format: 'none' });
    assert.equal(kept.reasoning_content, undefined);
    assert.ok(kept.content.includes(`${reasoning_content}</think>`) || kept.content.includes(`${reasoning_content}\n</think>`), JSON.stringify([reasoning_content, kept.content]));
    assert.ok(kept.content.trimEnd().endsWith(content.trim()));
    /* Where nothing is read, nobody knows where reasoning ends, so there is no budget either. */
    for (const [flag, ends] of [[['--reasoning-format', 'none'], true], [['--skip-chat-parsing'], false]]) {
        const other = await start(['-m', model, '-t', '1', '-np', '1', '-c', '1024', '--fit', 'off', '--seed', '1', '--reasoning-budget', String(BUDGET), ...flag]);
        const message = await messageOf(common, other);
        await other.stop();
        assert.equal(message.reasoning_content, undefined);
        assert.equal(message.content.includes('</think>'), ends);
    }
});

test('Anthropic: reasoning is a block of its own, whole and streamed', async () => {
    const body = { ...common, thinking: { type: 'enabled', budget_tokens: BUDGET } };
    const { content } = await server.ask('/v1/messages', body);
    assert.deepEqual(content.map((b) => b.type), ['thinking', 'text']);
    assert.ok(content[0].thinking.length > 0 && content[1].text.length > 0);
    const { text } = await server.stream('/v1/messages', body);
    const events = text.split('\n').filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6)));
    const blocks = events.filter((e) => e.type === 'content_block_start').map((e) => e.content_block.type);
    assert.deepEqual(blocks, ['thinking', 'text']);
    const joined = (key) => events.filter((e) => e.type === 'content_block_delta').map((e) => e.delta[key] ?? '').join('');
    assert.deepEqual([joined('thinking'), joined('text')], [content[0].thinking, content[1].text]);
});

test('Responses: reasoning is an item before the message, whole and streamed', async () => {
    const body = { input: 'Why?', temperature: 0, max_output_tokens: 24, reasoning_budget_tokens: BUDGET };
    const { output } = await server.ask('/v1/responses', body);
    assert.deepEqual(output.map((o) => o.type), ['reasoning', 'message']);
    assert.ok(output[0].content[0].text.length > 0 && output[1].content[0].text.length > 0);
    const { text } = await server.stream('/v1/responses', body);
    const last = JSON.parse(text.split('\n').filter((line) => line.startsWith('data: ')).at(-1).slice(6));
    assert.equal(last.type, 'response.completed');
    assert.deepEqual(last.response.output.map((o) => o.content[0].text), output.map((o) => o.content[0].text));
});
