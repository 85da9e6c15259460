// SPDX-License-Identifier: MIT
//
// bench/demo.js - two agents take turns at one slot whose context holds either conversation, not both: once with the cache, once without it.
//
//   node bench/demo.js [--model FILE] [--model-args="ARGS"] [--server-args="ARGS"] [--json FILE]
//
// The texts are in bench/demo/. Status 0: the run with the cache computed at most 1.05 x what an unlimited exact prefix cache would.
// Colours only on a terminal, and never more than 100 columns.
'use strict';
const fs = require('node:fs');
const { parseArgs } = require('node:util');
const { start, makeModel } = require('../tests/support/server.js');
const { oracle } = require('../tests/support/oracle.js');
const { readConversation, readAuxiliary } = require('./demo/texts.js');

const string = { type: 'string' };
const options = { model: string, 'model-args': { ...string, default: '' }, 'server-args': { ...string, default: '' }, json: string };
const { values: args } = parseArgs({ options });
const words = (list) => list.split(' ').filter(Boolean);

const ORDER = [
    'coding 1', 'coding title', 'research 1', 'research title', 'coding 2', 'research 2', 'research keywords', 'coding 3', 'research 3',
    'coding 4', 'coding summary', 'research 4', 'coding 5', 'research 5', 'coding 6', 'research 6',
];
const EDITED = 'coding 5'; // its client has shortened what a tool said before
const N_PREDICT = 4;
const WIDTH = 100;
const ALLOWED = 1.05;

const styled = process.stdout.isTTY && !process.env.NO_COLOR;
const style = (code) => (text) => (styled ? `\x1b[${code}m${text}\x1b[0m` : text);
const bold = style(1);
const faint = style(2);
const green = style(32);
const red = style(31);

function wrap(text, indent = '') {
    let line = '';
    const lines = [];
    for (const word of text.split(' ')) {
        if (line && indent.length + line.length + 1 + word.length > WIDTH) {
            lines.push(indent + line.trimEnd());
            line = word;
        } else {
            line += (line && ' ') + word;
        }
    }
    return [...lines, indent + line].join('\n');
}

function progress(text) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function readRequests() {
    const conversations = { coding: readConversation('coding'), research: readConversation('research') };
    const auxiliary = readAuxiliary(conversations);
    return ORDER.map((name) => {
        const [who, n] = name.split(' ');
        const body = auxiliary.get(name) ?? conversations[who][Number(n) - 1];
        return { name, body };
    });
}

// The tokens of each prompt, to know the context that they need and the least that must be computed.
async function tokenize(model, requests) {
    const server = await start(['-m', model, '-c', '256', '-np', '1', '--cache-ram', '0', '--no-warmup', ...words(args['server-args'])]);
    for (const request of requests) {
        const { prompt } = await server.ask('/apply-template', request.body);
        request.tokens = (await server.ask('/tokenize', { content: prompt, add_special: true, parse_special: true })).tokens;
    }
    await server.stop();
}

async function ask(server, request) {
    const begin = performance.now();
    let firstTokenMs;
    const answer = await server.stream('/v1/chat/completions', { ...request.body, max_tokens: N_PREDICT, temperature: 0 }, {
        onEvent: () => {
            firstTokenMs ??= performance.now() - begin;
        },
    });
    const timings = answer.events.find((event) => event.timings)?.timings;
    if (answer.status !== 200 || !timings) throw new Error(`${request.name}: ${answer.status} ${answer.text}`);
    const { device, ram, computed } = timings.cache;
    if (device + ram + computed !== request.tokens.length) throw new Error(`${request.name}: ${device} + ${ram} + ${computed} of ${request.tokens.length} tokens`);
    return { device, ram, computed, firstTokenMs };
}

async function run(model, context, requests, title, more) {
    const server = await start(['-m', model, '-np', '1', '-c', String(context), '--log-prompts', ...more, ...words(args['server-args'])]);
    const rows = [];
    for (const [i, request] of requests.entries()) {
        progress(`${title}: ${i + 1} of ${requests.length}, ${request.name}`);
        rows.push(await ask(server, request));
    }
    progress('');
    const status = await server.stop();
    if (status !== 0) throw new Error(`the server ended with ${status}: ${server.log()}`);
    const total = { device: 0, ram: 0, computed: 0, firstTokenMs: 0 };
    for (const row of rows) for (const key of Object.keys(total)) total[key] += row[key];
    return { rows, total, log: server.log() };
}

const number = (n, width) => Math.round(n).toLocaleString('en-US').padStart(width);
const seconds = (ms) => `${(ms / 1e3).toFixed(1)} s`;

function cells(row, first) {
    return number(row.device, 8) + number(row.ram, 8) + number(row.computed, 10) + first.padStart(9);
}

function table(requests, cached, plain) {
    const prompt = requests.reduce((sum, request) => sum + request.tokens.length, 0);
    const head = `${'device'.padStart(8)}${'ram'.padStart(8)}${'computed'.padStart(10)}${'first ms'.padStart(9)}`;
    const rule = faint(`${'─'.repeat(26)}┼${'─'.repeat(36)}┼${'─'.repeat(36)}`);
    const lines = [
        bold(`${' '.repeat(26)}│ ${'with the cache'.padEnd(35)}│ without it (--cache-ram 0)`),
        `${'request'.padEnd(18)}${'prompt'.padStart(7)} │${head} │${head}`,
        rule,
    ];
    requests.forEach((request, i) => {
        const [with_, without] = [cached.rows[i], plain.rows[i]].map((row) => cells(row, number(row.firstTokenMs, 1)));
        lines.push(`${request.name.padEnd(18)}${number(request.tokens.length, 7)} │${with_} │${without}`);
    });
    const [with_, without] = [cached, plain].map(({ total }) => cells(total, seconds(total.firstTokenMs)));
    lines.push(rule, bold(`${'total'.padEnd(18)}${number(prompt, 7)} │${with_} │${without}`));
    return lines.join('\n');
}

// What the log says of one request: its line, and the one with the texts at the mismatch.
function logOf(log, index) {
    const lines = log.split('\n').filter((line) => / info request task=\d+ /.test(line));
    const line = lines.filter((l) => / done /.test(l))[index];
    const task = / (task=\d+) /.exec(line)[1];
    const texts = lines.find((l) => l.includes(` ${task} `) && / after=".*" prompt=".*" known=".*"$/.test(l));
    if (!texts) throw new Error(`the log does not say where the prompt of ${ORDER[index]} differs:\n${lines.join('\n')}`);
    return { line, texts, at: Number(/diverged_at=(\d+)/.exec(texts)[1]) };
}

function explain(cached, requests) {
    const index = ORDER.indexOf(EDITED);
    const { line, texts, at } = logOf(cached.log, index);
    const question = [
        "Why was something computed again? The log of the server says it in each request's line, and with --log-prompts also",
        `what stands on both sides of the mismatch. ${EDITED}:`,
    ];
    const answer = [
        'The client had replaced an old output of a tool by a note (prompt) to save room.',
        `The first ${number(at, 1)} of ${number(requests[index].tokens.length, 1)} tokens were known;`,
        'from there on the prompt is another one than the one before (known).',
    ];
    return [
        wrap(question.join(' ')),
        '',
        ...[line, texts].map((l) => faint(wrap(l.replace(/^\S+ info /, ''), '    '))),
        '',
        wrap(answer.join(' ')),
    ].join('\n');
}

function introduction(context) {
    const text = [
        "Two agents, one fixing a bug in a C program and one writing a museum's panel, take turns at ONE slot.",
        `Its context of ${number(context, 1)} tokens holds either of their conversations, not both.`,
        'Between the turns their clients make small calls: titles, keywords, a summary.',
        ...(args.model ? [] : ['The model has random weights, which changes nothing in what is measured.']),
        'First with the cache in host memory, then without it.',
    ];
    return `${wrap(text.join(' '))}

  device    tokens whose state was still in the context
  ram       tokens whose state was loaded back from host memory
  computed  tokens that the model had to compute
  first ms  milliseconds until the client had the first token of the answer
`;
}

async function main() {
    const requests = readRequests();
    progress('making the model');
    const model = args.model || makeModel('dense', words(args['model-args']));
    progress('counting tokens');
    await tokenize(model, requests);
    progress('');
    const prompts = requests.map((request) => request.tokens);
    const context = Math.ceil((Math.max(...prompts.map((p) => p.length)) + N_PREDICT) / 256) * 256;
    console.log(introduction(context));

    const cached = await run(model, context, requests, 'with the cache', []);
    const plain = await run(model, context, requests, 'without it', ['--cache-ram', '0']);
    const least = oracle(prompts);
    const ratio = cached.total.computed / least;
    const good = ratio <= ALLOWED;
    const times = (total) => `${(total.computed / least).toFixed(2)} x the least possible`;
    const verdict = ({ total }) => `${number(total.computed, 7)} computed, ${times(total)}, ${seconds(total.firstTokenMs)} until first tokens`;
    console.log(`${table(requests, cached, plain)}\n`);
    console.log(`Of ${number(prompts.flat().length, 1)} prompt tokens, ${number(least, 1)} have to be computed by any server: nobody had asked them before.`);
    console.log(`  with the cache ${(good ? green : red)(verdict(cached))}\n  without it     ${verdict(plain)}\n`);
    console.log(explain(cached, requests));
    if (args.json) {
        const sizes = requests.map(({ name, tokens }) => ({ name, tokens: tokens.length }));
        fs.writeFileSync(args.json, JSON.stringify({ context, oracle: least, prompts: sizes, cached, plain }, null, 1));
    }
    if (!good) {
        console.error(`\nThe cache should have kept it below ${ALLOWED} x.`);
        process.exitCode = 1;
    }
}

// So that the servers and the model's folder go too.
for (const [signal, status] of [['SIGINT', 130], ['SIGTERM', 143]]) process.on(signal, () => process.exit(status));

main().catch((error) => {
    progress('');
    console.error(`the demo failed: ${error.message}`);
    process.exitCode = 1;
});
