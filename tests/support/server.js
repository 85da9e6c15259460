// SPDX-License-Identifier: MIT
//
// tests/support/server.js - starts a warmslot (or any llama-server-compatible program) on a free loopback port, talks to it, ends it by its pid.
'use strict';
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const root = path.resolve(__dirname, '../..');
const binary = process.env.WARMSLOT_BIN || path.join(root, 'build/warmslot');
const children = new Set();
const folders = [];
process.on('exit', () => {
    children.forEach((child) => child.kill('SIGKILL'));
    folders.forEach((folder) => fs.rmSync(folder, { recursive: true, force: true }));
});

function temporaryFolder() {
    folders.push(fs.mkdtempSync(path.join(os.tmpdir(), 'warmslot-')));
    return folders.at(-1);
}

// A model with random weights, made once per process and kind; args as mkmodel's.
const models = new Map();
function makeModel(kind = 'dense', args = []) {
    const key = [kind, ...args].join(' ');
    if (!models.has(key)) {
        const file = path.join(temporaryFolder(), `${kind}.gguf`);
        const made = spawnSync(binary, ['mkmodel', kind, file, ...args], { encoding: 'utf8' });
        if (made.status !== 0) throw new Error(`mkmodel failed: ${made.stderr}`);
        models.set(key, file);
    }
    return models.get(key);
}

function freePort() {
    return new Promise((resolve, reject) => {
        const probe = net.createServer();
        probe.on('error', reject);
        probe.listen(0, '127.0.0.1', () => {
            const { port } = probe.address();
            probe.close(() => resolve(port));
        });
    });
}

// One HTTP exchange without a pool of connections: { status, headers, text, json }.
function exchange(port, method, route, body, { headers = {}, onData, signal } = {}) {
    const payload = body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
        const request = http.request({ host: '127.0.0.1', port, method, path: route, agent: false, signal, headers: { ...(payload !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }), ...headers } }, (response) => {
            const chunks = [];
            response.on('data', (chunk) => {
                chunks.push(chunk);
                if (onData) onData(chunk);
            });
            response.on('error', reject);
            response.on('end', () => {
                const text = Buffer.concat(chunks).toString('utf8');
                let json;
                try {
                    json = JSON.parse(text);
                } catch {
                    json = undefined;
                }
                resolve({ status: response.statusCode, headers: response.headers, text, json });
            });
        });
        request.on('error', reject);
        request.end(payload);
    });
}

class Server {
    constructor(child, port, log) {
        Object.assign(this, { child, port, logFile: log });
    }

    log() {
        return fs.readFileSync(this.logFile, 'utf8');
    }

    get(route, options) {
        return exchange(this.port, 'GET', route, undefined, options);
    }

    post(route, body, options) {
        return exchange(this.port, 'POST', route, body, options);
    }

    // A POST whose answer has to be 200; gives its JSON.
    async ask(route, body) {
        const answer = await this.post(route, body);
        if (answer.status !== 200) throw new Error(`${route}: ${answer.status} ${answer.text}`);
        return answer.json;
    }

    // Streams; gives the parsed data of all events, in order ("[DONE]" as that string).
    async stream(route, body, { onEvent, signal } = {}) {
        let rest = '';
        const events = [];
        const decoder = new TextDecoder();
        const answer = await exchange(this.port, 'POST', route, { ...body, stream: true }, {
            signal,
            onData: (chunk) => {
                rest += decoder.decode(chunk, { stream: true });
                for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2)) {
                    const block = rest.slice(0, end);
                    if (!block.startsWith('data: ')) continue;
                    const data = block.slice(6);
                    const event = data === '[DONE]' ? data : JSON.parse(data);
                    events.push(event);
                    if (onEvent) onEvent(event);
                }
            },
        });
        return { status: answer.status, events, text: answer.text };
    }

    peakRssBytes() {
        return Number(/VmHWM:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))[1]) * 1024;
    }

    // Ends it with SIGTERM; gives its exit status (or the signal's name).
    stop() {
        if (this.ended) return this.ended;
        this.ended = new Promise((resolve) => {
            const hard = setTimeout(() => this.child.kill('SIGKILL'), 20000);
            const done = () => {
                clearTimeout(hard);
                resolve(this.child.exitCode ?? this.child.signalCode);
            };
            if (this.child.exitCode !== null || this.child.signalCode !== null) return done();
            this.child.on('exit', done);
            this.child.kill('SIGTERM');
        });
        return this.ended;
    }
}

// Starts `program` with the model and arguments, waits until it is healthy.
async function start(args, { program = binary, waitMs = 60000, pollMs = 50, env = {} } = {}) {
    const port = await freePort();
    const log = path.join(temporaryFolder(), 'server.log');
    const out = fs.openSync(log, 'w');
    const child = spawn(program, [...args, '--port', String(port)], { stdio: ['ignore', out, out], env: { ...process.env, ...env } });
    fs.closeSync(out);
    children.add(child);
    child.on('exit', () => children.delete(child));
    const server = new Server(child, port, log);
    for (const end = Date.now() + waitMs; ; ) {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server ended: ${server.log()}`);
        if (Date.now() > end) throw new Error(`the server is not ready after ${waitMs} ms: ${server.log()}`);
        const health = await server.get('/health').catch(() => null);
        if (health && health.status === 200) return server;
        await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
}

// A prompt of n token ids that depends on the seed only, and shares nothing with another seed's.
function tokens(n, seed) {
    let x = (seed + 1) * 2654435761;
    return Array.from({ length: n }, () => {
        x = (Math.imul(x, 1103515245) + 12345) >>> 0;
        return 1000 + (x >>> 8) % 20000;
    });
}

module.exports = { root, binary, start, makeModel, tokens, freePort, exchange, temporaryFolder };
