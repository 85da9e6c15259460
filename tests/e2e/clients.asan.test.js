// SPDX-License-Identifier: MIT
//
// The clients that people use, as they are published (tests/package.json): OpenAI's and Anthropic's, against one server.
'use strict';
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, makeModel } = require('../support/server.js');
const { templateArgs, biases, parameters } = require('../support/tools.js');

const found = (name) => {
    try {
        return require(name);
    } catch {
        return null;
    }
};
const OpenAI = found('openai'), Anthropic = found('@anthropic-ai/sdk');
const options = { skip: OpenAI && Anthropic ? false : 'not installed: npm ci --prefix tests' };

let server, once, openai, anthropic;
before(async () => {
    if (options.skip) return;
    const model = makeModel('dense', ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128']);
    server = await start(['-m', model, '-t', '1', '-np', '2', '-c', '4096', '--fit', 'off', '--seed', '1', ...templateArgs()]);
    ({ once } = await biases(server));
    openai = new OpenAI({ apiKey: 'none', baseURL: `http://127.0.0.1:${server.port}/v1`, maxRetries: 0 });
    anthropic = new Anthropic({ apiKey: 'none', baseURL: `http://127.0.0.1:${server.port}`, maxRetries: 0 });
});
after(async () => server && assert.equal(await server.stop(), 0));

const model = 'any';
const messages = [{ role: 'user', content: 'Where is it warm?' }];
const isCity = (input) => assert.ok(['Paris', 'Rome'].includes(input.city), JSON.stringify(input));
const calling = () => ({ model, messages, temperature: 0, max_tokens: 64, logit_bias: once, tool_choice: 'required', parallel_tool_calls: false, tools: [{ type: 'function', function: { name: 'weather', parameters } }] });

test('OpenAI: chat, whole and streamed', options, async () => {
    const body = { model, messages, temperature: 0, max_tokens: 8 };
    const whole = await openai.chat.completions.create(body);
    let text = '';
    for await (const chunk of await openai.chat.completions.create({ ...body, stream: true, stream_options: { include_usage: true } })) text += chunk.choices[0]?.delta.content ?? '';
    assert.equal(text, whole.choices[0].message.content);
});

test('OpenAI: tools, whole and streamed', options, async () => {
    const whole = await openai.chat.completions.create(calling());
    isCity(JSON.parse(whole.choices[0].message.tool_calls[0].function.arguments));
    const final = await openai.chat.completions.stream({ ...calling(), stream: true }).finalChatCompletion();
    assert.equal(final.choices[0].finish_reason, 'tool_calls');
    assert.equal(final.choices[0].message.tool_calls[0].function.name, 'weather');
    isCity(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments));
});

test('OpenAI: responses, whole and streamed, with text and tools', options, async () => {
    const body = { model, input: 'hi', temperature: 0, max_output_tokens: 8 };
    const whole = await openai.responses.create(body);
    assert.ok(whole.output_text.length > 0);
    assert.equal((await openai.responses.stream(body).finalResponse()).output_text, whole.output_text);
    const tools = { ...body, max_output_tokens: 64, logit_bias: once, tool_choice: 'required', tools: [{ type: 'function', name: 'weather', parameters, strict: true }] };
    const final = await openai.responses.stream(tools).finalResponse();
    assert.equal(final.output[0].type, 'function_call');
    isCity(JSON.parse(final.output[0].arguments));
});

test('OpenAI: errors have their status', options, async () => {
    await assert.rejects(openai.chat.completions.create({ model, messages: 5 }), (e) => e.status === 400 && /messages/.test(e.message));
    await assert.rejects(openai.responses.create({ model, input: 'hi', previous_response_id: 'resp_1' }), (e) => e.status === 400);
});

test('Anthropic: messages, whole and streamed, with text and tools', options, async () => {
    const body = { model, messages, temperature: 0, max_tokens: 8 };
    const whole = await anthropic.messages.create(body);
    assert.deepEqual((await anthropic.messages.stream(body).finalMessage()).content, whole.content);
    const tools = { ...body, max_tokens: 64, logit_bias: once, tool_choice: { type: 'any', disable_parallel_tool_use: true }, tools: [{ name: 'weather', input_schema: parameters }] };
    for (const answer of [await anthropic.messages.create(tools), await anthropic.messages.stream(tools).finalMessage()]) {
        assert.equal(answer.stop_reason, 'tool_use');
        isCity(answer.content[0].input);
    }
});

test('Anthropic: tokens are counted, errors have their status', options, async () => {
    const { input_tokens: n } = await anthropic.messages.countTokens({ model, messages });
    const { usage } = await anthropic.messages.create({ model, messages, max_tokens: 1 });
    assert.equal(usage.input_tokens + usage.cache_read_input_tokens, n);
    await assert.rejects(anthropic.messages.create({ model, max_tokens: 4, messages: [{ role: 5, content: 'a' }] }), (e) => e.status === 400);
});
