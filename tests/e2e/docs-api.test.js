// SPDX-License-Identifier: MIT
//
// docs/api.md shows what the server answers.
'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { root, binary, temporaryFolder } = require('../support/server.js');

test('docs/api.md is what scripts/docs-api makes of it', () => {
    const made = path.join(temporaryFolder(), 'api.md');
    const run = spawnSync(path.join(root, 'scripts/docs-api'), [binary, made], { encoding: 'utf8', timeout: 240000 });
    assert.equal(run.status, 0, run.stderr);
    const now = fs.readFileSync(made, 'utf8').split('\n'), documented = fs.readFileSync(path.join(root, 'docs/api.md'), 'utf8').split('\n');
    const at = now.findIndex((line, i) => line !== documented[i]);
    if (at >= 0 || now.length !== documented.length) {
        const around = (lines) => lines.slice(Math.max(at - 2, 0), at + 3).join('\n');
        assert.fail(`docs/api.md is outdated from line ${at + 1} on (scripts/docs-api writes it anew)\n--- documented\n${around(documented)}\n--- now\n${around(now)}`);
    }
});

test('every route of the server has its command and a bad request in docs/api.md', () => {
    const page = fs.readFileSync(path.join(root, 'docs/api.md'), 'utf8');
    const routes = [...fs.readFileSync(path.join(root, 'src/api/api.c'), 'utf8').matchAll(/^ {4}\{"(?:GET|POST)", "([^"]+)"/gm)].map((match) => match[1]);
    assert.ok(routes.length > 10);
    for (const route of routes) assert.match(page, new RegExp(`^## .*[ ]${route}(,|$)`, 'm'), `${route} is not documented`);
    for (const section of page.split('\n## ').slice(1).filter((text) => /^(GET|POST) /.test(text))) {
        const statuses = [...section.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((match) => Number(match[1]));
        const name = section.split('\n')[0];
        assert.ok(statuses.includes(200), `${name}: no good request`);
        assert.ok(statuses.some((status) => status >= 400), `${name}: no bad request`);
    }
});
