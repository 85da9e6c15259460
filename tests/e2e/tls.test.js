// SPDX-License-Identifier: MIT
//
// The program over TLS: a completion and a stream, as Node's own client reads them.
'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const { spawn, spawnSync } = require('node:child_process');
const { binary, freePort, makeModel, temporaryFolder } = require('../support/server.js');

const folder = temporaryFolder();
const cert = path.join(folder, 'cert.pem'), key = path.join(folder, 'key.pem');
const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']);
const without = made.status === 0 ? false : 'there is no openssl to make a certificate';

function post(port, body) {
    return new Promise((resolve, reject) => {
        const request = https.request({ port, host: '127.0.0.1', servername: 'localhost', ca: fs.readFileSync(cert), agent: false, method: 'POST', path: '/completion' }, (response) => {
            const chunks = [];
            response.on('data', (chunk) => chunks.push(chunk));
            response.on('end', () => resolve(Buffer.concat(chunks).toString()));
            response.on('error', reject);
        });
        request.on('error', reject);
        request.end(JSON.stringify(body));
    });
}

test('a completion and a stream come over TLS', { skip: without }, async () => {
    const port = await freePort(), args = ['-m', makeModel(), '-c', '512', '-t', '1', '--port', String(port), '--ssl-cert-file', cert, '--ssl-key-file', key];
    const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    process.on('exit', () => child.kill('SIGKILL'));
    const [line] = await Promise.race([new Promise((resolve) => child.stdout.once('data', (data) => resolve([String(data)]))), ended.then(() => [''])]);
    assert.equal(line, `listening on https://127.0.0.1:${port}\n`);
    const body = { prompt: 'Hello', n_predict: 40, ignore_eos: true, temperature: 0 };
    const whole = JSON.parse(await post(port, body)).content;
    const events = (await post(port, { ...body, stream: true })).split('\n\n').filter((event) => event.startsWith('data: ')).map((event) => JSON.parse(event.slice(6)));
    assert.ok(events.length > 2 && whole.length > 0);
    assert.equal(events.map((event) => event.content).join(''), whole);
    child.kill('SIGTERM');
    assert.equal(await ended, 0);
});
