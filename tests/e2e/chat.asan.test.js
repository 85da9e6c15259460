// SPDX-License-Identifier: MIT
//
// Tools, reasoning and answers of a given form, through the three APIs that chat: /v1/chat/completions, /v1/responses, /v1/messages.
'use strict';
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const { start, makeModel } = require('../support/server.js');
const { templateArgs, biases, parameters } = require('../support/tools.js');

let server, bias;
before(async () => {
    const model = makeModel('dense', ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128']);
    server = await start(['-m', model, '-t', '1', '-np', '2', '-c', '4096', '--fit', 'off', '--seed', '1', ...templateArgs()]);
    bias = await biases(server);
});
after(async () => assert.equal(await server.stop(), 0));

const tool = (name) => ({ type: 'function', function: { name, description: 'for a city', parameters } });
const messages = [{ role: 'user', content: 'Where is it warm?' }];
const common = { temperature: 0, max_tokens: 64 };
const calling = () => ({ messages, ...common, tools: [tool('weather'), tool('time')], logit_bias: bias.once, parallel_tool_calls: false });
const isCity = (json) => assert.ok(['Paris', 'Rome'].includes(JSON.parse(json).city), json);

/* ---- chat completions ---- */

test('a call that is required comes as a call, with arguments by its schema', async () => {
    const { choices: [{ message, finish_reason }] } = await server.ask('/v1/chat/completions', { ...calling(), tool_choice: 'required' });
    assert.equal(finish_reason, 'tool_calls');
    assert.equal(message.content, '');
    assert.equal(message.tool_calls.length, 1);
    const [call] = message.tool_calls;
    assert.equal(call.type, 'function');
    assert.match(call.id, /^\w{32}$/);
    assert.ok(['weather', 'time'].includes(call.function.name));
    isCity(call.function.arguments);
});

test('a call that begins where none is required is held to its form from there on', async () => {
    const { choices: [{ message }] } = await server.ask('/v1/chat/completions', { ...calling(), logit_bias: bias.calls });
    isCity(message.tool_calls[0].function.arguments);
});

test('a tool that is named is the one that is called, and the prompt is that of any other choice', async () => {
    const prompt = [];
    for (const name of ['time', 'weather']) {
        const answer = await server.ask('/v1/chat/completions', { ...calling(), tool_choice: { type: 'function', function: { name } }, verbose: true });
        assert.deepEqual(answer.choices[0].message.tool_calls.map((c) => c.function.name), [name]);
        prompt.push(answer.__verbose.prompt);
    }
    assert.equal(prompt[0], prompt[1]);
    const unknown = await server.post('/v1/chat/completions', { ...calling(), tool_choice: { type: 'function', function: { name: 'else' } } });
    assert.equal(unknown.status, 400);
    assert.match(unknown.json.error.message, /no tool named "else"/);
});

test('without tools to choose from, or with none chosen, an answer is text', async () => {
    for (const body of [{ ...calling(), tool_choice: 'none', logit_bias: [] }, { messages, ...common, tool_choice: 'required' }]) {
        const { choices: [{ message }] } = await server.ask('/v1/chat/completions', body);
        assert.equal(message.tool_calls, undefined);
        assert.ok(message.content.length > 0);
    }
});

test('a stream has the name and the id of a call once, then its arguments in parts', async () => {
    const { status, events } = await server.stream('/v1/chat/completions', { ...calling(), tool_choice: 'required' });
    assert.equal(status, 200);
    assert.equal(events.pop(), '[DONE]');
    assert.equal(events.at(-1).choices[0].finish_reason, 'tool_calls');
    assert.deepEqual(events[0].choices[0].delta, { role: 'assistant', content: null });
    const calls = events.flatMap((e) => e.choices[0].delta.tool_calls ?? []);
    assert.deepEqual(calls.filter((c) => c.id).length, 1);
    assert.deepEqual({ ...calls[0], id: '' }, { index: 0, id: '', type: 'function', function: { name: calls[0].function.name, arguments: '' } });
    assert.ok(calls.length > 3, 'the arguments come as they are generated');
    isCity(calls.map((c) => c.function.arguments).join(''));
    assert.ok(events.every((e) => !e.choices[0].delta.content));
});

test('parallel calls are told apart by their index', async () => {
    const { events } = await server.stream('/v1/chat/completions', { ...calling(), logit_bias: bias.calls, parallel_tool_calls: true, tool_choice: 'required', max_tokens: 80 });
    const args = [];
    const ids = new Set();
    for (const call of events.slice(0, -1).flatMap((e) => e.choices[0].delta.tool_calls ?? [])) {
        args[call.index] = (args[call.index] ?? '') + call.function.arguments;
        if (call.id) ids.add(call.id);
    }
    assert.ok(args.length > 1);
    assert.equal(ids.size, args.length);
    args.slice(0, -1).forEach(isCity);
});

test('a schema holds the answer, streamed and whole, and tools can be there too', async () => {
    const response_format = { type: 'json_schema', json_schema: { name: 'x', schema: parameters } };
    const { choices: [{ message, finish_reason }] } = await server.ask('/v1/chat/completions', { messages, ...common, response_format });
    assert.equal(finish_reason, 'stop');
    isCity(message.content);
    const { events } = await server.stream('/v1/chat/completions', { messages, ...common, response_format });
    isCity(events.slice(0, -1).map((e) => e.choices[0].delta.content ?? '').join(''));
    assert.equal((await server.post('/v1/chat/completions', { ...calling(), grammar: 'root ::= "x"' })).status, 400);
    const { choices: [own] } = await server.ask('/v1/chat/completions', { messages, ...common, grammar: 'root ::= "yes" | "no"' });
    assert.match(own.message.content, /^(yes|no)$/);
});

test('an answer goes on where the last message ends; a stream has only what is new', async () => {
    const body = { messages: [...messages, { role: 'assistant', content: 'In the ' }], ...common, max_tokens: 8, add_generation_prompt: false, continue_final_message: true };
    const whole = await server.ask('/v1/chat/completions', body);
    const { events } = await server.stream('/v1/chat/completions', body);
    const streamed = events.slice(0, -1).map((e) => e.choices[0].delta.content ?? '').join('');
    assert.equal(whole.choices[0].message.content, `In the ${streamed}`);
    assert.equal((await server.post('/v1/chat/completions', { ...body, add_generation_prompt: true })).status, 400);
});

test('tokens of a chat are counted as they are used', async () => {
    const { usage } = await server.ask('/v1/chat/completions', { ...calling(), max_tokens: 1 });
    for (const route of ['/v1/chat/completions/input_tokens', '/chat/completions/input_tokens'])
        assert.deepEqual(await server.ask(route, calling()), { input_tokens: usage.prompt_tokens, object: 'response.input_tokens' });
    assert.equal((await server.post('/v1/chat/completions/input_tokens', {})).status, 400);
});

/* ---- messages ---- */

const anthropic = () => ({ messages, ...common, tools: [{ name: 'weather', description: 'for a city', input_schema: parameters }], logit_bias: bias.once, tool_choice: { type: 'any', disable_parallel_tool_use: true } });

// Checks that blocks begin and end one after the other; gives them with their deltas joined.
function blocksOf(events) {
    const blocks = [];
    let open = null;
    for (const e of events) {
        if (e.type === 'content_block_start') {
            assert.equal(open, null);
            assert.equal(e.index, blocks.length);
            blocks.push({ ...e.content_block, deltas: '' });
            open = e.index;
        } else if (e.type === 'content_block_delta') {
            assert.equal(e.index, open);
            blocks[open].deltas += e.delta.text ?? e.delta.thinking ?? e.delta.partial_json ?? '';
        } else if (e.type === 'content_block_stop') {
            assert.equal(e.index, open);
            open = null;
        }
    }
    assert.equal(open, null);
    return blocks;
}

const named = (text) => text.split('\n\n').filter((b) => b.startsWith('event: ')).map((b) => {
    const [, event, data] = /^event: (\S+)\ndata: (.*)$/s.exec(b);
    const parsed = JSON.parse(data);
    assert.equal(parsed.type, event);
    return parsed;
});

test('Anthropic: a call is a block with its input, whole and streamed', async () => {
    const answer = await server.ask('/v1/messages', anthropic());
    assert.equal(answer.type, 'message');
    assert.equal(answer.role, 'assistant');
    assert.equal(answer.stop_reason, 'tool_use');
    assert.equal(answer.stop_sequence, null);
    assert.deepEqual(answer.content.map((b) => [b.type, b.name]), [['tool_use', 'weather']]);
    isCity(JSON.stringify(answer.content[0].input));
    const events = named((await server.stream('/v1/messages', anthropic())).text);
    assert.deepEqual([events[0].type, ...events.slice(-2).map((e) => e.type)], ['message_start', 'message_delta', 'message_stop']);
    assert.equal(events.at(-2).delta.stop_reason, 'tool_use');
    assert.equal(events.at(-2).usage.output_tokens, answer.usage.output_tokens);
    const [block, ...more] = blocksOf(events);
    assert.deepEqual(more, []);
    assert.deepEqual([block.type, block.name, block.input], ['tool_use', 'weather', {}]);
    assert.deepEqual(JSON.parse(block.deltas), answer.content[0].input);
});

test('Anthropic: the three kinds of input tokens add up to the prompt', async () => {
    const body = { system: [{ type: 'text', text: 'Be brief about the weather. '.repeat(20), cache_control: { type: 'ephemeral' } }], messages, ...common, max_tokens: 4 };
    const { input_tokens: n } = await server.ask('/v1/messages/count_tokens', body);
    const first = (await server.ask('/v1/messages', body)).usage, second = (await server.ask('/v1/messages', body)).usage;
    for (const u of [first, second]) assert.equal(u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens, n);
    assert.ok(first.cache_creation_input_tokens > n / 2);
    assert.ok(second.cache_read_input_tokens >= n - 1);
    const unmarked = (await server.ask('/v1/messages', { ...body, system: 'Something else. '.repeat(20) })).usage;
    assert.equal(unmarked.cache_creation_input_tokens, 0);
    assert.ok(unmarked.input_tokens > 10);
});

test('Anthropic: a stop sequence is named, and a whole conversation is understood', async () => {
    const told = await server.ask('/v1/messages', { messages, ...common, max_tokens: 8 });
    assert.equal(told.stop_reason, 'max_tokens');
    const { text } = told.content[0];
    const stop = text.slice(10, 14);
    const answer = await server.ask('/v1/messages', { messages, ...common, max_tokens: 8, stop_sequences: [stop] });
    assert.deepEqual([answer.stop_reason, answer.stop_sequence], ['stop_sequence', stop]);
    assert.equal(answer.content[0].text, text.slice(0, text.indexOf(stop)));
    const turns = [
        { role: 'user', content: [{ type: 'text', text: 'hi' }] },
        { role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: '' }, { type: 'text', text: 'I look' }, { type: 'tool_use', id: 'a', name: 'weather', input: { city: 'Rome' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'warm' }] }, { type: 'text', text: 'So?' }] },
    ];
    assert.equal((await server.ask('/v1/messages', { ...anthropic(), messages: turns })).type, 'message');
});

test('Anthropic: the stamp of a billing header does not make another prompt', async () => {
    const ask = (stamp) => server.ask('/v1/messages', { system: `x-anthropic-billing-header: cc_version=2; cch=${stamp};${'You are helpful. '.repeat(20)}`, messages, ...common, max_tokens: 2 });
    await ask('a5145');
    const { usage } = await ask('0b2c9');
    assert.equal(usage.input_tokens, 1);
});

/* ---- responses ---- */

const responses = () => ({ input: 'Where is it warm?', temperature: 0, max_output_tokens: 64, tools: [{ type: 'function', name: 'weather', parameters }, { type: 'web_search' }], logit_bias: bias.once, tool_choice: 'required', parallel_tool_calls: false });

test('Responses: a call is an item, whole and streamed, and its output is the next input', async () => {
    const answer = await server.ask('/v1/responses', responses());
    assert.equal(answer.object, 'response');
    assert.equal(answer.status, 'completed');
    const [item, ...more] = answer.output;
    assert.deepEqual(more, []);
    assert.deepEqual([item.type, item.name, item.status], ['function_call', 'weather', 'completed']);
    isCity(item.arguments);
    const events = named((await server.stream('/v1/responses', responses())).text);
    assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
    const types = events.map((e) => e.type);
    const deltas = events.filter((e) => e.type === 'response.function_call_arguments.delta');
    assert.deepEqual(types.filter((t) => t !== 'response.function_call_arguments.delta'), ['response.created', 'response.in_progress', 'response.output_item.added', 'response.function_call_arguments.done', 'response.output_item.done', 'response.completed']);
    assert.equal(deltas.map((e) => e.delta).join(''), item.arguments);
    assert.deepEqual(events.at(-1).response.output.map((o) => o.arguments), [item.arguments]);
    const input = [{ role: 'user', content: 'Where?' }, item, { type: 'function_call_output', call_id: item.call_id, output: 'warm' }];
    assert.equal((await server.ask('/v1/responses', { input, instructions: 'Be brief', max_output_tokens: 4 })).status, 'incomplete');
});

test('Responses: text comes in the order that its client expects', async () => {
    const body = { input: [{ role: 'user', content: [{ type: 'input_text', text: 'hi' }] }], temperature: 0, max_output_tokens: 6 };
    const answer = await server.ask('/v1/responses', body);
    assert.match(answer.id, /^resp_/);
    assert.equal(answer.output[0].type, 'message');
    const events = named((await server.stream('/v1/responses', body)).text);
    assert.deepEqual(events.map((e) => e.type).filter((t) => t !== 'response.output_text.delta'), ['response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added', 'response.output_text.done', 'response.content_part.done', 'response.output_item.done', 'response.completed']);
    const text = events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join('');
    assert.equal(text, answer.output[0].content[0].text);
    assert.equal(events.at(-1).response.output[0].content[0].text, text);
    const { usage } = events.at(-1).response;
    assert.equal(usage.output_tokens, 6);
    assert.deepEqual(await server.ask('/v1/responses/input_tokens', body), { input_tokens: usage.input_tokens, object: 'response.input_tokens' });
});

/* ---- refusals ---- */

test('what can not be done is refused with its reason', async () => {
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA==' } };
    const cases = [
        ['/v1/messages', { messages: [{ role: 'user', content: [image] }] }, 501, 'image input is not supported'],
        ['/v1/messages', { messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: [image] }] }] }, 501, 'image input is not supported'],
        ['/v1/messages', { max_tokens: 4 }, 400, "'messages'"],
        ['/v1/messages', { messages, system: 5 }, 400, "'system'"],
        ['/v1/messages', { messages, tools: [{}] }, 400, "'tools[0].name'"],
        ['/v1/messages', { messages, thinking: { type: 'enabled', budget_tokens: 'x' } }, 400, 'budget_tokens'],
        ['/v1/messages/count_tokens', {}, 400, "'messages'"],
        ['/v1/responses', {}, 400, "'input'"],
        ['/v1/responses', { input: 'hi', previous_response_id: 'resp_1' }, 400, 'previous_response_id'],
        ['/v1/responses', { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'x' }] }] }, 400, 'input_file'],
        ['/v1/responses', { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:' }] }] }, 501, 'image input is not supported'],
        ['/v1/responses', { input: [{ type: 'computer_call' }] }, 400, 'input[0]'],
        ['/v1/responses/input_tokens', { input: 5 }, 400, "'input'"],
        ['/v1/chat/completions', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] }] }, 501, 'image'],
        ['/v1/chat/completions', { messages, reasoning_format: 'else' }, 400, 'else'],
        ['/v1/chat/completions', { messages, tools: [{ type: 'function' }] }, 400, 'tool'],
    ];
    for (const [route, body, status, says] of cases) {
        const answer = await server.post(route, body);
        assert.equal(answer.status, status, `${route} ${JSON.stringify(body)}: ${answer.text}`);
        assert.ok(answer.json.error.message.includes(says), answer.json.error.message);
        assert.equal(answer.json.error.code, status);
    }
    assert.equal((await server.get('/health')).status, 200);
});
