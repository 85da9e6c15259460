// SPDX-License-Identifier: MIT
//
// Every kind of model under random requests for a while: 30 seconds each under the sanitizers, a few in the release build, whose timing is another one.
// `make soak` is the long form, with other seeds.
'use strict';
const { describe, it } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { knownKinds, soakKind, summary } = require('../support/soak.js');
const { binary } = require('../support/server.js');

const seconds = fs.readFileSync(binary).includes('__asan_init') ? 30 : 5;

describe('random requests', { concurrency: 2 }, () => {
    for (const kind of knownKinds())
        it(`a model of kind ${kind.name} serves them`, async (t) => {
            const totals = await soakKind(kind, { seconds, seed: 1 });
            t.diagnostic(summary(totals));
            assert.equal(totals.failures.length, 0, summary(totals));
        });
});
