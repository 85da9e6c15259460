/* SPDX-License-Identifier: MIT
 *
 * llama/probe_memory.cpp - round trips that succeeded, remembered across starts (probe.cpp).
 *
 * One small text file each in $XDG_CACHE_HOME/warmslot, or ~/.cache/warmslot. It holds all that the result depends on: the engine's release, the
 * scope (model, layout, kind) and the devices. A file counts only if it holds exactly that text, so neither damage nor a foreign file
 * can grant more than the structure, looked at anew every time, has granted already; without it the trip is made again.
 * Failures are not remembered: they may have been the moment's. Threads: while opening only. */
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "llama/priv.hpp"

namespace warm {
namespace {

std::string text_of(const engine &e) {
    return "warmslot state 1\nrelease: " + e.build + "\n" + e.scope + e.backend;
}

/* "" where there is no such place. */
std::string folder() {
    const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
    if (cache && cache[0] == '/') return std::string(cache) + "/warmslot";
    return home && home[0] == '/' ? std::string(home) + "/.cache/warmslot" : "";
}

std::string name_of(const std::string &text) {
    uint8_t sum[32];
    char hex[2 * sizeof sum + 1];
    warm_sha256 *h = warm_sha256_new();
    warm_sha256_add(h, text.data(), text.size());
    warm_sha256_end(h, sum);
    for (size_t i = 0; i < sizeof sum; i++) std::snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return "/state-" + std::string(hex, 32) + ".txt";
}

void make_folders(const std::string &path) {
    for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
        mkdir(path.substr(0, at).c_str(), 0700);
    }
    mkdir(path.c_str(), 0700);
}

bool write_file(const std::string &path, const std::string &text) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    const bool whole = write(fd, text.data(), text.size()) == (ssize_t)text.size();
    return !close(fd) && whole;
}

} // namespace

bool is_remembered(const engine &e) {
    const std::string text = text_of(e), dir = folder();
    if (dir.empty()) return false;
    const int fd = open((dir + name_of(text)).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    std::vector<char> found(text.size() + 1);
    const ssize_t n = read(fd, found.data(), found.size());
    close(fd);
    return n == (ssize_t)text.size() && !std::memcmp(found.data(), text.data(), text.size());
}

void remember(const engine &e) {
    const std::string text = text_of(e), dir = folder();
    if (dir.empty()) return;
    make_folders(dir);
    const std::string path = dir + name_of(text), fresh = path + "." + std::to_string(getpid());
    if (write_file(fresh, text) && !std::rename(fresh.c_str(), path.c_str())) return;
    warm_log_debug("llama", "%s could not be written: %s", path.c_str(), std::strerror(errno));
    unlink(fresh.c_str());
}

} // namespace warm
