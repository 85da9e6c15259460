// SPDX-License-Identifier: MIT
//
// bench/lib/svg.js - two kinds of pictures as SVG text: bars in groups, and lines over a share from 0 to 1. Dark on white, so that they can be read
// on any page.
'use strict';

const COLOURS = ['#9aa0a6', '#1a73e8', '#f29900'];
const WIDTH = 760;
const LEFT = 60;
const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
const text = (x, y, content, more = '') => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(content)}</text>`;
const short = (n) => (n >= 1000 ? Math.round(n).toLocaleString('en-US') : n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2));

// A round number at or above n, to end an axis at.
function ceiling(n) {
    const power = 10 ** Math.floor(Math.log10(n));
    return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((f) => f * power).find((x) => x >= n);
}

function picture(height, title, names, body) {
    const legend = names.map((name, i) => `<rect x="${LEFT + i * 150}" y="34" width="12" height="12" fill="${COLOURS[i]}"/>${text(LEFT + 18 + i * 150, 45, name)}`);
    return [
        `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" fill="#202124">`,
        `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`, text(LEFT, 22, title, 'font-size="15" font-weight="bold"'), ...legend, ...body, '</svg>', '',
    ].join('\n');
}

function grid(top, bottom, most) {
    return [0, 0.25, 0.5, 0.75, 1].flatMap((share) => {
        const y = bottom - share * (bottom - top);
        return [`<line x1="${LEFT}" x2="${WIDTH - 20}" y1="${y}" y2="${y}" stroke="#dadce0"/>`, text(LEFT - 6, y + 4, short(most * share), 'text-anchor="end"')];
    });
}

// groups: [{ name, values: [one for each of names] }]
function bars(title, names, groups) {
    const [top, bottom] = [64, 300];
    const most = ceiling(Math.max(...groups.flatMap((g) => g.values)));
    const room = (WIDTH - LEFT - 20) / groups.length;
    const width = Math.min(46, (room * 0.8) / names.length);
    const body = groups.flatMap((group, g) => {
        const middle = LEFT + room * (g + 0.5);
        const columns = group.values.map((value, i) => {
            const x = middle + (i - names.length / 2) * width;
            const height = ((bottom - top) * value) / most;
            return `<rect x="${x.toFixed(1)}" y="${(bottom - height).toFixed(1)}" width="${(width - 2).toFixed(1)}" height="${height.toFixed(1)}" fill="${COLOURS[i]}"/>${text(x + width / 2 - 1, bottom - height - 4, short(value), 'text-anchor="middle" font-size="10"')}`;
        });
        return [...columns, text(middle, bottom + 18, group.name, 'text-anchor="middle"')];
    });
    return picture(330, title, names, [...grid(top, bottom, most), ...body]);
}

// series: { name: [[x up to 1, y]...] }; floor: a value that nothing can be below
function lines(title, xLabel, series, floor) {
    const [top, bottom, right] = [64, 300, WIDTH - 60];
    const names = Object.keys(series);
    const most = ceiling(Math.max(...Object.values(series).flat().map(([, y]) => y)));
    const leastX = Math.min(...Object.values(series).flat().map(([x]) => x));
    const place = ([x, y]) => [LEFT + 60 + ((x - leastX) / (1 - leastX)) * (right - LEFT - 60), bottom - ((bottom - top) * y) / most];
    const body = names.flatMap((name, i) => {
        const points = [...series[name]].sort((a, b) => a[0] - b[0]);
        const at = points.map(place);
        const path = `<polyline points="${at.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')}" fill="none" stroke="${COLOURS[i]}" stroke-width="2.5"/>`;
        return [path, ...at.flatMap(([x, y], k) => [`<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4" fill="${COLOURS[i]}"/>`, text(x, i ? y + 19 : y - 9, short(points[k][1]), 'text-anchor="middle" font-size="11"')])];
    });
    const ticks = [...new Set(Object.values(series).flat().map(([x]) => x))].map((x) => text(place([x, 0])[0], bottom + 18, String(x), 'text-anchor="middle"'));
    const least = place([0, floor])[1];
    const limit = [`<line x1="${LEFT}" x2="${WIDTH - 20}" y1="${least}" y2="${least}" stroke="#188038" stroke-dasharray="5 4"/>`, text(LEFT + 4, least - 5, 'the least possible', 'fill="#188038"')];
    return picture(345, title, names, [...grid(top, bottom, most), ...limit, ...body, ...ticks, text((LEFT + right) / 2, bottom + 38, xLabel, 'text-anchor="middle"')]);
}

module.exports = { bars, lines };
