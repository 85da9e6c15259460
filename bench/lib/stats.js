// SPDX-License-Identifier: MIT
//
// bench/lib/stats.js - of a list of numbers, in any order: the one below which a share of them lies.
'use strict';

function quantile(list, share) {
    const sorted = [...list].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

const median = (list) => quantile(list, 0.5);
const sum = (list) => list.reduce((a, b) => a + b, 0);

module.exports = { quantile, median, sum };
