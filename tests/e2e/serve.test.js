// SPDX-License-Identifier: MIT
//
// The program as a whole: how it starts, what it refuses to start with, where it listens, what it logs, how it ends.
'use strict';
const { test, before } = require('node:test');
const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { binary, makeModel, exchange, temporaryFolder } = require('../support/server.js');

const small = ['--layers', '2', '--embd', '64', '--heads', '2', '--kv-heads', '1', '--ff', '128', '--ctx', '2048'];
const few = ['-t', '1', '-np', '1', '-c', '512', '--fit', 'off']; // fitting reads the model once more
let model, folder;
before(() => {
    model = makeModel('dense', small);
    folder = temporaryFolder();
});

const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(LLAMA|WARMSLOT)_/.test(name)));

// A warmslot whose standard output and error are read as they come; on any free port unless the arguments say otherwise.
class Program {
    constructor(args, env = {}) {
        this.stdout = this.stderr = '';
        const port = args.includes('--port') || 'LLAMA_ARG_PORT' in env ? [] : ['--port', '0'];
        this.child = spawn(binary, [...args, ...port], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...own, ...env } });
        const hard = setTimeout(() => this.child.kill('SIGKILL'), 60000);
        for (const name of ['stdout', 'stderr'])
            this.child[name].setEncoding('utf8').on('data', (text) => {
                this[name] += text;
                this.child.emit('text');
            });
        this.ended = new Promise((resolve) =>
            this.child.on('close', (code, signal) => {
                clearTimeout(hard);
                this.over = true;
                resolve(code ?? signal);
                this.child.emit('text');
            }),
        );
    }

    // Waits until what has been written so far has it; gives the match.
    async says(name, pattern) {
        for (;;) {
            const match = pattern.exec(this[name]);
            if (match) return match;
            if (this.over) throw new Error(`ended without ${pattern}: ${this.stdout}${this.stderr}`);
            await new Promise((resolve) => this.child.once('text', resolve));
        }
    }

    async ready() {
        const [, port] = await this.says('stdout', /^listening on (?:.*:(\d+))?.*\n/);
        this.port = Number(port);
        return this;
    }

    end(signal = 'SIGTERM') {
        this.child.kill(signal);
        return this.ended;
    }
}

async function serving(args, fn, env) {
    const program = new Program(['-m', model, ...few, ...args], env);
    try {
        await fn(await program.ready());
        assert.equal(await program.end(), 0, program.stderr);
    } finally {
        program.child.kill('SIGKILL');
    }
    return program;
}

// Runs a program that must not come to serve.
async function refused(args, status, pattern, env) {
    const program = new Program(args, env);
    assert.equal(await program.ended, status, `${args.join(' ')}: ${program.stderr}`);
    assert.match(program.stderr, pattern);
    assert.equal(program.stdout, '');
}

const tokens = (n, from = 1000) => Array.from({ length: n }, (_, i) => from + i);
const complete = (port, body) => exchange(port, 'POST', '/completion', { n_predict: 2, temperature: 0, ...body });

/* ---- start and end ---- */

test('one line on standard output says where it listens, when requests are served', async () => {
    const program = await serving([], async ({ port, stdout }) => {
        assert.equal(stdout, `listening on http://127.0.0.1:${port}\n`);
        assert.deepEqual((await exchange(port, 'GET', '/health')).json, { status: 'ok' });
        assert.equal((await complete(port, { prompt: 'Hello' })).status, 200);
    });
    assert.match(program.stdout, /^[^\n]*\n$/);
});

test('serve is the command that may be left out', async () => {
    const program = await new Program(['serve', '-m', model, ...few]).ready();
    assert.equal((await exchange(program.port, 'GET', '/health')).status, 200);
    assert.equal(await program.end(), 0);
});

test('while the model is loaded every route answers 503, and a signal ends that', async () => {
    const fifo = path.join(folder, 'loading.gguf');
    assert.equal(spawnSync('mkfifo', [fifo]).status, 0);
    const program = new Program(['-m', fifo]); // opening it waits for a writer that never comes
    const [, port] = await program.says('stderr', /port (\d+) is open/);
    for (const [method, route] of [['GET', '/health'], ['GET', '/v1/models'], ['GET', '/slots'], ['POST', '/completion']]) {
        const answer = await exchange(Number(port), method, route, method === 'POST' ? { prompt: 'Hello' } : undefined);
        assert.equal(answer.status, 503, route);
        assert.deepEqual(answer.json, { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } });
    }
    assert.equal(await program.end(), 0);
    assert.equal(program.stdout, '');
});

for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal} ends it with status 0, also with a stream under way and requests waiting`, async () => {
        const program = await new Program(['-m', model, ...few, '-c', '2048', '--metrics']).ready();
        let begun;
        const first = new Promise((resolve) => (begun = resolve));
        const stream = exchange(program.port, 'POST', '/completion', { prompt: 'Hello', n_predict: -1, ignore_eos: true, stream: true }, { onData: begun });
        await first;
        const waiting = exchange(program.port, 'POST', '/completion', { prompt: 'Hello', n_predict: 2 });
        const ends = Promise.allSettled([stream, waiting]);
        for (let i = 0; i < 1000; i++) if (/^llamacpp:requests_deferred 1$/m.test((await exchange(program.port, 'GET', '/metrics')).text)) break;
        assert.equal(await program.end(signal), 0, program.stderr);
        for (const { status, value } of await ends) assert.ok(status === 'rejected' || !/"stop":true/.test(value.text));
        assert.match(program.stderr, /info main stopped\n/);
        assert.match(program.stderr, /info request task=0 .* canceled /);
    });
}

/* ---- what it does not start with ---- */

test('a model that is missing or damaged is named, with status 1', async () => {
    const file = (name, content) => {
        fs.writeFileSync(path.join(folder, name), content);
        return path.join(folder, name);
    };
    const whole = fs.readFileSync(model);
    await refused(['-m', path.join(folder, 'missing.gguf')], 1, /error main .*missing\.gguf: No such file/);
    await refused(['-m', file('half.gguf', whole.subarray(0, whole.length >> 1))], 1, /error main .*half\.gguf: .*corrupted or incomplete/);
    await refused(['-m', file('head.gguf', whole.subarray(0, 1000))], 1, /error main .*head\.gguf: /);
    await refused(['-m', file('text.gguf', 'this is no model\n')], 1, /error main .*text\.gguf is not a GGUF file/);
    await refused(['-m', file('empty.gguf', '')], 1, /error main .*empty\.gguf is not a GGUF file/);
    await refused(['-m', folder], 1, /error main .* is not a file/);
});

test('what is wrong with a command line is said, with status 2', async () => {
    await refused([], 2, /no model: give -m FILE/);
    await refused(['-m', model, '--contxt-size', '512'], 2, /unknown option '--contxt-size'; did you mean '--ctx-size'\?/);
    await refused(['-m', model, '-c', 'many'], 2, /'-c': expected a whole number, got 'many'/);
    await refused(['-m', model, '--port', '70000'], 2, /'--port': .* 0 to 65535, got '70000'/);
    await refused(['-m', model, '--cache-ram', '-2'], 2, /'--cache-ram': .*at least -1, got '-2'/);
    await refused(['-m', model, '--port', '0', '-c'], 2, /'-c' needs a value/);
    await refused(['-m', model, 'more'], 2, /unexpected 'more'/);
    await refused(['-m', model, '--cache-policy', 'best'], 2, /--cache-policy: unknown policy .best., there are: value, lru/);
    await refused(['sreve', '-m', model], 2, /unknown command 'sreve'/);
    await refused(['-m', model, '--api-key-file', path.join(folder, 'nothing')], 2, /'--api-key-file': can't read .*No such file/);
    await refused(['-m', model, '--chat-template-file', path.join(folder, 'nothing')], 2, /'--chat-template-file': can't read .*No such file/);
    await refused(['-m', model], 2, /LLAMA_ARG_CTX_SIZE: expected a whole number, got 'many'/, { LLAMA_ARG_CTX_SIZE: 'many' });
});

test('what only the engine can judge ends it with status 1', async () => {
    await refused(['-m', model, '-ctk', 'q9'], 1, /error main -ctk: .*q9/);
    await refused(['-m', model, ...few, '--grammar', 'root ::= ('], 1, /error main .*grammar/);
    await refused(['-m', model, ...few, '--lora', path.join(folder, 'missing.gguf')], 1, /error main .*missing\.gguf/);
});

test('--help and --version need no model', () => {
    const run = (...args) => spawnSync(binary, args, { encoding: 'utf8' });
    const help = run('--help'), version = run('--version');
    assert.equal(help.status, 0);
    assert.match(help.stdout, /--cache-ram/);
    assert.equal(version.status, 0);
    assert.match(version.stdout, /^warmslot \d+\.\d+\.\d+\n$/);
    assert.equal(help.stderr + version.stderr, '');
});

/* ---- where it listens ---- */

test('a port in use is named, with status 1', async () => {
    const taken = net.createServer();
    await new Promise((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address();
    await refused(['-m', model, '--port', String(port)], 1, new RegExp(`error main .*127\\.0\\.0\\.1.*${port}.*in use`));
    taken.close();
    await refused(['-m', model, '--host', path.join(folder, 'no/such.sock')], 1, /error main .*such\.sock: No such file/);
});

test('it listens on several addresses, unix sockets among them, and takes its sockets away', async () => {
    const socket = path.join(folder, 'warm.sock');
    await serving(['--host', `127.0.0.1,${socket}`], async ({ port, stdout }) => {
        assert.equal(stdout, `listening on http://127.0.0.1:${port}, unix:${socket}\n`);
        const status = await new Promise((resolve, reject) => {
            const request = http.get({ socketPath: socket, path: '/v1/models', agent: false }, (response) => {
                response.resume();
                resolve(response.statusCode);
            });
            request.on('error', reject);
        });
        assert.equal(status, 200);
        assert.equal((await exchange(port, 'GET', '/health')).status, 200);
    });
    assert.equal(fs.existsSync(socket), false);
});

test('--api-prefix stands before every route', () =>
    serving(['--api-prefix', '/llm/v9'], async ({ port, stdout }) => {
        assert.equal(stdout, `listening on http://127.0.0.1:${port}/llm/v9\n`);
        assert.equal((await exchange(port, 'GET', '/llm/v9/health')).status, 200);
        assert.equal((await exchange(port, 'POST', '/llm/v9/v1/completions', { prompt: 'Hello', max_tokens: 1 })).status, 200);
        const without = await exchange(port, 'GET', '/health');
        assert.equal(without.status, 404);
        assert.equal(without.json.error.type, 'not_found_error');
    }));

/* ---- keys ---- */

async function checkKeys(port, good) {
    const status = async (route, headers) => (await exchange(port, 'GET', route, undefined, { headers })).status;
    for (const key of good) {
        assert.equal(await status('/v1/models', { authorization: `Bearer ${key}` }), 200, key);
        assert.equal(await status('/v1/models', { 'x-api-key': key }), 200, key);
    }
    for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: 'Bearer ' }, { 'x-api-key': `${good[0]}x` }, { authorization: `Basic ${good[0]}` }])
        assert.equal(await status('/v1/models', headers), 401, JSON.stringify(headers));
    const answer = await complete(port, { prompt: 'Hello' });
    assert.equal(answer.status, 401);
    assert.deepEqual(answer.json, { error: { code: 401, message: 'Invalid API Key', type: 'authentication_error' } });
    assert.equal(await status('/health', {}), 200);
    assert.equal(await status('/v1/health', {}), 200);
    assert.equal(await status('/no/such/route', {}), 401);
}

test('with --api-key only the health routes are open', async () => {
    const program = await serving(['--api-key', 'one,two'], ({ port }) => checkKeys(port, ['one', 'two']));
    assert.doesNotMatch(program.stderr, /\bone\b|\btwo\b/);
});

test('--api-key-file has a key per line', async () => {
    const file = path.join(folder, 'keys');
    fs.writeFileSync(file, '# comment\nfirst\n\nsecond\r\n');
    await serving(['--api-key-file', file, '--api-key', 'third'], async ({ port }) => {
        await checkKeys(port, ['first', 'second', 'third']);
        const comment = await exchange(port, 'GET', '/v1/models', undefined, { headers: { 'x-api-key': '# comment' } });
        assert.equal(comment.status, 401);
    });
});

/* ---- options ---- */

test('LLAMA_ARG_* sets what the command line does not', async () => {
    const env = { LLAMA_ARG_MODEL: model, LLAMA_ARG_CTX_SIZE: '1024', LLAMA_ARG_N_PARALLEL: '3', LLAMA_ARG_PORT: '0', LLAMA_ARG_ENDPOINT_METRICS: '1', LLAMA_API_KEY: 'secret', LLAMA_ARG_ALIAS: 'by-env' };
    const program = await new Program(['-t', '1', '-c', '768'], env).ready();
    const headers = { 'x-api-key': 'secret' };
    const props = (await exchange(program.port, 'GET', '/props', undefined, { headers })).json;
    assert.equal(props.total_slots, 3);
    assert.equal(props.default_generation_settings.n_ctx, 256);
    assert.equal(props.model_alias, 'by-env');
    assert.equal((await exchange(program.port, 'GET', '/metrics', undefined, { headers })).status, 200);
    assert.equal((await exchange(program.port, 'GET', '/metrics')).status, 401);
    assert.equal(await program.end(), 0);
});

test('a known option without effect is accepted with a warning', async () => {
    const program = await serving(['--log-colors', 'on', '--slot-prompt-similarity', '0.5'], async () => {});
    assert.match(program.stderr, /warn config .*--log-colors/);
    assert.match(program.stderr, /warn config .*--slot-prompt-similarity/);
});

test('--cache-ram -1 keeps prompts, in what the machine can spare', async () => {
    const program = await serving(['--cache-ram', '-1'], async ({ port }) => {
        await complete(port, { prompt: tokens(200) });
        await complete(port, { prompt: tokens(400, 5000) });
        const { timings } = (await complete(port, { prompt: tokens(200) })).json;
        assert.equal(timings.cache.device + timings.cache.ram, 199);
    });
    assert.match(program.stderr, /info cache up to \d+ MiB of host memory/);
});

test('-c 0 is the context that the model was trained with', () =>
    serving(['-c', '0'], async ({ port }) => {
        assert.equal((await exchange(port, 'GET', '/props')).json.default_generation_settings.n_ctx, 2048);
        const tooLong = await complete(port, { prompt: tokens(3000) });
        assert.deepEqual([tooLong.json.error.n_prompt_tokens, tooLong.json.error.n_ctx], [3000, 2048]);
    }));

test('--chat-template-file replaces the template of the model', async () => {
    const file = path.join(folder, 'template.jinja');
    fs.writeFileSync(file, "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[reply]{% endif %}");
    const messages = [{ role: 'user', content: 'Hello' }];
    await serving(['--chat-template-file', file], async ({ port }) => {
        assert.deepEqual((await exchange(port, 'POST', '/apply-template', { messages })).json, { prompt: '[user] Hello\n[reply]' });
        assert.equal((await exchange(port, 'GET', '/props')).json.chat_template, fs.readFileSync(file, 'utf8'));
        assert.equal((await exchange(port, 'POST', '/v1/chat/completions', { messages, max_tokens: 2 })).status, 200);
    });
});

test('stop strings that come with a chat template end an answer', async () => {
    const file = path.join(folder, 'stops.jinja');
    fs.writeFileSync(file, '{#- laguna_glm_thinking -#}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}'); // a name that libllama knows
    await serving(['--chat-template-file', file, '-r', 'four'], async ({ port }) => {
        const ask = async (text, more) => {
            const body = { messages: [{ role: 'user', content: 'Count' }], grammar: `root ::= "${text}"`, verbose: true, ...more };
            const { choices: [choice], __verbose: { stopping_word: word } } = (await exchange(port, 'POST', '/v1/chat/completions', body)).json;
            return [choice.message.content, choice.finish_reason, word];
        };
        assert.deepEqual(await ask('one two</assistant> three'), ['one two', 'stop', '</assistant>']);
        assert.deepEqual(await ask('three four five'), ['three ', 'stop', 'four']);
        assert.deepEqual(await ask('one two</assistant> three', { stop: ['two'] }), ['one ', 'stop', 'two']);
        assert.deepEqual(await ask('one four</assistant> three', { stop: ['two'] }), ['one four', 'stop', '</assistant>']);
        const raw = await exchange(port, 'POST', '/completion', { prompt: 'Count', grammar: 'root ::= "one</assistant> two"' });
        assert.equal(raw.json.content, 'one</assistant> two');
    });
});

/* ---- the log ---- */

test('--log-jsonl: every line is an object with time, level and module', async () => {
    const program = await serving(['--log-jsonl', '--log-colors', 'on'], async ({ port }) => {
        await complete(port, { prompt: 'Say "hi"\n\\ \u{1F98A}' });
        await complete(port, { prompt: 3 });
    });
    const lines = program.stderr.trimEnd().split('\n').map((line) => JSON.parse(line));
    for (const line of lines) for (const key of ['t', 'level', 'module', 'msg']) assert.equal(typeof line[key], 'string', JSON.stringify(line));
    assert.ok(lines.some((line) => line.level === 'warn' && line.module === 'config'));
    assert.ok(lines.some((line) => line.module === 'request' && /prompt=\d+ device=0 ram=0 computed=\d+/.test(line.msg)));
});

test('--log-file takes the log, --log-disable leaves errors only', async () => {
    const file = path.join(folder, 'server.log');
    const program = await serving(['--log-file', file], async ({ port }) => void (await complete(port, { prompt: 'Hello' })));
    assert.equal(program.stderr, '');
    assert.match(fs.readFileSync(file, 'utf8'), /info request task=0 .*\n/);
    const silent = await serving(['--log-disable'], async ({ port }) => void (await complete(port, { prompt: 'Hello' })));
    assert.equal(silent.stderr, '');
});

test('at a mismatch the log has its place, and the text on both sides only with --log-prompts', async () => {
    const ask = async ({ port }) => {
        for (const colour of ['green', 'purple'])
            assert.equal((await complete(port, { prompt: `The quick brown fox has a ${colour} hat and likes it` })).status, 200);
    };
    const silent = await serving([], ask), loud = await serving(['--log-prompts'], ask);
    const at = /info request task=1 .* diverged_at=(\d+)\n/.exec(silent.stderr);
    assert.ok(at, silent.stderr);
    assert.doesNotMatch(silent.stderr, /green|purple|fox/);
    const line = new RegExp(`info request task=1 diverged_at=${at[1]} after="([^"]*)" prompt="([^"]*)" known="([^"]*)"`).exec(loud.stderr);
    assert.ok(line, loud.stderr);
    assert.match(line[1], /fox has a$/);
    assert.match(line[2], /^ purple hat/);
    assert.match(line[3], /^ green hat/);
});
