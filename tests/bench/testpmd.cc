// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/testpmd.h"

#include <fmt/format.h>
#include <poll.h>
#include <pty.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace penstock::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kPatienceMs = 20'000;

// Processor time of the thread that forwards.
uint64_t forwarding_ns(pid_t pid) {
  for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name.find("worker-1") == std::string::npos) continue;
    uint64_t ns = 0;
    std::ifstream(task.path() / "schedstat") >> ns;
    return ns;
  }
  throw std::runtime_error("dpdk-testpmd has no lcore 1");
}

[[noreturn]] void become(std::vector<std::string> words) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

}  // namespace

Testpmd::Testpmd(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "dpdk-testpmd");
  pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
  if (pid_ < 0) throw std::runtime_error("no terminal for dpdk-testpmd");
  if (pid_ == 0) become(std::move(arguments));
  read_until("testpmd> ");
}

Testpmd::~Testpmd() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  close(terminal_);
}

void Testpmd::type(const std::string& command) const {
  const std::string line = command + '\n';
  if (write(terminal_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    throw std::runtime_error("dpdk-testpmd has ended");
  }
}

std::string Testpmd::read_until(const std::string& last) {
  std::string text;
  while (text.find(last) == std::string::npos) {
    pollfd ready{terminal_, POLLIN, 0};
    char bytes[4096];
    const ssize_t got =
        poll(&ready, 1, kPatienceMs) == 1 ? read(terminal_, bytes, sizeof bytes) : 0;
    if (got <= 0) throw std::runtime_error("dpdk-testpmd does not go on:\n" + text);
    text.append(bytes, static_cast<size_t>(got));
  }
  return text;
}

Sample Testpmd::forward(std::chrono::milliseconds duration) {
  const uint64_t before = forwarding_ns(pid_);
  type("start");
  std::this_thread::sleep_for(duration);
  type("stop");
  const std::string text = read_until("Done.");
  const std::string what = "TX-packets: ";
  const size_t at = text.rfind(what);
  if (at == std::string::npos) throw std::runtime_error("dpdk-testpmd forwarded nothing");
  return {std::stoull(text.substr(at + what.size())), forwarding_ns(pid_) - before};
}

}  // namespace penstock::bench
