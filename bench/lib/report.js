// SPDX-License-Identifier: MIT
//
// bench/lib/report.js - results of bench/compare.js as tables and pictures. A row: { what, digits, values: { server: number }, bar, alone }, the bar being
// { value } (Warmslot's figure is at most this) or { ratio, more } (Warmslot's over llama-server's is at most this; more: at least); alone: a ratio says nothing.
'use strict';
const { bars, lines } = require('./svg.js');

const PEER = 'llama-server';
const number = (n, digits = 0) => (n === undefined ? '' : (n + 0).toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const ratioOf = ({ values }) => values.warmslot / values[PEER];

// null where nothing was promised
function holds(row) {
    if (!row.bar) return null;
    if (row.bar.value !== undefined) return row.values.warmslot <= row.bar.value;
    return row.bar.more ? ratioOf(row) >= row.bar.ratio : ratioOf(row) <= row.bar.ratio;
}

function barText(row) {
    if (!row.bar) return '';
    const { value, ratio, more } = row.bar;
    const bar = value !== undefined ? `at most ${number(value, value < 10 ? 2 : 0)}` : `at ${more ? 'least' : 'most'} ${ratio} x`;
    return `${bar}: ${holds(row) ? 'holds' : '**missed**'}`;
}

function table({ rows }) {
    const more = [['prebuilt', 'Warmslot, prebuilt engine'], ['apart', 'llama-server, apart']].filter(([name]) => rows.some((row) => row.values[name] !== undefined));
    const head = ['', 'llama-server', 'Warmslot', 'ratio', ...more.map(([, title]) => title), 'promised'];
    const line = (cells) => `| ${cells.join(' | ')} |`;
    const body = rows.map((row) => {
        const ratio = ratioOf(row);
        return line([row.what, number(row.values[PEER], row.digits), number(row.values.warmslot, row.digits), row.alone ? '' : ratio.toFixed(3), ...more.map(([name]) => number(row.values[name], row.digits)), barText(row)]);
    });
    return [line(head), line(head.map((_, i) => (i && i < head.length - 1 ? '---:' : '---'))), ...body].join('\n');
}

const find = (result, part) => result?.rows?.find((row) => row.what.includes(part));

// The pictures that these results (by the names of cases) can give: { file: svg }.
function pictures(results) {
    const out = {};
    const firsts = [['ample', 'agents'], ['texts', 'recorded agents'], ['rotation', 'rotation, 3/4', '3/4'], ['rotation', 'rotation, 1/2', '1/2'], ['parallel', 'four at once'], ['fanout', 'fan-out']].flatMap(([name, title, part = '']) => {
        const row = results[name]?.rows?.find((r) => r.what.includes(part) && r.what.includes('first token, median'));
        return row ? [{ name: title, values: [row.values[PEER], row.values.warmslot] }] : [];
    });
    if (firsts.length) out['first-token.svg'] = bars('Time to the first token, median, ms (less is better)', [PEER, 'Warmslot'], firsts);
    const { lines: curve } = results.rotation ?? {};
    if (curve) out['computed.svg'] = lines(curve.title, curve.x, { [PEER]: curve.series[PEER], Warmslot: curve.series.warmslot }, 1);
    return out;
}

const intro = `# Warmslot beside llama-server

Written by \`make bench\` (bench/compare.js). The same model, flags, requests and machine, one server after the other, who goes first changing from
round to round; medians. Both run on the same build of libllama, the one of llama-server; *prebuilt engine* is Warmslot as \`make\` builds it. A ratio is Warmslot's
figure over llama-server's. *The least possible* is what a server with an unlimited exact prefix cache would compute. Models have random weights (\`warmslot mkmodel\`).
`;

// results: [{ name, title, what, flags, rows, note, about }]
function markdown(results) {
    const parts = [intro, `Machine: ${[...new Set(results.map((result) => result.about.machine))].join('; ')}.`, ''];
    const files = Object.keys(pictures(Object.fromEntries(results.map((r) => [r.name, r]))));
    parts.push(...files.flatMap((file) => [`![${file.replace('.svg', '').replace('-', ' ')}](results/${file})`, '']));
    for (const result of results) {
        parts.push(`## ${result.title}`, '', result.what, '');
        if (result.skipped) parts.push(`Not run: ${result.skipped}.`, '');
        else parts.push(`    llama-server -m MODEL -t N ${result.flags.join(' ')}\n    warmslot     -m MODEL -t N ${result.flags.join(' ')}`, '', `${result.about.run}.`, '', table(result), '', ...(result.note ? [result.note, ''] : []));
    }
    return `${parts.join('\n').trimEnd()}\n`;
}

module.exports = { table, holds, find, pictures, markdown };
