// SPDX-License-Identifier: MIT
//
// What is malformed is refused with a 4xx that names what is wrong, on every route, and leaves the server and its cache as they were.
'use strict';
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const http = require('node:http');
const net = require('node:net');
const stream = require('node:stream');
const { start, makeModel } = require('../support/server.js');

const prompt = Array.from({ length: 300 }, (_, i) => 2000 + i);
let server;
before(async () => {
    const model = makeModel('dense', ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128']);
    server = await start(['-m', model, '-t', '1', '-np', '2', '-c', '1024', '--fit', 'off']);
    assert.equal((await known()).timings.cache.computed, prompt.length);
});
after(async () => assert.equal(await server.stop(), 0));

const known = () => server.ask('/completion', { prompt, n_predict: 1 });

// The server still answers, and still knows what it knew.
async function unharmed() {
    assert.equal((await known()).timings.cache.computed, 1);
}

function checkError(answer, status, pattern, what) {
    assert.equal(answer.status, status, `${what}: ${answer.text}`);
    const { error } = answer.json;
    assert.equal(error.code, status, what);
    assert.match(error.message, pattern, what);
    assert.equal(error.type, { 400: 'invalid_request_error', 404: 'not_found_error', 405: 'invalid_request_error', 413: 'invalid_request_error', 501: 'not_supported_error' }[status], what);
}

async function refuses(route, cases) {
    for (const [body, pattern, status = 400] of cases) checkError(await server.post(route, body), status, pattern, `${route} ${Buffer.isBuffer(body) ? body.toString('latin1') : JSON.stringify(body).slice(0, 200)}`);
    await unharmed();
}

const chat = (content) => ({ messages: [{ role: 'user', content }] });
const deep = (n) => `{"prompt":"a","x":${'['.repeat(n)}${']'.repeat(n)}}`;

// What is no JSON is none for any route.
const noJson = [
    ['', /body is empty/],
    ['   \n', /body is empty/],
    ['nonsense', /must be a JSON object/],
    ['"text"', /must be a JSON object/],
    ['[1,2]', /must be a JSON object/],
    ['null', /must be a JSON object/],
    ['{"prompt":"a"', /invalid JSON at byte 13/],
    ['{"prompt":"a",}', /invalid JSON at byte 14/],
    ["{'prompt':'a'}", /invalid JSON at byte 1/],
    ['{prompt:"a"}', /invalid JSON at byte 1/],
    ['{"prompt":"a"} x', /invalid JSON at byte 15: bytes behind/],
    ['{"prompt":"a"}{"prompt":"b"}', /invalid JSON at byte 14: bytes behind/],
    ['{"prompt":"a"}\u0000', /invalid JSON at byte 14: bytes behind/],
    ['{"prompt":"a","temperature":NaN}', /invalid JSON at byte 28/],
    ['{"prompt":"a","temperature":Infinity}', /invalid JSON at byte 28/],
    ['{"prompt":"a","temperature":-Infinity}', /invalid JSON at byte 29/],
    ['{"prompt":"a","temperature":1e999}', /number is too large/],
    ['{"prompt":"a","seed":99999999999999999999999}', /does not fit into 64 bits/],
    ['{"prompt":"a","n_predict":01}', /invalid JSON at byte 27/],
    ['{"prompt":"a","n_predict":0x10}', /invalid JSON at byte 27/],
    ['{"prompt":"\\ud800"}', /surrogate pair/],
    ['{"prompt":"\\udc00\\ud800"}', /surrogate pair/],
    ['{"prompt":"\\x41"}', /unknown escape/],
    ['{"prompt":"a\nb"}', /control character/],
    ['{"prompt":"unterminated}', /unterminated string/],
    [Buffer.from('{"prompt":"\xff"}', 'latin1'), /invalid UTF-8/],
    [Buffer.from('{"prompt":"\xc3"}', 'latin1'), /invalid UTF-8/],
    [Buffer.from('{"prompt":"\xed\xa0\x80"}', 'latin1'), /invalid UTF-8/],
    [Buffer.from('\xef\xbb\xbf{"prompt":"a"}', 'latin1'), /must be a JSON object/],
    [deep(100), /nested too deeply/],
    [deep(100000), /nested too deeply/],
    ['[[[[', /must be a JSON object/],
];

for (const route of ['/completion', '/completions', '/v1/completions', '/chat/completions', '/v1/chat/completions', '/infill', '/tokenize', '/detokenize', '/apply-template'])
    test(`${route}: what is no JSON object is refused with its place`, () => refuses(route, noJson));

const field = (name) => new RegExp(`^Field '${name.replace(/[[\].]/g, '\\$&')}': `);
const both = [
    [{ prompt: 'a', n_predict: 'many' }, field('n_predict')],
    [{ prompt: 'a', n_predict: 1.5 }, field('n_predict')],
    [{ prompt: 'a', n_predict: -2 }, field('n_predict')],
    [{ prompt: 'a', n_predict: 2 ** 31 }, field('n_predict')],
    [{ prompt: 'a', max_tokens: [] }, field('max_tokens')],
    [{ prompt: 'a', stream: 1 }, field('stream')],
    [{ prompt: 'a', stream: 'yes' }, field('stream')],
    [{ prompt: 'a', stream: true, stream_options: true }, field('stream_options')],
    [{ prompt: 'a', stream: true, stream_options: { include_usage: 1 } }, field('stream_options.include_usage')],
    [{ prompt: 'a', temperature: 'hot' }, field('temperature')],
    [{ prompt: 'a', temperature: 1e300 }, field('temperature')],
    [{ prompt: 'a', top_k: {} }, field('top_k')],
    [{ prompt: 'a', top_p: [0.5] }, field('top_p')],
    [{ prompt: 'a', seed: 'lucky' }, field('seed')],
    [{ prompt: 'a', seed: 1.5 }, field('seed')],
    [{ prompt: 'a', repeat_last_n: -2 }, field('repeat_last_n')],
    [{ prompt: 'a', adaptive_decay: 1 }, field('adaptive_decay')],
    [{ prompt: 'a', n: 0 }, field('n')],
    [{ prompt: 'a', n: 3 }, field('n')],
    [{ prompt: 'a', n_cmpl: 3 }, field('n_cmpl')],
    [{ prompt: 'a', n_probs: 'all' }, field('n_probs')],
    [{ prompt: 'a', cache_prompt: 'no' }, field('cache_prompt')],
    [{ prompt: 'a', cache_salt: 1 }, field('cache_salt')],
    [{ prompt: 'a', cache_salt: 'a\u0000b' }, field('cache_salt')],
    [{ prompt: 'a', id_slot: 2 }, field('id_slot')],
    [{ prompt: 'a', id_slot: -2 }, field('id_slot')],
    [{ prompt: 'a', id_slot: '0' }, field('id_slot')],
    [{ prompt: 'a', stop: 1 }, field('stop')],
    [{ prompt: 'a', stop: ['x', null] }, field('stop')],
    [{ prompt: 'a', stop: { x: 1 } }, field('stop')],
    [{ prompt: 'a', samplers: 1 }, field('samplers')],
    [{ prompt: 'a', samplers: ['top_k', 1] }, field('samplers')],
    [{ prompt: 'a', logit_bias: 'more' }, field('logit_bias')],
    [{ prompt: 'a', logit_bias: [[1]] }, field('logit_bias')],
    [{ prompt: 'a', logit_bias: [[1, true]] }, field('logit_bias')],
    [{ prompt: 'a', logit_bias: [[-1, 1]] }, field('logit_bias')],
    [{ prompt: 'a', logit_bias: { 9999999: 1 } }, field('logit_bias')],
    [{ prompt: 'a', dry_sequence_breakers: [] }, field('dry_sequence_breakers')],
    [{ prompt: 'a', response_fields: 'content' }, field('response_fields')],
    [{ prompt: 'a', grammar: 1 }, field('grammar')],
    [{ prompt: 'a', grammar: 'root ::= (' }, /grammar/],
    [{ prompt: 'a', grammar: 'start ::= "a"' }, /grammar/],
    [{ prompt: 'a', json_schema: { type: 'nothing' } }, /json_schema/],
    [{ prompt: 'a', lora: { id: 0, scale: 1 } }, field('lora')],
    [{ prompt: 'a', lora: [{ id: 0, scale: 1 }] }, field('lora[0].id')],
    [{ prompt: 'a', sse_ping_interval: -2 }, field('sse_ping_interval')],
    [{ prompt: 'a', t_max_predict_ms: 'soon' }, field('t_max_predict_ms')],
    [{}, field('prompt')],
    [{ prompt: null }, field('prompt')],
    [{ prompt: '' }, field('prompt')],
    [{ prompt: [] }, field('prompt')],
    [{ prompt: true }, field('prompt')],
    [{ prompt: {} }, field('prompt')],
    [{ prompt: [1, 'a', null] }, field('prompt')],
    [{ prompt: [1, 1.5] }, field('prompt')],
    [{ prompt: [-1] }, field('prompt')],
    [{ prompt: [1, 9999999] }, field('prompt')],
    [{ prompt: [4294967296] }, field('prompt')],
    [{ prompt: ['a', ['b', ['c']]] }, field('prompt')],
    [{ prompt: ['a', ''] }, field('prompt')],
    [{ prompt: Array(100000).fill('a') }, field('prompt')],
    [{ prompt: { prompt_string: 'a', multimodal_data: ['x'] } }, field('prompt'), 501],
];

test('/completion names the field that is wrong', () => refuses('/completion', both));
test('/v1/completions names the field that is wrong', () =>
    refuses('/v1/completions', [
        ...both,
        [{ prompt: 'a', logprobs: 'all' }, field('logprobs')],
        [{ prompt: 'a', echo: true }, field('echo'), 501],
        [{ prompt: 'a', suffix: 'b' }, field('suffix'), 501],
        [{ prompt: 'a', best_of: 2 }, field('best_of'), 501],
        [{ prompt: 'a', best_of: 'two' }, field('best_of')],
    ]));
test('a stream that can not begin is refused like any other request', () => refuses('/completion', both.map(([body, ...rest]) => [{ stream: true, ...body }, ...rest])));

const messages = [
    [{}, field('messages')],
    [{ messages: 'Hello' }, field('messages')],
    [{ messages: [1] }, field('messages[0]')],
    [{ messages: [{ role: 'user', content: 'a' }, null] }, field('messages[1]')],
    [{ messages: [{ content: 'a' }] }, field('messages[0].role')],
    [{ messages: [{ role: 1, content: 'a' }] }, field('messages[0].role')],
    [{ messages: [{ role: 'user' }] }, field('messages[0].content')],
    [chat(1), field('messages[0].content')],
    [chat({ text: 'a' }), field('messages[0].content')],
    [chat(['a']), field('messages[0].content[0]')],
    [chat([{ type: 'text' }]), field('messages[0].content[0].text')],
    [chat([{ type: 'text', text: 'a' }, { type: 'smell' }]), field('messages[0].content[1].type')],
    [chat([{ type: 'image_url', image_url: { url: 'data:,x' } }]), field('messages[0].content[0]'), 501],
    [{ messages: [{ role: 'assistant' }] }, field('messages[0]')],
    [{ messages: [{ role: 'assistant', tool_calls: 'all' }] }, /messages: .*tool call/],
    [{ ...chat('a'), tools: 'hammer' }, /tools/],
    [{ ...chat('a'), tools: [1] }, /tool/],
    [{ ...chat('a'), chat_template_kwargs: 'none' }, field('chat_template_kwargs')],
    [{ ...chat('a'), add_generation_prompt: 'no' }, field('add_generation_prompt')],
    [{ ...chat('a'), parallel_tool_calls: 2 }, field('parallel_tool_calls')],
    [{ ...chat('a'), reasoning_effort: 1 }, field('reasoning_effort')],
    [{ ...chat('a'), reasoning_format: 1 }, field('reasoning_format')],
    [{ ...chat('a'), reasoning_format: 'loud' }, /reasoning format/],
];
test('/apply-template names the field that is wrong', () => refuses('/apply-template', messages));
test('/v1/chat/completions names the field that is wrong', () =>
    refuses('/v1/chat/completions', [
        ...messages,
        ...both.filter(([body]) => typeof body.prompt === 'string' && body.prompt).map(([body, ...rest]) => [{ ...chat('a'), ...body, prompt: undefined }, ...rest]),
        [{ ...chat('a'), logprobs: 3 }, field('logprobs')],
        [{ ...chat('a'), top_logprobs: 3 }, field('top_logprobs')],
        [{ ...chat('a'), logprobs: true, top_logprobs: -1 }, field('top_logprobs')],
        [{ ...chat('a'), response_format: 'json' }, field('response_format')],
        [{ ...chat('a'), response_format: { type: 'xml' } }, field('response_format')],
        [{ ...chat('a'), response_format: { type: 'json_schema', json_schema: 1 } }, field('response_format.json_schema')],
        [{ ...chat('a'), response_format: { type: 'json_object' }, grammar: 'root ::= "a"' }, field('grammar')],
        [{ ...chat('a'), tool_choice: 'perhaps' }, field('tool_choice')],
        [{ ...chat('a'), tool_choice: { type: 'allowed_tools' } }, field('tool_choice'), 501],
    ]));

test('/tokenize and /detokenize name the field that is wrong', async () => {
    await refuses('/tokenize', [
        [{ content: {} }, field('content')],
        [{ content: true }, field('content')],
        [{ content: ['a', null] }, field('content')],
        [{ content: ['a', -1] }, field('content')],
        [{ content: 'a', add_special: 1 }, field('add_special')],
        [{ content: 'a', parse_special: 'no' }, field('parse_special')],
        [{ content: 'a', with_pieces: [] }, field('with_pieces')],
    ]);
    await refuses('/detokenize', [
        [{ tokens: 'a' }, field('tokens')],
        [{ tokens: 1 }, field('tokens')],
        [{ tokens: ['a'] }, field('tokens')],
        [{ tokens: [1, 1.5] }, field('tokens')],
        [{ tokens: [-1] }, field('tokens')],
        [{ tokens: [151936000] }, field('tokens')],
    ]);
});

test('unknown routes and methods', async () => {
    for (const route of ['/', '/v1', '/v1/completions/', '//health', '/completion/x', '/v1/audio/transcriptions', '/slots/0/x'])
        checkError(await server.get(route), 404, /File Not Found/, route);
    for (const route of ['/completion', '/tokenize', '/v1/chat/completions', '/slots/0']) {
        const answer = await server.get(route);
        checkError(answer, 405, /GET.*POST/, route);
        assert.match(answer.headers.allow, /POST/);
    }
    for (const route of ['/health', '/v1/models', '/slots', '/metrics']) checkError(await server.post(route, {}), 405, /POST.*GET/, route);
    checkError(await server.post('/props', {}), 501, /--props/, '/props');
    checkError(await server.get('/metrics'), 501, /--metrics/, '/metrics');
    checkError(await server.get('/health?x=%zz'), 400, /percent/, 'query');
    checkError(await server.get('/heal%zzth'), 400, /percent/, 'path');
    await unharmed();
});

/* ---- below JSON: bytes that no HTTP client would send ---- */

// What comes back for these bytes until the server ends the connection or has answered: the status line, or nothing at all.
function raw(bytes) {
    return new Promise((resolve, reject) => {
        let text = '';
        const socket = net.connect(server.port, '127.0.0.1', () => socket.write(bytes));
        const done = () => {
            socket.destroy();
            resolve(text);
        };
        socket.setTimeout(5000, () => reject(new Error(`no answer to ${JSON.stringify(String(bytes).slice(0, 100))}`)));
        socket.on('data', (chunk) => {
            text += chunk;
            if (/\r\n\r\n[^]*\}$/.test(text)) done();
        });
        socket.on('error', done);
        socket.on('close', done);
    });
}

const post = (headers, body = '{"content":"a"}') => `POST /tokenize HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`;
const status = (text) => Number((/^HTTP\/1\.1 (\d+)/.exec(text) || [])[1]);

test('framing that could be read in two ways is refused', async () => {
    assert.equal(status(await raw(post('Content-Length: 15\r\n'))), 200);
    for (const headers of [
        'Content-Length: 15\r\nContent-Length: 15\r\n',
        'Content-Length: 15\r\nContent-Length: 3\r\n',
        'Content-Length: 15, 15\r\n',
        'Content-Length: -15\r\n',
        'Content-Length: +15\r\n',
        'Content-Length: 0x0f\r\n',
        'Content-Length: 15\r\nTransfer-Encoding: chunked\r\n',
        'Transfer-Encoding: gzip\r\n',
    ])
        assert.ok([400, 413, 501].includes(status(await raw(post(headers)))), headers);
    assert.equal(status(await raw(post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'))), 400);
    assert.equal(status(await raw(post('Transfer-Encoding: chunked\r\n', 'f\r\n{"content":"a"}\r\n0\r\n\r\n'))), 200);
    await unharmed();
});

test('a body over the limit is refused', async () => {
    const size = 257 << 20, chunk = Buffer.alloc(1 << 20, ' ');
    const answer = await new Promise((resolve, reject) => {
        const request = http.request({ host: '127.0.0.1', port: server.port, method: 'POST', path: '/tokenize', agent: false, headers: { 'content-length': size } }, (response) => {
            let text = '';
            response.on('data', (data) => (text += data)).on('end', () => resolve({ status: response.statusCode, json: JSON.parse(text), text }));
        });
        request.on('error', reject);
        stream.Readable.from(Array(257).fill(chunk)).pipe(request);
    });
    checkError(answer, 413, /larger than/, 'a body of 257 MiB');
    await unharmed();
});

test('headers over the limit are refused', async () => {
    for (const header of [`X-Large: ${'x'.repeat(100 << 10)}\r\n`, 'X-Many: x\r\n'.repeat(20000)]) assert.ok([400, 413, 431].includes(status(await raw(post(header)))));
    assert.ok([400, 413, 414, 431].includes(status(await raw(`GET /${'a'.repeat(100 << 10)} HTTP/1.1\r\nHost: x\r\n\r\n`))));
    await unharmed();
});

test('what is no HTTP does not hurt', async () => {
    for (const bytes of ['\r\n\r\n', 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', `${'A'.repeat(2000)}\r\n\r\n`, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 'BREW /health HTTP/1.1\r\nHost: x\r\n\r\n'])
        assert.ok(!(status(await raw(bytes)) < 400), JSON.stringify(bytes));
    const half = net.connect(server.port, '127.0.0.1', () => half.write('POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"prompt":'));
    half.on('error', () => {});
    await unharmed();
    half.destroy();
    await unharmed();
});
