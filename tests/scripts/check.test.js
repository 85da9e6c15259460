// SPDX-License-Identifier: MIT
//
// What scripts/check-layers and scripts/check-sources must refuse, each on a small tree that has that one fault.
"use strict";
const { test } = require("node:test");
const assert = require("node:assert");
const { execFileSync, spawnSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const scripts = path.join(__dirname, "..", "..", "scripts");
const spdx = "/* SPDX-License-Identifier: MIT */\n";

// Runs the script on a tree of these files; returns its exit status and what it complained about.
function run(script, files) {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), "warmslot-check-"));
    try {
        for (const [name, text] of Object.entries(files)) {
            fs.mkdirSync(path.join(root, path.dirname(name)), { recursive: true });
            fs.writeFileSync(path.join(root, name), text);
        }
        execFileSync("git", ["init", "-q", root]);
        execFileSync("git", ["-C", root, "add", "."]);
        const { status, stderr } = spawnSync(path.join(scripts, script), [root], { encoding: "utf8" });
        return { status, stderr };
    } finally {
        fs.rmSync(root, { recursive: true, force: true });
    }
}

function refuses(script, files, message) {
    const { status, stderr } = run(script, files);
    assert.match(stderr, message);
    assert.strictEqual(status, 1);
}

function accepts(script, files) {
    const { status, stderr } = run(script, files);
    assert.strictEqual(stderr, "");
    assert.strictEqual(status, 0);
}

const headers = Object.fromEntries(
    ["base", "store", "cache", "engine", "sim", "llama", "sched", "http", "config", "api", "tools"].map((l) => [`src/${l}/${l}.h`, ""]),
);
for (const name of ["err", "store", "cache", "engine"]) headers[`include/warmslot/${name}.h`] = "";

const including = (file, ...names) => ({ ...headers, [file]: names.map((n) => `#include ${n}\n`).join("") });

test("a layer may include itself, what is below it, and system headers", () => {
    accepts("check-layers", including("src/cache/tree.c", '"cache/cache.h"', '"cache.h"', '"base/base.h"', '"warmslot/store.h"', "<stdio.h>"));
    accepts("check-layers", including("src/api/chat.c", '"sched/sched.h"', '"http/http.h"', '"config/config.h"', '"warmslot/engine.h"'));
    accepts("check-layers", including("src/llama/chat.cpp", '"warmslot/engine.h"', '"llama.h"', "<ggml.h>", '"chat.h"'));
    accepts("check-layers", including("src/main.c", '"api/api.h"', '"llama/llama.h"', '"sim/sim.h"', '"tools/tools.h"'));
});

for (const [file, name] of [
    ["src/base/buf.c", '"store/store.h"'],
    ["src/store/ram.c", '"warmslot/cache.h"'],
    ["src/cache/tree.c", '"../engine/engine.h"'],
    ["src/sched/slots.c", '"http/http.h"'],
    ["src/sched/slots.c", '"sim/sim.h"'],
    ["src/http/sse.c", '"config/config.h"'],
    ["src/sim/sim.c", '"llama/llama.h"'],
    ["src/api/chat.c", '"llama/llama.h"'],
    ["include/warmslot/store.h", '"warmslot/engine.h"'],
]) {
    test(`${file} may not include ${name}`, () => refuses("check-layers", including(file, name), /:1: .* may not include .* not below it/));
}

test("an indented include counts", () => {
    refuses("check-layers", { ...headers, "src/base/buf.c": '\n  #  include "cache/cache.h"\n' }, /buf\.c:2: /);
});
test("libllama's headers are for llama/ only", () => {
    for (const name of ["<llama.h>", '"llama.h"', "<ggml-backend.h>", "<gguf.h>"])
        refuses("check-layers", including("src/engine/kv_io.c", name), /only llama\/ may include/);
});
test("libevent's headers are for http/ only", () => {
    accepts("check-layers", including("src/http/loop.c", "<event2/http.h>"));
    refuses("check-layers", including("src/api/chat.c", "<event2/http.h>"), /only http\/ may include/);
});
test("a quoted file that does not exist is an error", () => {
    refuses("check-layers", including("src/cache/tree.c", '"nowhere.h"'), /no such file/);
});
test("a private header stays in its folder", () => {
    const files = { ...headers, "src/cache/cache_internal.h": "", "src/cache/tree.c": '#include "cache/cache_internal.h"\n' };
    accepts("check-layers", files);
    refuses("check-layers", { ...files, "src/sched/slots.c": '#include "cache/cache_internal.h"\n' }, /private to cache/);
});
test("C++ is for llama/ only", () => refuses("check-layers", { ...headers, "src/api/chat.cpp": "" }, /C\+\+ outside/));
test("a folder that is no layer is an error", () => refuses("check-layers", { ...headers, "src/util/x.c": "" }, /not in a known layer/));
test("an empty tree does not pass for a good one", () => refuses("check-layers", {}, /no source files/));

const body = (n) => "    x++;\n".repeat(n);
const functionOf = (n) => `${spdx}static int f(int x,\n             int y) {\n${body(n - 5)}out:\n    return x;\n}\n`;

test("files as they should be pass", () => {
    accepts("check-sources", { "src/a.c": functionOf(80), "src/b.h": spdx + "int f(int x);\n".repeat(799), "docs/x.md": "two blanks end a line  \n" });
});
test("a long function is found, and the line that it begins at", () => {
    refuses("check-sources", { "src/a.c": functionOf(81) }, /a\.c:2: a function of 81 lines/);
});
test("a function's length is its own", () => {
    accepts("check-sources", { "src/a.c": functionOf(60) + functionOf(60) + `struct s {\n${"    int x;\n".repeat(100)}};\n` });
});
test("a long file is found", () => refuses("check-sources", { "src/b.h": spdx + "\n".repeat(800) }, /801 lines/));
test("a source without a licence line is found", () => {
    for (const name of ["src/a.c", "bench/a.js", "scripts/a", "cmake/a.cmake"]) refuses("check-sources", { [name]: "\n" }, /no SPDX/);
});
test("paths of a machine and hosts of registries are found anywhere", () => {
    for (const text of [`/${"work"}/main/src`, `/tmp/${"build"}/x`, ["https://registry", "npmjs", "org/x"].join(".")])
        refuses("check-sources", { "docs/a.md": `see ${text}\n` }, /a\.md:1: names /);
});
test("an unfinished last line and blanks at a line's end are found", () => {
    refuses("check-sources", { "src/a.c": spdx + "int x;" }, /does not end/);
    refuses("check-sources", { "src/a.c": spdx + "int x; \n" }, /blanks at the end/);
});
