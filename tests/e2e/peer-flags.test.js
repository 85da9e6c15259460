// SPDX-License-Identifier: MIT
//
// The options of a llama-server that is built here (`make peer`), as its own --help shows them, against what warmslot says about itself.
'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { root, binary } = require('../support/server.js');

const peer = process.env.WARMSLOT_PEER || path.join(root, 'build/peer/bin/llama-server');
const without = fs.existsSync(peer) ? false : 'there is no llama-server to compare with';

function output(program, option) {
    const run = spawnSync(program, [option], { encoding: 'utf8', env: { PATH: process.env.PATH } });
    assert.equal(run.status, 0, run.stderr);
    return run.stdout;
}

// An option begins its line: "-t,  --threads N      what it is", or with the text on the next line; its variable stands in "(env: NAME)".
function peerOptions(help) {
    const options = [];
    for (const line of help.split('\n')) {
        if (/^--?[a-z]/i.test(line)) options.push({ names: [], text: '' });
        if (!options.length) continue;
        const option = options.at(-1);
        if (/^--?[a-z]/i.test(line)) option.names.push(...line.match(/^--?[\w.-]+(,\s+--?[\w.-]+)*/)[0].split(/,\s+/));
        option.text += ` ${line.trim()}`;
    }
    return options.map(({ names, text }) => ({ names, env: /\(env: (\w+)\)/.exec(text)?.[1] }));
}

function known() {
    const rows = output(binary, '--help-md').split('\n').filter((line) => line.startsWith('| `'));
    const byName = new Map();
    for (const row of rows) {
        const env = /\| `(\w+)` \|$/.exec(row)?.[1];
        for (const [, name] of row.split(' | ')[0].matchAll(/`(-[^`]*)`/g)) byName.set(name, env);
    }
    return byName;
}

test('every option and variable that llama-server --help shows is known', { skip: without }, () => {
    const options = peerOptions(output(peer, '--help')), ours = known();
    const names = options.flatMap((option) => option.names);
    assert.ok(names.length > 300, `${names.length} names read`);
    assert.deepEqual(names.filter((name) => !ours.has(name)), []);
    const other = options.filter(({ names: [name], env }) => env && ours.get(name) !== env);
    assert.deepEqual(other, []);
});

test('the list that the unit tests hold the table against is that of this llama-server', { skip: without }, () => {
    const listed = new Set(fs.readFileSync(path.join(root, 'tests/unit/peer_flags.txt'), 'utf8').split('\n').slice(1).flatMap((line) => (line.split(' ').slice(2).join(',')).split(',')));
    const shown = peerOptions(output(peer, '--help')).flatMap((option) => option.names);
    assert.deepEqual(shown.filter((name) => !listed.has(name)), []);
});
